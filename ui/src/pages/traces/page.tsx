// The search for traces: filter, heatmap, counts, and the traces themselves.

import { useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { AnswerError } from '../../lib/api'
import { entryText, inBasket, lookAt, type Kept } from '../../lib/basket'
import { keptColours, byCount } from '../../lib/colour'
import { and, andNot } from '../../lib/expression'
import { ago, duration, exact, many, percent, timeParts } from '../../lib/format'
import { seconds } from '../../lib/histogram'
import { change, contextParams, go, href, param, place } from '../../lib/place'
import { countedFrom, facetsOfCounts, findFacets, isCut, type Counts } from '../../lib/counts'
import { facets, ROW, type Facet, type TraceRow } from '../../lib/summary'
import { compareBasket, toggleBasket } from '../../ui/basket'
import { FilterBar, Misread } from '../../ui/filterbar'
import { Basket, Close, Columns, Copy, Fault, Filter, Live, Minus, Pause, Play, Plus, Throttle, Warning } from '../../ui/icons'
import { useShortcuts } from '../../ui/keys'
import { slim } from '../../ui/media'
import { copy, localStorageGet, localStorageSet, Popover, Problem, Sparkline, Status, Swatch, utc } from '../../ui/parts'
import { lazy } from '../../ui/lazy'
import { RangePicker } from '../../ui/range'
import { Virtual, type VirtualHandle } from '../../ui/virtual'
import { WhyButton } from '../../ui/why'
import { Heatmap } from './heatmap'
import { tracesCSV } from './rows'
import { countWindow, createSearch, wholeFilter, type SearchState } from './search'

const Grouped = lazy(() => import('./grouped').then((m) => m.Grouped))

export const COLUMNS: Record<string, { title: string; cls: string; text: (r: TraceRow) => string }> = {
  time: { title: 'Time', cls: 'col-time', text: (r) => (Number.isNaN(r.start) ? '–' : timeParts(r.start, utc.peek()).time) },
  status: { title: 'Status', cls: 'col-status', text: (r) => String(r.status || '') },
  duration: { title: 'Duration', cls: 'col-duration', text: (r) => duration(r.duration) },
  shape: { title: 'Shape', cls: 'col-shape', text: () => '' },
  request: { title: 'Request', cls: 'grow', text: (r) => `${r.method} ${r.url}` },
  services: { title: 'Services', cls: 'col-services', text: (r) => r.services.join(', ') },
  response: { title: 'Response', cls: 'col-number', text: (r) => duration(r.response) },
  user: { title: 'User', cls: 'col-text', text: (r) => r.users.join(', ') },
  client: { title: 'Client', cls: 'col-text', text: (r) => r.client },
  agent: { title: 'User agent', cls: 'col-text', text: (r) => r.agent },
  id: { title: 'Trace id', cls: 'col-id', text: (r) => r.id },
}

const STANDARD = ['time', 'status', 'duration', 'shape', 'request', 'services']

/** The least room that columns need, in pixels, on a wide screen and on a slim one, which leaves some out; others take 150. */
const ROOM: Record<string, readonly [number, number]> = { time: [98, 98], status: [92, 76], duration: [104, 76], shape: [84, 0], request: [120, 120], services: [132, 0], response: [84, 84], id: [300, 300] }

/** How wide the list has to be at least; it scrolls sideways where there is less. */
function leastWidth(columns: readonly string[]): number {
  const rooms = columns.map((c) => (ROOM[c] ?? [150, 150])[slim.value ? 1 : 0]).filter((w) => w > 0)
  const [gap, padding, basket] = slim.value ? [8, 20, 26] : [14, 32, 26]
  return rooms.reduce((sum, w) => sum + w + gap, basket + padding)
}

function columnsOf(text: string): string[] {
  const list = text ? text.split(',').filter((c) => c in COLUMNS || c.startsWith('a.')) : []
  if (list.length > 0) return list
  const saved = localStorageGet('roentgen.columns')
  return saved ? saved.split(',').filter((c) => c in COLUMNS || c.startsWith('a.')) : STANDARD
}

/** The columns that there is room for: on a slim screen the request has the time below it. */
function fitting(columns: string[]): { columns: string[]; timeBelow: boolean } {
  const timeBelow = slim.value && columns.includes('time') && columns.includes('request')
  return { columns: timeBelow ? columns.filter((c) => c !== 'time') : columns, timeBelow }
}

/** A row as the basket has it. */
function keptOf(r: TraceRow): Kept {
  return { id: r.id, entry: entryText(r.entry || (r.services[0] ?? ''), r.method, r.url), seconds: r.flags & ROW.inProgress || Number.isNaN(r.duration) ? null : r.duration }
}

let kept: { key: string; search: SearchState; scroll: number } | null = null

/** The rows in the order that is asked for. */
function useSorted(rows: readonly TraceRow[], sort: string): readonly TraceRow[] {
  return useMemo(() => {
    if (!sort) return rows
    const sign = sort.startsWith('-') ? -1 : 1
    const by = sort.replace(/^-/, '')
    const value = (r: TraceRow) => (by === 'duration' ? (Number.isNaN(r.duration) ? -1 : r.duration) : by === 'response' ? (Number.isNaN(r.response) ? -1 : r.response) : by === 'status' ? r.status : r.start || 0)
    return [...rows].sort((a, b) => sign * (value(a) - value(b)))
  }, [rows, sort])
}

function useTotals(rows: readonly TraceRow[]): { failures: number; longest: number } {
  return useMemo(() => {
    let failures = 0
    let longest = 0
    for (const r of rows) {
      if (r.flags & 7) failures++
      if (r.duration > longest) longest = r.duration
    }
    return { failures, longest }
  }, [rows])
}

/** The colours of services, by name: the most frequent choose first, so that they have the same on each visit. */
function usePalette(rows: readonly TraceRow[], counts: Counts | null): Map<string, number> {
  return useMemo(() => {
    const known = new Map<string, number>()
    for (const r of rows) for (const name of r.services) known.set(name, (known.get(name) ?? 0) + 1)
    const counted = counts?.facets.get('service')?.values.values()
    if (!counted) return keptColours(byCount(known))
    // Those of which the server counted too few to list have a colour, too, after all others.
    const all = new Map([...known.keys()].map((name) => [name, 0]))
    for (const v of counted) all.set(String(v.value), v.count)
    return keptColours(byCount(all))
  }, [rows, counts])
}

export function TracesPage() {
  const params = place.value.params
  const key = ['q', 'range', 'from', 'to', 'live', 'group'].map((k) => params.get(k) ?? '').join('\n')
  const [search] = useState(() => {
    // Coming back finds the list as it was left.
    if (kept && kept.key === key && !params.get('live')) return kept.search
    kept?.search.stop()
    kept = { key, search: createSearch(), scroll: 0 }
    kept.search.start()
    return kept.search
  })
  const lastKey = useRef(key)
  useEffect(() => {
    if (lastKey.current === key) return
    lastKey.current = key
    kept = { key, search, scroll: 0 }
    search.start()
  }, [key])
  useEffect(() => {
    document.title = 'Traces · Roentgen'
    return () => {
      if (param('live').peek() === '1' || kept?.search !== search) {
        search.stop()
        kept = null
      }
    }
  }, [])

  const q = param('q').value
  const live = param('live').value === '1'
  const by = param('by').value
  const rows = search.rows.value
  const w = search.window.value
  const selected = param('row').value
  const sort = param('sort').value
  const shown = useSorted(rows, sort)
  // No function here may hold a list itself: those of old pictures live on for a while, and each
  // would keep 20,000 traces that have left the live list.
  const list = useRef(shown)
  list.current = shown
  const handle = useRef<VirtualHandle>(null)
  const at = selected ? shown.findIndex((r) => r.id === selected) : -1
  const showFacets = param('facets').value !== '0'
  const narrowFacets = useSignal(false)

  useEffect(() => {
    // After a step back the list stands where it stood.
    const e = handle.current?.element
    if (e && kept?.scroll) e.scrollTop = kept.scroll
    return () => {
      const e = handle.current?.element
      if (kept && e) kept.scroll = e.scrollTop
    }
  }, [])

  const atHand = shown[at]
  useEffect(() => {
    lookAt(atHand ? keptOf(atHand) : null)
    return () => lookAt(null)
  }, [atHand])

  const pick = (i: number) => {
    const r = list.current[i]
    if (!r) return
    change({ row: r.id }, { replace: true })
    handle.current?.reveal(i)
  }
  // Keys may come faster than pictures: where we are is asked for, not remembered.
  const current = () => list.current.findIndex((r) => r.id === param('row').peek())
  const move = (by: number) => {
    const from = current()
    const { length } = list.current
    pick(Math.max(0, Math.min(length - 1, (from < 0 ? (by > 0 ? -1 : length) : from) + by)))
  }
  const openRow = (r: TraceRow) => {
    if (kept && handle.current?.element) kept.scroll = handle.current.element.scrollTop
    change({ row: r.id }, { replace: true })
    go(href(`trace/${r.id}`, contextParams(place.peek().params)))
  }
  useShortcuts(
    () => ({
      title: 'Traces',
      shortcuts: [
        { keys: ['/'], what: 'Go to the filter', run: () => document.getElementById('filter')?.focus() },
        { keys: ['j', 'ArrowDown'], what: 'Next trace', run: () => move(1) },
        { keys: ['k', 'ArrowUp'], what: 'Previous trace', run: () => move(-1) },
        { keys: ['PageDown'], what: 'Ten down', run: () => move(10) },
        { keys: ['PageUp'], what: 'Ten up', run: () => move(-10) },
        { keys: ['Enter', 'o'], what: 'Open the trace', run: () => current() >= 0 && openRow(list.current[current()]!) },
        { keys: ['x'], what: 'Into the basket, or out of it', run: () => current() >= 0 && toggleBasket(keptOf(list.current[current()]!)) },
        { keys: ['='], what: 'Compare what is in the basket', run: compareBasket },
        { keys: ['r'], what: 'Search again, up to now', run: () => search.start() },
        { keys: ['L'], what: 'Follow live, or stop', run: () => change({ live: !live }) },
        { keys: [' '], what: 'Pause live', run: () => live && (search.paused.peek() ? search.resume() : (search.paused.value = true)) },
        { keys: ['b'], what: 'Counts beside the list', run: () => change({ facets: showFacets ? '0' : null }, { replace: true }) },
      ],
    }),
    [live, showFacets],
  )
  const setFilter = (text: string) => change({ q: text, row: null })
  // What is wrong with a filter is said below it.
  const misread = q !== '' && isMistake(search.error.value) ? search.error.value : null
  const chosen = columnsOf(param('cols').value)
  const { columns, timeBelow } = fitting(chosen)
  const counts = search.counts.value
  const error = search.error.value
  // What is shown was counted in the window of then.
  const heat = counts ?? w
  const { longest } = useTotals(rows)
  const palette = usePalette(rows, counts)

  return (
    <div class="traces">
      <div class="toolbar search-bar">
        <FilterBar value={q} onChange={(text) => (text === q ? search.start() : setFilter(text))} />
        {param('group').value && (
          <button class="button" title="Look at all traces again" onClick={() => change({ group: null })}>
            Group <bdi>{param('group').value}</bdi> <Close />
          </button>
        )}
        <RangePicker />
        <button class={`button ${live ? 'live-on' : ''}`} aria-pressed={live} title="Follow traces as they arrive (L)" onClick={() => change({ live: !live, sort: null })}>
          <Live /> Live
        </button>
      </div>
      {search.state.value === 'loading' && <div class="progress" role="progressbar" aria-label="Searching" />}
      {search.error.value && !misread && (
        <div style={{ padding: '10px 14px 0' }}>
          <Problem error={search.error.value} retry={search.start} />
        </div>
      )}
      <Heatmap
        rows={search.rows}
        counts={counts}
        from={heat.from}
        to={heat.to}
        unknown={unknownPart(search)}
        onBrush={(from, to, low, high) => {
          let next = q
          if (low !== null && high !== null) next = and(next, `duration >= ${seconds(low)} AND duration <= ${seconds(high)}`)
          change({ q: next, from: from === heat.from ? params.get('from') : Math.floor(from * 1000) / 1000, to: to === heat.to ? params.get('to') : Math.ceil(to * 1000) / 1000, range: from === heat.from && to === heat.to ? params.get('range') : null, row: null })
        }}
      />
      <div class="result-line">
        <HowMany search={search} hidden={misread !== null} />
        {!search.complete.value && search.state.value === 'paused' && !search.error.value && (
          <button class="button plain" onClick={search.fetchAll}>
            Load all{slim.value ? '' : ' of the window'}
          </button>
        )}
        {q && !misread && <WhyButton filter={wholeFilter()} label="Why not…?" class="button plain" />}
        {q && !misread && (
          <a class="button plain" title="What tells these traces from the others of the window" href={href('analytics', { ...contextParams(params), group: null, a: wholeFilter(), b: `!(${wholeFilter()})` })}>
            Against the rest
          </a>
        )}
        {live && (
          <span class={`row live-state ${search.connected.value ? '' : 'off'}`}>
            <span class="pulse" /> <span>{search.connected.value ? (search.paused.value ? `paused, ${many(search.waiting.value.length, 'change')} waiting` : 'live') : 'connecting…'}</span>
            {search.missed.value > 0 && <span class="text-error" title="More changed than can be followed">{exact(search.missed.value)} not shown</span>}
            <button class="button" onClick={() => (search.paused.value ? search.resume() : (search.paused.value = true))}>
              {search.paused.value ? <Play /> : <Pause />}
              {search.paused.value ? 'Go on' : 'Pause'}
            </button>
          </span>
        )}
        <span class="grow" />
        <button class="button facet-button" aria-pressed={slim.value ? narrowFacets.value : showFacets} onClick={() => (slim.value ? (narrowFacets.value = !narrowFacets.value) : change({ facets: showFacets ? '0' : null }, { replace: true }))}>
          <Filter /> Counts
        </button>
        <Popover label="Columns" body={() => <ColumnChooser columns={chosen} rows={search.rows.value} />}>
          <Columns /> Columns
        </Popover>
        <button class="button icon" aria-label="Copy the traces as CSV" title="Copy the traces as CSV" onClick={() => void copy(tracesCSV(list.current), `${many(list.current.length, 'row')} copied`)}>
          <Copy />
        </button>
      </div>
      <div class="traces-body">
        {(showFacets || narrowFacets.value) && <Facets search={search} counts={counts} q={q} setFilter={setFilter} palette={palette} open={narrowFacets.value} close={() => (narrowFacets.value = false)} />}
        {by ? (
          <Grouped by={by} from={w.from} to={w.to} filter={wholeFilter()} only={(condition) => change({ q: and(q, condition), by: null, row: null })} />
        ) : (
        <div class="table traces-table" role="table" aria-label="Traces" aria-rowcount={shown.length + 1} style={{ '--least': `${leastWidth(columns)}px` }}>
          <div class="table-head" role="row" aria-rowindex={1}>
            {columns.map((c) => {
              const sortable = ['time', 'duration', 'response', 'status'].includes(c)
              const on = sort.replace(/^-/, '') === c
              return (
                <div key={c} role="columnheader" class={COLUMNS[c]?.cls ?? 'col-text'} aria-sort={on ? (sort.startsWith('-') ? 'descending' : 'ascending') : undefined}>
                  {sortable ? (
                    <button onClick={() => change({ sort: !on ? `-${c}` : sort.startsWith('-') ? c : null }, { replace: true })}>
                      {COLUMNS[c]!.title} {on && (sort.startsWith('-') ? '↓' : '↑')}
                    </button>
                  ) : (
                    (COLUMNS[c]?.title ?? c.slice(2))
                  )}
                </div>
              )
            })}
            <div role="columnheader" class="col-basket">
              <span class="hidden-visually">Basket</span>
            </div>
          </div>
          {shown.length === 0 && search.state.value !== 'loading' && !search.error.value ? (
            <NothingFound q={q} />
          ) : shown.length === 0 ? (
            misread ? (
              <Misread expression={q} message={misread.message} onChange={setFilter} />
            ) : error ? (
              <div class="empty">
                <h2>The traces are not known</h2>
                <p>The server did not give them. They come as soon as it does.</p>
              </div>
            ) : <div class="column" style={{ padding: '12px', gap: '12px' }}>
              {Array.from({ length: 8 }, (_, i) => (
                <div key={i} class="skeleton" style={{ height: '14px', width: `${90 - i * 6}%` }} />
              ))}
            </div>
          ) : (
            <Virtual handle={handle} count={shown.length} height={38} label="Traces found" onNearEnd={search.more}>
              {(i) => <Row key={i % 199} r={list.current[i]!} i={i} columns={columns} timeBelow={timeBelow} selected={i === at} open={openRow} longest={longest} palette={palette} />}
            </Virtual>
          )}
        </div>
        )}
      </div>
    </div>
  )
}

/** Is it the question that was wrong, and not that there was no answer? */
function isMistake(error: Error | null): error is AnswerError {
  return error instanceof AnswerError && error.status === 400
}

/** The part of the window that nothing is known of, and why: the newest traces come first. */
function unknownPart(search: SearchState): { before: number; why: string } | null {
  const counts = search.counts.value
  if (counts) {
    const before = countedFrom(counts)
    return before === null ? null : { before, why: search.uncounted.value ? 'not counted' : 'not counted yet' }
  }
  const before = search.reached.value
  return before === null || isMistake(search.error.value) ? null : { before, why: search.error.value ? 'not known' : search.state.value === 'loading' ? 'not read yet' : 'not loaded' }
}

/** How many traces there are, as far as that is known. */
function HowMany({ search, hidden }: { search: SearchState; hidden: boolean }) {
  const rows = search.rows.value
  const counts = search.counts.value
  const complete = search.complete.value
  const { failures } = useTotals(rows)
  const w = search.window.value
  if (!counts && rows.length === 0 && !complete)
    return (
      <span class="muted" aria-live="polite" hidden={hidden}>
        {search.error.value ? 'How many traces there are is not known' : search.state.value === 'loading' ? 'Searching…' : 'No trace yet'}
      </span>
    )
  return (
    <span class="num" aria-live="polite" hidden={hidden}>
      <b>{exact(counts ? counts.traces : rows.length)}</b>
      {counts ? (counts.done ? ' traces' : ' traces so far…') : complete ? ' traces' : search.state.value === 'loading' ? ' traces so far…' : ' newest traces'}
      {counts ? counts.failed > 0 && <span class="text-fault"> · {percent(counts.failed / counts.traces)} failed</span> : failures > 0 && <span class="text-fault"> · {percent(failures / rows.length)} failed</span>}
      {counts && counts.examined > counts.traces && <span class="muted"> · {exact(counts.examined)} examined</span>}
      {counts && !complete && rows.length > 0 && <span class="muted"> · {exact(rows.length)} loaded</span>}
      {search.error.value && <span class="text-error"> · as of {timeParts((counts ?? w).to, utc.value, 0).time}</span>}
    </span>
  )
}

function NothingFound({ q }: { q: string }) {
  const params = place.value.params
  return (
    <div class="empty">
      <h2>No traces</h2>
      <p>{q ? 'Nothing in this window matches the filter.' : 'Nothing was received in this window.'}</p>
      <div class="row">
        {q && (
          <button class="button" onClick={() => change({ q: null })}>
            Without the filter
          </button>
        )}
        {q && <WhyButton filter={wholeFilter()} label="Why not…?" />}
        {params.get('range') !== '1d' && (
          <button class="button" onClick={() => change({ range: '1d', from: null, to: null })}>
            Look at the last day
          </button>
        )}
        {!q && (
          <a class="button" href={href('start')}>
            How to send traces
          </a>
        )}
      </div>
    </div>
  )
}

function Row({ r, i, columns, timeBelow, selected, open, longest, palette }: { r: TraceRow; i: number; columns: string[]; timeBelow: boolean; selected: boolean; open: (r: TraceRow) => void; longest: number; palette: Map<string, number> }) {
  const kept = inBasket(r.id)
  return (
    <div
      class={`table-row ${selected ? 'selected' : ''} ${kept ? 'in-basket' : ''}`}
      role="row"
      aria-rowindex={i + 2}
      aria-selected={selected}
      onClick={(e) => {
        if (!(e.target as Element).closest('a, button')) open(r)
      }}
    >
      {columns.map((c) => (
        <div key={c} role="cell" class={COLUMNS[c]?.cls ?? 'col-text'}>
          <Cell c={c} r={r} longest={longest} palette={palette} />
          {timeBelow && c === 'request' && (
            <div class="request-time">
              <Cell c="time" r={r} longest={longest} palette={palette} />
            </div>
          )}
        </div>
      ))}
      <div role="cell" class="col-basket">
        <button class="button plain icon" tabIndex={-1} aria-pressed={kept} aria-label="In the basket" title={kept ? 'Take it out of the basket (x)' : 'Put it into the basket, to compare (x)'} onClick={() => toggleBasket(keptOf(r))}>
          <Basket />
        </button>
      </div>
    </div>
  )
}

function pathOf(url: string): [string, string] {
  const m = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(url)
  return m ? [m[1]!, m[2] || '/'] : ['', url]
}

function Cell({ c, r, longest, palette }: { c: string; r: TraceRow; longest: number; palette: Map<string, number> }) {
  switch (c) {
    case 'time': {
      if (Number.isNaN(r.start)) return <span class="faint">–</span>
      const t = timeParts(r.start, utc.value)
      return (
        <a class="row-link num" href={href(`trace/${r.id}`, contextParams(place.value.params))} title={`${t.date} ${t.time} ${t.zone}, ${ago(Date.now() / 1000 - r.start)}`}>
          {t.time}
        </a>
      )
    }
    case 'status':
      return <Status fault={(r.flags & ROW.fault) !== 0} error={(r.flags & ROW.error) !== 0} throttle={(r.flags & ROW.throttle) !== 0} busy={(r.flags & ROW.inProgress) !== 0} code={r.status || null} />
    case 'duration':
      return (
        <div class="bar-cell num">
          <span>{r.flags & ROW.inProgress ? '…' : duration(r.duration)}</span>
          <svg class="bar" width="100%" height="4" preserveAspectRatio="none" viewBox="0 0 100 4" aria-hidden="true">
            <rect width={Number.isNaN(r.duration) || longest <= 0 ? 0 : Math.max(1, Math.sqrt(r.duration / longest) * 100)} height="4" class={r.flags & ROW.fault ? 'bar-fault' : r.flags & ROW.throttle ? 'bar-throttle' : r.flags & ROW.error ? 'bar-error' : 'bar-ok'} />
          </svg>
        </div>
      )
    case 'shape':
      return <Shape r={r} palette={palette} />
    case 'request': {
      const [host, path] = pathOf(r.url)
      return (
        <div class="request ellipsis">
          {r.entry && (
            <b>
              <bdi>{r.entry}</bdi>
            </b>
          )}
          {r.method && <span class="method"> {r.method}</span>} <bdi>{path}</bdi>
          {host && <span class="faint"> {host}</span>}
          {!r.entry && !r.url && <span class="muted">{r.services[0] ?? '(no root yet)'}</span>}
          {(r.flags & ROW.partial) !== 0 && <span class="badge">partial</span>}
          {(r.flags & ROW.orphan) !== 0 && <span class="badge">orphans only</span>}
        </div>
      )
    }
    case 'services':
      return (
        <div class="strip" title={r.services.join('\n')}>
          {r.services.slice(0, 9).map((s) => (
            <Swatch key={s} colour={palette.get(s) ?? 8} />
          ))}
          <span class="faint num">{r.services.length}</span>
        </div>
      )
    case 'id':
      return <code>{r.id}</code>
    default: {
      const text = c.startsWith('a.') ? (r.annotations[c.slice(2)] ?? []).join(', ') : COLUMNS[c]!.text(r)
      return <bdi class="ellipsis num">{text}</bdi>
    }
  }
}

/** The trace in small: its longest parts, one below the other. */
function Shape({ r, palette }: { r: TraceRow; palette: Map<string, number> }) {
  const bars = r.bars
  if (!bars) return null
  const n = bars.length / 4
  const height = 24 / n
  return (
    <svg class="shape" viewBox="0 0 255 24" preserveAspectRatio="none" role="img" aria-label={`${n} parts`}>
      {Array.from({ length: n }, (_, i) => {
        const [service, start, length, marks] = [bars[i * 4]!, bars[i * 4 + 1]!, bars[i * 4 + 2]!, bars[i * 4 + 3]!]
        return (
          <rect
            key={i}
            x={Math.min(start, 252)}
            y={i * height + height * 0.12}
            width={Math.max(3, length)}
            height={height * 0.76}
            style={{ fill: marks & 2 ? 'var(--fault)' : marks & 4 ? 'var(--throttle)' : marks & 1 ? 'var(--error)' : `var(--s${palette.get(r.services[service] ?? '') ?? 8})` }}
          />
        )
      })}
    </svg>
  )
}

function ColumnChooser({ columns, rows }: { columns: string[]; rows: readonly TraceRow[] }) {
  const needle = useSignal('')
  const keys = useMemo(() => {
    const seen = new Map<string, number>()
    for (const r of rows.slice(0, 5000)) for (const k in r.annotations) seen.set(k, (seen.get(k) ?? 0) + 1)
    return [...seen].sort((a, b) => b[1] - a[1]).map(([k]) => k)
  }, [rows])
  const set = (list: string[]) => {
    const text = list.join(',')
    localStorageSet('roentgen.columns', text)
    change({ cols: text === STANDARD.join(',') ? null : text }, { replace: true })
  }
  const current = columnsOf(param('cols').value)
  void columns
  const item = (id: string, title: string) => {
    const on = current.includes(id)
    return (
      <button key={id} class="menu-item" role="menuitemcheckbox" aria-checked={on} onClick={() => set(on ? current.filter((c) => c !== id) : [...current, id])}>
        <span class="check">{on ? '✓' : ''}</span>
        <bdi>{title}</bdi>
      </button>
    )
  }
  const match = (t: string) => t.toLowerCase().includes(needle.value.toLowerCase())
  return (
    <div style={{ width: '230px' }}>
      <input class="input" style={{ width: '100%', marginBottom: '4px' }} placeholder="Find a column" aria-label="Find a column" value={needle.value} onInput={(e) => (needle.value = e.currentTarget.value)} />
      {Object.entries(COLUMNS).filter(([, c]) => match(c.title)).map(([id, c]) => item(id, c.title))}
      {keys.length > 0 && <div class="menu-line" />}
      {keys.filter(match).slice(0, 60).map((k) => item(`a.${k}`, k))}
      <div class="menu-line" />
      <button class="menu-item" onClick={() => set(STANDARD)}>
        <span class="check" />
        Back to the usual ones
      </button>
    </div>
  )
}

const OUTCOME_ICONS: Record<string, () => preact.JSX.Element> = { fault: Fault, error: Warning, throttle: Throttle }

/** What the server finds among all values that it counts; null while that is not wanted, or not known. */
function useFound(search: SearchState, counts: Counts | null, text: string): Counts | null {
  const [found, setFound] = useState<Counts | null>(null)
  const wanted = text !== '' && counts !== null && isCut(counts)
  useEffect(() => {
    setFound(null)
    if (!wanted) return
    const abort = new AbortController()
    const timer = setTimeout(() => void countWindow(counts, text, abort.signal, setFound).catch(() => {}), 250)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [wanted, text, counts?.done, search.window.value])
  return found
}

/** Values of an attribute that are listed, and while some are looked for. */
const LISTED = 8
const FOUND = 50

function Facets({ search, counts, q, setFilter, palette, open, close }: { search: SearchState; counts: Counts | null; q: string; setFilter: (text: string) => void; palette: Map<string, number>; open: boolean; close: () => void }) {
  const rows = search.rows
  const needle = useSignal('')
  const by = param('by').value
  const match = needle.value.trim()
  const found = useFound(search, counts, match)
  const most = match ? FOUND : LISTED
  const list = useMemo(() => {
    const known = counts ? facetsOfCounts(counts, match ? Infinity : most) : facets(rows.peek(), match ? Infinity : most)
    if (!match) return known
    return findFacets(known, found && facetsOfCounts(found, Infinity), match).map((f): Facet => ({ ...f, values: f.values.slice(0, FOUND) }))
  }, [counts, counts ? null : rows.value, match, found])
  const total = Math.max(1, counts ? counts.traces : rows.value.length)
  const looking = match !== '' && counts !== null && isCut(counts) && !found?.done
  const failed = search.uncounted.value ?? search.error.value
  // What is wrong with a filter is said where the traces would be.
  const trouble = isMistake(failed) ? null : failed
  return (
    <aside class={`facets ${open ? 'open' : ''}`} aria-label="Counts">
      <div class="row facets-head">
        <input class="input grow" type="search" placeholder="Find in counts" aria-label="Find in counts" value={needle.value} onInput={(e) => (needle.value = e.currentTarget.value)} />
        {open && (
          <button class="button" onClick={close}>
            Close
          </button>
        )}
      </div>
      <div class="facets-list" tabIndex={0} role="group" aria-label="Counts of values">
        {trouble && (
          <div class="facets-note" role="status">
            {counts ? 'Not counted to the end.' : rows.value.length > 0 ? `Counted in ${many(rows.value.length, 'loaded trace')} only.` : 'The counts are not known.'}{' '}
            <button class="link" onClick={search.start}>
              Count again
            </button>
          </div>
        )}
        {!trouble && !counts && rows.value.length > 0 && !search.complete.value && <div class="facets-note muted">Of {many(rows.value.length, 'loaded trace')}.</div>}
        {counts?.partial && <div class="facets-note">There are more values than are counted: those that came last are missing.</div>}
        {!failed && !counts && rows.value.length === 0 && search.state.value === 'loading' && (
          <div class="column facets-note" style={{ gap: '14px' }} role="status" aria-label="Counting">
            {[70, 92, 56, 80].map((width) => (
              <div key={width} class="skeleton" style={{ width: `${width}%`, height: '14px' }} />
            ))}
          </div>
        )}
        {match && list.length === 0 && !looking && <div class="facets-note muted">No value that was counted contains “<bdi>{match}</bdi>”.</div>}
        {looking && <div class="facets-note muted" role="status">Looking through all values…</div>}
        {list.map((f) => {
          return (
            <section key={f.key}>
              <h3>
                <bdi>{f.title}</bdi> {f.distinct > f.values.length && <span class="num">{exact(f.distinct)}</span>}
                <button class="facet-by" aria-pressed={by === f.key} title={by === f.key ? 'Back to the traces' : 'Traces, failures and durations of each value'} aria-label={`Group by ${f.title}`} onClick={() => change({ by: by === f.key ? null : f.key })}>
                  Group
                </button>
              </h3>
              <ul>
                {f.values.map((v) => {
                  const Icon = f.key === 'outcome' ? OUTCOME_ICONS[v.text] : undefined
                  return (
                    <li key={v.condition} class="facet">
                      <svg class="facet-bar" width="100%" height="100%" preserveAspectRatio="none" viewBox="0 0 100 10" aria-hidden="true">
                        <rect width={(v.count / total) * 100} height="10" class={f.key === 'outcome' ? `facet-${v.text}` : ''} />
                      </svg>
                      <button class="facet-name" title={v.condition} onClick={() => setFilter(and(q, v.condition))}>
                        {f.key === 'service' && <Swatch colour={palette.get(v.text) ?? 8} />}
                        {Icon && (
                          <span class={`icon text-${v.text}`}>
                            <Icon />
                          </span>
                        )}
                        <bdi class="ellipsis">{v.text === '' ? '(empty)' : v.text}</bdi>
                      </button>
                      {v.series && <Sparkline series={v.series} />}
                      <span class="facet-count num">{exact(v.count)}</span>
                      <span class="facet-actions">
                        <button aria-label={`Only ${v.text}`} title="Only these" onClick={() => setFilter(and(q, v.condition))}>
                          <Plus />
                        </button>
                        <button aria-label={`Without ${v.text}`} title="Without these" onClick={() => setFilter(andNot(q, v.condition))}>
                          <Minus />
                        </button>
                      </span>
                    </li>
                  )
                })}
              </ul>
              {match && f.distinct > f.values.length && <div class="facets-note muted num">and {exact(f.distinct - f.values.length)} more</div>}
            </section>
          )
        })}
      </div>
    </aside>
  )
}
