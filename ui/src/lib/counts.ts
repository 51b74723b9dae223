// What the server counts of a window, put together from its answers.

import * as expr from './expression'
import { titleOf, type Facet, type Heat, type Scalar } from './summary'

/** The answer of /api/counts. */
export interface CountsAnswer {
  Traces: number
  Failed: number
  Examined: number
  NextToken: string | null
  Cells: [number, number, number, number][]
  Facets: { Key: string; Distinct: number; Values: { Value: Scalar; Count: number; Failed: number; Series: number[]; Steps?: [number, number][] }[] }[]
  Partial: boolean
}

export interface Counts {
  traces: number
  failed: number
  examined: number
  partial: boolean
  /** All of the window was looked at. */
  done: boolean
  from: number
  to: number
  columns: number
  /** By column and step: how many, and how many of them failed. */
  cells: Map<number, [number, number]>
  facets: Map<string, { distinct: number; values: Map<string, { value: Scalar; count: number; failed: number; series: number[] }> }>
}

/** Steps of durations: as many to a power of ten, the first of them beginning so many seconds. */
export const STEPS = 12
export const SHORTEST = 1e-4
const WIDE = 1000

export function emptyCounts(from: number, to: number, columns: number): Counts {
  return { traces: 0, failed: 0, examined: 0, partial: false, done: false, from, to, columns, cells: new Map(), facets: new Map() }
}

/** Adds an answer to what is known, and gives that as something new. */
export function addCounts(c: Counts, a: CountsAnswer): Counts {
  const cells = new Map(c.cells)
  for (const [x, y, n, failed] of a.Cells) {
    const known = cells.get(x * WIDE + y)
    cells.set(x * WIDE + y, known ? [known[0] + n, known[1] + failed] : [n, failed])
  }
  const facets = new Map(c.facets)
  for (const f of a.Facets) {
    const values = new Map(facets.get(f.Key)?.values)
    for (const v of f.Values) {
      const key = `${typeof v.Value} ${v.Value}`
      const known = values.get(key)
      values.set(key, known ? { value: v.Value, count: known.count + v.Count, failed: known.failed + v.Failed, series: known.series.map((n, i) => n + (v.Series[i] ?? 0)) } : { value: v.Value, count: v.Count, failed: v.Failed, series: v.Series })
    }
    facets.set(f.Key, { distinct: Math.max(facets.get(f.Key)?.distinct ?? 0, f.Distinct, values.size), values })
  }
  return { ...c, traces: c.traces + a.Traces, failed: c.failed + a.Failed, examined: c.examined + a.Examined, partial: c.partial || a.Partial, done: a.NextToken === null, cells, facets }
}

/** The picture of counts, in at most so many columns and lines. */
export function heatOf(c: Counts, mostColumns: number, mostLines: number): Heat {
  let low = Infinity
  let high = -Infinity
  for (const at of c.cells.keys()) {
    const y = at % WIDE
    if (y < low) low = y
    if (y > high) high = y
  }
  if (high < low) [low, high] = [STEPS, 4 * STEPS - 1]
  // Quarters of a power of ten, and one whole power at least.
  low = Math.floor(low / 3) * 3
  high = Math.ceil((high + 1) / 3) * 3
  if (high - low < STEPS) high = low + STEPS
  let merge = 1
  for (const by of [1, 2, 3, 4, 6, 12]) {
    merge = by
    if ((high - low) / by <= mostLines) break
  }
  const lines = Math.ceil((high - low) / merge)
  const narrow = Math.max(1, Math.ceil(c.columns / mostColumns))
  const columns = Math.ceil(c.columns / narrow)
  const h: Heat = { columns, lines, from: c.from, to: c.to, low: SHORTEST * 10 ** (low / STEPS), high: SHORTEST * 10 ** ((low + lines * merge) / STEPS), counts: new Uint32Array(columns * lines), failures: new Uint32Array(columns * lines), most: 0 }
  for (const [at, [n, failed]] of c.cells) {
    const k = Math.floor((at % WIDE - low) / merge) * columns + Math.floor(Math.floor(at / WIDE) / narrow)
    h.counts[k]! += n
    h.failures[k]! += failed
    if (h.counts[k]! > h.most) h.most = h.counts[k]!
  }
  // The last column may stand for less than the others, which have to have one width.
  h.to = c.from + ((c.to - c.from) * columns * narrow) / c.columns
  return h
}

