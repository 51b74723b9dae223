// Where nodes of a map stand. dagre draws what fits on a screen; this here draws what it
// would take minutes for, keeps nodes in place while others come and go, and knows the
// nodes that somebody has put somewhere by hand.

import { hash } from './colour'

export interface Point {
  x: number
  y: number
}

export interface Layout {
  width: number
  height: number
  nodes: Record<string, Point>
  edges: Record<string, Point[]>
}

export interface LayoutQuestion {
  nodes: { key: string; width: number; height: number }[]
  edges: { from: string; to: string; weight: number }[]
  /** From left to right, or, for a tall window, from top to bottom. */
  direction: 'LR' | 'TB'
}

/** Beyond so many nodes dagre takes longer than somebody waits. */
export const LARGE = 400

/** From top to bottom a picture is about so wide for its height. */
const TALL = 0.5

const GAP_X = 80
const GAP_Y = 12
/** What layers from top to bottom are further apart than rows of one layer are. */
const ROW_GAP = 34
const MARGIN = 24

/**
 * Lays a large graph out in layers from callers to callees: cycles are cut where a search
 * from the callers closes them, a node stands behind its last caller, neighbours in a layer
 * are put in the order of those they are called by. A layer that is taller than the
 * picture should be is broken into several columns.
 */
export function layered(q: LayoutQuestion): Layout {
  const keys = q.nodes.map((n) => n.key).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const at = new Map(keys.map((key, k) => [key, k]))
  const width = Math.max(1, ...q.nodes.map((n) => n.width))
  const height = Math.max(1, ...q.nodes.map((n) => n.height))
  const n = keys.length
  const out: number[][] = keys.map(() => [])
  const into: number[][] = keys.map(() => [])
  const edges = q.edges
    .map((e) => [at.get(e.from), at.get(e.to)] as const)
    .filter((e): e is readonly [number, number] => e[0] !== undefined && e[1] !== undefined && e[0] !== e[1])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
  for (const [a, b] of edges) {
    out[a]!.push(b)
    into[b]!.push(a)
  }

  // Depth first from the callers that nobody calls, then from whatever is left. `done`
  // ends up in an order in which callees come before callers, but for edges that close a
  // cycle.
  const state = new Uint8Array(n) // 1 on the way, 2 done
  const done: number[] = []
  const back = new Set<number>()
  const visit = (root: number) => {
    if (state[root]) return
    const stack: [number, number][] = [[root, 0]]
    state[root] = 1
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!
      const [a, k] = top
      if (k === out[a]!.length) {
        state[a] = 2
        done.push(a)
        stack.pop()
        continue
      }
      top[1]++
      const b = out[a]![k]!
      if (state[b] === 1) back.add(a * n + b)
      else if (state[b] === 0) {
        state[b] = 1
        stack.push([b, 0])
      }
    }
  }
  for (let k = 0; k < n; k++) if (into[k]!.length === 0) visit(k)
  for (let k = 0; k < n; k++) visit(k)

  const layer = new Int32Array(n)
  for (let k = done.length - 1; k >= 0; k--) {
    const a = done[k]!
    for (const b of out[a]!) if (!back.has(a * n + b) && layer[b]! <= layer[a]!) layer[b] = layer[a]! + 1
  }
  // Who is called by nobody stands right before the first that it calls.
  for (let a = 0; a < n; a++) if (into[a]!.length === 0 && out[a]!.length > 0) layer[a] = out[a]!.reduce((least, b) => Math.min(least, layer[b]!), n) - 1
  const layers: number[][] = []
  for (let k = 0; k < n; k++) (layers[layer[k]!] ??= []).push(k)

  const place = new Float64Array(n)
  for (const list of layers) list.forEach((a, k) => (place[a] = k / list.length))
  const sweep = (list: number[], towards: number[][]) => {
    const wish = new Map(list.map((a) => {
      const others = towards[a]!
      return [a, others.length === 0 ? place[a]! : others.reduce((sum, b) => sum + place[b]!, 0) / others.length] as const
    }))
    list.sort((a, b) => wish.get(a)! - wish.get(b)! || a - b)
    list.forEach((a, k) => (place[a] = (k + 0.5) / list.length))
  }
  for (let round = 0; round < 4; round++) {
    for (let k = 1; k < layers.length; k++) sweep(layers[k]!, into)
    for (let k = layers.length - 2; k >= 0; k--) sweep(layers[k]!, out)
  }
  for (let k = 1; k < layers.length; k++) sweep(layers[k]!, into)

  if (q.direction === 'TB') return inRows(layers.map((list) => list.map((k) => keys[k]!)), width, height)
  // Rows for a picture about one and a half times as wide as tall.
  const stepX = width + GAP_X
  const stepY = height + GAP_Y
  const rows = Math.max(12, Math.ceil(Math.sqrt((n * stepX) / stepY / 1.5)))
  const nodes: Record<string, Point> = {}
  const columns = layers.map((list) => Math.ceil(list.length / rows))
  const tallest = Math.max(1, ...layers.map((list, k) => Math.ceil(list.length / columns[k]!)))
  let x = MARGIN + width / 2
  layers.forEach((list, k) => {
    const perColumn = Math.ceil(list.length / columns[k]!)
    const top = MARGIN + height / 2 + ((tallest - perColumn) * stepY) / 2
    list.forEach((a, j) => {
      // Row by row, so that neighbours in the order stay neighbours across columns.
      const row = Math.floor(j / columns[k]!)
      const column = j % columns[k]!
      nodes[keys[a]!] = { x: x + column * (width + GAP_Y), y: top + row * stepY }
    })
    x += (columns[k]! - 1) * (width + GAP_Y) + stepX
  })
  return { width: n === 0 ? 0 : x - stepX + width / 2 + MARGIN, height: tallest * stepY - GAP_Y + 2 * MARGIN, nodes, edges: {} }
}

