// A graph of services: pan, zoom, choose. The service map and the map of one trace are both
// this.

import { effect, signal, useComputed, useSignal } from '@preact/signals'
import { memo } from 'preact/compat'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { SeriesPoint } from '../../lib/api'
import { Asker } from '../../lib/ask'
import { duration, percent, rate } from '../../lib/format'
import { failedAs, failedWords, failing, FAILURES, figures, health, nodeName, shortName, shortType, type Figures, type Kind, type MapEdge, type MapNode } from '../../lib/graph'
import { quantile } from '../../lib/histogram'
import { bounds, extend, pinName, pinned, type Layout, type LayoutQuestion, type Pins, type Point } from '../../lib/layout'
import { line, panInto, pathOf, placesOn, Room, withoutMiddle, type Box, type View } from '../../lib/mapline'
import { Arrange, Fit, ZoomIn, ZoomOut } from '../../ui/icons'
import { prepare, themeVersion, token, useSize } from '../../ui/parts'
import { useShortcuts } from '../../ui/keys'

const WIDTH = 196
const HEIGHT = 50
const CARD = { width: WIDTH, height: HEIGHT }

/** Where the mark of those who call a node from outside is, seen from the middle of its card. */
const CLIENT_AT = { x: -WIDTH / 2 + 3, y: -HEIGHT / 2 + 3 }
const CLIENT_SIZE = 11

/** Windows up to this width are those of phones: there a map goes from top to bottom. */
const SLIM = 600

/** So many cards can be moved about smoothly; more are drawn as plain shapes. */
const MOST_CARDS = 400

let asker: Asker<LayoutQuestion> | null = null
const layouts = new Map<string, Layout>()

function question(nodes: readonly MapNode[], edges: readonly MapEdge[], direction: LayoutQuestion['direction']): LayoutQuestion {
  const marks = new Set(nodes.flatMap((n) => (n.on ? n.key : [])))
  return {
    nodes: nodes.filter((n) => !n.on).map((n) => ({ key: n.key, width: WIDTH, height: HEIGHT })),
    edges: edges.filter((e) => !marks.has(e.from)).map((e) => ({ from: e.from, to: e.to, weight: 1 })),
    direction,
  }
}

/** Asks for a layout, once for each shape of graph, so that positions stay while numbers change. */
async function layoutOf(shape: string, q: LayoutQuestion): Promise<Layout> {
  const known = layouts.get(shape)
  if (known) return known
  asker ??= new Asker(new Worker(new URL('../../workers/layout.worker.ts', import.meta.url), { type: 'module' }), true)
  const made = await asker.ask<Layout>(q)
  if (layouts.size > 50) layouts.clear()
  layouts.set(shape, made)
  return made
}

// ---- what is written on the map ----

/** How much larger letters are than the map they are on, by how far away it is seen: small maps stay readable. */
function lettersAt(k: number): number {
  return k >= 0.85 ? 1 : k >= 0.66 ? 1.25 : 1.5
}

const NAME_SIZE = 13
const FIGURES_SIZE = 11.5
const LABEL_SIZE = 11
const TEXT_LEFT = -WIDTH / 2 + 53
const TEXT_ROOM = WIDTH - 53 - 7

const widths = new Map<string, number>()
let ruler: CanvasRenderingContext2D | null = null
/** How wide a text is at one pixel of size, in the letters of the page. */
function emsOf(text: string, weight: number): number {
  const key = `${themeVersion.peek()} ${weight} ${text}` // counts up when letters have come
  let w = widths.get(key)
  if (w === undefined) {
    ruler ??= document.createElement('canvas').getContext('2d')!
    ruler.font = `${weight} 100px ${getComputedStyle(document.body).fontFamily}`
    w = ruler.measureText(text).width / 100
    if (widths.size > 20_000) widths.clear()
    widths.set(key, w)
  }
  return w
}

export function Ring({ f, size = 34, kind }: { f: Figures; size?: number; kind: Kind }) {
  const r = size / 2 - 3
  const around = 2 * Math.PI * r
  const parts: [string, number][] =
    f.total > 0
      ? [
          ['fault', f.fault / f.total],
          ['throttle', f.throttle / f.total],
          ['error', f.error / f.total],
        ]
      : []
  let at = 0
  return (
    <g>
      <circle r={r} class={f.total > 0 ? 'ring ok' : 'ring none'} />
      {parts.map(([what, part]) => {
        if (part <= 0) return null
        // A failure that is there has to be seen, however small its part is.
        const length = Math.max(part, 0.03) * around
        const piece = <circle key={what} r={r} class={`ring ${what}`} stroke-dasharray={dashes(what, length, around)} stroke-dashoffset={-at} transform="rotate(-90)" />
        at += length
        return piece
      })}
      <g class="kind">{GLYPHS[kind]}</g>
    </g>
  )
}

/** Each outcome has a pattern of its own, for whoever does not tell its colour: faults a whole piece, errors dashes, throttles dots. */
function dashes(what: string, length: number, around: number): string {
  const [on, off] = what === 'error' ? [5, 2] : what === 'throttle' ? [1.6, 1.8] : [length, 0]
  const list: number[] = []
  let left = length
  while (left > 0.01) {
    list.push(Math.min(on!, left), Math.min(off!, Math.max(0, left - on!)))
    left -= on! + off!
  }
  list[list.length - 1]! += around - length
  return list.map((x) => x.toFixed(2)).join(' ')
}

/** The same shapes as in the legend, at the ring of a node that fails. */
const MARKS: Record<string, preact.JSX.Element> = {
  fault: <path d="M-2.2 -5.2h4.4l3 3v4.4l-3 3h-4.4l-3 -3v-4.4z" />,
  error: <path d="M0 -5.4L5.6 4.6H-5.6z" />,
  throttle: <path d="M-4.8 -5H4.8L-4.8 5H4.8z" />,
}

