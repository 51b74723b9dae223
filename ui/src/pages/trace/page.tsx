// One trace: who called whom, how long it took, and what went wrong.

import { useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { AnswerError, get, post, type ServiceGraph, type TraceAnswer } from '../../lib/api'
import { entryText, inBasket, lookAt, type Kept } from '../../lib/basket'
import { toMap } from '../../lib/graph'
import { duration, exact, many, timeParts } from '../../lib/format'
import { w3cID } from '../../lib/ids'
import { change, contextParams, go, href, param, place, url } from '../../lib/place'
import { repetitions } from '../../lib/siblings'
import { FLAG, mainRoot, otherClock, type Columns, type Entity, type ServiceEntry } from '../../lib/trace'
import { Back, Basket, Chain, Columns as ColumnsIcon, Copy, Download, More, Search, Warning } from '../../ui/icons'
import { toggleBasket } from '../../ui/basket'
import { Json } from '../../ui/json'
import { copy, Popover, Problem, save, Status, Swatch, useSize, utc } from '../../ui/parts'
import { useShortcuts } from '../../ui/keys'
import { lazy } from '../../ui/lazy'
import { SampledButton } from '../../ui/sampled'
import { Why } from '../../ui/why'
import { history as searched } from '../../ui/filterbar'
import { GraphView } from '../map/view'
import { copyItems, endpoint, settled } from './copy'
import { Details } from './details'
import { openTrace, VIEWS, type TraceState, type View } from './state'
import { Waterfall } from './waterfall'

const Flame = lazy(() => import('./flame').then((m) => m.Flame))
const List = lazy(() => import('./list').then((m) => m.List))
const Usual = lazy(() => import('./usual').then((m) => m.Usual))
const Log = lazy(() => import('./log').then((m) => m.Log))

const VIEW_NAMES: Record<View, string> = { waterfall: 'Waterfall', flame: 'Flame', list: 'List', log: 'Log', map: 'Map', usual: 'Usual', raw: 'Raw' }

/** Views of which rows can be left out. */
const ROW_VIEWS: ReadonlySet<View> = new Set(['waterfall', 'list', 'log'])

export function TracePage({ id }: { id: string }) {
  const [trace, setTrace] = useState<TraceState | null>(null)
  useEffect(() => {
    const t = openTrace(id)
    setTrace(t)
    return () => t.close()
  }, [id])
  useEffect(() => {
    document.title = `Trace ${id.slice(0, 10)}… · Roentgen`
  }, [id])
  if (!trace || trace.id !== id) return <TraceSkeleton />
  return <Loaded key={id} trace={trace} />
}

function TraceSkeleton() {
  return (
    <div class="trace" aria-busy="true" aria-label="The trace is loading">
      <div class="trace-head">
        <div class="skeleton" style={{ width: '320px', height: '22px' }} />
      </div>
      <div class="column" style={{ padding: '20px', gap: '10px' }}>
        {[80, 60, 64, 40, 52, 30].map((w, i) => (
          <div key={i} class="skeleton" style={{ width: `${w}%`, height: '16px', marginLeft: `${i * 3}%` }} />
        ))}
      </div>
    </div>
  )
}

function Loaded({ trace }: { trace: TraceState }) {
  const c = trace.columns.value
  const error = trace.error.value
  useTraceShortcuts(trace)
  useEffect(() => {
    lookAt(c ? keptOf(trace.id, c) : null)
    return () => lookAt(null)
  }, [c])
  if (error && !c) {
    const gone = error instanceof AnswerError && error.status === 404
    const none = error instanceof AnswerError && error.status === 400
    return (
      <div class="trace">
        {gone ? (
          <div class="empty" role="alert">
            <h2>There is no such trace</h2>
            <p>
              <code>{trace.id}</code> is not stored here. It has not arrived yet, was not sampled, or was older than the retention keeps.
            </p>
            <div class="row">
              <button class="button" onClick={trace.load}>
                Look again
              </button>
              <a class="button" href={href('traces', contextParams(place.value.params))}>
                All traces
              </a>
            </div>
          </div>
        ) : none ? (
          <div class="empty" role="alert">
            <h2>This address names no trace</h2>
            <p>
              {trace.id ? (
                <>
                  <code>{trace.id.slice(0, 100)}</code> is no trace id
                </>
              ) : (
                'There is no trace id in it'
              )}
              ; one looks like <code>1-58406520-a006649127e371903a2de979</code>. Paste an id, or a log line that has one, into the field at the top, or search for the trace.
            </p>
            <div class="row">
              <a class="button" href={href('traces', contextParams(place.value.params))}>
                All traces
              </a>
            </div>
          </div>
        ) : (
          <div style={{ padding: '20px' }}>
            <Problem error={error} retry={trace.load} />
          </div>
        )}
      </div>
    )
  }
  if (!c) return <TraceSkeleton />
  return (
    <div class="trace">
      <Head trace={trace} c={c} />
      <Notices trace={trace} c={c} />
      <Toolbar trace={trace} c={c} />
      <div class={`trace-body ${trace.selected.value >= 0 ? 'with-details' : ''}`}>
        <div class="trace-view">
          {c.n === 0 ? (
            <div class="empty">
              <h2>Nothing to show yet</h2>
              <p>The documents of this trace hold no segments.</p>
            </div>
          ) : (
            <CurrentView trace={trace} />
          )}
        </div>
        <Details trace={trace} />
      </div>
    </div>
  )
}

function CurrentView({ trace }: { trace: TraceState }) {
  switch (trace.view.value) {
    case 'waterfall':
      return <Waterfall trace={trace} />
    case 'flame':
      return <Flame trace={trace} />
    case 'list':
      return <List trace={trace} />
    case 'log':
      return <Log trace={trace} />
    case 'map':
      return <TraceMap trace={trace} />
    case 'usual':
      return <Usual trace={trace} />
    case 'raw':
      return <Raw trace={trace} />
  }
}

/** The trace as the basket has it; of several that are linked, the one asked for. */
function keptOf(id: string, c: Columns): Kept {
  const root = mainRoot(c)
  return { id, entry: entryText(root >= 0 ? c.texts[c.name[root]!]! : '', c.entry?.method ?? '', c.entry?.url ?? ''), seconds: c.counts.inProgress > 0 ? null : (c.duration ?? c.span) }
}

function useTraceShortcuts(trace: TraceState) {
  useShortcuts(
    () => ({
      title: 'Trace',
      shortcuts: [
        { keys: ['/'], what: 'Find in this trace', run: () => document.querySelector<HTMLInputElement>('#find')?.focus() },
        { keys: ['n'], what: 'Next match', run: () => trace.nextMatch(1) },
        { keys: ['N'], what: 'Previous match', run: () => trace.nextMatch(-1) },
        ...VIEWS.map((v, k) => ({ keys: [`v ${'wflgmur'[k]}`], what: `${VIEW_NAMES[v]} view`, run: () => change({ view: v === 'waterfall' ? null : v }) })),
        { keys: ['Y'], what: 'Copy the trace id', run: () => void copy(trace.id, 'Trace id copied') },
        { keys: ['L'], what: 'Linked traces, too', run: () => change({ linked: param('linked').peek() !== '1' }, { replace: true }) },
        { keys: ['x'], what: 'Into the basket, or out of it', run: () => trace.columns.peek() && toggleBasket(keptOf(trace.id, trace.columns.peek()!)) },
        { keys: ['u'], what: 'Back to the traces', run: () => (history.length > 1 ? history.back() : go(href('traces'))) },
      ],
    }),
    [trace],
  )
}

function Head({ trace, c }: { trace: TraceState; c: Columns }) {
  const root = mainRoot(c)
  const flags = root >= 0 ? c.flags[root]! : 0
  const t = timeParts(c.t0, utc.value)
  const running = c.counts.inProgress > 0
  const title = root >= 0 ? c.texts[c.name[root]!]! : trace.id
  return (
    <header class="trace-head">
      <a class="button plain icon" href={href('traces', contextParams(place.value.params))} aria-label="Back to the traces" title="Back to the traces">
        <Back />
      </a>
      <div class="trace-title grow">
        <div class="row">
          <h1 class="ellipsis">
            <bdi>{title}</bdi>
          </h1>
          <Status fault={(flags & 2) !== 0} error={(flags & 1) !== 0} throttle={(flags & 4) !== 0} busy={running} code={c.entry?.status} />
          {c.traces.length > 1 && <span class="badge">{c.traces.length} traces</span>}
        </div>
        <div class="trace-sub muted ellipsis">
          {c.entry?.method && <b>{c.entry.method} </b>}
          <bdi>{c.entry?.url || c.texts[c.detail[Math.max(0, root)]!]}</bdi>
        </div>
      </div>
      <dl class="trace-figures num">
        <div>
          <dt>Duration</dt>
          <dd>{running ? `${duration(Math.max(trace.now.value, c.span))}…` : duration(c.traces.length > 1 ? c.span : (c.duration ?? c.span))}</dd>
        </div>
        <div>
          <dt>{t.date}</dt>
          <dd>{t.time}</dd>
        </div>
        <div>
          <dt title="Segments, and entries in all: their subsegments, too">Segments</dt>
          <dd>
            {exact(c.counts.segments)}
            <span class="faint"> / {exact(c.n - c.counts.inferred)}</span>
          </dd>
        </div>
        <div>
          <dt>Services</dt>
          <dd>{exact(new Set(c.services.map((s) => s.name)).size)}</dd>
        </div>
        {c.counts.faults + c.counts.errors + c.counts.throttles > 0 && (
          <div>
            <dt>Failures</dt>
            <dd class={c.counts.faults ? 'text-fault' : 'text-error'}>{exact(c.counts.faults + c.counts.errors + c.counts.throttles)}</dd>
          </div>
        )}
      </dl>
      <SampledButton service={root >= 0 ? title : ''} type={root >= 0 ? (c.services[c.service[root]!]?.type ?? '') : ''} method={c.entry?.method ?? ''} url={c.entry?.url ?? ''} />
      <Popover label="Does it match a filter?" title="Does this trace match a filter, and why?" body={() => <Why trace={trace.id} filter={searched()[0]} />}>
        Matches?
      </Popover>
      <button class="button mono trace-id" title="Copy the trace id" onClick={() => copy(trace.id, 'Trace id copied')}>
        <Copy /> {trace.id.slice(0, 10)}…{trace.id.slice(-4)}
      </button>
      <Popover label="More to do with this trace" class="button icon" role="menu" body={(close) => <TraceMenu trace={trace} c={c} close={close} />}>
        <More />
      </Popover>
    </header>
  )
}

function TraceMenu({ trace, c, close }: { trace: TraceState; c: Columns; close: () => void }) {
  const { item, made } = copyItems(close)
  return (
    <>
      {item('Copy trace id', trace.id, 'Y')}
      {item('Copy W3C id', w3cID(trace.id))}
      {item('Copy link', location.href)}
      {made('Copy command', (m) => m.traceCommand(trace.id, endpoint()))}
      {made('Copy AWS command', (m) => m.awsCommand(trace.id, endpoint()))}
      {made('Copy as Markdown', (m) => m.traceMarkdown(c, location.href))}
      {made('Copy filter expression', (m) => settled(m, m.traitsOfTrace(c), trace.id))}
      {made('Copy test assertion', async (m) => m.assertion(await settled(m, m.traitsOfTrace(c), trace.id), trace.id, endpoint()))}
      <div class="menu-line" />
      <a class="menu-item" role="menuitem" data-external href={url(`api/traces/${trace.id}`)} download={`${trace.id}.json`} onClick={close}>
        <Download /> Download JSON
      </a>
      <a class="menu-item" role="menuitem" data-external href={url(`api/traces/${trace.id}?format=otlp`)} download={`${trace.id}.otlp.json`} onClick={close}>
        <Download /> Download OpenTelemetry JSON
      </a>
      <button
        class="menu-item"
        role="menuitem"
        onClick={() => {
          close()
          void trace.html().then((text) => text && save(`${trace.id}.html`, text, 'text/html'))
        }}
      >
        <Download /> Download as one HTML file
      </button>
      <button
        class="menu-item"
        role="menuitem"
        onClick={() => {
          close()
          toggleBasket(keptOf(trace.id, c))
        }}
      >
        <Basket /> {inBasket(trace.id) ? 'Take it out of the basket' : 'Into the basket, to compare'}
        <span class="hint">x</span>
      </button>
      <a class="menu-item" role="menuitem" href={href('compare', { a: trace.id })} onClick={close}>
        <ColumnsIcon /> Compare with another trace…
      </a>
    </>
  )
}

function Notices({ trace, c }: { trace: TraceState; c: Columns }) {
  const repeated = useMemo(() => repetitions(trace.siblings.peek()!, c), [c])
  const queued = useMemo(() => c.links.filter((l) => l.received !== null && l.dwelt !== null && l.dwelt > l.received).reduce((most, l) => Math.max(most, l.dwelt! - l.received!), 0), [c])
  const early = useMemo(() => c.ids.reduce((n, _, i) => n + (otherClock(c, i) ? 1 : 0), 0), [c])
  const k = c.counts
  const closed = useSignal(false)
  if (closed.value) return null
  const list = []
  if (k.orphans > 0)
    list.push(
      <>
        <b>{many(k.orphans, 'orphan subsegment')}</b>: the segment above {k.orphans === 1 ? 'it' : 'them'} has not arrived. The X-Ray API hides {k.orphans === 1 ? 'it' : 'them'}; here {k.orphans === 1 ? 'it is' : 'they are'} hatched, at the end.
      </>,
    )
  if (k.lostParents > 0)
    list.push(
      <>
        <b>{many(k.lostParents, 'segment')}</b> {k.lostParents === 1 ? 'names a caller' : 'name callers'} that {k.lostParents === 1 ? 'is' : 'are'} not part of this trace: not sampled, not sent yet, or lost on the way.
      </>,
    )
  if (repeated.length > 0) {
    const r = repeated[0]!
    list.push(
      <>
        <b>
          {exact(r.members.length)} × <bdi>{r.name}</bdi>
        </b>{' '}
        {r.detail && <span class="muted">{r.detail.slice(0, 80)} </span>}in{' '}
        <button class="link" onClick={() => trace.select(r.parent)}>
          <bdi>{c.texts[c.name[r.parent]!]}</bdi>
        </button>
        , {duration(r.seconds)} together: can they be one call?{' '}
        {param('piles').value !== '1' && (
          <button class="link" onClick={() => change({ piles: true, view: null }, { replace: true })}>
            Pile them up
          </button>
        )}
      </>,
    )
  }
  if (queued > 0 && c.traces.length === 1)
    list.push(
      <>
        What began this trace waited <b>{duration(queued)}</b> in a queue before.{' '}
        {trace.linkedCount.value > 0 && (
          <button class="link" onClick={() => change({ linked: true, view: null }, { replace: true })}>
            Show it together with what sent it
          </button>
        )}
      </>,
    )
  if (early > 0 && param('skew').value !== '1')
    list.push(
      <>
        <b>{many(early, 'segment')}</b> {early === 1 ? 'lies' : 'lie'} outside of the call that {early === 1 ? 'it answers' : 'they answer'}: the clocks of the machines differ.{' '}
        <button class="link" onClick={() => change({ skew: true }, { replace: true })}>
          Correct them
        </button>
      </>,
    )
  if (list.length === 0) return null
  return (
    <div class="notices">
      <Warning />
      <div class="grow">
        {list.map((n, i) => (
          <div key={i}>{n}</div>
        ))}
      </div>
      <button class="button plain" onClick={() => (closed.value = true)}>
        Hide
      </button>
    </div>
  )
}

function Toolbar({ trace, c }: { trace: TraceState; c: Columns }) {
  const find = param('find')
  const matches = trace.matchList.value
  const at = matches.indexOf(trace.selected.value)
  // What leaves rows out has no meaning where there are none.
  const withRows = ROW_VIEWS.has(trace.view.value)
  const flag = (name: string, label: string, title: string) => (
    <button class="button" aria-pressed={param(name).value === '1'} disabled={!withRows} title={withRows ? title : 'In the waterfall, the list and the log'} onClick={() => change({ [name]: param(name).peek() !== '1' }, { replace: true })}>
      {label}
    </button>
  )
  // Those whose colour bars have come first; what they call has bars of its own only on request.
  const inferred = param('inferred').value === '1'
  const [services, seen] = useMemo(() => {
    const own = new Set<ServiceEntry>()
    for (let i = 0; i < c.n; i++) if (inferred || !(c.flags[i]! & FLAG.inferred)) own.add(c.services[c.service[i]!]!)
    return [[...c.services].sort((a, b) => Number(own.has(b)) - Number(own.has(a)) || b.self - a.self), own.size]
  }, [c, inferred])
  return (
    <div class="toolbar">
      <div class="segmented" role="group" aria-label="View of the trace">
        {VIEWS.map((v) => (
          <button key={v} aria-pressed={trace.view.value === v} onClick={() => change({ view: v === 'waterfall' ? null : v })}>
            {VIEW_NAMES[v]}
          </button>
        ))}
      </div>
      <div class="find">
        <Search />
        <input
          id="find"
          type="search"
          placeholder="Find in trace"
          aria-label="Find in this trace"
          value={find.value}
          onInput={(e) => change({ find: e.currentTarget.value }, { replace: true })}
          onKeyDown={(e) => {
            if (e.key === 'Enter') trace.nextMatch(e.shiftKey ? -1 : 1)
            else if (e.key === 'Escape') {
              if (find.peek()) change({ find: null, only: null }, { replace: true })
              e.currentTarget.blur()
            } else return
            e.preventDefault()
            e.stopPropagation()
          }}
        />
        <span class="faint num" aria-live="polite">
          {find.value && (matches.length ? (at >= 0 ? `${exact(at + 1)} / ${exact(matches.length)}` : `${exact(matches.length)} found`) : 'none')}
        </span>
      </div>
      {find.value && flag('only', 'Only matches', 'Hide what does not match')}
      {flag('critical', 'Critical path', 'Show only what the request had to wait for (c)')}
      {(trace.linkedCount.value > 0 || param('linked').value === '1') && (
        <button class="button" aria-pressed={param('linked').value === '1'} title="Show it together with the traces that it is linked with (L)" onClick={() => change({ linked: param('linked').peek() !== '1' }, { replace: true })}>
          <Chain /> Linked <span class="num">{Math.max(trace.linkedCount.value, c.traces.length - 1)}</span>
        </button>
      )}
      <Popover
        label="What is shown"
        body={() => (
          <>
            <Choice name="piles" label="Pile up what repeats" hint="p" />
            <Choice name="segments" label="Only segments" hint="s" />
            <Choice name="gaps" label="Gaps and waiting" off />
            <Choice name="inferred" label="Inferred callees as rows" />
            <Choice name="skew" label="Correct clocks" hint={c.counts.skewed ? `${c.counts.skewed} moved` : ''} />
            <div class="menu-line" />
            <button class="menu-item" onClick={() => trace.collapseTo(2)}>
              Close all but two levels <span class="hint">2</span>
            </button>
            <button class="menu-item" onClick={() => trace.collapseTo(0)}>
              Open all levels <span class="hint">9</span>
            </button>
          </>
        )}
      >
        Show
      </Popover>
      <Legend services={services} seen={seen} />
    </div>
  )
}

/** Names of services that are put into the line, which holds fewer. */
const MOST_IN_LINE = 12

/** The colours of the services: of the first, which have bars, as many as the line has room for, and all of them on request. */
function Legend({ services, seen }: { services: readonly ServiceEntry[]; seen: number }) {
  const line = useRef<HTMLUListElement>(null)
  const size = useSize(line)
  const [fitting, setFitting] = useState(0)
  useLayoutEffect(() => {
    // Those that do not fit are wrapped below the line, where they are hidden.
    const items = [...(line.current?.children ?? [])] as HTMLElement[]
    setFitting(size.width === 0 ? 0 : items.filter((e) => e.offsetTop === items[0]!.offsetTop).length)
  }, [services.map((s) => s.name).join('\n'), seen, size.width])
  const item = (s: ServiceEntry, close?: () => void) => (
    <button
      class={close ? 'menu-item' : 'legend-item'}
      title={`${s.name} ${s.type}\n${duration(s.self)} of its own work`}
      onClick={() => {
        close?.()
        change({ find: s.name }, { replace: true })
      }}
    >
      <Swatch colour={s.colour} />
      <bdi class="ellipsis">{s.name}</bdi>
      {close && <span class="hint num">{duration(s.self)}</span>}
    </button>
  )
  return (
    <>
      <ul class="legend" ref={line} aria-label="Services of this trace">
        {services.slice(0, Math.min(MOST_IN_LINE, seen)).map((s, k) => (
          <li key={s.name + s.type} style={k < fitting ? undefined : { visibility: 'hidden' }}>
            {item(s)}
          </li>
        ))}
      </ul>
      {fitting < services.length && (
        <Popover
          label="All services of this trace"
          title="All services of this trace, with the time of their own work"
          class="button plain legend-rest"
          body={(close) => (
            <ul class="legend-all">
              {services.map((s) => (
                <li key={s.name + s.type}>{item(s, close)}</li>
              ))}
            </ul>
          )}
        >
          {fitting > 0 ? (
            <>
              + {exact(services.length - fitting)}
              <span class="hidden-visually"> more services</span>
            </>
          ) : (
            `Services ${exact(services.length)}`
          )}
        </Popover>
      )}
    </>
  )
}

/** Something that is shown or not. With `off` it is shown unless the address says otherwise. */
export function Choice({ name, label, hint, off }: { name: string; label: string; hint?: string; off?: boolean }) {
  const on = off ? param(name).value !== '0' : param(name).value === '1'
  return (
    <button class="menu-item" role="menuitemcheckbox" aria-checked={on} onClick={() => change({ [name]: off ? (on ? '0' : null) : !on }, { replace: true })}>
      <span class="check">{on ? '✓' : ''}</span> {label} {hint && <span class="hint">{hint}</span>}
    </button>
  )
}

function TraceMap({ trace }: { trace: TraceState }) {
  const graph = useSignal<ReturnType<typeof toMap> | null>(null)
  const error = useSignal<Error | null>(null)
  const c = trace.columns.value!
  useEffect(() => {
    const abort = new AbortController()
    post<ServiceGraph>('TraceGraph', { TraceIds: c.traces.slice(0, 5) }, abort.signal).then(
      (g) => {
        graph.value = toMap(g)
        error.value = null
      },
      (e: Error) => e.name !== 'AbortError' && (error.value = e),
    )
    return () => abort.abort()
  }, [trace, c.revision, c.traces.length])
  if (error.value) return <div style={{ padding: '16px' }}><Problem error={error.value} /></div>
  if (!graph.value) return <div class="progress" />
  if (graph.value.nodes.length === 0)
    return (
      <div class="empty">
        <h2>No map yet</h2>
        <p>A map shows what is complete, and has a root. Nothing of this trace is, so far.</p>
      </div>
    )
  const at = trace.selected.value
  const name = at >= 0 ? c.services[c.service[at]!]!.name : ''
  const picked = graph.value.nodes.find((n) => n.name === name && n.kind !== 'client')?.key ?? ''
  return (
    <GraphView
      nodes={graph.value.nodes}
      edges={graph.value.edges}
      seconds={0}
      selected={picked}
      onPick={(key) => {
        const node = graph.value!.nodes.find((n) => n.key === key)
        if (!node) {
          if (key === '') trace.select(-1)
          return
        }
        for (let i = 0; i < c.n; i++) if (c.services[c.service[i]!]!.name === node.name) return trace.select(i)
      }}
    />
  )
}

/** Entries up to which a trace is read whole without being asked. */
const WHOLE = 5000

function Raw({ trace }: { trace: TraceState }) {
  const answer = useSignal<TraceAnswer | null>(null)
  const entry = useSignal<Entity | null>(null)
  const error = useSignal<Error | null>(null)
  const needle = useSignal('')
  const c = trace.columns.value!
  const asked = useSignal(c.n <= WHOLE)
  const at = trace.selected.value
  // Of a linked trace the entry is shown: the rest is another's.
  const whole = asked.value && !(at >= 0 && c.trace[at]! > 0)
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (!asked.value) return
    const abort = new AbortController()
    get<TraceAnswer>(`api/traces/${trace.id}`, {}, abort.signal).then(
      (a) => (answer.value = a),
      (e: Error) => e.name !== 'AbortError' && (error.value = e),
    )
    return () => abort.abort()
  }, [trace, c.revision, asked.value])
  useEffect(() => {
    entry.value = null
    if (whole || at < 0) return
    let gone = false
    void trace.entity(at).then((e) => !gone && (entry.value = e))
    return () => {
      gone = true
    }
  }, [trace, at, whole])
  if (error.value) return <Problem error={error.value} />
  let top = at
  while (top >= 0 && !(c.flags[top]! & 64) && c.parent[top]! >= 0) top = c.parent[top]!
  const chosen = top >= 0 && answer.value ? answer.value.Segments.concat(answer.value.Orphans).find((s) => s.Id === c.ids[top]) : null
  const shown = whole ? (chosen?.Document ?? answer.value) : entry.value
  return (
    <div class="raw" ref={box} data-scroll tabIndex={0}>
      {!asked.value && (
        <div class="row" style={{ marginBottom: '10px', flexWrap: 'wrap' }}>
          <p class="muted grow">
            This trace has {exact(c.n)} entries. {at >= 0 ? 'Below is the one that is selected.' : 'Select one to see it, or read all of them.'}
          </p>
          <button class="button" onClick={() => (asked.value = true)}>
            Read the whole trace
          </button>
        </div>
      )}
      {whole && !answer.value && <div class="progress" />}
      {shown && (
        <div class="row" style={{ marginBottom: '10px' }}>
          <input class="input grow" type="search" placeholder="Search keys and values" aria-label="Search keys and values" value={needle.value} onInput={(e) => (needle.value = e.currentTarget.value)} />
          <button class="button" onClick={() => copy(JSON.stringify(shown, null, 2), 'JSON copied')}>
            <Copy /> Copy {!whole ? 'entry' : chosen ? 'segment' : 'trace'}
          </button>
        </div>
      )}
      {whole && chosen && (
        <p class="muted" style={{ marginBottom: '8px' }}>
          The segment of the selected entry.{' '}
          <button class="link" onClick={() => trace.select(-1)}>
            Show the whole trace
          </button>
        </p>
      )}
      {shown && <Json key={whole ? (chosen?.Id ?? 'all') : `e${at}`} value={shown} open={whole && !chosen ? 3 : 2} needle={needle.value.trim().toLowerCase()} />}
    </div>
  )
}
