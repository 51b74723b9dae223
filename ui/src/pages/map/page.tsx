// The service map: who calls whom, how often, how fast, and what fails.

import { useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { get, post, type Group, type SeriesPoint, type ServiceGraph } from '../../lib/api'
import { edge as edgeExpression, service as serviceExpression } from '../../lib/expression'
import { count, duration, exact, many, percent, rate } from '../../lib/format'
import { cluster, CLUSTER_FROM, CLUSTERINGS, clusterOf, openName, type Clustering, type Graph } from '../../lib/cluster'
import { failedAs, failedWords, failing, FAILURES, health, neighbours, nodeName, shortName, shortType, toMap, type Figures, type MapEdge, type MapNode } from '../../lib/graph'
import { quantile, seconds } from '../../lib/histogram'
import { pin, pinName, readPins, writePins, type Pins, type Point } from '../../lib/layout'
import { change, contextParams, go, href, param, place, type Params } from '../../lib/place'
import { readWindow } from '../../lib/window'
import { Close, Copy, Live, Next, Search } from '../../ui/icons'
import { useShortcuts } from '../../ui/keys'
import { localStorageGet, localStorageSet, Popover, Problem, visible } from '../../ui/parts'
import { RangePicker } from '../../ui/range'
import { copyCSV } from '../../ui/takecsv'
import { Histogram, Series } from './charts'
import { GraphView } from './view'

const LIVE_EVERY = 4000

/** Where this browser keeps the places of nodes that were moved. */
const PINS = 'roentgen.pins'

const CLUSTER_WORDS: Record<Clustering, string> = {
  '': 'By itself, when there are many',
  account: 'By account',
  type: 'By type',
  name: 'By the first part of the name',
  group: 'By group',
  none: 'Every node for itself',
}

export function MapPage() {
  const params = place.value.params
  const range = params.get('range') ?? ''
  const from = params.get('from') ?? ''
  const to = params.get('to') ?? ''
  const group = param('group').value
  const graph = useSignal<{ graph: ReturnType<typeof toMap>; from: number; to: number; old: boolean; of: number } | null>(null)
  const error = useSignal<Error | null>(null)
  const busy = useSignal(false)
  const groups = useSignal<Group[]>([])
  const attempt = useSignal(0)
  const members = useSignal<ReadonlyMap<string, string> | null>(null)
  const selected = param('node').value || param('edge').value
  const by = CLUSTERINGS.find((c) => c === param('by').value) ?? ''
  const openText = JSON.stringify(params.getAll('open'))
  const opened = useMemo<ReadonlySet<string>>(() => new Set(JSON.parse(openText) as string[]), [openText])
  const pinText = param('pin').value
  const pins = useMemo(() => readPins(pinText), [pinText])
  const focus = param('focus').value
  const depth = Number(param('depth').value) || 2
  const find = param('find').value
  const onlyBad = param('bad').value === '1'
  const live = !from && params.get('still') !== '1'

  useEffect(() => {
    document.title = 'Map · Roentgen'
    post<{ Groups: Group[] }>('Groups', {}).then(
      (g) => (groups.value = g.Groups),
      () => {},
    )
    // An address without places shows those that were chosen in this browser.
    if (!place.peek().params.has('pin')) {
      const kept = readPins(localStorageGet(PINS) ?? '')
      if (kept.size > 0) change({ pin: writePins(kept) }, { replace: true })
    }
  }, [])
  const setPins = (to: Pins) => {
    localStorageSet(PINS, writePins(to))
    change({ pin: writePins(to) }, { replace: true })
  }
  const onPin = useMemo(() => (key: string, to: Point | null) => setPins(pin(readPins(place.peek().params.get('pin') ?? ''), key, to)), [])
  const onUnpinAll = useMemo(() => () => setPins(new Map()), [])

  useEffect(() => {
    const abort = new AbortController()
    let timer = 0
    const load = async () => {
      const w = readWindow(place.peek().params, Date.now() / 1000)
      const began = performance.now()
      busy.value = true
      try {
        const body: Record<string, unknown> = { StartTime: Math.floor(w.from), EndTime: Math.ceil(w.to) }
        if (group) body.GroupName = group
        let of = 0
        const g = await post<ServiceGraph>('ServiceGraph', body, abort.signal, (h) => (of = Number(/\d+/.exec(h.get('X-Roentgen-Graph-Cut') ?? '')?.[0] ?? 0)))
        graph.value = { graph: toMap(g), from: w.from, to: w.to, old: g.ContainsOldGroupVersions === true, of }
        error.value = null
      } catch (e) {
        if ((e as Error).name !== 'AbortError') error.value = e as Error
      }
      busy.value = false
      if (live && !abort.signal.aborted) timer = window.setTimeout(again, Math.max(LIVE_EVERY, 4 * (performance.now() - began))) // a large graph is not asked for all the time
    }
    const again = () => (visible.peek() ? void load() : (timer = window.setTimeout(again, 1000)))
    void load()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [range, from, to, group, live, attempt.value])

  // Which group a service belongs to is what the graphs of the groups tell.
  const groupNames = groups.value.map((g) => g.GroupName).filter((g) => g !== 'Default').join('\n')
  useEffect(() => {
    if (by !== 'group' || !groupNames) return
    const abort = new AbortController()
    const ask = async () => {
      const w = readWindow(place.peek().params, Date.now() / 1000)
      const found = new Map<string, string>()
      for (const name of groupNames.split('\n').sort()) {
        const g = await post<ServiceGraph>('ServiceGraph', { StartTime: Math.floor(w.from), EndTime: Math.ceil(w.to), GroupName: name }, abort.signal)
        for (const n of toMap(g).nodes) if (!found.has(n.key)) found.set(n.key, name)
      }
      members.value = found
    }
    ask().catch((e: Error) => e.name !== 'AbortError' && (error.value = e))
    return () => abort.abort()
  }, [by, groupNames, range, from, to])

  const whole = graph.value?.graph
  const shown = useMemo(() => {
    if (!whole) return { nodes: [] as MapNode[], edges: [] as MapEdge[], all: [] as MapNode[], allEdges: [] as MapEdge[], hidden: 0, inside: 0 }
    let nodes = whole.nodes
    let edges = whole.edges
    if (focus) {
      const near = neighbours(edges, focus, depth)
      nodes = nodes.filter((n) => near.has(n.key))
      edges = edges.filter((e) => near.has(e.from) && near.has(e.to))
    }
    // The view of a group has that group's services alone: nothing is left to part by it.
    const c = cluster({ nodes, edges }, by, opened, param('node').value, members.value ?? undefined)
    const inside = c.nodes.reduce((n, x) => n + (x.members?.length ?? 0) + (x.clients?.length ?? 0), 0)
    return { ...c, all: nodes, allEdges: edges, hidden: whole.nodes.length - nodes.length, inside }
  }, [whole, focus, depth, by, opened, members.value, by === '' && whole && whole.nodes.length > CLUSTER_FROM ? selected : ''])
  const window_ = graph.value ? graph.value.to - graph.value.from : 0
  const needle = find.trim().toLowerCase()
  const fits = (n: MapNode): boolean => (!needle || n.name.toLowerCase().includes(needle) || n.type.toLowerCase().includes(needle)) && (!onlyBad || !['ok', 'none'].includes(health(n.statistics)))
  const dimmed = useMemo(() => {
    if (!needle && !onlyBad) return undefined
    const hit = new Set(shown.nodes.filter((n) => fits(n) || n.members?.some(fits)).map((n) => n.key))
    return (key: string) => !hit.has(key)
  }, [shown, needle, onlyBad])
  const node = shown.nodes.find((n) => n.key === selected) ?? whole?.nodes.find((n) => n.key === selected)
  const edge = node ? undefined : shown.edges.find((e) => e.key === selected)
  const pick = (key: string) => {
    const isEdge = shown.edges.some((e) => e.key === key)
    change({ node: isEdge ? null : key, edge: isEdge ? key : null }, { replace: key === '' || selected !== '' })
  }
  const setOpen = (keys: Iterable<string>, also: Params = {}) => {
    const next = new URLSearchParams(place.peek().params)
    next.delete('open')
    for (const key of keys) next.append('open', key)
    for (const [key, value] of Object.entries(also)) {
      if (value) next.set(key, String(value))
      else next.delete(key)
    }
    go(href('map', next))
  }
  const open = (key: string) => setOpen([...opened, key], { node: null, edge: null })
  const openRef = useRef(open)
  openRef.current = open
  const stableOpen = useMemo(() => (key: string) => openRef.current(key), [])
  const pickRef = useRef(pick)
  pickRef.current = pick
  const stablePick = useMemo(() => (key: string) => pickRef.current(key), [])
  useShortcuts(
    () => ({
      title: 'Services',
      shortcuts: [
        { keys: ['/'], what: 'Find a service', run: () => document.getElementById('find-service')?.focus() },
        { keys: ['f'], what: 'Only what is near the chosen node', run: () => node && change({ focus: focus ? null : node.key }) },
        { keys: ['o'], what: 'Open the chosen cluster', run: () => node?.members && open(node.key) },
        { keys: ['O'], what: 'Close all clusters', run: () => opened.size > 0 && setOpen([]) },
        { keys: ['b'], what: 'Only what fails', run: () => change({ bad: !onlyBad }, { replace: true }) },
        { keys: ['t'], what: 'Traces of what is chosen', run: () => (node || edge) && go(href('traces', { ...contextParams(place.peek().params), q: expressionOf(node, edge, shown.nodes) })) },
      ],
    }),
    [node, edge, focus, onlyBad, shown, opened],
  )

  const seriesOf = (e: MapEdge) => {
    const expression = graph.value ? expressionOf(undefined, e, shown.nodes) : ''
    return expression ? timeSeries(expression, graph.value!.from, graph.value!.to, group) : null
  }
  const seriesRef = useRef(seriesOf)
  seriesRef.current = seriesOf
  const stableSeries = useMemo(() => (e: MapEdge) => seriesRef.current(e), [])
  const empty = whole && whole.nodes.length === 0
  const view = param('view').value
  return (
    <div class="map">
      <div class="toolbar">
        <div class="find">
          <Search />
          <input id="find-service" type="search" placeholder="Find a service" aria-label="Find a service" value={find} onInput={(e) => change({ find: e.currentTarget.value }, { replace: true })} onKeyDown={(e) => {
            if (e.key === 'Enter') {
              // What is inside of a cluster is found, too, and the best match first. The text is
              // read here: a key may come before the page has drawn the letters before it.
              const text = e.currentTarget.value.trim().toLowerCase()
              const hits = (whole?.nodes ?? []).filter((n) => text && (n.name.toLowerCase().includes(text) || n.type.toLowerCase().includes(text)))
              const hit = hits.find((n) => n.name.toLowerCase() === text && n.kind !== 'client') ?? hits.find((n) => shown.nodes.some((s) => s.key === n.key)) ?? hits[0]
              if (hit) pick(hit.key)
            } else if (e.key === 'Escape') {
              change({ find: null }, { replace: true })
              e.currentTarget.blur()
            }
          }} />
        </div>
        <button class="button" aria-pressed={onlyBad} onClick={() => change({ bad: !onlyBad }, { replace: true })} title="Dim what is well (b)">
          Failing
        </button>
        {groups.value.length > 1 && (
          <Popover label="Group" role="menu" body={(close) => groups.value.map((g) => (
            <button key={g.GroupName} class="menu-item" role="menuitemradio" aria-checked={(group || 'Default') === g.GroupName} onClick={() => {
              change({ group: g.GroupName === 'Default' ? null : g.GroupName })
              close()
            }}>
              <bdi>{g.GroupName}</bdi>
            </button>
          ))}>
            {group || 'All traces'}
          </Popover>
        )}
        {whole && (whole.nodes.length > 8 || by) && (
          <Popover label="Clusters" role="menu" class={`button ${by ? 'on' : ''}`} title="Put nodes together" body={(close) => CLUSTERINGS.map((c) => (
            <button key={c} class="menu-item" role="menuitemradio" aria-checked={by === c} disabled={c === 'group' && !groupNames} onClick={() => {
              setOpen([], { by: c, node: null, edge: null })
              close()
            }}>
              {CLUSTER_WORDS[c]}
              {c === 'group' && !groupNames && <span class="hint">there are none</span>}
            </button>
          ))}>
            {by === '' ? 'Clusters' : by === 'none' ? 'No clusters' : CLUSTER_WORDS[by].replace('the first part of the name', 'name')}
          </Popover>
        )}
        {focus && (
          <span class="row">
            <span class="badge">
              near <bdi>{shortName(focus.split('|')[0]!)}</bdi>
            </span>
            <span class="segmented" role="group" aria-label="How far">
              {[1, 2, 3].map((d) => (
                <button key={d} aria-pressed={depth === d} onClick={() => change({ depth: d === 2 ? null : d }, { replace: true })}>
                  {d}
                </button>
              ))}
            </span>
            <button class="button" onClick={() => change({ focus: null, depth: null })}>
              Show all
            </button>
          </span>
        )}
        <span class="grow" />
        <div class="segmented" role="group" aria-label="How to show it">
          <button aria-pressed={view !== 'table'} onClick={() => change({ view: null }, { replace: true })}>
            Map
          </button>
          <button aria-pressed={view === 'table'} onClick={() => change({ view: 'table' }, { replace: true })}>
            Table
          </button>
        </div>
        <RangePicker />
        {!from && (
          <button class={`button ${live ? 'live-on' : ''}`} aria-pressed={live} onClick={() => change({ still: live ? '1' : null }, { replace: true })} title="Follow what arrives">
            <Live /> Live
          </button>
        )}
      </div>
      {busy.value && !graph.value && <div class="progress" />}
      {error.value && (
        <div style={{ padding: '10px 14px 0' }}>
          <Problem error={error.value} retry={() => attempt.value++} />
        </div>
      )}
      {opened.size > 0 && (
        <div class="opened" role="group" aria-label="Open clusters">
          {[...opened].map((key) => (
            <button key={key} class="badge" title="Close this cluster" onClick={() => setOpen([...opened].filter((o) => o !== key))}>
              <bdi class="ellipsis">{openName(key)}</bdi> <Close />
            </button>
          ))}
          {opened.size > 1 && (
            <button class="link" onClick={() => setOpen([])}>
              Close all
            </button>
          )}
        </div>
      )}
      <div class={`map-body ${node || edge ? 'with-details' : ''}`}>
        {empty ? (
          <EmptyMap group={group} />
        ) : !graph.value ? (
          <p class="empty">{error.value ? 'There is no map to show.' : 'Fetching the map…'}</p>
        ) : view === 'table' ? (
          <MapTable chosen={selected} nodes={shown.all} edges={shown.allEdges} seconds={window_} pick={pick} fits={needle || onlyBad ? fits : undefined} />
        ) : (
          <GraphView nodes={shown.nodes} edges={shown.edges} seconds={window_} selected={clusterOf(shown, selected)?.key ?? selected} scope={[group, focus, depth, by, openText].join('|')} dimmed={dimmed} onPick={stablePick} onOpen={stableOpen} pins={pins} onPin={onPin} onUnpinAll={onUnpinAll} seriesOf={stableSeries} live={live} />
        )}
        {graph.value && (node || edge) && <Panel key={selected} node={node} edge={edge} nodes={whole!.nodes} shown={shown} open={open} pins={pins} onPin={onPin} seconds={window_} from={graph.value.from} to={graph.value.to} group={group} focus={focus} />}
      </div>
      {whole && !empty && (
        <div class="map-foot muted num">
          {many(whole.nodes.length, 'node')}
          {shown.inside > 0 && ` (${exact(shown.inside)} in clusters)`}, {many(whole.edges.length, 'edge')}
          {shown.hidden > 0 && `, ${exact(shown.hidden)} not shown`}
          {graph.value!.of > 0 && ` · the busiest of more; the setting max-graph-nodes, ${exact(graph.value!.of)}, says how many`}
          {graph.value?.old && ' · some of it was filed under an older expression of the group'}
          <span class="grow" />
          <span class="map-legend">
            <span>
              nodes: rate · average · failed; edges: p99 · failed
            </span>
            <i class="mark ok" /> ok <i class="mark error" /> errors (4xx) <i class="mark throttle" /> throttled <i class="mark fault" /> faults (5xx)
          </span>
        </div>
      )}
    </div>
  )
}

function EmptyMap({ group }: { group: string }) {
  return (
    <div class="empty">
      <h2>Nothing in this window</h2>
      <p>{group ? `No trace of the group ${group} was received in it.` : 'No service was called in it.'}</p>
      <div class="row">
        <button class="button" onClick={() => change({ range: '1d', from: null, to: null })}>
          Look at the last day
        </button>
        <a class="button" href={href('start')}>
          How to send traces
        </a>
      </div>
    </div>
  )
}

/** A cluster of more has no expression: it would be longer than servers take. */
const MOST_OR = 12

/** What finds the traces of a node, a cluster or an edge; "" when no expression of a bearable length does. */
function expressionOf(node: MapNode | undefined, edge: MapEdge | undefined, nodes: readonly MapNode[], extra = ''): string {
  const with_ = (text: string) => (extra ? `${text} { ${extra} }` : text)
  if (node?.members) return node.members.length > MOST_OR ? '' : node.members.map((m) => with_(serviceExpression(m.name, m.type))).join(' OR ')
  if (node) return node.kind === 'client' ? `name = ${JSON.stringify(node.name)}` : with_(serviceExpression(node.name, node.type))
  if (!edge) return ''
  const find = (key: string) => nodes.find((n) => n.key === key)
  const a = find(edge.from)
  const b = find(edge.to)
  return a && b && !a.members && !b.members ? with_(edgeExpression({ name: a.name, type: a.type }, { name: b.name, type: b.type })) : ''
}

function periodOf(from: number, to: number): number {
  return to - from > 6 * 3600 ? 300 : 60
}

function timeSeries(expression: string, from: number, to: number, group: string, signal?: AbortSignal): Promise<SeriesPoint[]> {
  const body: Record<string, unknown> = { StartTime: Math.floor(from), EndTime: Math.ceil(to), EntitySelectorExpression: expression, Period: periodOf(from, to) }
  if (group) body.GroupName = group
  return post<{ TimeSeriesServiceStatistics: SeriesPoint[] }>('TimeSeriesServiceStatistics', body, signal).then((s) => s.TimeSeriesServiceStatistics)
}

interface PanelProps {
  node?: MapNode
  edge?: MapEdge
  /** All of the graph, and what the map shows of it. */
  nodes: readonly MapNode[]
  shown: Graph
  open: (key: string) => void
  pins: Pins
  onPin: (key: string, to: Point | null) => void
  seconds: number
  from: number
  to: number
  group: string
  focus: string
}

function Panel({ node, edge, nodes, shown, open, pins, onPin, seconds: window_, from, to, group, focus }: PanelProps) {
  const f = (node ?? edge)!.statistics
  const entries = (node ?? edge)!.histogram
  const expression = expressionOf(node, edge, shown.nodes.some((n) => n.key === edge?.from) ? shown.nodes : nodes)
  const series = useSignal<SeriesPoint[] | null>(null)
  const period = periodOf(from, to)
  const isClient = node?.kind === 'client'
  const several = !!node?.members
  useEffect(() => {
    if (isClient || several || !expression) return
    const abort = new AbortController()
    timeSeries(expression, from, to, group, abort.signal).then(
      (s) => (series.value = s),
      () => (series.value ??= []),
    )
    return () => abort.abort()
  }, [expression, Math.floor(to / 15), Math.floor(from / 15), group])
  const name = (key: string) => shown.nodes.find((n) => n.key === key)?.name ?? nodes.find((n) => n.key === key)?.name ?? key
  const context = contextParams(place.value.params)
  const traces = (extra: string) => href('traces', { ...context, q: isClient ? expression : expressionOf(node, edge, shown.nodes.some((n) => n.key === edge?.from) ? shown.nodes : nodes, extra) })
  const title = node ? nodeName(node) : `${shortName(name(edge!.from))} → ${shortName(name(edge!.to))}`
  const pile = node && !several ? clusterOf(shown, node.key) : undefined
  return (
    <aside class="details" aria-label={node ? (several ? 'The chosen cluster' : 'The chosen service') : 'The chosen edge'}>
      <header class="details-head">
        <div class="row">
          <h2 class="grow ellipsis" title={title}>
            <bdi>{title}</bdi>
          </h2>
          <button class="button plain icon" aria-label="Close" onClick={() => change({ node: null, edge: null }, { replace: true })}>
            <Close />
          </button>
        </div>
        <div class="muted">{node ? [several ? many(node.members!.length, 'node') : '', shortType(node.type), node.account ? `account ${node.account}` : '', node.root && !several ? 'entry point' : '', node.state === 'active' ? '' : 'seen by its callers alone'].filter(Boolean).join(' · ') : edge!.aliases.length ? `as ${edge!.aliases.slice(0, 3).join(', ')}` : 'calls'}</div>
      </header>
      <div class="details-body" tabIndex={0} role="group" aria-label="Figures">
        <dl class="figures num">
          <div>
            <dt>Calls</dt>
            <dd>{count(f.total)}</dd>
            <dd class="muted">{window_ > 0 ? rate(f.total / window_) : ''}</dd>
          </div>
          <div>
            <dt>p50, the median</dt>
            <dd>{duration(quantile(entries, 0.5))}</dd>
            <dd class="muted">average {duration(f.total ? f.seconds / f.total : null)}</dd>
          </div>
          <div>
            <dt>p95</dt>
            <dd>{duration(quantile(entries, 0.95))}</dd>
            <dd class="muted">p99 {duration(quantile(entries, 0.99))}</dd>
          </div>
          <div>
            <dt>Failed</dt>
            <dd class={failedAs(f) ? `text-${failedAs(f)}` : ''}>{percent(failing(f))}</dd>
            <dd class="muted">{exact(f.error + f.fault + f.throttle)}</dd>
          </div>
        </dl>
        {expression ? <Outcomes f={f} to={traces} /> : <Outcomes f={f} />}
        {several && (
          <div class="panel-actions">
            <button class="button primary" onClick={() => open(node!.key)}>
              Open the cluster
            </button>
          </div>
        )}
        {!isClient && (
          <>
            <h3 class="values-head">Response times</h3>
            <Histogram
              entries={entries}
              onBrush={expression ? (low, high) => go(traces(`responsetime >= ${seconds(low)} AND responsetime <= ${seconds(high)}`)) : undefined}
            />
            {!several && expression && (
              <>
                <h3 class="values-head">Over time</h3>
                {series.value === null ? <div class="skeleton" style={{ height: '100px' }} /> : <Series points={series.value} period={period} />}
              </>
            )}
          </>
        )}
        <div class="panel-actions">
          {expression && (
            <a class={`button ${several ? '' : 'primary'}`} href={traces('')}>
              Traces <Next />
            </a>
          )}
          {expression && f.fault > 0 && (
            <a class="button" href={traces('fault')}>
              With faults
            </a>
          )}
          {expression && !isClient && (
            <a class="button" href={href('analytics', { ...context, a: expression, with: 'before' })} title="Against the window before">
              What changed
            </a>
          )}
          {node && !several && (
            <button class="button" aria-pressed={focus === node.key} onClick={() => change({ focus: focus === node.key ? null : node.key })}>
              {focus === node.key ? 'Show all' : 'Focus'}
            </button>
          )}
          {pile && (
            <button class="button" onClick={() => open(pile.key)} title={`It is in the cluster ${pile.name}`}>
              Open its cluster
            </button>
          )}
          {node && pins.has(pinName(node.key)) && (
            <button class="button" onClick={() => onPin(node.key, null)}>
              Unpin
            </button>
          )}
        </div>
        {node && !isClient && !several && <Causes expression={expression} from={from} to={to} f={f} />}
        {several && <Members list={node!.members!} />}
        {node && <Neighbours node={node} graph={shown} seconds={window_} />}
      </div>
    </aside>
  )
}

/** So many rows of a list in the panel; the table has all. */
const MOST_ROWS = 100

function Members({ list }: { list: readonly MapNode[] }) {
  const sorted = useMemo(() => [...list].sort((a, b) => b.statistics.total - a.statistics.total), [list])
  return (
    <>
      <h3 class="values-head">
        In it <span class="muted">calls, p95</span>
      </h3>
      <ul class="neighbours num">
        {sorted.slice(0, MOST_ROWS).map((m) => (
          <li key={m.key}>
            <Mark f={m.statistics} />
            <button class="link ellipsis grow" title={m.name} onClick={() => change({ node: m.key, edge: null })}>
              <bdi>{shortName(m.name)}</bdi>
            </button>
            <span class="muted">{count(m.statistics.total)}</span>
            <span class="muted neighbour-time">{duration(quantile(m.histogram, 0.95))}</span>
          </li>
        ))}
      </ul>
      {sorted.length > MOST_ROWS && <p class="muted">{many(sorted.length - MOST_ROWS, 'more node', 'more nodes')}; the table has all.</p>}
    </>
  )
}

/** How something fails, by shape and colour; nothing when it does not. */
function Mark({ f }: { f: Figures }) {
  const h = health(f)
  return <i class={`mark ${h}`} title={h === 'none' ? 'no calls' : h} />
}

/** Who calls a node, and whom it calls: the edges for those who cannot point at them. */
function Neighbours({ node, graph, seconds: window_ }: { node: MapNode; graph: Graph; seconds: number }) {
  const names = new Map(graph.nodes.map((n) => [n.key, n]))
  const list = (title: string, edges: MapEdge[], other: (e: MapEdge) => string) =>
    edges.length > 0 && (
      <>
        <h3 class="values-head">
          {title} {edges.length > 3 && <span class="muted num">{edges.length}</span>} <span class="muted">rate, p95, failed</span>
        </h3>
        <ul class="neighbours num">
          {edges
            .sort((a, b) => b.statistics.total - a.statistics.total)
            .slice(0, MOST_ROWS)
            .map((e) => (
              <li key={e.key}>
                <Mark f={e.statistics} />
                <button class="link ellipsis grow" title={`The calls ${title === 'Calls' ? 'to' : 'from'} ${names.get(other(e))?.name ?? ''}`} onClick={() => change({ edge: e.key, node: null })}>
                  <bdi>{shortName(names.get(other(e))?.name ?? '')}</bdi>
                </button>
                <span class="muted">{window_ > 0 ? rate(e.statistics.total / window_) : count(e.statistics.total)}</span>
                <span class="muted neighbour-time" title="95 of 100 calls took at most so long">
                  {duration(quantile(e.histogram, 0.95))}
                </span>
                <span class={`neighbour-time ${failedAs(e.statistics) ? `text-${failedAs(e.statistics)}` : 'faint'}`} title={failedWords(e.statistics)}>
                  {percent(failing(e.statistics))}
                </span>
              </li>
            ))}
        </ul>
      </>
    )
  return (
    <>
      {list('Called by', graph.edges.filter((e) => e.to === node.key), (e) => e.from)}
      {list('Calls', graph.edges.filter((e) => e.from === node.key), (e) => e.to)}
    </>
  )
}

/** The exceptions that were at the root of failures, as far as the newest traces tell. */
function Causes({ expression, from, to, f }: { expression: string; from: number; to: number; f: Figures }) {
  const found = useSignal<{ text: string; count: number; href: string }[]>([])
  useEffect(() => {
    if (f.fault + f.error === 0) return
    const abort = new AbortController()
    interface Cause {
      Services: { EntityPath: { Exceptions?: { Name: string; Message: string }[] }[] | null; Name: string }[]
    }
    get<{ TraceSummaries: { FaultRootCauses: Cause[]; ErrorRootCauses: Cause[] }[] }>('api/traces', { filter: `${expression} { fault OR error }`, start: from.toFixed(3), end: to.toFixed(3), limit: 100 }, abort.signal).then(
      (answer) => {
        const counts = new Map<string, { text: string; count: number; href: string }>()
        for (const s of answer.TraceSummaries)
          for (const c of [...s.FaultRootCauses, ...s.ErrorRootCauses]) {
            const last = c.Services[c.Services.length - 1]
            const x = last?.EntityPath?.flatMap((e) => e.Exceptions ?? []).pop()
            const text = x ? `${x.Name}: ${x.Message}` : last ? `${last.Name} failed` : ''
            if (!text) continue
            const key = text.replace(/[0-9a-f]{8,}|\d+/gi, '…')
            const known = counts.get(key)
            if (known) known.count++
            else counts.set(key, { text, count: 1, href: href('traces', { ...contextParams(place.peek().params), q: `${expression} { fault OR error }` }) })
          }
        found.value = [...counts.values()].sort((a, b) => b.count - a.count).slice(0, 6)
      },
      () => {},
    )
    return () => abort.abort()
  }, [expression])
  if (found.value.length === 0) return null
  return (
    <>
      <h3 class="values-head">Root causes, of the newest failures</h3>
      <ul class="causes">
        {found.value.map((c) => (
          <li key={c.text}>
            <span class="num badge">{c.count}</span>
            <a href={c.href} class="ellipsis" title={c.text}>
              <bdi>{c.text}</bdi>
            </a>
          </li>
        ))}
      </ul>
    </>
  )
}


function Outcomes({ f, to }: { f: Figures; to?: (extra: string) => string }) {
  if (f.total === 0) return null
  const parts: [string, number, string][] = [
    ['ok', f.ok, 'ok'],
    ...[...FAILURES].reverse().map(([key, word]): [string, number, string] => [key, f[key], word]),
  ]
  return (
    <div class="outcomes">
      <svg class="outcome-bar" width="100%" height="8" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        {(() => {
          let x = 0
          return parts.map(([cls, n]) => {
            const w = n > 0 ? Math.max(1, (n / f.total) * 100) : 0
            const r = <rect key={cls} x={x} width={w} height="8" class={`mark ${cls}`} />
            x += w
            return r
          })
        })()}
      </svg>
      <div class="row" style={{ flexWrap: 'wrap', gap: '4px 14px' }}>
        {parts.map(
          ([cls, n, label]) =>
            n > 0 && (
              <a key={cls} class="outcome num" href={to?.(cls)}>
                <i class={`mark ${cls}`} /> {label} <b>{exact(n)}</b> <span class="muted">{percent(n / f.total)}</span>
              </a>
            ),
        )}
      </div>
    </div>
  )
}

const TABLE_COLUMNS = [
  ['name', 'Service'],
  ['type', 'Type'],
  ['calls', 'Calls'],
  ['rate', 'Rate'],
  ['p50', 'p50'],
  ['p95', 'p95'],
  ['p99', 'p99'],
  ['failed', 'Failed'],
] as const

/** Before the name of a service stands for those who call it from outside. */
const CLIENTS = 'Clients of '

/** Columns that a slim screen has no room for. */
const SLIM_LEAVES: ReadonlySet<string> = new Set(['type', 'rate', 'p99'])

/** So many rows are drawn at once. */
const TABLE_ROWS = 300

function MapTable({ chosen, nodes, edges, seconds: window_, pick, fits }: { chosen: string; nodes: readonly MapNode[]; edges: readonly MapEdge[]; seconds: number; pick: (key: string) => void; fits?: (n: MapNode) => boolean }) {
  const sort = param('sort').value || '-calls'
  const all = useSignal(false)
  const frame = useRef<HTMLDivElement>(null)
  // The panel of what is chosen takes room; its row stays in sight.
  useEffect(() => frame.current?.querySelector('tr.selected')?.scrollIntoView({ block: 'nearest' }), [chosen])
  const rows = useMemo(() => {
    const names = new Map(nodes.map((n) => [n.key, n.name]))
    const calls = new Map<string, string[]>()
    for (const e of edges) {
      const list = calls.get(e.from)
      if (list) list.push(names.get(e.to) ?? '')
      else calls.set(e.from, [names.get(e.to) ?? ''])
    }
    return nodes.map((n) => ({ n, calls: calls.get(n.key) ?? [], p50: quantile(n.histogram, 0.5), p95: quantile(n.histogram, 0.95), p99: quantile(n.histogram, 0.99) }))
  }, [nodes, edges])
  const by = sort.replace(/^-/, '')
  const down = sort.startsWith('-') ? -1 : 1
  const value = (r: (typeof rows)[number]): string | number =>
    by === 'name' ? (r.n.kind === 'client' ? CLIENTS : '').concat(r.n.name).toLowerCase() : by === 'type' ? r.n.type : by === 'failed' ? failing(r.n.statistics) : by === 'p50' ? (r.p50 ?? -1) : by === 'p95' ? (r.p95 ?? -1) : by === 'p99' ? (r.p99 ?? -1) : r.n.statistics.total
  const list = rows
    .filter((r) => !fits || fits(r.n))
    .sort((a, b) => {
      const x = value(a)
      const y = value(b)
      return (x < y ? -1 : x > y ? 1 : 0) * down || (a.n.key < b.n.key ? -1 : 1)
    })
  const drawn = all.value ? list : list.slice(0, TABLE_ROWS)
  const numbers = (r: (typeof rows)[number]) => [r.n.name, r.n.type, r.n.account, r.n.statistics.total, window_ > 0 ? r.n.statistics.total / window_ : null, r.p50, r.p95, r.p99, r.n.statistics.error, r.n.statistics.throttle, r.n.statistics.fault, r.calls.join('; ')]
  return (
    <div class="map-table" ref={frame} data-scroll tabIndex={0} role="region" aria-label="Services as a table">
      <div class="row table-line">
        <span class="grow muted num">{many(list.length, 'node')}</span>
        <button class="button" onClick={() => copyCSV({ head: ['name', 'type', 'account', 'calls', 'calls_per_second', 'p50_seconds', 'p95_seconds', 'p99_seconds', 'errors', 'throttles', 'faults', 'calls_to'], rows: list.map(numbers) })}>
          <Copy /> Copy as CSV
        </button>
      </div>
      <table>
        <thead>
          <tr>
            {TABLE_COLUMNS.map(([key, text], k) => (
              <th key={key} class={`${k > 1 ? 'right' : ''} ${SLIM_LEAVES.has(key) ? 'wide-only' : ''}`} aria-sort={by === key ? (down < 0 ? 'descending' : 'ascending') : undefined}>
                <button class="sort" onClick={() => change({ sort: by === key ? `${down < 0 ? '' : '-'}${key}` : k > 1 ? `-${key}` : key }, { replace: true })}>
                  {text}
                  {by === key && <span aria-hidden="true">{down < 0 ? ' ↓' : ' ↑'}</span>}
                </button>
              </th>
            ))}
            <th class="cell-calls wide-only">Calls to</th>
          </tr>
        </thead>
        <tbody class="num">
          {drawn.map(({ n, calls, p50, p95, p99 }) => (
            <tr key={n.key} class={n.key === chosen ? 'selected' : ''} aria-current={n.key === chosen ? 'true' : undefined}>
              <td class="cell-name">
                <button class="link" title={n.name} onClick={() => pick(n.key)}>
                  {n.kind === 'client' && CLIENTS}
                  <bdi>{shortName(n.name)}</bdi>
                </button>
              </td>
              <td class="muted wide-only">{shortType(n.type)}</td>
              <td class="right">{exact(n.statistics.total)}</td>
              <td class="right wide-only">{window_ > 0 ? rate(n.statistics.total / window_) : ''}</td>
              <td class="right">{duration(p50)}</td>
              <td class="right">{duration(p95)}</td>
              <td class="right wide-only">{duration(p99)}</td>
              <td class={`right cell-failed ${failedAs(n.statistics) ? `text-${failedAs(n.statistics)}` : ''}`}>
                {failedAs(n.statistics) && <i class={`mark ${failedAs(n.statistics)}`} title={failedWords(n.statistics)} />} {percent(failing(n.statistics))}
                {failedAs(n.statistics) && <span class="wide-only"> {failedWords(n.statistics)}</span>}
              </td>
              <td class="muted cell-calls wide-only">
                <bdi>
                  {calls.slice(0, 5).map(shortName).join(', ')}
                  {calls.length > 5 && ` and ${calls.length - 5} more`}
                </bdi>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {drawn.length < list.length && (
        <div class="row table-line">
          <button class="button" onClick={() => (all.value = true)}>
            Show all {exact(list.length)}
          </button>
        </div>
      )}
    </div>
  )
}