const GLYPHS: Record<Kind, preact.JSX.Element> = {
  client: <path d="M-3 -3.5a3 3 0 1 1 6 0a3 3 0 0 1 -6 0M-6 6.5c0 -3.5 2.5 -5 6 -5s6 1.5 6 5" />,
  service: <path d="M-6 -5.5h12v4h-12zM-6 1.5h12v4h-12zM-3.5 -3.5h.1M-3.5 3.5h.1" />,
  function: <path d="M-5 6 L0 -3 M-3.5 -6 h2.5 L5 6" />,
  database: <path d="M-5.5 -4.5c0 -2.5 11 -2.5 11 0v9c0 2.5 -11 2.5 -11 0zM-5.5 -4.5c0 2.5 11 2.5 11 0M-5.5 0c0 2.5 11 2.5 11 0" />,
  table: <path d="M-6 -5.5h12v11h-12zM-6 -1.8h12M-6 1.9h12M-1.5 -5.5v11" />,
  queue: <path d="M-6.5 -4h3v8h-3zM-1.5 -4h3v8h-3zM3.5 -4h3v8h-3z" />,
  topic: <path d="M-6 -1.5v3l7 3.5v-10zM4 -3.5c1.5 2 1.5 5 0 7" />,
  bucket: <path d="M-6 -5h12l-1.5 11h-9zM-6 -5c0 2 12 2 12 0" />,
  remote: <path d="M-6 0a6 6 0 1 1 12 0a6 6 0 0 1 -12 0M-6 0h12M0 -6c-3.5 3.5 -3.5 8.5 0 12c3.5 -3.5 3.5 -8.5 0 -12" />,
  aws: <path d="M0 -6.5 L5.5 -3.2V3.2L0 6.5L-5.5 3.2V-3.2zM-5.5 -3.2L0 0L5.5 -3.2M0 0V6.5" />,
  cluster: <path d="M-6 -2h8v8h-8zM-3 -2v-3h9v8h-4" />,
}

/** What a card says below the name, in the order of how much there is room for. */
function nodeTexts(n: MapNode, seconds: number): string[] {
  const f = n.statistics
  if (f.total === 0) return [n.kind === 'client' ? 'callers' : 'no calls']
  const often = seconds > 0 ? rate(f.total / seconds) : `${f.total}×`
  const time = `avg ${duration(f.seconds / f.total)}`
  if (failing(f) === 0) return [`${often} · ${time}`, time, often]
  const failed = percent(failing(f))
  return [`${often} · ${time} · ${failed}`, `${time} · ${failed}`, `${failed} failed`, failed]
}

/** A long name is written smaller, down to this part, before it loses its middle. */
const LEAST_NAME = 0.8

/** The two lines of a card, and how large the first is written. Of what lies behind a node it is that node's name that tells it from others. */
function cardLines(n: MapNode, seconds: number, letters: number): [string, string, number] {
  const fit = (text: string, size: number, weight: number) => withoutMiddle(text, TEXT_ROOM, (t) => emsOf(t, weight) * size * letters)
  if (n.behind) return [`${n.members!.length} more`, fit(`behind ${shortName(n.behind)}`, FIGURES_SIZE, 450), NAME_SIZE * letters]
  const texts = nodeTexts(n, seconds)
  const name = n.kind === 'client' ? 'Clients' : shortName(n.name)
  const size = NAME_SIZE * Math.min(1, Math.max(LEAST_NAME, TEXT_ROOM / (emsOf(name, 600) * NAME_SIZE * letters)))
  return [fit(name, size, 600), texts.find((t) => emsOf(t, 450) * FIGURES_SIZE * letters <= TEXT_ROOM) ?? texts[texts.length - 1]!, size * letters]
}

function describeNode(n: MapNode, seconds: number): string {
  const f = n.statistics
  return [nodeName(n), n.members ? `cluster of ${n.members.length} nodes` : '', n.kind === 'client' ? '' : shortType(n.type), f.total ? `${seconds > 0 ? rate(f.total / seconds) : `${f.total} calls`}, ${duration(f.seconds / f.total)} on average` : 'no calls of its own', f.fault ? `${percent(f.fault / f.total)} faults` : '', f.error ? `${percent(f.error / f.total)} errors` : '', f.throttle ? `${percent(f.throttle / f.total)} throttled` : '']
    .filter(Boolean)
    .join(', ')
}

interface NodeProps {
  n: MapNode
  x: number
  y: number
  seconds: number
  state: string
  onPick: (key: string) => void
  onOpen?: (key: string) => void
  onHover: (key: string) => void
}

/** Who calls a node from outside, as a mark at its card. */
const ClientMark = memo(function ClientMark({ n, x, y, seconds, state, onPick, onHover }: NodeProps) {
  const h = health(n.statistics)
  return (
    <g class={`node client-mark ${state} health-${h}`} transform={`translate(${x} ${y})`} onClick={() => onPick(n.key)} onMouseEnter={() => onHover(n.key)} onMouseLeave={() => onHover('')}>
      <circle class="node-box" r={CLIENT_SIZE} />
      <g class="kind" transform="translate(0 -1) scale(0.85)">
        {GLYPHS.client}
      </g>
      <title>{describeNode(n, seconds)}</title>
      <circle class="node-cover" r={CLIENT_SIZE + 3} role="button" tabindex={0} data-key={n.key} aria-label={describeNode(n, seconds)} onKeyDown={(e) => pressed(e) && onPick(n.key)} />
    </g>
  )
})

/** Whether a key presses what is no button but acts as one. */
function pressed(e: KeyboardEvent): boolean {
  if (e.key !== 'Enter' && e.key !== ' ') return false
  e.preventDefault()
  return true
}