/** Layers below each other, each in as many rows as make the picture tall: no row is longer than the window is wide. */
function inRows(layers: string[][], width: number, height: number): Layout {
  const stepX = width + GAP_Y
  const stepY = height + GAP_Y
  const shape = (most: number) => {
    const rows = layers.map((list) => Math.ceil(list.length / most))
    const longest = layers.reduce((m, list, k) => Math.max(m, Math.ceil(list.length / rows[k]!)), 1)
    return { rows, width: longest * stepX - GAP_Y + 2 * MARGIN, height: rows.reduce((sum, n) => sum + n, 0) * stepY + (layers.length - 1) * ROW_GAP - GAP_Y + 2 * MARGIN }
  }
  let most = 1
  let best = shape(1)
  for (const longest = layers.reduce((m, list) => Math.max(m, list.length), 1); most < longest && best.width < TALL * best.height; ) best = shape(++most)
  const nodes: Record<string, Point> = {}
  let y = MARGIN + height / 2
  layers.forEach((list, k) => {
    const perRow = Math.ceil(list.length / best.rows[k]!)
    for (let from = 0; from < list.length; from += perRow, y += stepY) {
      const row = list.slice(from, from + perRow)
      row.forEach((key, j) => (nodes[key] = { x: best.width / 2 + (j - (row.length - 1) / 2) * stepX, y }))
    }
    y += ROW_GAP
  })
  return { width: layers.length === 0 ? 0 : best.width, height: layers.length === 0 ? 0 : best.height, nodes, edges: {} }
}

/**
 * Adds nodes to a layout without moving any that is there: a new one stands right of its
 * callers, or left of those it calls, in the free place that is nearest to them.
 */
export function extend(old: Layout, q: LayoutQuestion): Layout {
  if (q.direction === 'TB') return flipped(extend(flipped(old), { ...q, direction: 'LR', nodes: q.nodes.map((n) => ({ key: n.key, width: n.height, height: n.width })) }))
  const nodes: Record<string, Point> = { ...old.nodes }
  const width = Math.max(1, ...q.nodes.map((n) => n.width))
  const height = Math.max(1, ...q.nodes.map((n) => n.height))
  const callers = new Map<string, string[]>()
  const callees = new Map<string, string[]>()
  const add = (map: Map<string, string[]>, key: string, other: string) => {
    const list = map.get(key)
    if (list) list.push(other)
    else map.set(key, [other])
  }
  for (const e of q.edges) {
    if (e.from === e.to) continue
    add(callers, e.to, e.from)
    add(callees, e.from, e.to)
  }
  const taken = Object.values(nodes)
  const free = (p: Point) => taken.every((o) => Math.abs(o.x - p.x) >= width + GAP_Y || Math.abs(o.y - p.y) >= height + GAP_Y - 0.5)
  const mean = (list: Point[]) => list.reduce((sum, p) => sum + p.y, 0) / list.length
  let missing = q.nodes.map((n) => n.key).filter((key) => !nodes[key]).sort()
  while (missing.length > 0) {
    // Those with a neighbour that has a place first: what they call can follow them.
    const next = missing.find((key) => callers.get(key)?.some((o) => nodes[o])) ?? missing.find((key) => callees.get(key)?.some((o) => nodes[o])) ?? missing[0]!
    missing = missing.filter((key) => key !== next)
    const before = (callers.get(next) ?? []).flatMap((o) => nodes[o] ?? [])
    const after = (callees.get(next) ?? []).flatMap((o) => nodes[o] ?? [])
    const wish: Point =
      before.length > 0
        ? { x: Math.max(...before.map((p) => p.x)) + width + GAP_X, y: mean([...before, ...after]) }
        : after.length > 0
          ? { x: Math.min(...after.map((p) => p.x)) - width - GAP_X, y: mean(after) }
          : { x: MARGIN + width / 2, y: Math.max(MARGIN - height / 2 - GAP_Y, ...taken.map((p) => p.y)) + height + GAP_Y }
    let spot = wish
    for (let k = 1; !free(spot) && k < 4000; k++) spot = { x: wish.x, y: wish.y + (k % 2 ? 1 : -1) * Math.ceil(k / 2) * ((height + GAP_Y) / 2) }
    nodes[next] = spot
    taken.push(spot)
  }
  return framed({ ...old, nodes }, width, height)
}

