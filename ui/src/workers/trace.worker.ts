// Reads a trace and gives the page columns to draw from. What its documents hold is asked
// for entry by entry, as somebody looks.

import { fetchColumns, fetchLinked, linkedFrom } from '../lib/columns'
import { traceHTML } from '../lib/export'
import type { TraceEvent } from '../lib/log'
import { quote } from '../lib/expression'
import { fetchJSON } from '../lib/fetch'
import type { TraceSummaries } from '../lib/api'
import { compact, type TraceRow } from '../lib/summary'
import { arrange, build, mainRoot, stitch, type Columns, type Entity, type Flat, type TraceAnswer } from '../lib/trace'
import { peers, quantile, spread, usual, type UsualRow } from '../lib/usual'

export type Question =
  | { kind: 'load'; api: string; id: string; skew: boolean; linked: boolean; again?: boolean }
  | { kind: 'arrange'; skew: boolean; linked: boolean }
  | { kind: 'entity'; index: number }
  | { kind: 'find'; text: string }
  | { kind: 'events' }
  | { kind: 'linked' }
  | { kind: 'usual'; from: number; to: number }
  | { kind: 'html'; link: string }

/** The exceptions and events of spans in what is shown. */
export interface EventsAnswer {
  events: TraceEvent[]
  /** There are others, beyond the bounds. */
  more: boolean
}

/** How a trace compares with the usual ones of its entry point. */
export interface UsualAnswer {
  /** What they have in common. */
  entry: string
  method: string
  route: string
  /** Traces of which the duration is known, and those that were looked into. */
  traces: number
  examined: string[]
  partial: boolean
  low: number
  median: number
  high: number
  /** The share of them that took less. */
  slower: number
  /** The one whose duration is the median. */
  typical: string
  rows: UsualRow[]
}

let api = ''
let own: Flat | null = null
let tag = ''
let linked: { flats: Flat[]; more: boolean } | null = null
let flat: Flat | null = null
let columns: Columns | null = null
const documents = new Map<string, Entity>()

async function publish(skew: boolean, together: boolean): Promise<Columns> {
  if (together) linked ??= await fetchLinked(api, own!)
  flat = together && linked ? stitch([own!, ...linked.flats.slice(1)]) : own!
  columns = arrange(flat, { skew, now: Date.now() / 1000 })
  return columns // posted as a copy: this side goes on with its own
}

async function entity(index: number): Promise<Entity | null> {
  if (!columns || index < 0 || index >= columns.n) return null
  const trace = columns.traces[columns.trace[index]!]!
  const id = columns.ids[index]!
  const key = `${trace} ${id}`
  let e = documents.get(key)
  if (!e) {
    e = await fetchJSON<Entity>(`${api}traces/${trace}/entries/${id}`)
    if (documents.size >= 200) documents.clear()
    documents.set(key, e)
  }
  const at = columns.order[index]!
  let nested = 0
  for (let i = 0; i < flat!.n; i++) if (flat!.nested[i] === at) nested++
  return nested > 0 ? { ...e, subsegments: `${nested} nested` as unknown as Entity[] } : e
}

async function find(text: string): Promise<Uint8Array | null> {
  const c = columns
  const f = flat
  if (!c || !f || !text.trim()) return null
  const found = new Uint8Array(f.n)
  let offset = 0
  for (const trace of f.traces) {
    const answer = await fetchJSON<{ Entries: number; Matches: string }>(`${api}traces/${trace}/find?${new URLSearchParams({ text: text.split(/\s+/).filter(Boolean).slice(0, 20).join(' ') })}`)
    const bits = atob(answer.Matches)
    for (let i = 0; i < answer.Entries && offset + i < f.n; i++) if (bits.charCodeAt(i >> 3) & (1 << (i & 7))) found[offset + i] = 1
    offset += f === own ? f.n : f.trace.filter((t) => f.traces[t] === trace).length
  }
  if (c !== columns) return null
  return Uint8Array.from(c.order, (i) => found[i]!)
}

interface EventsOfTrace {
  Events: { Entry: string; Kind: string; Message: string; Name: string; Time: number | null }[]
  More: boolean
}

