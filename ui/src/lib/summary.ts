// Trace summaries as the page keeps them: small, since there may be a hundred thousand.

import type { TraceSummary } from './api'
import * as expr from './expression'

export type Scalar = string | number | boolean

export interface TraceRow {
  id: string
  /** Epoch seconds; NaN when nothing with a time has arrived. */
  start: number
  /** Seconds; NaN while in progress. */
  duration: number
  response: number
  flags: number
  status: number
  method: string
  url: string
  agent: string
  client: string
  entry: string
  entryType: string
  services: string[]
  users: string[]
  annotations: Record<string, Scalar[]>
  revision: number
  /**
   * The trace in small, four numbers for each bar: which of the services, start and length in 255ths of the
   * whole, marks.
   */
  bars: Uint8Array | null
}

export const ROW = { error: 1, fault: 2, throttle: 4, inProgress: 8, partial: 16, orphan: 32 } as const

const interned = new Map<string, string>()

/** Texts that come again and again are kept once. */
function keep(text: string | null | undefined): string {
  if (!text) return ''
  if (text.length > 200) return text
  const known = interned.get(text)
  if (known !== undefined) return known
  if (interned.size > 50_000) interned.clear()
  interned.set(text, text)
  return text
}

/** Makes bars of a shape as the server gives it. */
export function barsOf(shape: readonly (readonly number[])[], nameOf: (service: number) => string, services: readonly string[]): Uint8Array | null {
  let whole = 0
  for (const [, start, took] of shape) whole = Math.max(whole, start! + took!)
  if (shape.length === 0 || !(whole > 0)) return null
  const out = new Uint8Array(shape.length * 4)
  shape.forEach(([service, start, took, marks], i) => {
    const k = services.indexOf(nameOf(service!))
    out[i * 4] = k < 0 ? 255 : Math.min(254, k)
    out[i * 4 + 1] = Math.round(Math.min(1, Math.max(0, start! / whole)) * 255)
    out[i * 4 + 2] = Math.round(Math.min(1, took! / whole) * 255)
    out[i * 4 + 3] = marks!
  })
  return out
}

export function compact(s: TraceSummary): TraceRow {
  const annotations: Record<string, Scalar[]> = {}
  for (const [key, list] of Object.entries(s.Annotations ?? {})) {
    const values: Scalar[] = []
    for (const v of list) {
      const a = v.AnnotationValue
      const value = a.StringValue ?? a.NumberValue ?? a.BooleanValue
      if (value !== null && value !== undefined) values.push(typeof value === 'string' ? keep(value) : value)
    }
    if (values.length > 0) annotations[keep(key)] = values
  }
  const services: string[] = []
  for (const id of s.ServiceIds ?? []) if (id.Type !== 'client' && !services.includes(id.Name)) services.push(keep(id.Name))
  return {
    id: s.Id,
    start: s.StartTime ?? NaN,
    duration: s.Duration ?? NaN,
    response: s.ResponseTime ?? NaN,
    flags:
      (s.HasError ? ROW.error : 0) | (s.HasFault ? ROW.fault : 0) | (s.HasThrottle ? ROW.throttle : 0) | (s.InProgress ? ROW.inProgress : 0) | (s.IsPartial ? ROW.partial : 0) | (s.OrphanOnly ? ROW.orphan : 0),
    status: s.Http?.HttpStatus ?? 0,
    method: keep(s.Http?.HttpMethod),
    url: keep(s.Http?.HttpURL),
    agent: keep(s.Http?.UserAgent),
    client: keep(s.Http?.ClientIp),
    entry: keep(s.EntryPoint?.Name),
    entryType: keep(s.EntryPoint?.Type),
    services,
    users: (s.Users ?? []).map((u) => keep(u.UserName)),
    annotations,
    revision: s.Revision,
    bars: s.Shape ? barsOf(s.Shape, (k) => s.ServiceIds?.[k]?.Name ?? '', services) : null,
  }
}

export interface FacetValue {
  text: string
  count: number
  condition: string
  /** How many there are over time, where that was counted. */
  series?: number[]
}

export interface Facet {
  key: string
  title: string
  values: FacetValue[]
  /** How many different values there are. */
  distinct: number
}

const TITLES: Record<string, string> = { outcome: 'Outcome', service: 'Service', entry: 'Entry point', status: 'Status', method: 'Method', user: 'User' }

export function titleOf(key: string): string {
  return TITLES[key] ?? key.slice('annotation.'.length)
}

interface Counted {
  count: number
  condition: () => string
  text: string
  title: string
}

