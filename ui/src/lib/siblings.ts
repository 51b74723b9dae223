// What the children of one entity say about it: calls that it repeats, and stretches of
// time in which none of them was under way.

import { endOf, FAILED, FLAG, type Columns } from './trace'

/** Siblings of one kind: "47 × SELECT …". */
export interface Pile {
  parent: number
  name: string
  detail: string
  /** In the order of their starts; the first stands for all while the pile is closed. */
  members: number[]
  /** Seconds of all of them together, and what of these no child covers. */
  seconds: number
  self: number
  failed: number
  /** What went wrong with any of them, as flags. */
  flags: number
}

export interface Piles {
  list: Pile[]
  /** By entity: the pile it is in, -1 for none. */
  of: Int32Array
}

/** A text without what differs from call to call of one kind: numbers, identifiers, texts in quotes. */
export function pattern(text: string): string {
  return text.replace(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/g, '…').replace(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{8,}\b|\d+(?:\.\d+)?/gi, '…')
}

/** Piles up siblings that have their name and, but for numbers and identifiers, what they are about in common. */
export function piles(c: Columns, least = 4): Piles {
  // Texts with one pattern have one number; keys are numbers, since a trace may have a hundred thousand entities.
  const numbers = new Map<string, number>()
  const details: string[] = []
  const number = c.texts.map((text) => {
    const p = pattern(text)
    let k = numbers.get(p)
    if (k === undefined) {
      k = details.length
      details.push(p)
      numbers.set(p, k)
    }
    return k
  })
  const pairs = new Map<number, number>()
  const found = new Map<number, Pile>()
  for (let i = 0; i < c.n; i++) {
    // What is inferred shares the row of its call.
    if (c.parent[i]! < 0 || c.flags[i]! & FLAG.inferred) continue
    const both = number[c.name[i]!]! * details.length + number[c.detail[i]!]!
    let pair = pairs.get(both)
    if (pair === undefined) pairs.set(both, (pair = pairs.size))
    const key = pair * c.n + c.parent[i]!
    let pile = found.get(key)
    if (!pile) found.set(key, (pile = { parent: c.parent[i]!, name: c.texts[c.name[i]!]!, detail: details[number[c.detail[i]!]!]!, members: [], seconds: 0, self: 0, failed: 0, flags: 0 }))
    pile.members.push(i)
    pile.seconds += endOf(c, i) - c.start[i]!
    pile.self += c.self[i]!
    pile.flags |= c.flags[i]! & (FAILED | FLAG.inProgress)
    if (c.flags[i]! & FAILED) pile.failed++
  }
  const of = new Int32Array(c.n).fill(-1)
  const list: Pile[] = []
  for (const pile of found.values()) {
    if (pile.members.length < least) continue
    for (const i of pile.members) of[i] = list.length
    list.push(pile)
  }
  return { list, of }
}

/**
 * Calls to others that one entity makes again and again: the N+1 pattern. Steps of its own
 * work are none.
 */
export function repetitions(p: Piles, c: Columns, least = 8): Pile[] {
  return p.list
    .filter((pile) => pile.members.length >= least && (c.flags[pile.members[0]!]! & (FLAG.remote | FLAG.aws | FLAG.sql)) !== 0)
    .sort((a, b) => b.members.length - a.members.length || b.seconds - a.seconds)
    .slice(0, 20)
}

export interface Gap {
  from: number
  to: number
}

/**
 * The stretches of an entity's time in which none of its children was under way: its own
 * work, or waiting for something that nobody recorded. An entity without children has none,
 * since all of its time is its own.
 */
export function gaps(c: Columns, i: number, now = c.until): Gap[] {
  const out: Gap[] = []
  const to = endOf(c, i, now)
  let at = c.start[i]!
  let children = false
  for (let k = i + 1; k < c.last[i]!; k = c.last[k]!) {
    // What only began when this was over was sent, not waited for.
    if (c.flags[k]! & FLAG.inferred || !Number.isNaN(c.wait[k]!)) continue
    children = true
    const from = Math.min(c.start[k]!, to)
    if (from > at) out.push({ from: at, to: from })
    at = Math.max(at, endOf(c, k, now))
  }
  if (!children) return []
  if (to > at) out.push({ from: at, to })
  return out
}

/** The stretches in which nothing of the whole trace was under way. */
export function idle(c: Columns, now = c.until): Gap[] {
  // Only what begins outside of its caller can leave such a stretch behind.
  let outside = 0
  for (let i = 0; i < c.n; i++) if (c.parent[i]! < 0 || c.start[i]! > c.end[c.parent[i]!]!) outside++
  if (outside < 2) return []
  const order = Array.from({ length: c.n }, (_, i) => i).sort((a, b) => c.start[a]! - c.start[b]!)
  const out: Gap[] = []
  let at = Infinity
  for (const i of order) {
    if (c.start[i]! > at) out.push({ from: at, to: c.start[i]! })
    const end = endOf(c, i, now)
    at = at === Infinity ? end : Math.max(at, end)
  }
  return out
}