/** About which duration a share of the traces did not exceed, in seconds: within the width of a step. */
export function quantileOf(steps: readonly (readonly [number, number])[], q: number): number {
  const sum = steps.reduce((n, [, k]) => n + k, 0)
  if (sum === 0) return NaN
  let left = sum * q
  for (const [step, n] of steps) {
    if (n >= left) return SHORTEST * 10 ** ((step + left / n) / STEPS)
    left -= n
  }
  return SHORTEST * 10 ** ((steps[steps.length - 1]![0] + 1) / STEPS)
}

export function conditionOf(key: string, value: Scalar): string {
  switch (key) {
    case 'outcome':
      return String(value)
    case 'service':
      return expr.service(String(value))
    case 'entry':
      return `name = ${expr.quote(String(value))}`
    case 'status':
      return `http.status = ${value}`
    case 'method':
      return `http.method = ${expr.quote(String(value))}`
    case 'user':
      return `user = ${expr.quote(String(value))}`
    default:
      return expr.annotation(key.slice('annotation.'.length), value)
  }
}

const ORDER = ['outcome', 'service', 'entry', 'status', 'method', 'user']

/** Before when nothing has been counted yet, in epoch seconds: the newest are counted first. Null when all of the window was. */
export function countedFrom(c: Counts): number | null {
  if (c.done) return null
  let first = c.columns
  for (const at of c.cells.keys()) first = Math.min(first, Math.floor(at / WIDE))
  return c.from + ((c.to - c.from) * first) / c.columns
}

/** Are there values that the server counted and did not list? */
export function isCut(c: Counts): boolean {
  for (const f of c.facets.values()) if (f.distinct > f.values.size) return true
  return false
}

/**
 * Of attributes whose title contains a text all values, and of others those that contain it. `found` has those
 * of the latter that the server found, `known` is looked through while there is none.
 */
export function findFacets(known: readonly Facet[], found: readonly Facet[] | null, text: string): Facet[] {
  const wanted = text.toLowerCase()
  const byTitle = (f: Facet) => f.title.toLowerCase().includes(wanted)
  const byValue = (f: Facet): Facet => {
    const values = f.values.filter((v) => v.text.toLowerCase().includes(wanted))
    return { ...f, values, distinct: values.length }
  }
  const there = new Map((found ?? known.map(byValue)).map((f) => [f.key, f]))
  const out: Facet[] = []
  for (const f of known) {
    const hit = byTitle(f) ? f : there.get(f.key)
    there.delete(f.key)
    if (hit && hit.values.length > 0) out.push(hit)
  }
  return [...out, ...[...there.values()].filter((f) => f.values.length > 0)]
}

/** The values that traces have, most frequent first; keys that tell little come last. */
export function facetsOfCounts(c: Counts, most = 8): Facet[] {
  const out: Facet[] = []
  for (const [key, f] of c.facets) {
    const list = [...f.values.values()].sort((a, b) => b.count - a.count || (String(a.value) < String(b.value) ? -1 : 1))
    out.push({ key, title: titleOf(key), distinct: f.distinct, values: list.slice(0, most).map((v) => ({ text: String(v.value), count: v.count, condition: conditionOf(key, v.value), series: v.series })) })
  }
  const weight = (f: Facet) => {
    const i = ORDER.indexOf(f.key)
    return i >= 0 ? i : 100 + (f.distinct > c.traces * 0.5 && f.distinct > 20 ? 1000 : 0)
  }
  return out.sort((a, b) => weight(a) - weight(b) || (a.title < b.title ? -1 : 1))
}