/** Counts, for each attribute, in how many traces each value is. */
export function facetsOf(rows: readonly TraceRow[]): Map<string, Map<string, Counted>> {
  const counters = new Map<string, Map<string, Counted>>()
  const add = (facet: string, value: string, text: string, condition: () => string) => {
    let m = counters.get(facet)
    if (!m) counters.set(facet, (m = new Map()))
    const known = m.get(value)
    if (known) known.count++
    else if (m.size < 20_000) m.set(value, { count: 1, condition, text, title: titleOf(facet) })
  }
  for (const r of rows) {
    const outcome = r.flags & ROW.fault ? 'fault' : r.flags & ROW.throttle ? 'throttle' : r.flags & ROW.error ? 'error' : 'ok'
    add('outcome', outcome, outcome, () => outcome)
    for (const s of r.services) add('service', s, s, () => expr.service(s))
    if (r.entry) add('entry', r.entry, r.entry, () => `name = ${expr.quote(r.entry)}`)
    if (r.status) add('status', String(r.status), String(r.status), () => `http.status = ${r.status}`)
    if (r.method) add('method', r.method, r.method, () => `http.method = ${expr.quote(r.method)}`)
    for (const u of r.users) add('user', u, u, () => `user = ${expr.quote(u)}`)
    for (const key in r.annotations) for (const v of new Set(r.annotations[key])) add(`annotation.${key}`, `${typeof v} ${v}`, String(v), () => expr.annotation(key, v))
  }
  return counters
}

/** Counts the values that traces have, the most frequent first. */
export function facets(rows: readonly TraceRow[], most = 8): Facet[] {
  const order = ['outcome', 'service', 'entry', 'status', 'method', 'user']
  const out: Facet[] = []
  for (const [key, values] of facetsOf(rows)) {
    const list = [...values.values()].sort((a, b) => b.count - a.count || (a.text < b.text ? -1 : 1))
    out.push({ key, title: titleOf(key), values: list.slice(0, most).map((v) => ({ text: v.text, count: v.count, condition: v.condition() })), distinct: list.length })
  }
  const weight = (f: Facet) => {
    const i = order.indexOf(f.key)
    // Annotations with few values tell more than those that differ in each trace.
    return i >= 0 ? i : 100 + (f.distinct > rows.length * 0.5 && f.distinct > 20 ? 1000 : 0)
  }
  return out.sort((a, b) => weight(a) - weight(b) || (a.title < b.title ? -1 : 1))
}

export interface Heat {
  columns: number
  lines: number
  from: number
  to: number
  /** Bounds of durations, in seconds; lines are equal steps of their logarithm. */
  low: number
  high: number
  counts: Uint32Array
  failures: Uint32Array
  most: number
}

/** Counts traces by time and duration. */
export function heat(rows: readonly TraceRow[], from: number, to: number, columns: number, lines: number): Heat {
  let low = Infinity
  let high = 0
  for (const r of rows) {
    if (Number.isNaN(r.duration)) continue
    const d = Math.max(1e-4, r.duration)
    if (d < low) low = d
    if (d > high) high = d
  }
  if (high === 0) [low, high] = [1e-3, 1]
  low = 10 ** (Math.floor(Math.log10(low) * 4) / 4)
  high = 10 ** (Math.ceil(Math.log10(high) * 4) / 4)
  if (high <= low * 1.01) high = low * 10
  const a = Math.log10(low)
  const b = Math.log10(high)
  const h: Heat = { columns, lines, from, to, low, high, counts: new Uint32Array(columns * lines), failures: new Uint32Array(columns * lines), most: 0 }
  for (const r of rows) {
    if (Number.isNaN(r.duration) || Number.isNaN(r.start) || r.start < from || r.start >= to) continue
    const x = Math.min(columns - 1, Math.floor(((r.start - from) / (to - from)) * columns))
    const y = Math.min(lines - 1, Math.max(0, Math.floor(((Math.log10(Math.max(1e-4, r.duration)) - a) / (b - a)) * lines)))
    const n = ++h.counts[y * columns + x]!
    if (n > h.most) h.most = n
    if (r.flags & (ROW.fault | ROW.error | ROW.throttle)) h.failures[y * columns + x]!++
  }
  return h
}

export interface HeatCell {
  /** Epoch seconds. */
  from: number
  to: number
  /** Durations in seconds. */
  low: number
  high: number
  count: number
  failed: number
}

/** The cells that hold traces, by time and then duration. */
export function heatCells(h: Heat): HeatCell[] {
  const out: HeatCell[] = []
  const time = (x: number) => h.from + (x / h.columns) * (h.to - h.from)
  const length = (y: number) => h.low * (h.high / h.low) ** (y / h.lines)
  for (let x = 0; x < h.columns; x++) {
    for (let y = 0; y < h.lines; y++) {
      const count = h.counts[y * h.columns + x]!
      if (count > 0) out.push({ from: time(x), to: time(x + 1), low: length(y), high: length(y + 1), count, failed: h.failures[y * h.columns + x]! })
    }
  }
  return out
}