const Card = memo(function Card({ n, x, y, seconds, state, letters, held, onPick, onOpen, onHover }: NodeProps & { letters: number; held: boolean; fonts: number }) {
  const h = health(n.statistics)
  const [name, sub, size] = cardLines(n, seconds, letters)
  return (
    <g
      class={`node ${state} health-${h}`}
      transform={`translate(${x} ${y})`}
      onClick={() => onPick(n.key)}
      onDblClick={() => n.members && onOpen?.(n.key)}
      onMouseEnter={() => onHover(n.key)}
      onMouseLeave={() => onHover('')}
    >
      {n.kind === 'cluster' && <rect class="node-box behind" x={-WIDTH / 2 + 5} y={-HEIGHT / 2 + 5} width={WIDTH} height={HEIGHT} rx="10" />}
      <rect class="node-box" x={-WIDTH / 2} y={-HEIGHT / 2} width={WIDTH} height={HEIGHT} rx="10" />
      <g transform={`translate(${-WIDTH / 2 + 28} 0)`}>
        <Ring f={n.statistics} kind={n.kind} />
        {MARKS[h] && (
          <g class={`node-mark ${h}`} transform="translate(12.5 -12.5)">
            {MARKS[h]}
          </g>
        )}
      </g>
      {held && <path class="node-pin" transform={`translate(${WIDTH / 2 - 11} ${-HEIGHT / 2 + 11})`} d="M-3 -5h6l-1 4 2.5 2.5h-9L-2 -1zM0 1.5V6" />}
      <text class="node-name" x={TEXT_LEFT} y={-9 + 4 * letters} style={{ fontSize: `${size}px` }}>
        {name}
      </text>
      <text class="node-figures" x={TEXT_LEFT} y={5 + 8 * letters}>
        {sub}
      </text>
      <title>{[nodeName(n), nodeTexts(n, seconds)[0], failedWords(n.statistics), shortType(n.type), n.account, n.members ? `${n.members.length} nodes; double click to open` : ''].filter(Boolean).join('\n')}</title>
      {/* The card says things in short; whoever does not see it is told in full. */}
      <rect
        class="node-cover"
        x={-WIDTH / 2}
        y={-HEIGHT / 2}
        width={WIDTH}
        height={HEIGHT}
        rx="10"
        role="button"
        tabindex={0}
        data-key={n.key}
        aria-label={describeNode(n, seconds)}
        onKeyDown={(e) => {
          if (!pressed(e)) return
          if (n.members && e.shiftKey) onOpen?.(n.key)
          else onPick(n.key)
        }}
      />
    </g>
  )
})

export interface GraphProps {
  nodes: MapNode[]
  edges: MapEdge[]
  /** Length of the window, for rates; 0 shows counts. */
  seconds: number
  selected: string
  /** What the nodes were chosen by: while it stays the same, those that are there stay in place. */
  scope?: string
  dimmed?: (key: string) => boolean
  onPick: (key: string) => void
  /** Opens a cluster. */
  onOpen?: (key: string) => void
  /** Places that somebody has chosen, in units of the layout; with `onPin` nodes can be moved. */
  pins?: Pins
  onPin?: (key: string, to: Point | null) => void
  onUnpinAll?: () => void
  /** Figures of an edge over time, for the picture beside it. */
  seriesOf?: (e: MapEdge) => Promise<SeriesPoint[]> | null
  live?: boolean
}

const NO_PINS: Pins = new Map()

interface Made {
  /** Counts up with each layout that is made anew. */
  version: number
  scope: string
  direction: LayoutQuestion['direction']
  layout: Layout
  /** The size that it had when it was made; what comes later does not stretch it. */
  width: number
  height: number
}

function stretched(l: Layout, by: number): Layout {
  const nodes: Layout['nodes'] = {}
  const edges: Layout['edges'] = {}
  const move = (p: Point) => ({ x: WIDTH / 2 + (p.x - WIDTH / 2) * by, y: p.y })
  for (const key in l.nodes) nodes[key] = move(l.nodes[key]!)
  for (const key in l.edges) edges[key] = l.edges[key]!.map(move)
  return { width: WIDTH + (l.width - WIDTH) * by, height: l.height, nodes, edges }
}

function clientAt(p: Point): Point {
  return { x: p.x + CLIENT_AT.x, y: p.y + CLIENT_AT.y }
}

export const layoutError = signal<Error | null>(null)

/** A map that is farther away cannot be read: it starts no farther, with the busiest callers, and is moved about. */
const READABLE = 0.5
/** Where cards are so small that names are all that is read on them. */
const FAR = 0.42
/** Room for the buttons at the edge of the map. */
const BUTTONS = 46

const LEAST_ZOOM = 0.01
const MOST_ZOOM = 3