async function events(): Promise<EventsAnswer | null> {
  const c = columns
  const f = flat
  if (!c || !f) return null
  const answer: EventsAnswer = { events: [], more: false }
  const rowOf = new Map<string, number>()
  for (let i = 0; i < c.n; i++) rowOf.set(`${c.trace[i]} ${c.ids[i]}`, i)
  for (const [t, trace] of c.traces.entries()) {
    const got = await fetchJSON<EventsOfTrace>(`${api}traces/${trace}/events`)
    answer.more ||= got.More
    for (const e of got.Events) {
      const entry = rowOf.get(`${t} ${e.Entry}`)
      if (entry === undefined) continue // it came after the columns
      // An entry whose clock was corrected takes its events along.
      const moved = c.start[entry]! + c.t0 - f.start[c.order[entry]!]!
      const at = e.Time === null ? NaN : e.Time - c.t0 + (Math.abs(moved) > 1e-5 && f.start[c.order[entry]!]! > 0 ? moved : 0)
      answer.events.push({ entry, exception: e.Kind === 'exception', name: e.Name, message: e.Message, at })
    }
  }
  return c === columns ? answer : null
}

/** Traces whose durations are compared, and those that are looked into. */
const MOST_PEERS = 2000
const MOST_EXAMINED = 30
const MOST_PEER_ENTRIES = 5000

async function compareWithUsual(from: number, to: number): Promise<UsualAnswer | null> {
  if (!own || own.n === 0) return null
  const c = arrange(own)
  const root = mainRoot(c)
  if (root < 0) return null
  const entry = c.texts[c.name[root]!]!
  const method = c.entry?.method ?? ''
  const filter = `name = ${quote(entry)}${method ? ` AND http.method = ${quote(method)}` : ''}`
  let rows: TraceRow[] = []
  let token: string | null = null
  do {
    const q: Record<string, string> = { filter, start: from.toFixed(3), end: to.toFixed(3), limit: '1000' }
    if (token) q.token = token
    const page: TraceSummaries = await fetchJSON<TraceSummaries>(`${api}traces?${new URLSearchParams(q)}`)
    rows = rows.concat(page.TraceSummaries.map(compact))
    token = page.NextToken
  } while (token && rows.length < MOST_PEERS)
  const chosen = peers(rows, { id: own.id, entry, method, url: c.entry?.url ?? '' })
  const sorted = [...chosen.rows].sort((a, b) => a.duration - b.duration)
  const durations = sorted.map((r) => r.duration)
  const others: Columns[] = []
  const examined: string[] = []
  for (const r of spread(chosen.rows, MOST_EXAMINED)) {
    try {
      const got = await fetchColumns(api, r.id)
      if (!got || got.flat.n > MOST_PEER_ENTRIES) continue
      others.push(arrange(got.flat))
      examined.push(r.id)
    } catch {
      // it went in the meantime
    }
  }
  const mine = c.duration ?? c.span
  return {
    entry, method, route: chosen.route, traces: sorted.length, examined, partial: token !== null,
    low: quantile(durations, 0.1), median: quantile(durations, 0.5), high: quantile(durations, 0.9),
    slower: sorted.length ? durations.filter((d) => d < mine).length / sorted.length : 0,
    typical: sorted[Math.floor((sorted.length - 1) / 2)]?.id ?? '',
    rows: usual(c, others),
  }
}

async function serve(q: Question): Promise<unknown> {
  switch (q.kind) {
    case 'load': {
      api = q.api
      const got = await fetchColumns(api, q.id, q.again ? tag : '')
      if (!got) return null
      own = got.flat
      tag = got.tag
      documents.clear()
      if (linked) linked.flats[0] = own
      return publish(q.skew, q.linked)
    }
    case 'arrange':
      return own ? publish(q.skew, q.linked) : null
    case 'entity':
      return entity(q.index)
    case 'find':
      return find(q.text)
    case 'events':
      return events()
    case 'linked':
      // How many traces it is linked with, in one step.
      return own ? new Set([...own.links.map((l) => l.trace), ...(await linkedFrom(api, own))]).size : 0
    case 'usual':
      return compareWithUsual(q.from, q.to)
    case 'html': {
      if (!own) return null
      const built = build(await fetchJSON<TraceAnswer>(`${api}traces/${own.id}`))
      return traceHTML(built.columns, (i) => built.entities[i]!, q.link)
    }
  }
}

self.onmessage = (event: MessageEvent<{ id: number; question: Question }>) => {
  const { id, question } = event.data
  serve(question).then(
    (value) => self.postMessage({ id, value }),
    (error: Error & { status?: number }) => self.postMessage({ id, error: { message: error.message, status: error.status ?? 0 } }),
  )
}
