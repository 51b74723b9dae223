// Lines between the nodes of a map, and the room that there is for what is written on them.

import type { LayoutQuestion, Point } from './layout'

/** A piece of a line: from, two points that bend it, to. */
export type Cubic = readonly [Point, Point, Point, Point]

export interface Box extends Point {
  width: number
  height: number
}

const flip = (p: Point): Point => ({ x: p.y, y: p.x })

/**
 * A smooth line from the side of one node where calls leave to the side of another where they
 * arrive, through the points that keep it clear of those between. Calls that go back leave and
 * arrive likewise.
 */
export function line(from: Point, to: Point, points: readonly Point[], card: { width: number; height: number }, direction: LayoutQuestion['direction']): Cubic[] {
  if (direction === 'LR') return rightward(from, to, points, card.width / 2)
  return rightward(flip(from), flip(to), points.map(flip), card.height / 2).map((c) => c.map(flip) as unknown as Cubic)
}

function rightward(from: Point, to: Point, points: readonly Point[], half: number): Cubic[] {
  const start = { x: from.x + half, y: from.y }
  const end = { x: to.x - half - 2, y: to.y }
  if (end.x <= start.x) {
    const bow = Math.max(40, Math.abs(end.y - start.y) / 3)
    return [[start, { x: start.x + bow, y: start.y }, { x: end.x - bow, y: end.y }, end]]
  }
  const stops = [start, ...points.slice(1, -1).filter((p) => p.x > start.x + 24 && p.x < end.x - 24), end]
  return stops.slice(1).map((b, k) => {
    const a = stops[k]!
    const middle = (b.x - a.x) / 2
    return [a, { x: a.x + middle, y: a.y }, { x: b.x - middle, y: b.y }, b]
  })
}

/** A line as SVG draws it. */
export function pathOf(cubics: readonly Cubic[]): string {
  const first = cubics[0]![0]
  return `M${first.x} ${first.y}${cubics.map(([, b, c, d]) => ` C${b.x} ${b.y} ${c.x} ${c.y} ${d.x} ${d.y}`).join('')}`
}

function at([a, b, c, d]: Cubic, t: number): Point {
  const u = 1 - t
  const mix = (of: (p: Point) => number) => u ** 3 * of(a) + 3 * u * u * t * of(b) + 3 * u * t * t * of(c) + t ** 3 * of(d)
  return { x: mix((p) => p.x), y: mix((p) => p.y) }
}

/** So many places of each piece of a line are looked at. */
const PLACES = 9

/**
 * Places on a line for its label, the best first: shortly before the node that it leads to,
 * where lines are apart, and from there on towards both ends.
 */
export function placesOn(cubics: readonly Cubic[]): Point[] {
  const all = cubics.flatMap((c) => Array.from({ length: PLACES }, (_, k) => at(c, (k + 0.5) / PLACES)))
  const best = (all.length - 1) * 0.68
  return all
    .map((p, k) => [Math.abs(k - best), p] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, p]) => p)
}

const CELL = 256

/** What lies where, so that labels lie on nothing else. Boxes are told by their middle. */
export class Room {
  private readonly cells = new Map<string, Box[]>()

  private *cellsOf(b: Box): Iterable<string> {
    for (let x = Math.floor((b.x - b.width / 2) / CELL); x <= Math.floor((b.x + b.width / 2) / CELL); x++)
      for (let y = Math.floor((b.y - b.height / 2) / CELL); y <= Math.floor((b.y + b.height / 2) / CELL); y++) yield `${x} ${y}`
  }

  take(b: Box) {
    for (const cell of this.cellsOf(b)) {
      const list = this.cells.get(cell)
      if (list) list.push(b)
      else this.cells.set(cell, [b])
    }
  }

  free(b: Box): boolean {
    for (const cell of this.cellsOf(b)) for (const o of this.cells.get(cell) ?? []) if (Math.abs(o.x - b.x) < (o.width + b.width) / 2 && Math.abs(o.y - b.y) < (o.height + b.height) / 2) return false
    return true
  }

  /** Takes the first of some places where something of a size has room; null when none has. */
  place(places: readonly Point[], width: number, height: number): Point | null {
    const p = places.find(({ x, y }) => this.free({ x, y, width, height }))
    if (p) this.take({ ...p, width, height })
    return p ?? null
  }
}

/** A text that is too wide without its middle: beginning and end are what tell names apart. */
export function withoutMiddle(text: string, room: number, widthOf: (text: string) => number): string {
  if (widthOf(text) <= room) return text
  const letters = [...text]
  const keep = (n: number) => `${letters.slice(0, Math.ceil(n / 2)).join('')}…${n > 1 ? letters.slice(-Math.floor(n / 2)).join('') : ''}`
  let low = 1
  let high = letters.length - 1
  while (low < high) {
    const n = Math.ceil((low + high) / 2)
    if (widthOf(keep(n)) <= room) low = n
    else high = n - 1
  }
  return keep(low)
}

export interface View {
  x: number
  y: number
  k: number
}

/**
 * Moves a view by as little as it takes for a box to be seen in a window of a size, `edge`
 * away from its sides. What is larger than the window is seen from its beginning.
 */
export function panInto(v: View, b: Box, size: { width: number; height: number }, edge: number): View {
  const shift = (middle: number, length: number, offset: number, room: number): number => {
    const low = (middle - length / 2) * v.k + offset
    const high = (middle + length / 2) * v.k + offset
    if (low < edge || high - low > room - 2 * edge) return edge - low
    return Math.min(0, room - edge - high)
  }
  return { k: v.k, x: v.x + shift(b.x, b.width, v.x, size.width), y: v.y + shift(b.y, b.height, v.y, size.height) }
}