export function GraphView({ nodes, edges, seconds, selected, scope = '', dimmed, onPick, onOpen, pins = NO_PINS, onPin, onUnpinAll, seriesOf, live }: GraphProps) {
  const frame = useRef<HTMLDivElement>(null)
  const scene = useRef<SVGGElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const made = useSignal<Made | null>(null)
  const view = useSignal<View>({ x: 0, y: 0, k: 1 })
  const far = useComputed(() => view.value.k < FAR)
  const letters = useComputed(() => lettersAt(view.value.k)).value
  const slim = size.width > 0 && innerWidth <= SLIM
  const direction = slim ? 'TB' : 'LR'
  const hover = useSignal('')
  const moving = useSignal<{ key: string; at: Point } | null>(null)
  const touched = useRef(false)
  const shape = useMemo(() => JSON.stringify([direction, nodes.map((n) => n.key + (n.on ? '<' : '')).sort(), edges.map((e) => e.key).sort()]), [nodes, edges, direction])
  const byKey = useMemo(() => new Map(nodes.map((n) => [n.key, n])), [nodes])

  useEffect(() => {
    let gone = false
    if (nodes.length === 0 || size.width === 0) return
    const old = made.peek()
    const q = question(nodes, edges, direction)
    // Nodes stay where they are while the window moves on: those that go leave their place
    // free, those that come find one beside their neighbours. Only where most of
    // the map would be such makeshift is it made anew.
    if (old && old.scope === scope && old.direction === direction) {
      const known = q.nodes.filter((n) => old.layout.nodes[n.key]).length
      if (known === q.nodes.length) return
      if (known >= 0.6 * q.nodes.length && q.nodes.length - known <= 200) {
        made.value = { ...old, layout: extend(old.layout, q) }
        return
      }
    }
    layoutOf(shape, q).then(
      (layout) => {
        if (gone) return
        made.value = { version: (made.peek()?.version ?? 0) + 1, scope, direction, layout, width: layout.width, height: layout.height }
        layoutError.value = null
      },
      (e: Error) => (layoutError.value = e),
    )
    return () => {
      gone = true
    }
  }, [shape, scope, size.width === 0])

  const plain = made.value
  // A wide screen gets a wide map: only distances between layers grow. A panel beside it moves nothing.
  const room = frame.current?.parentElement
  const stretch = plain && plain.direction === 'LR' && room && room.clientHeight > 0 ? Math.min(2.1, Math.max(1, room.clientWidth / room.clientHeight / (plain.width / Math.max(1, plain.height)))) : 1
  const l = useMemo(() => {
    if (!plain) return undefined
    // Places that were chosen from left to right mean nothing from top to bottom.
    const p = plain.direction === 'LR' ? pinned(plain.layout, pins, edges, WIDTH, HEIGHT) : plain.layout
    const out = stretch > 1.01 ? stretched(p, stretch) : p
    const marks = nodes.filter((n) => n.on && out.nodes[n.on])
    return marks.length === 0 ? out : { ...out, nodes: { ...out.nodes, ...Object.fromEntries(marks.map((n) => [n.key, clientAt(out.nodes[n.on!]!)])) } }
  }, [plain, stretch, pins, edges, nodes])
  const at = (key: string): Point | undefined => {
    const m = moving.value
    if (m?.key === key) return m.at
    return m && byKey.get(key)?.on === m.key ? clientAt(m.at) : l?.nodes[key]
  }
  const unstretch = (p: Point): Point => ({ x: WIDTH / 2 + (p.x - WIDTH / 2) / stretch, y: p.y })
  const around = useMemo(() => (l ? bounds(nodes.flatMap((n) => l.nodes[n.key] ?? []), WIDTH, HEIGHT) : null), [l, nodes])

  /** The view that shows all, or, unless `whole`, as much of it as can be read. */
  const fit = (whole: boolean): View | null => {
    if (!around || size.width === 0) return null
    const w = around.width + 48
    const h = around.height + 48
    const wide = size.width - (slim ? 0 : BUTTONS)
    const high = size.height - (slim ? BUTTONS : 0)
    const all = Math.min(size.width > 1800 ? 1.7 : 1.15, Math.max(LEAST_ZOOM, Math.min(wide / w, high / h)))
    const k = whole || nodes.length > MOST_CARDS ? all : Math.max(all, READABLE)
    const first = nodes.filter((n) => n.root || n.kind === 'client').reduce<MapNode | null>((a, b) => (!a || b.statistics.total > a.statistics.total ? b : a), null)
    const start = (first && l?.nodes[first.key]) || { x: around.x, y: around.y }
    // What is larger than the window starts where its busiest callers are, without free room beside it.
    const along = (from: number, length: number, room: number, wish: number) => (length * k <= room ? (room - length * k) / 2 - (from - 24) * k : Math.max(room - (from - 24 + length) * k, Math.min(-(from - 24) * k, room / 2 - wish * k)))
    return { k, x: along(around.x, w, wide, start.x), y: along(around.y, h, high, start.y) }
  }
  const fitAll = (whole = false) => {
    const v = fit(whole)
    if (v) view.value = v
  }
  const fitted = useRef(0)
  const panelled = useRef(false)
  useEffect(() => {
    // Another map is seen whole again, wherever somebody looked at the one before.
    const anew = !!plain && fitted.current !== plain.version
    if (anew) {
      fitted.current = plain.version
      touched.current = false
    }
    // A panel that opens takes room, but leaves the map as large as it is.
    if (!touched.current && (anew || !selected || !panelled.current)) fitAll()
    panelled.current = !!plain
  }, [plain?.version, size.width, size.height])
  // What comes outside of what is seen, or leaves most of it free, moves the view of somebody who has chosen none.
  useEffect(() => {
    const wanted = touched.current || selected ? null : fit(false)
    if (!wanted || !around) return
    const v = view.peek()
    const shown = wanted.k > READABLE && (around.x * v.k + v.x < 0 || around.y * v.k + v.y < 0 || (around.x + around.width) * v.k + v.x > size.width || (around.y + around.height) * v.k + v.y > size.height)
    if (shown || wanted.k > v.k * 1.25) view.value = wanted
  }, [around])

  const zoomAt = (factor: number, px = size.width / 2, py = size.height / 2) => {
    touched.current = true
    const v = view.peek()
    const k = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, v.k * factor))
    view.value = { k, x: px - ((px - v.x) / v.k) * k, y: py - ((py - v.y) / v.k) * k }
  }
  useEffect(() => {
    const e = frame.current!
    const onWheel = (event: WheelEvent) => {
      event.preventDefault()
      const box = e.getBoundingClientRect()
      zoomAt(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top)
    }
    e.addEventListener('wheel', onWheel, { passive: false })
    return () => e.removeEventListener('wheel', onWheel)
  }, [size.width, size.height])

  // Moving about changes one attribute of the picture; nothing is drawn anew for it.
  useLayoutEffect(
    () =>
      effect(() => {
        const v = view.value
        scene.current?.setAttribute('transform', `translate(${v.x} ${v.y}) scale(${v.k})`)
      }),
    [],
  )

  // Of a large map only what is near the part that is seen is there at all. The region is
  // larger than the screen, so that it changes seldom.
  const region = useSignal<{ left: number; top: number; right: number; bottom: number; k: number } | null>(null)
  useEffect(
    () =>
      effect(() => {
        const v = view.value
        const left = -v.x / v.k
        const top = -v.y / v.k
        const right = left + size.width / v.k
        const bottom = top + size.height / v.k
        const r = region.peek()
        if (r && left >= r.left && top >= r.top && right <= r.right && bottom <= r.bottom && v.k < r.k * 2) return
        const dx = (right - left) / 4
        const dy = (bottom - top) / 4
        region.value = { left: left - dx, top: top - dy, right: right + dx, bottom: bottom + dy, k: v.k }
      }),
    [size.width, size.height],
  )
  const large = nodes.length > MOST_CARDS / 2
  const r = region.value
  const near = (p: Point) => !large || !r || (p.x > r.left - WIDTH && p.x < r.right + WIDTH && p.y > r.top - HEIGHT && p.y < r.bottom + HEIGHT)
  const seen = useMemo(() => (l ? nodes.filter((n) => l.nodes[n.key] && near(l.nodes[n.key]!)) : []), [l, nodes, r, large])
  const plainShapes = seen.length > MOST_CARDS
  const seenEdges = useMemo(() => {
    if (!l || plainShapes) return []
    if (!large || !r) return edges
    // An edge is drawn when its box meets the region.
    return edges.filter((e) => {
      const a = l.nodes[e.from]
      const b = l.nodes[e.to]
      return a && b && Math.max(a.x, b.x) > r.left && Math.min(a.x, b.x) < r.right && Math.max(a.y, b.y) > r.top && Math.min(a.y, b.y) < r.bottom
    })
  }, [l, edges, r, large, plainShapes])

  const nearby = useMemo(() => {
    const focus = hover.value || selected
    if (!focus) return null
    const set = new Set<string>([focus])
    for (const e of edges)
      if (e.from === focus || e.to === focus || e.key === focus) {
        set.add(e.from)
        set.add(e.to)
        set.add(e.key)
      }
    return set.size > 1 || byKey.has(focus) ? set : null
  }, [hover.value, selected, edges])

  useLayoutEffect(() => {
    if (!plainShapes || !l) return
    let asked = 0
    let resting = 0
    let took = 0
    let drawn: View | null = null
    const draw = () => {
      asked = 0
      const e = canvas.current
      if (!e) return
      const v = view.peek()
      const began = performance.now()
      if (drawn && took > 10) {
        // What takes long to draw is moved as a picture, and drawn anew when it rests.
        const k = v.k / drawn.k
        e.style.transform = `translate(${v.x - drawn.x * k}px, ${v.y - drawn.y * k}px) scale(${k})`
        clearTimeout(resting)
        resting = window.setTimeout(() => {
          drawn = null
          draw()
        }, 90)
        return
      }
      e.style.transform = ''
      paint(prepare(e, size.width, size.height), v, size, l, nodes, edges, { selected, nearby, dimmed })
      drawn = v
      took = performance.now() - began
    }
    const stop = effect(() => {
      void view.value
      asked ||= requestAnimationFrame(draw)
    })
    const stopTheme = effect(() => {
      void themeVersion.value
      drawn = null
      asked ||= requestAnimationFrame(draw)
    })
    return () => {
      stop()
      stopTheme()
      cancelAnimationFrame(asked)
      clearTimeout(resting)
    }
  }, [plainShapes, l, nodes, edges, selected, nearby, dimmed, size.width, size.height])

  const toScene = (event: { clientX: number; clientY: number }): Point => {
    const box = frame.current!.getBoundingClientRect()
    const v = view.peek()
    return { x: (event.clientX - box.left - v.x) / v.k, y: (event.clientY - box.top - v.y) / v.k }
  }
  const nodeAt = (p: Point) => (l ? nodes.find((n) => l.nodes[n.key] && !n.on && Math.abs(l.nodes[n.key]!.x - p.x) <= WIDTH / 2 && Math.abs(l.nodes[n.key]!.y - p.y) <= HEIGHT / 2)?.key : undefined)

  // One pointer moves the map or a node, two zoom.
  const pointers = useRef(new Map<number, { x: number; y: number }>())
  const drag = useRef<{ x: number; y: number; view: View; key: string; from: Point | null; moved: boolean } | null>(null)
  const pinch = useRef<{ distance: number; view: View; x: number; y: number } | null>(null)
  const onPointerDown = (e: PointerEvent) => {
    if (e.button !== 0 || (e.target as Element).closest('.graph-buttons')) return
    pointers.current.set(e.pointerId, { x: e.clientX, y: e.clientY })
    if (pointers.current.size === 2) {
      const [a, b] = [...pointers.current.values()]
      const box = frame.current!.getBoundingClientRect()
      pinch.current = { distance: Math.max(1, Math.hypot(a!.x - b!.x, a!.y - b!.y)), view: view.peek(), x: (a!.x + b!.x) / 2 - box.left, y: (a!.y + b!.y) / 2 - box.top }
      moving.value = null
      if (drag.current) drag.current = { ...drag.current, key: '', moved: true }
      return
    }
    const key = (e.target as Element).closest('.node')?.querySelector<SVGElement>('[data-key]')?.dataset.key ?? ''
    // A finger moves the map, unless it is on the node that was chosen before.
    const own = onPin && direction === 'LR' && key && !byKey.get(key)?.on && (e.pointerType !== 'touch' || key === selected) ? key : ''
    drag.current = { x: e.clientX, y: e.clientY, view: view.peek(), key: own, from: own ? (l?.nodes[own] ?? null) : null, moved: false }
  }
  const onPointerMove = (e: PointerEvent) => {
    if (pointers.current.has(e.pointerId)) pointers.current.set(e.pointerId, { x: e.clientX, y: e.clientY })
    const p = pinch.current
    if (p && pointers.current.size >= 2) {
      const [a, b] = [...pointers.current.values()]
      const box = frame.current!.getBoundingClientRect()
      const k = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, (p.view.k * Math.hypot(a!.x - b!.x, a!.y - b!.y)) / p.distance))
      const x = (a!.x + b!.x) / 2 - box.left
      const y = (a!.y + b!.y) / 2 - box.top
      touched.current = true
      view.value = { k, x: x - ((p.x - p.view.x) / p.view.k) * k, y: y - ((p.y - p.view.y) / p.view.k) * k }
      return
    }
    const d = drag.current
    if (!d || e.buttons === 0) return
    if (Math.hypot(e.clientX - d.x, e.clientY - d.y) > 4 && !d.moved) {
      d.moved = true
      touched.current = true
      frame.current!.setPointerCapture(e.pointerId)
    }
    if (!d.moved) return
    if (d.key && d.from) moving.value = { key: d.key, at: { x: d.from.x + (e.clientX - d.x) / d.view.k, y: d.from.y + (e.clientY - d.y) / d.view.k } }
    else view.value = { ...view.peek(), x: d.view.x + e.clientX - d.x, y: d.view.y + e.clientY - d.y }
  }
  const onPointerEnd = (e: PointerEvent) => {
    pointers.current.delete(e.pointerId)
    if (pinch.current) {
      if (pointers.current.size < 2) pinch.current = null
      // The finger that is left goes on from where it is.
      const rest = [...pointers.current.values()][0]
      drag.current = rest ? { ...rest, view: view.peek(), key: '', from: null, moved: true } : drag.current
    }
    const m = moving.peek()
    if (m) {
      moving.value = null
      if (e.type === 'pointerup') onPin?.(m.key, unstretch(m.at))
    }
    if (pointers.current.size === 0) setTimeout(() => (drag.current = null))
  }

  const boxOf = (keys: Iterable<string>): Box | null => {
    const points = [...keys].flatMap((key) => l?.nodes[key] ?? [])
    if (points.length === 0) return null
    const b = bounds(points, WIDTH, HEIGHT)
    return { x: b.x + b.width / 2, y: b.y + b.height / 2, width: b.width, height: b.height }
  }
  /** Brings a node, or the ends of an edge, into view, and what is around it as far as there is room. */
  const reveal = (keys: readonly string[], also: Iterable<string> = []) => {
    const box = boxOf(keys)
    if (!box) return
    const edge = slim ? 14 : 30
    const free = { width: size.width - (slim ? 0 : BUTTONS - 16), height: size.height - (slim ? BUTTONS : 0) }
    let v = view.peek()
    if (v.k < 0.35) v = { k: 0.9, x: size.width / 2 - box.x * 0.9, y: size.height / 2 - box.y * 0.9 } // what is too small to read is not shown by going there
    const wider = boxOf(also)
    const fits = (b: Box) => b.width * v.k <= free.width - 2 * edge && b.height * v.k <= free.height - 2 * edge
    if (wider && fits(wider)) v = panInto(v, wider, free, edge)
    // Both ends of an edge are shown, smaller if they have to be, but never too small to read.
    const k = Math.min((free.width - 2 * edge) / box.width, (free.height - 2 * edge) / box.height)
    if (keys.length > 1 && k < v.k && k >= 0.35) v = { k, x: free.width / 2 - box.x * k, y: free.height / 2 - box.y * k }
    v = panInto(v, fits(box) ? box : (boxOf(keys.slice(-1)) ?? box), free, edge)
    const old = view.peek()
    if (v.k !== old.k || Math.abs(v.x - old.x) > 0.5 || Math.abs(v.y - old.y) > 0.5) view.value = v
  }
  // What is chosen, here or elsewhere, comes into view, and stays there when its panel takes room.
  const shown = useRef('')
  useEffect(() => {
    const what = `${selected} ${size.width} ${size.height} ${plain?.version}`
    if (!l || !selected || shown.current === what) return
    shown.current = what
    if (byKey.has(selected)) reveal([byKey.get(selected)!.on ?? selected], edges.flatMap((e) => (e.from === selected ? [selected, e.to] : e.to === selected ? [selected, e.from] : [])))
    else {
      const e = edges.find((e) => e.key === selected)
      if (e) reveal([e.from, e.to])
    }
  }, [selected, !l, plain?.version, size.width, size.height])

  const focusKey = () => (document.activeElement as SVGElement | null)?.dataset?.key ?? selected
  const walk = (dx: number, dy: number) => {
    // To the nearest node in a direction, seen from the one that has the focus.
    if (!l) return
    const from = focusKey()
    const here = l.nodes[from]
    let best = ''
    let bestCost = Infinity
    for (const n of nodes) {
      const p = l.nodes[n.key]
      if (!p || n.key === from) continue
      if (!here) {
        if (p.x + p.y / 1000 < bestCost) {
          bestCost = p.x + p.y / 1000
          best = n.key
        }
        continue
      }
      const along = (p.x - here.x) * dx + (p.y - here.y) * dy
      const across = Math.abs((p.x - here.x) * dy) + Math.abs((p.y - here.y) * dx)
      if (along > 5 && along + across * 2.5 < bestCost) {
        bestCost = along + across * 2.5
        best = n.key
      }
    }
    if (!best) return
    reveal([best])
    touched.current = true
    const take = () => frame.current?.querySelector<SVGElement>(`[data-key="${CSS.escape(best)}"]`)
    const e = take()
    if (e) e.focus()
    else requestAnimationFrame(() => requestAnimationFrame(() => take()?.focus())) // it was not drawn until now
  }
  // Keys come faster than the page is drawn: each step goes on from the one before.
  const step = useRef<{ key: string; at: Point } | null>(null)
  useEffect(() => {
    step.current = null
  }, [l])
  const shift = (dx: number, dy: number) => {
    const key = focusKey()
    const p = step.current?.key === key ? step.current.at : l?.nodes[key]
    if (!p || !onPin || direction !== 'LR' || byKey.get(key)?.on) return
    step.current = { key, at: { x: p.x + dx * 24, y: p.y + dy * 24 } }
    onPin(key, unstretch(step.current.at))
  }
  useShortcuts(
    () => ({
      title: 'Map',
      shortcuts: [
        { keys: ['l', 'ArrowRight'], what: 'Go to the node on the right', run: () => walk(1, 0) },
        { keys: ['h', 'ArrowLeft'], what: 'Go to the node on the left', run: () => walk(-1, 0) },
        { keys: ['j', 'ArrowDown'], what: 'Go to the node below', run: () => walk(0, 1) },
        { keys: ['k', 'ArrowUp'], what: 'Go to the node above', run: () => walk(0, -1) },
        { keys: ['+', '='], what: 'Zoom in', run: () => zoomAt(1.3) },
        { keys: ['-'], what: 'Zoom out', run: () => zoomAt(1 / 1.3) },
        {
          keys: ['0'],
          what: 'Show all of it',
          run: () => {
            touched.current = true
            fitAll(true)
          },
        },
        ...(onPin
          ? [
              { keys: ['L'], what: 'Move the node to the right', run: () => shift(1, 0) },
              { keys: ['H'], what: 'Move the node to the left', run: () => shift(-1, 0) },
              { keys: ['J'], what: 'Move the node down', run: () => shift(0, 1) },
              { keys: ['K'], what: 'Move the node up', run: () => shift(0, -1) },
              { keys: ['p'], what: 'Pin the node where it is, or let it go', run: () => {
                const key = focusKey()
                const p = l?.nodes[key]
                if (p && direction === 'LR' && !byKey.get(key)?.on) onPin(key, pins.has(pinName(key)) ? null : unstretch(p))
              } },
            ]
          : []),
        { keys: ['Escape'], what: 'Choose nothing', run: () => onPick('') },
      ],
    }),
    [l, nodes, size.width, size.height, selected, onPick, onPin, pins],
  )

  const most = useMemo(() => edges.reduce((m, e) => Math.max(m, e.statistics.total), 1), [edges])
  const taken = new Room()
  if (l && !plainShapes)
    for (const n of seen) {
      const p = at(n.key)
      if (p && !n.on) taken.take({ ...p, width: WIDTH + 8, height: HEIGHT + 4 })
    }
  const labelHeight = 18 * letters
  /** Where there is no room for all of it a label says less, then nothing, but for the edge that somebody looks at. */
  const placeLabel = (places: readonly Point[], label: string, wanted: boolean): { text: string; at: Point; width: number } | null => {
    const widthOf = (text: string) => emsOf(text, 500) * LABEL_SIZE * letters + 12
    for (const text of [label, ...shorter(label)]) {
      const width = widthOf(text)
      const at = taken.place(places, width, labelHeight)
      if (at) return { text, at, width }
    }
    return wanted ? { text: label, at: places[0]!, width: widthOf(label) } : null
  }
  /** Labels lie over all edges and nodes. */
  const labels: preact.JSX.Element[] = []
  const pick = useMemo(() => (key: string) => !drag.current?.moved && onPick(key), [onPick])
  const onHover = useMemo(() => (key: string) => (hover.value = key), [])
  const close = !far.value
  const tip = hover.value && seriesOf ? edges.find((e) => e.key === hover.value) : undefined
  return (
    <div
      class={`graph ${moving.value ? 'moving' : ''}`}
      ref={frame}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerEnd}
      onPointerCancel={onPointerEnd}
      onClick={(e) => {
        if (drag.current?.moved) return
        if (plainShapes && !(e.target as Element).closest('.graph-buttons')) onPick(nodeAt(toScene(e)) ?? '')
        else if ((e.target as Element).tagName === 'svg') onPick('')
      }}
      onDblClick={(e) => {
        if (!(e.target as Element).closest('.node, .graph-buttons')) {
          const box = frame.current!.getBoundingClientRect()
          zoomAt(1.8, e.clientX - box.left, e.clientY - box.top)
        }
      }}
      onMouseMove={(e) => {
        if (plainShapes && !drag.current) hover.value = nodeAt(toScene(e)) ?? ''
      }}
    >
      {plainShapes && <canvas ref={canvas} aria-hidden="true" style={{ width: `${size.width}px`, height: `${size.height}px` }} />}
      <svg width={size.width} height={size.height} class={`${close ? '' : 'far'} ${live ? 'live' : ''}`} style={{ '--letters': close ? String(letters) : '1.7' }} role="group" aria-label={`Service map of ${nodes.length} nodes and ${edges.length} edges. The table has the same.`}>
        <defs>
          {['ok', 'error', 'fault', 'throttle', 'none', 'picked'].map((h) => (
            <marker key={h} id={`arrow-${h}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">
              <path d="M0 0.5 8 4 0 7.5z" class={`arrow-${h}`} />
            </marker>
          ))}
        </defs>
        <g ref={scene}>
          {l &&
            !plainShapes &&
            seenEdges.map((e) => {
              if (byKey.get(e.from)?.on) return null // the mark stands where it leads to
              const ends = moving.value?.key === e.from || moving.value?.key === e.to
              const points = ends ? [] : (l.edges[e.key] ?? []) // an edge that is new goes straight
              const from = at(e.from)
              const to = at(e.to)
              if (!from || !to) return null
              const h = health(e.statistics)
              const picked = selected === e.key
              const dim = (nearby && !nearby.has(e.key)) || (dimmed && (dimmed(e.from) || dimmed(e.to)))
              const showLabel = !dim && (picked || nearby?.has(e.key) || (failing(e.statistics) >= 0.01 && close))
              const label = edgeText(e)
              const width = 1 + 4 * Math.sqrt(e.statistics.total / most)
              const way = line(from, to, points, CARD, plain!.direction)
              const d = pathOf(way)
              const place = showLabel ? placeLabel(placesOn(way), label, picked || hover.value === e.key) : null
              if (place)
                labels.push(
                  <g key={e.key} class="edge" transform={`translate(${place.at.x} ${place.at.y})`} onClick={() => pick(e.key)} onMouseEnter={() => onHover(e.key)} onMouseLeave={() => onHover('')}>
                    <rect class="edge-label-box" x={-place.width / 2} y={-labelHeight / 2} width={place.width} height={labelHeight} rx={labelHeight / 2} />
                    <text class="edge-label" text-anchor="middle" y={4 * letters}>
                      {place.text}
                    </text>
                  </g>,
                )
              return (
                <g key={e.key} class={`edge health-${h} ${picked ? 'picked' : ''} ${dim ? 'dim' : ''}`} onClick={() => pick(e.key)} onMouseEnter={() => onHover(e.key)} onMouseLeave={() => onHover('')}>
                  <path class="edge-hit" role="button" aria-label={`${byKey.get(e.from)?.name} calls ${byKey.get(e.to)?.name}: ${seconds > 0 ? rate(e.statistics.total / seconds) : e.statistics.total}, ${label}`} d={d} />
                  <path class="edge-line" d={d} stroke-width={width} marker-end={`url(#arrow-${picked ? 'picked' : h})`} />
                </g>
              )
            })}
          {l &&
            !plainShapes &&
            inOrder(seen).map((n) => {
              const p = at(n.key)
              if (!p) return null
              const dim = (nearby && !nearby.has(n.key)) || dimmed?.(n.key)
              const picked = n.key === selected || (n.on !== undefined && selected === `${n.key}>${n.on}`)
              const props = { n, x: p.x, y: p.y, seconds, state: `${picked ? 'picked' : ''} ${dim ? 'dim' : ''}`, onPick: pick, onOpen, onHover }
              return n.on ? <ClientMark key={n.key} {...props} /> : <Card key={n.key} {...props} letters={close ? letters : 1.7} held={direction === 'LR' && pins.size > 0 && pins.has(pinName(n.key))} fonts={themeVersion.value} />
            })}
          <g>{labels}</g>
        </g>
      </svg>
      {plainShapes && hover.value && byKey.has(hover.value) && <div class="graph-tip">{describeNode(byKey.get(hover.value)!, seconds)}</div>}
      {tip && <EdgeTip key={tip.key} e={tip} from={byKey.get(tip.from)} to={byKey.get(tip.to)} seconds={seconds} seriesOf={seriesOf!} />}
      <div class="graph-buttons">
        {pins.size > 0 && onUnpinAll && (
          <button class="button icon" aria-label="Let all pinned nodes go" title="Let all pinned nodes go" onClick={onUnpinAll}>
            <Arrange />
          </button>
        )}
        <button class="button icon" aria-label="Zoom in" onClick={() => zoomAt(1.3)}>
          <ZoomIn />
        </button>
        <button class="button icon" aria-label="Zoom out" onClick={() => zoomAt(1 / 1.3)}>
          <ZoomOut />
        </button>
        <button
          class="button icon"
          aria-label="Show all"
          onClick={() => {
            touched.current = true
            fitAll(true)
          }}
        >
          <Fit />
        </button>
      </div>
      {!l && nodes.length > 0 && <div class="empty muted">{layoutError.value ? layoutError.value.message : `Laying out ${nodes.length} nodes…`}</div>}
    </div>
  )
}

