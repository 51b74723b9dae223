// A trace as a log: starts and ends of its entries, exceptions and events of spans, in the
// order of time.

import type { Columns } from './trace'

/** An exception or an event of a span. */
export interface TraceEvent {
  /** Number of the entry that it happened in. */
  entry: number
  exception: boolean
  name: string
  message: string
  /** Seconds since the trace began; NaN when it is not said. */
  at: number
}

export const KINDS = ['start', 'event', 'exception', 'end'] as const
export type Kind = (typeof KINDS)[number]
const [START, EVENT, EXCEPTION, END] = [0, 1, 2, 3]

export interface Lines {
  n: number
  /** Seconds since the trace began, ascending. */
  at: Float64Array
  entry: Int32Array
  /** Index into KINDS. */
  kind: Uint8Array
  /** Index into events, -1 for starts and ends. */
  note: Int32Array
  /** How many there are of each kind. */
  counts: number[]
}

/**
 * Makes lines. What is under way has no end; what does not say when it happened stands before the end of its
 * entry. Of what has one time, ends come before starts, as one call follows another; but an entry starts after
 * what it is nested in, ends before it, and has its events in between, however short it was.
 */
export function lines(c: Columns, events: readonly TraceEvent[]): Lines {
  const most = 2 * c.n + events.length
  const at = new Float64Array(most)
  const entry = new Int32Array(most)
  const kind = new Uint8Array(most)
  const note = new Int32Array(most).fill(-1)
  // What decides among lines of one time: the rank, then the place.
  const rank = new Uint8Array(most)
  const place = new Int32Array(most)
  // Does something start within when it is over?
  const latest = Float64Array.from(c.start)
  for (let i = c.n - 1; i >= 0; i--) {
    const p = c.parent[i]!
    if (p >= 0) latest[p] = Math.max(latest[p]!, latest[i]!)
  }
  const late = (i: number) => latest[i]! >= c.end[i]!
  const counts = KINDS.map(() => 0)
  let n = 0
  const add = (t: number, i: number, k: number, r: number, p: number, e: number) => {
    at[n] = t
    entry[n] = i
    kind[n] = k
    rank[n] = r
    place[n] = p
    note[n] = e
    counts[k]!++
    n++
  }
  for (let i = 0; i < c.n; i++) {
    add(c.start[i]!, i, START, 2, i, -1)
    if (!Number.isNaN(c.end[i]!)) add(c.end[i]!, i, END, late(i) ? 4 : 1, -i, -1)
  }
  events.forEach((e, k) => {
    const i = e.entry
    if (i < 0 || i >= c.n) return
    const over = Number.isNaN(c.end[i]!) ? c.start[i]! : c.end[i]!
    const t = Number.isNaN(e.at) ? over : e.at
    add(t, i, e.exception ? EXCEPTION : EVENT, t === c.end[i] && !late(i) ? 0 : 3, k, k)
  })
  const order = new Int32Array(n)
  for (let k = 0; k < n; k++) order[k] = k
  order.sort((a, b) => at[a]! - at[b]! || rank[a]! - rank[b]! || place[a]! - place[b]!)
  const sorted = <T extends Float64Array | Int32Array | Uint8Array>(from: T): T => {
    const to = from.slice(0, n) as T
    for (let k = 0; k < n; k++) to[k] = from[order[k]!]!
    return to
  }
  return { n, at: sorted(at), entry: sorted(entry), kind: sorted(kind), note: sorted(note), counts }
}

/** The numbers of the lines that are shown: those of entries in `visible`, and of kinds that are wanted. */
export function shownLines(l: Lines, entries: number, visible: Int32Array, wanted: ReadonlySet<Kind>): Int32Array {
  const is = new Uint8Array(entries)
  for (const i of visible) is[i] = 1
  const kinds = KINDS.map((k) => wanted.has(k))
  const out = new Int32Array(l.n)
  let n = 0
  for (let k = 0; k < l.n; k++) if (kinds[l.kind[k]!] && is[l.entry[k]!]) out[n++] = k
  return out.slice(0, n)
}

/** The kinds that an address asks for; "" is all of them. */
export function kindsOf(text: string): ReadonlySet<Kind> {
  return new Set(text === '' ? KINDS : KINDS.filter((k) => text.split(',').includes(k)))
}

/** What an address says of the kinds: nothing for all of them, "none" for no one. */
export function kindsText(kinds: ReadonlySet<Kind>): string | null {
  return kinds.size === KINDS.length ? null : KINDS.filter((k) => kinds.has(k)).join(',') || 'none'
}

/** A time since the trace began, to the microsecond, so that they stand one below the other. */
export function offsetText(seconds: number, span: number): string {
  const sign = seconds < 0 ? '−' : ''
  const s = Math.abs(seconds)
  return span < 1 ? `${sign}${(s * 1e3).toFixed(3)} ms` : `${sign}${s.toFixed(6)} s`
}