/** A layout with rows for columns. */
function flipped(l: Layout): Layout {
  const flip = (p: Point): Point => ({ x: p.y, y: p.x })
  const all = <T, U>(of: Record<string, T>, to: (v: T) => U): Record<string, U> => Object.fromEntries(Object.entries(of).map(([key, v]) => [key, to(v)]))
  return { width: l.height, height: l.width, nodes: all(l.nodes, flip), edges: all(l.edges, (way) => way.map(flip)) }
}

/** The size of a layout after nodes have moved. What stands left of or above the frame does so. */
export function framed(l: Layout, width: number, height: number): Layout {
  let right = 0
  let bottom = 0
  for (const key in l.nodes) {
    right = Math.max(right, l.nodes[key]!.x + width / 2 + MARGIN)
    bottom = Math.max(bottom, l.nodes[key]!.y + height / 2 + MARGIN)
  }
  return { ...l, width: Math.max(l.width, right), height: Math.max(l.height, bottom) }
}

/** The rectangle around nodes, edges of the cards included. */
export function bounds(points: Iterable<Point>, width: number, height: number): { x: number; y: number; width: number; height: number } {
  let left = Infinity
  let top = Infinity
  let right = -Infinity
  let bottom = -Infinity
  for (const p of points) {
    left = Math.min(left, p.x - width / 2)
    right = Math.max(right, p.x + width / 2)
    top = Math.min(top, p.y - height / 2)
    bottom = Math.max(bottom, p.y + height / 2)
  }
  if (left > right) return { x: 0, y: 0, width: 0, height: 0 }
  return { x: left, y: top, width: right - left, height: bottom - top }
}

// ---- nodes that somebody has put somewhere ----

/** So many places fit into an address that every program takes. */
export const MOST_PINS = 80

/** How a node is called where its full name would be too long: in the address. */
export function pinName(key: string): string {
  return hash(key).toString(36)
}

export type Pins = ReadonlyMap<string, Point>

/** Reads "1x8z2k:120,80~…"; what makes no sense is left out. */
export function readPins(text: string): Pins {
  const pins = new Map<string, Point>()
  for (const piece of text.split('~')) {
    const match = /^([0-9a-z]{1,7}):(-?\d{1,6}),(-?\d{1,6})$/.exec(piece)
    if (match && pins.size < MOST_PINS) pins.set(match[1]!, { x: Number(match[2]), y: Number(match[3]) })
  }
  return pins
}

export function writePins(pins: Pins): string {
  return [...pins].map(([name, p]) => `${name}:${Math.round(p.x)},${Math.round(p.y)}`).join('~')
}

/** Puts a node somewhere, or with null back to where the layout has it. The oldest give way when there are too many. */
export function pin(pins: Pins, key: string, to: Point | null): Pins {
  const out = new Map(pins)
  const name = pinName(key)
  out.delete(name)
  if (to) out.set(name, { x: Math.round(to.x), y: Math.round(to.y) })
  while (out.size > MOST_PINS) out.delete(out.keys().next().value!)
  return out
}

/** The layout with pinned nodes at their places; edges of those go straight there. */
export function pinned(l: Layout, pins: Pins, edges: readonly { key: string; from: string; to: string }[], width: number, height: number): Layout {
  if (pins.size === 0) return l
  const nodes: Record<string, Point> = { ...l.nodes }
  const moved = new Set<string>()
  for (const key in nodes) {
    const p = pins.get(pinName(key))
    if (!p) continue
    nodes[key] = p
    moved.add(key)
  }
  if (moved.size === 0) return l
  const ways: Record<string, Point[]> = { ...l.edges }
  for (const e of edges) if (moved.has(e.from) || moved.has(e.to)) delete ways[e.key]
  return framed({ ...l, nodes, edges: ways }, width, height)
}