/** Marks after the cards that they lie on. */
function inOrder(nodes: readonly MapNode[]): MapNode[] {
  return [...nodes.filter((n) => !n.on), ...nodes.filter((n) => n.on)]
}

/** What is left of the text of an edge where there is little room: without the name of its figure, which the legend has, and what fails alone. */
const shorter = (label: string): string[] => [label.replace(/^p99 /, ''), ...label.split(' · ').slice(1)]

/** What an edge says of itself: the slowest of a hundred, and what part fails. */
function edgeText(e: MapEdge): string {
  const p99 = quantile(e.histogram, 0.99)
  const time = p99 === null ? `avg ${duration(e.statistics.total ? e.statistics.seconds / e.statistics.total : null)}` : `p99 ${duration(p99)}`
  return failing(e.statistics) >= 0.001 ? `${time} · ${percent(failing(e.statistics))}` : time
}

/** Figures of the edge below the pointer, with its calls over the window. */
function EdgeTip({ e, from, to, seconds, seriesOf }: { e: MapEdge; from?: MapNode; to?: MapNode; seconds: number; seriesOf: (e: MapEdge) => Promise<SeriesPoint[]> | null }) {
  const points = useSignal<SeriesPoint[] | null>(null)
  useEffect(() => {
    let gone = false
    // A pointer that only passes by asks nothing.
    const timer = setTimeout(() => {
      seriesOf(e)?.then(
        (s) => !gone && (points.value = s),
        () => {},
      )
    }, 180)
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [e.key])
  const f = e.statistics
  return (
    <div class="graph-tip num" aria-hidden="true">
      <b class="ellipsis">
        <bdi>{shortName(from?.name ?? '')}</bdi> → <bdi>{shortName(to?.name ?? '')}</bdi>
      </b>
      <div>
        {seconds > 0 ? rate(f.total / seconds) : `${f.total}×`}
        {failing(f) > 0 && <span class={`text-${failedAs(f)}`}> · {percent(failing(f))} failed: {failedWords(f)}</span>}
      </div>
      <div class="muted">
        p50 {duration(quantile(e.histogram, 0.5))} · p95 {duration(quantile(e.histogram, 0.95))} · p99 {duration(quantile(e.histogram, 0.99))}
      </div>
      {points.value && <Spark points={points.value} />}
    </div>
  )
}

function Spark({ points }: { points: SeriesPoint[] }) {
  const list = points.map((p) => figures(p.EdgeSummaryStatistics ?? p.ServiceSummaryStatistics))
  if (list.length < 2) return null
  const most = Math.max(1, ...list.map((f) => f.total))
  const way = (of: (f: Figures) => number) => list.map((f, k) => `${((k / (list.length - 1)) * 200).toFixed(1)},${(31 - (of(f) / most) * 29).toFixed(1)}`).join(' ')
  return (
    <svg class="spark" viewBox="0 0 200 32" width="200" height="32">
      <polyline class="spark-all" points={way((f) => f.total)} />
      {FAILURES.map(([key]) => list.some((f) => f[key] > 0) && <polyline key={key} class={`spark-${key}`} points={way((f) => f[key])} />)}
    </svg>
  )
}

/** Draws what are too many nodes for cards: a plain shape each, in the colour of its health. */
function paint(g: CanvasRenderingContext2D, v: View, size: { width: number; height: number }, l: Layout, nodes: readonly MapNode[], edges: readonly MapEdge[], state: { selected: string; nearby: Set<string> | null; dimmed?: (key: string) => boolean }) {
  g.save()
  g.translate(v.x, v.y)
  g.scale(v.k, v.k)
  const left = -v.x / v.k
  const top = -v.y / v.k
  const right = left + size.width / v.k
  const bottom = top + size.height / v.k
  const colours: Record<string, string> = { ok: token('--ok'), none: token('--line-strong'), error: token('--error'), fault: token('--fault'), throttle: token('--throttle') }
  const lines = (list: readonly MapEdge[], colour: string, alpha: number, width: number) => {
    g.strokeStyle = colour
    g.globalAlpha = alpha
    g.lineWidth = width / v.k
    g.beginPath()
    for (const e of list) {
      const a = l.nodes[e.from]
      const b = l.nodes[e.to]
      if (!a || !b || Math.max(a.x, b.x) < left || Math.min(a.x, b.x) > right || Math.max(a.y, b.y) < top || Math.min(a.y, b.y) > bottom) continue
      g.moveTo(a.x + WIDTH / 2, a.y)
      g.lineTo(b.x - WIDTH / 2, b.y)
    }
    g.stroke()
  }
  const close = state.nearby
  lines(edges, token('--line-strong'), close || state.dimmed ? 0.18 : edges.length > 3000 ? 0.3 : 0.6, 1)
  if (close) lines(edges.filter((e) => close.has(e.key)), token('--accent'), 0.9, 1.5)
  const fade = (n: MapNode) => (close && !close.has(n.key)) || state.dimmed?.(n.key)
  for (const n of nodes) {
    const p = l.nodes[n.key]
    if (!p || p.x + WIDTH / 2 < left || p.x - WIDTH / 2 > right || p.y + HEIGHT / 2 < top || p.y - HEIGHT / 2 > bottom) continue
    const h = health(n.statistics)
    g.globalAlpha = fade(n) ? 0.2 : h === 'ok' || h === 'none' ? 0.75 : 1
    g.fillStyle = colours[h]!
    if (n.on) {
      g.beginPath()
      g.arc(p.x, p.y, CLIENT_SIZE, 0, 2 * Math.PI)
      g.fill()
      continue
    }
    g.fillRect(p.x - WIDTH / 2, p.y - HEIGHT / 2, WIDTH, HEIGHT)
    if (n.key === state.selected) {
      g.globalAlpha = 1
      g.strokeStyle = token('--accent')
      g.lineWidth = 3 / v.k
      g.strokeRect(p.x - WIDTH / 2 - 2 / v.k, p.y - HEIGHT / 2 - 2 / v.k, WIDTH + 4 / v.k, HEIGHT + 4 / v.k)
    }
  }
  g.restore()
}
