// What tells two sets of traces apart: each value of each attribute, by how much more
// often it is found in one than in the other.

import { seconds } from './histogram'
import { facetsOf, type TraceRow } from './summary'

export interface Contrast {
  key: string
  title: string
  text: string
  condition: string
  countA: number
  countB: number
  shareA: number
  shareB: number
  /** How sure and how large the difference is: z of two proportions times their distance. */
  score: number
}

/** What fewer traces than this have is no pattern, however rare it is elsewhere. */
const LEAST = 3

export function contrast(a: readonly TraceRow[], b: readonly TraceRow[]): Contrast[] {
  if (a.length === 0 || b.length === 0) return []
  const left = facetsOf(a)
  const right = facetsOf(b)
  const out: Contrast[] = []
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const va = left.get(key)
    const vb = right.get(key)
    for (const value of new Set([...(va?.keys() ?? []), ...(vb?.keys() ?? [])])) {
      const x = va?.get(value)
      const y = vb?.get(value)
      const countA = x?.count ?? 0
      const countB = y?.count ?? 0
      if (Math.max(countA, countB) < LEAST) continue
      const shareA = countA / a.length
      const shareB = countB / b.length
      const together = (countA + countB) / (a.length + b.length)
      const spread = Math.sqrt(together * (1 - together) * (1 / a.length + 1 / b.length))
      const z = spread > 0 ? Math.abs(shareA - shareB) / spread : 0
      if (z < 3) continue // what chance does, too
      out.push({ key, title: (x ?? y)!.title, text: (x ?? y)!.text, condition: (x ?? y)!.condition(), countA, countB, shareA, shareB, score: z * Math.abs(shareA - shareB) })
    }
  }
  return out.sort((p, q) => q.score - p.score || (p.condition < q.condition ? -1 : 1))
}

/** Counts durations of both sets in the same bins, equal steps of their logarithm. */
export function durations(a: readonly TraceRow[], b: readonly TraceRow[], bins: number): { from: number; to: number; a: number; b: number }[] {
  let low = Infinity
  let high = 0
  for (const r of [...a, ...b]) {
    if (!(r.duration >= 0)) continue
    low = Math.min(low, Math.max(1e-4, r.duration))
    high = Math.max(high, Math.max(1e-4, r.duration))
  }
  if (high === 0) return []
  const from = Math.log10(low)
  const step = Math.max(Math.log10(high) + 1e-9 - from, 0.3) / bins
  const out = Array.from({ length: bins }, (_, k) => ({ from: 10 ** (from + k * step), to: 10 ** (from + (k + 1) * step), a: 0, b: 0 }))
  const count = (rows: readonly TraceRow[], side: 'a' | 'b') => {
    for (const r of rows) if (r.duration >= 0) out[Math.min(bins - 1, Math.floor((Math.log10(Math.max(1e-4, r.duration)) - from) / step))]![side]++
  }
  count(a, 'a')
  count(b, 'b')
  return out
}

/** A part of the picture of traces by time and duration. */
export interface Box {
  /** Epoch seconds. */
  from: number
  to: number
  /** Durations in seconds; null: any. */
  low: number | null
  high: number | null
}

/** How an address says a box; null when it says none. */
export function readBox(text: string): Box | null {
  const [from, to, low, high] = text.split('~').map((t) => (t === '' ? NaN : Number(t)))
  if (!(to! > from!)) return null
  return { from: from!, to: to!, ...(high! > low! ? { low: low!, high: high! } : { low: null, high: null }) }
}

export function writeBox(b: Box): string {
  return [Math.floor(b.from * 1000) / 1000, Math.ceil(b.to * 1000) / 1000, ...(b.low !== null && b.high !== null ? [seconds(b.low), seconds(b.high)] : [])].join('~')
}

/** Parts traces by a box: those in it, and the others. What has no time yet is one of the others. */
export function parted(rows: readonly TraceRow[], b: Box): { inside: TraceRow[]; outside: TraceRow[] } {
  const inside: TraceRow[] = []
  const outside: TraceRow[] = []
  for (const r of rows) {
    const is = r.start >= b.from && r.start <= b.to && (b.low === null || b.high === null || (r.duration >= b.low && r.duration <= b.high))
    ;(is ? inside : outside).push(r)
  }
  return { inside, outside }
}
