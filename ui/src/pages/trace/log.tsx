// A trace as a log: what began, happened and ended, line by line in the order of time.

import { useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { duration, exact, many, timeParts } from '../../lib/format'
import { KINDS, kindsOf, kindsText, lines, offsetText, shownLines, type Kind, type TraceEvent } from '../../lib/log'
import { change, param } from '../../lib/place'
import { FAILED, FLAG, outcomeText, rows, type Columns } from '../../lib/trace'
import { useShortcuts } from '../../ui/keys'
import { Down } from '../../ui/icons'
import { Problem, Status, Swatch, utc } from '../../ui/parts'
import { TakeCSV, type Rows } from '../../ui/takecsv'
import { Virtual, type VirtualHandle } from '../../ui/virtual'
import type { EventsAnswer } from '../../workers/trace.worker'
import type { TraceState } from './state'

const LABELS: Record<Kind, string> = { start: 'Starts', event: 'Events', exception: 'Exceptions', end: 'Ends' }
/** Of a line, in pixels, as the style sheet has it. */
const HEIGHT = 28
/** Lines that are shown on either side of one that is gone to. */
const AROUND = 5
const NOTHING: ReadonlySet<number> = new Set()
const NO_EVENTS: TraceEvent[] = []

export function Log({ trace }: { trace: TraceState }) {
  const c = trace.columns.value!
  const answer = useSignal<{ of: Columns; got: EventsAnswer } | null>(null)
  const error = useSignal<Error | null>(null)
  const again = useSignal(0)
  /** Which of its entry's lines somebody went to. */
  const cursor = useSignal('')
  const handle = useRef<VirtualHandle>(null)

  useEffect(() => {
    let gone = false
    trace.events().then(
      (got) => {
        if (gone || !got) return
        answer.value = { of: c, got }
        error.value = null
      },
      (e: Error) => !gone && (error.value = e),
    )
    return () => {
      gone = true
    }
  }, [trace, c, again.value])
  // Entries have other numbers in columns that are newer; until their events come the old ones are found again by id.
  const events = useMemo(() => {
    const a = answer.value
    if (!a) return NO_EVENTS
    if (a.of === c) return a.got.events
    const now = new Map<string, number>()
    for (let i = 0; i < c.n; i++) now.set(`${c.traces[c.trace[i]!]} ${c.ids[i]}`, i)
    return a.got.events.map((e) => ({ ...e, entry: now.get(`${a.of.traces[a.of.trace[e.entry]!]} ${a.of.ids[e.entry]}`) ?? -1, at: e.at + a.of.t0 - c.t0 }))
  }, [c, answer.value])

  const inferred = param('inferred').value === '1'
  const only = param('only').value === '1'
  const critical = param('critical').value === '1'
  const segments = param('segments').value === '1'
  const kindsParam = param('lines').value
  const kinds = useMemo(() => kindsOf(kindsParam), [kindsParam])
  const matches = trace.matches.value
  const l = useMemo(() => lines(c, events), [c, events])
  // A log has all lines, whatever is closed or piled up elsewhere.
  const visible = useMemo(() => rows(c, { collapsed: NOTHING, inferred, only, critical, segments, matches: only ? matches : null }), [c, inferred, only, critical, segments, only ? matches : null])
  const shown = useMemo(() => shownLines(l, c.n, visible, kinds), [l, c, visible, kinds])

  const chosen = trace.selected.value
  const own = useMemo(() => {
    const list: number[] = []
    if (chosen >= 0) for (let r = 0; r < shown.length; r++) if (l.entry[shown[r]!] === chosen) list.push(r)
    return list
  }, [shown, l, chosen])
  const nameOf = (k: number) => `${c.ids[l.entry[k]!]} ${l.kind[k]} ${l.note[k]}`
  const at = own.find((r) => nameOf(shown[r]!) === cursor.value) ?? own[0] ?? -1
  // While a trace grows its newest lines can be followed, until somebody scrolls up or chooses a line.
  const growing = c.counts.inProgress > 0
  const following = growing && param('follow').value === '1'
  const follow = (on: boolean) => change({ follow: on }, { replace: true })
  const was = useRef({ l, at })
  useLayoutEffect(() => {
    const element = handle.current?.element
    // Lines that came above push the chosen one down: it stays where it was seen.
    if (!following && was.current.l !== l && was.current.at >= 0 && at >= 0 && element) element.scrollTop += (at - was.current.at) * HEIGHT
    was.current = { l, at }
  })
  const empty = shown.length === 0
  useLayoutEffect(() => {
    const element = handle.current?.element
    if (!following || !element) return
    const toEnd = () => (element.scrollTop = element.scrollHeight)
    toEnd()
    let last = element.scrollTop
    const onScroll = () => {
      const up = element.scrollTop < last && element.scrollTop + element.clientHeight < element.scrollHeight - HEIGHT
      last = element.scrollTop
      if (up) follow(false)
    }
    element.addEventListener('scroll', onScroll)
    const resized = new ResizeObserver(toEnd)
    resized.observe(element)
    return () => {
      element.removeEventListener('scroll', onScroll)
      resized.disconnect()
    }
  }, [following, shown, empty])
  useEffect(() => {
    const list = handle.current
    if (at < 0 || !list?.element || following) return
    // What is far off is shown with what happened around it.
    const e = list.element
    const off = at * HEIGHT - e.scrollTop
    if (off < -e.clientHeight || off > 2 * e.clientHeight) {
      list.reveal(Math.max(0, at - AROUND))
      list.reveal(Math.min(shown.length - 1, at + AROUND))
    }
    list.reveal(at)
  }, [chosen >= 0 ? c.ids[chosen] : '', cursor.value, kindsParam, only, at >= 0])

  const pick = (r: number) => {
    if (r < 0 || r >= shown.length) return
    if (following) follow(false)
    cursor.value = nameOf(shown[r]!)
    trace.select(l.entry[shown[r]!]!)
  }
  const move = (by: number) => {
    if (at >= 0 || chosen < 0) return pick(Math.max(0, Math.min(shown.length - 1, at + by)))
    // The chosen entry has no line: on from where it would be.
    let next = 0
    while (next < shown.length && l.at[shown[next]!]! < c.start[chosen]!) next++
    pick(Math.max(0, Math.min(shown.length - 1, by > 0 ? next : next - 1)))
  }
  const followOrNot = () => growing && follow(!following)
  const go = useRef({ pick, move, followOrNot, last: shown.length - 1 })
  go.current = { pick, move, followOrNot, last: shown.length - 1 }
  useShortcuts(
    () => ({
      title: 'Log',
      shortcuts: [
        { keys: ['j', 'ArrowDown'], what: 'Next line', run: () => go.current.move(1) },
        { keys: ['k', 'ArrowUp'], what: 'Previous line', run: () => go.current.move(-1) },
        { keys: ['Home'], what: 'First line', run: () => go.current.pick(0) },
        { keys: ['End'], what: 'Last line', run: () => go.current.pick(go.current.last) },
        { keys: ['F'], what: 'Follow the newest lines of a trace that grows, or not', run: () => go.current.followOrNot() },
        { keys: ['s'], what: 'Only segments, or all', run: () => change({ segments: param('segments').peek() !== '1' }, { replace: true }) },
        { keys: [']'], what: 'Next failure', run: () => trace.nextFailure(1) },
        { keys: ['['], what: 'Previous failure', run: () => trace.nextFailure(-1) },
      ],
    }),
    [trace],
  )
  const toggle = (kind: Kind, on: boolean) => {
    const next = new Set(kinds)
    if (on) next.add(kind)
    else next.delete(kind)
    change({ lines: kindsText(next) }, { replace: true })
  }
  const waiting = !answer.value && !error.value
  const table = (): Rows => ({
    head: ['offset_seconds', 'time', 'service', 'kind', 'name', 'message', 'entry', 'seconds', 'outcome', 'entry_id', 'trace_id'],
    rows: Array.from(shown, (k) => {
      const i = l.entry[k]!
      const kind = KINDS[l.kind[k]!]!
      const event = l.note[k]! >= 0 ? events[l.note[k]!]! : null
      const name = c.texts[c.name[i]!]!
      const over = kind === 'end'
      // Of an exception whose time is not said there is none here either.
      const at = event && Number.isNaN(event.at) ? null : l.at[k]!
      return [at, at === null ? null : new Date((c.t0 + at) * 1000).toISOString(), c.services[c.service[i]!]!.name, kind, event ? event.name : name, event ? event.message : kind === 'start' ? c.texts[c.detail[i]!] : '', name, over ? c.end[i]! - c.start[i]! : null, over ? outcomeText(c.flags[i]!) : '', c.ids[i], c.traces[c.trace[i]!]]
    }),
  })
  return (
    <div class="log">
      <div class="log-kinds" role="group" aria-label="Lines that are shown">
        {KINDS.map((kind, k) => (
          <label key={kind}>
            <input type="checkbox" checked={kinds.has(kind)} onChange={(e) => toggle(kind, e.currentTarget.checked)} />
            {LABELS[kind]} <span class="faint num">{(waiting || error.value) && (kind === 'event' || kind === 'exception') ? '…' : exact(l.counts[k]!)}</span>
          </label>
        ))}
        {answer.value?.got.more && <span class="muted">There are more exceptions and events than the {exact(answer.value.got.events.length)} here.</span>}
        <span class="grow" />
        {growing && (
          <button class={`button small ${following ? 'on' : ''}`} aria-pressed={following} title="Keep the newest lines in sight while the trace grows (F)" onClick={followOrNot}>
            <Down /> Follow
          </button>
        )}
        {!empty && <TakeCSV of="the log" file={`log-${trace.id}`} table={table} />}
      </div>
      {error.value && (
        <div style={{ padding: '10px 16px' }}>
          <Problem error={error.value} retry={() => again.value++} />
        </div>
      )}
      {shown.length === 0 && !waiting ? (
        <div class="empty">
          <h2>No lines</h2>
          <p>{kinds.size < KINDS.length ? `${many(l.n, 'line')} ${l.n === 1 ? 'is' : 'are'} of other kinds, or hidden.` : 'Nothing of this trace is shown.'}</p>
          <button class="button" onClick={() => change({ lines: null, only: null, critical: null, segments: null }, { replace: true })}>
            Show all lines
          </button>
        </div>
      ) : (
        <div class="table" role="table" aria-label="Log of the trace" aria-rowcount={shown.length + 1}>
          <div class="table-head" role="row" aria-rowindex={1}>
            <div class="log-at" role="columnheader">
              Offset
            </div>
            <div class="log-clock" role="columnheader" title={timeParts(c.t0, utc.value).zone}>
              {utc.value ? 'Time, UTC' : 'Time'}
            </div>
            <div class="log-service" role="columnheader">
              <span>Service</span>
            </div>
            <div class="log-kind" role="columnheader">
              Kind
            </div>
            <div class="grow" role="columnheader">
              What
            </div>
          </div>
          <Virtual handle={handle} count={shown.length} height={HEIGHT} label="Lines">
            {(r) => {
              const k = shown[r]!
              const i = l.entry[k]!
              return (
                <Line key={r % 199} c={c} i={i} kind={KINDS[l.kind[k]!]!} time={l.at[k]!} event={l.note[k]! >= 0 ? events[l.note[k]!]! : null} r={r} selected={i === chosen} at={r === at} dim={matches !== null && !matches[i]} onPick={() => pick(r)} />
              )
            }}
          </Virtual>
        </div>
      )}
    </div>
  )
}

function Line({ c, i, kind, time, event, r, selected, at, dim, onPick }: { c: Columns; i: number; kind: Kind; time: number; event: TraceEvent | null; r: number; selected: boolean; at: boolean; dim: boolean; onPick: () => void }) {
  const s = c.services[c.service[i]!]!
  const f = c.flags[i]!
  const name = c.texts[c.name[i]!]!
  const clock = timeParts(c.t0 + time, utc.value)
  // An exception without time happened after its entry began, and before it ended.
  const unsaid = event !== null && Number.isNaN(event.at)
  const running = Number.isNaN(c.end[i]!)
  return (
    <div class={`table-row ${selected ? 'selected' : ''} ${at ? 'at' : ''} ${dim ? 'dim' : ''}`} role="row" aria-rowindex={r + 2} aria-selected={selected} aria-current={at ? 'true' : undefined} onClick={onPick}>
      <div class="log-at num" role="cell" title={unsaid ? `When it happened is not said: it is shown where its entry ${running ? 'starts' : 'ends'}` : `${clock.date} ${clock.time} ${clock.zone}`}>
        {unsaid && (running ? '≥ ' : '≤ ')}
        {offsetText(time, c.span)}
      </div>
      <div class="log-clock num muted" role="cell">
        {clock.time}
      </div>
      <div class="log-service row" role="cell" title={s.name}>
        <Swatch colour={s.colour} />
        <bdi class="ellipsis">{s.name}</bdi>
      </div>
      <div class={`log-kind log-${kind}`} role="cell">
        {kind}
      </div>
      <div class="log-text grow row" role="cell" title={event ? `${event.name}${event.message && `: ${event.message}`}` : undefined}>
        <button class="row-button ellipsis" onClick={onPick}>
          <bdi>{event ? event.name || event.message || name : name}</bdi>
        </button>
        {event ? (
          <>
            {event.name && event.message && (
              <span class="ellipsis">
                <bdi>{event.message}</bdi>
              </span>
            )}
            <span class="muted ellipsis">
              in <bdi>{name}</bdi>
            </span>
          </>
        ) : kind === 'start' ? (
          c.texts[c.detail[i]!] && (
            <span class="muted ellipsis">
              <bdi>{c.texts[c.detail[i]!]}</bdi>
            </span>
          )
        ) : (
          <>
            <span class="muted num">after {duration(c.end[i]! - c.start[i]!)}</span>
            {(f & FAILED) !== 0 && <Status fault={(f & FLAG.fault) !== 0} error={(f & FLAG.error) !== 0} throttle={(f & FLAG.throttle) !== 0} />}
          </>
        )}
      </div>
    </div>
  )
}
