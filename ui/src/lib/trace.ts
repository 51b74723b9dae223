// A trace as columns: what waterfall, flame graph, list and minimap draw from. Entities
// (segments and subsegments) are numbered in the order in which a waterfall shows
// them, so that a subtree is a range of numbers. Documents stay in the worker that
// reads them; columns are typed arrays, which cross to the page without a copy.

import { assignColours, byCount } from './colour'
import type { Pile, Piles } from './siblings'

/** An entity as documents have it. Whatever a sender writes may be in it. */
export interface Entity {
  id?: string
  name?: string
  start_time?: number
  end_time?: number
  in_progress?: boolean
  error?: boolean
  fault?: boolean
  throttle?: boolean
  inferred?: boolean
  namespace?: string
  origin?: string
  type?: string
  parent_id?: string
  user?: string
  http?: { request?: Record<string, unknown>; response?: Record<string, unknown> }
  aws?: Record<string, unknown>
  sql?: Record<string, unknown>
  annotations?: Record<string, unknown>
  metadata?: Record<string, unknown>
  cause?: unknown
  service?: Record<string, unknown>
  links?: unknown
  subsegments?: Entity[]
  [key: string]: unknown
}

export interface TraceAnswer {
  Id: string
  Duration: number | null
  Revision: number
  Segments: { Id: string; Document: Entity }[]
  Orphans: { Id: string; Document: Entity }[]
}

export const FLAG = {
  error: 1,
  fault: 2,
  throttle: 4,
  inProgress: 8,
  inferred: 16,
  orphan: 32,
  segment: 64,
  remote: 128,
  aws: 256,
  sql: 512,
  exception: 1024,
  annotated: 2048,
  linked: 4096,
  // Those above come from the server, see docs/api.md; these are found here.
  /** A call whose callee is inferred, and therefore has no row of its own unless asked for. */
  answered: 8192,
  /** A segment whose parent is not part of the trace. */
  lostParent: 16384,
  skewed: 32768,
} as const

/** How something ended, in a word. */
export function outcomeText(flags: number): string {
  if (flags & FLAG.fault) return 'fault'
  if (flags & FLAG.throttle) return 'throttle'
  if (flags & FLAG.error) return 'error'
  return flags & FLAG.inProgress ? 'in progress' : 'ok'
}

export const FAILED = FLAG.error | FLAG.fault | FLAG.throttle

export interface ServiceEntry {
  name: string
  type: string
  colour: number
  /** Segments and inferred callees. */
  count: number
  /** Seconds of its own work, that of its callees not counted. */
  self: number
}

/** A link to another trace. */
export interface Link {
  entry: number
  trace: string
  id: string
  /** "parent", "child", or "" when it is not said. */
  reference: string
  /** Epoch seconds: when what was waited for was received, and when waiting was over. */
  received: number | null
  dwelt: number | null
}

export interface Columns {
  id: string
  revision: number
  duration: number | null
  /** Epoch seconds of the earliest start; all times below count from here. */
  t0: number
  /** Seconds from there to the latest end or, with work in progress, start. */
  span: number
  /** Up to when what is in progress is taken to last: when the columns were made, or the span. */
  until: number
  n: number
  parent: Int32Array
  depth: Uint16Array
  /** Number behind the last one of the subtree. */
  last: Int32Array
  start: Float64Array
  /** NaN while in progress. */
  end: Float64Array
  self: Float64Array
  flags: Uint16Array
  /** Indexes into texts. */
  name: Uint32Array
  detail: Uint32Array
  service: Uint16Array
  texts: string[]
  ids: string[]
  services: ServiceEntry[]
  /** Where each entity was in the answer. */
  order: Int32Array
  /** The traces that are shown; the first is the one asked for, others are linked with it. */
  traces: string[]
  /** Which of them an entity is of. */
  trace: Uint16Array
  /** From when on, in seconds, an entity waited until it started; NaN: it did not, or nobody says. */
  wait: Float64Array
  links: Link[]
  /** The critical path as pieces: whose work it was, from when to when. */
  critical: { who: Int32Array; from: Float64Array; to: Float64Array }
  counts: { segments: number; inferred: number; orphans: number; errors: number; faults: number; throttles: number; inProgress: number; lostParents: number; exceptions: number; skewed: number; waits: number }
  entry: { method: string; url: string; status: number | null; user: string } | null
  maxDepth: number
}

export interface Built {
  columns: Columns
  entities: Entity[]
}

export interface BuildOptions {
  /** Move segments whose clock was visibly wrong into the call that they answer. */
  skew?: boolean
  /** Epoch seconds: up to when what is in progress lasts. Without it, to the end of what is known. */
  now?: number
}

/** Seconds after which what is still in progress was given up, and grows no more. */
export const GIVEN_UP = 6 * 3600

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

function pathOf(url: string): string {
  const match = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^#]*)/i.exec(url)
  return match ? match[1] || '/' : url
}

/** What an entity is about, in a few words: "GET /orders · 200", "GetItem carts". */
export function describe(e: Entity): string {
  const sql = record(e.sql)
  if (sql) {
    const query = text(sql.sanitized_query) || text(sql.url)
    if (query) return clip(query.replace(/\s+/g, ' ').trim(), 160)
  }
  const aws = record(e.aws)
  if (aws && e.namespace === 'aws') {
    const what = [text(aws.operation), text(aws.table_name) || text(aws.queue_url).replace(/^.*\//, '') || text(aws.bucket_name) || text(aws.function_name) || text(aws.topic_arn).replace(/^.*:/, '')]
    const words = what.filter(Boolean).join(' ')
    if (words) return clip(words, 160)
  }
  const http = record(e.http)
  if (http) {
    const request = record(http.request)
    const status = text(record(http.response)?.status)
    const line = [text(request?.method), pathOf(text(request?.url))].filter(Boolean).join(' ')
    if (line || status) return clip([line, status].filter(Boolean).join(' · '), 160)
  }
  return ''
}

function clip(s: string, most: number): string {
  return s.length > most ? `${s.slice(0, most - 1)}…` : s
}

/** A trace as it comes: entities in the order of the answer, parents before what is nested in them. */
export interface Flat {
  id: string
  revision: number
  duration: number | null
  n: number
  ids: string[]
  /** What a top hangs under; "" is nothing. */
  up: string[]
  start: Float64Array
  /** NaN while in progress. */
  end: Float64Array
  /** Number of the entity that it is nested in, -1 for tops. */
  nested: Int32Array
  name: Uint32Array
  detail: Uint32Array
  texts: string[]
  /** Index into services, NONE for that of what it is nested in. */
  service: Uint32Array
  services: { name: string; type: string }[]
  marks: Uint16Array
  requests: { entry: number; method: string; url: string; status: number | null; user: string }[]
  links: Link[]
  /** Of several traces put together: which each entity is of, and what tops hang under. */
  traces: string[]
  trace: Uint16Array
  joins: Map<number, number>
}

const NONE = 0xffffffff

interface Node {
  at: number
  start: number
  end: number
  flags: number
  kids: Node[]
  parent: Node | null
  shift: number
  joined: boolean
}

/** Makes columns of an answer of /api/traces/{id}, whose documents are all there. */
export function build(answer: TraceAnswer, options: BuildOptions = {}): Built {
  const { flat, entities } = flatten(answer)
  const columns = arrange(flat, options)
  return { columns, entities: Array.from(columns.order, (i) => entities[i]!) }
}

class Interner {
  readonly list: string[] = []
  private readonly index = new Map<string, number>()
  number(s: string): number {
    let i = this.index.get(s)
    if (i === undefined) {
      i = this.list.length
      this.list.push(s)
      this.index.set(s, i)
    }
    return i
  }
}

/** Reads documents. */
export function flatten(answer: TraceAnswer): { flat: Flat; entities: Entity[] } {
  const entities: Entity[] = []
  const nested: number[] = []
  const marks: number[] = []
  const up: string[] = []
  const service: number[] = []
  const services: { name: string; type: string }[] = []
  const serviceIndex = new Map<string, number>()
  const requests: Flat['requests'] = []
  const links: Link[] = []
  const plant = (root: Entity, orphan: boolean, isSegment: boolean) => {
    const make = (e: Entity, parent: number, segment: boolean): number => {
      const i = entities.length
      const hasEnd = typeof e.end_time === 'number' && Number.isFinite(e.end_time)
      let flags = 0
      if (e.error === true) flags |= FLAG.error
      if (e.fault === true) flags |= FLAG.fault
      if (e.throttle === true) flags |= FLAG.throttle
      if (e.in_progress === true || !hasEnd) flags |= FLAG.inProgress
      if (e.inferred === true) flags |= FLAG.inferred
      if (orphan) flags |= FLAG.orphan
      if (segment) flags |= FLAG.segment
      if (e.namespace === 'remote') flags |= FLAG.remote
      if (e.namespace === 'aws') flags |= FLAG.aws
      if (record(e.sql)) flags |= FLAG.sql
      const cause = record(e.cause)
      if (cause && Array.isArray(cause.exceptions) && cause.exceptions.length > 0) flags |= FLAG.exception
      if (e.annotations && Object.keys(e.annotations).length > 0) flags |= FLAG.annotated
      if (Array.isArray(e.links)) {
        for (const l of e.links) {
          const link = record(l)
          if (!link || typeof link.trace_id !== 'string') continue
          const attributes = record(link.attributes)
          const number = (v: unknown) => (typeof v === 'number' ? v : null)
          links.push({ entry: i, trace: link.trace_id, id: text(link.id), reference: text(attributes?.['aws.xray.reserved.reference_type']), received: number(attributes?.['aws.xray.reserved.received_event_end_time']), dwelt: number(attributes?.['aws.xray.reserved.dwell_end_time']) })
          flags |= FLAG.linked
        }
      }
      entities.push(e)
      nested.push(parent)
      marks.push(flags)
      up.push(parent < 0 && typeof e.parent_id === 'string' ? e.parent_id : '')
      if (parent < 0) {
        const name = calleeName(e)
        const type = typeof e.origin === 'string' ? e.origin : e.inferred === true && e.namespace !== 'aws' ? 'remote' : ''
        const key = `${name}\n${type}`
        let k = serviceIndex.get(key)
        if (k === undefined) {
          k = services.length
          services.push({ name, type })
          serviceIndex.set(key, k)
        }
        service.push(k)
        const request = record(e.http?.request)
        const status = record(e.http?.response)?.status
        requests.push({ entry: i, method: text(request?.method), url: text(request?.url), status: typeof status === 'number' ? status : null, user: text(e.user) })
      } else service.push(NONE)
      return i
    }
    const stack: number[] = [make(root, -1, isSegment)]
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      const inside = entities[i]!.subsegments
      if (!Array.isArray(inside)) continue
      for (const e of inside) if (record(e)) stack.push(make(e, i, false))
    }
  }
  for (const s of answer.Segments) if (record(s.Document)) plant(s.Document, false, true)
  for (const s of answer.Orphans) if (record(s.Document)) plant(s.Document, true, s.Document.type !== 'subsegment' && !s.Document.parent_id)
  const texts = new Interner()
  const time = (t: unknown) => (typeof t === 'number' && Number.isFinite(t) ? t : NaN)
  const flat: Flat = {
    id: answer.Id,
    revision: answer.Revision,
    duration: answer.Duration,
    n: entities.length,
    ids: entities.map((e) => (typeof e.id === 'string' ? e.id : '')),
    up,
    start: Float64Array.from(entities, (e) => time(e.start_time)),
    end: Float64Array.from(entities, (e, i) => (marks[i]! & FLAG.inProgress ? NaN : time(e.end_time))),
    nested: Int32Array.from(nested),
    name: Uint32Array.from(entities, (e) => texts.number(typeof e.name === 'string' ? e.name : '(no name)')),
    detail: Uint32Array.from(entities, (e) => texts.number(describe(e))),
    texts: texts.list,
    service: Uint32Array.from(service),
    services,
    marks: Uint16Array.from(marks),
    requests,
    links,
    traces: [answer.Id],
    trace: new Uint16Array(entities.length),
    joins: new Map(),
  }
  return { flat, entities }
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

/** Reads an answer of /api/traces/{id}/columns. */
export function read(data: ArrayBuffer): Flat {
  const size = new DataView(data).getUint32(0, true)
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size))) as {
    Id: string
    Revision: number
    Duration: number | null
    Entries: number
    Texts: string[]
    Services: { Name: string; Type: string }[]
    Requests: { Entry: number; Method: string; URL: string; Status: number | null; User: string }[]
    Links: { Entry: number; TraceId: string; Id: string; Reference: string; Received: number | null; Dwelt: number | null }[]
  }
  const n = head.Entries
  let at = 4 + size
  const take = <T>(Kind: new (buffer: ArrayBuffer, offset: number, length: number) => T, width: number): T => {
    const list = new Kind(data, at, n) // little endian, as every machine with a browser is
    at += n * width
    return list
  }
  const hex = (bytes: Uint8Array): string[] => {
    const out = new Array<string>(n)
    for (let i = 0, k = 0; i < n; i++, k += 8) out[i] = HEX[bytes[k + 7]!]! + HEX[bytes[k + 6]!]! + HEX[bytes[k + 5]!]! + HEX[bytes[k + 4]!]! + HEX[bytes[k + 3]!]! + HEX[bytes[k + 2]!]! + HEX[bytes[k + 1]!]! + HEX[bytes[k]!]!
    return out
  }
  const ids = hex(new Uint8Array(data, at, n * 8))
  at += n * 8
  const ups = new Uint8Array(data, at, n * 8)
  at += n * 8
  const start = take(Float64Array, 8)
  const end = take(Float64Array, 8)
  const nested = take(Int32Array, 4)
  const name = take(Uint32Array, 4)
  const detail = take(Uint32Array, 4)
  const service = take(Uint32Array, 4)
  const marks = take(Uint16Array, 2)
  const up = hex(ups)
  for (let i = 0; i < n; i++) if (nested[i]! >= 0 || up[i] === '0000000000000000') up[i] = ''
  return {
    id: head.Id,
    revision: head.Revision,
    duration: head.Duration,
    n,
    ids,
    up,
    start,
    end,
    nested,
    name,
    detail,
    texts: head.Texts,
    service,
    services: head.Services.map((s) => ({ name: s.Name, type: s.Type })),
    marks,
    requests: head.Requests.map((r) => ({ entry: r.Entry, method: r.Method, url: r.URL, status: r.Status, user: r.User })),
    links: head.Links.map((l) => ({ entry: l.Entry, trace: l.TraceId, id: l.Id, reference: l.Reference, received: l.Received, dwelt: l.Dwelt })),
    traces: [head.Id],
    trace: new Uint16Array(n),
    joins: new Map(),
  }
}

/**
 * Puts linked traces together into one. A consumer hangs under the entity that its link names, whether the
 * link says it ("parent", or nothing) or the producer's does ("child"). One that has several
 * producers hangs under the first that is there; `flats` begin with the trace asked for.
 */
export function stitch(flats: readonly Flat[]): Flat {
  const first = flats[0]!
  if (flats.length === 1) return first
  const texts = new Interner()
  const services: Flat['services'] = []
  const serviceIndex = new Map<string, number>()
  const n = flats.reduce((sum, f) => sum + f.n, 0)
  const out: Flat = {
    id: first.id,
    revision: first.revision,
    duration: first.duration,
    n,
    ids: [],
    up: [],
    start: new Float64Array(n),
    end: new Float64Array(n),
    nested: new Int32Array(n),
    name: new Uint32Array(n),
    detail: new Uint32Array(n),
    texts: texts.list,
    service: new Uint32Array(n),
    services,
    marks: new Uint16Array(n),
    requests: [],
    links: [],
    traces: flats.map((f) => f.id),
    trace: new Uint16Array(n),
    joins: new Map(),
  }
  const offsets: number[] = []
  let offset = 0
  flats.forEach((f, t) => {
    offsets.push(offset)
    const text = f.texts.map((s) => texts.number(s))
    const service = f.services.map((s) => {
      const key = `${s.name}\n${s.type}`
      let k = serviceIndex.get(key)
      if (k === undefined) {
        k = services.length
        services.push(s)
        serviceIndex.set(key, k)
      }
      return k
    })
    for (let i = 0; i < f.n; i++) {
      const k = offset + i
      out.ids.push(f.ids[i]!)
      out.up.push(f.up[i]!)
      out.nested[k] = f.nested[i]! < 0 ? -1 : f.nested[i]! + offset
      out.name[k] = text[f.name[i]!]!
      out.detail[k] = text[f.detail[i]!]!
      out.service[k] = f.service[i] === NONE ? NONE : service[f.service[i]!]!
    }
    out.start.set(f.start, offset)
    out.end.set(f.end, offset)
    out.marks.set(f.marks, offset)
    out.trace.fill(t, offset, offset + f.n)
    for (const r of f.requests) out.requests.push({ ...r, entry: r.entry + offset })
    for (const l of f.links) out.links.push({ ...l, entry: l.entry + offset })
    offset += f.n
  })
  const traceIndex = new Map(out.traces.map((id, t) => [id, t]))
  const find = flats.map((f) => new Map(f.ids.map((id, i) => [id, i])))
  /** Segments that nobody of their own trace called. */
  const rootsOf = flats.map((f, t) => {
    const list: number[] = []
    for (let i = 0; i < f.n; i++) if (f.nested[i]! < 0 && !(f.marks[i]! & (FLAG.orphan | FLAG.inferred)) && (f.up[i] === '' || !find[t]!.has(f.up[i]!))) list.push(i)
    return list
  })
  const above = (i: number): number => {
    // The root of its own trace that an entity lies below.
    const t = out.trace[i]!
    let k = i - offsets[t]!
    for (let steps = 0; steps < 10_000; steps++) {
      const f = flats[t]!
      if (f.nested[k]! >= 0) k = f.nested[k]!
      else {
        const p = f.up[k] ? find[t]!.get(f.up[k]!) : undefined
        if (p === undefined) break
        k = p
      }
    }
    return k + offsets[t]!
  }
  for (const l of out.links) {
    const t = traceIndex.get(l.trace)
    if (t === undefined || t === out.trace[l.entry]) continue
    const named = find[t]!.get(l.id)
    if (l.reference === 'child') {
      const roots = named !== undefined && rootsOf[t]!.includes(named) ? [named] : rootsOf[t]!
      for (const r of roots) if (!out.joins.has(r + offsets[t]!)) out.joins.set(r + offsets[t]!, l.entry)
    } else {
      const parent = named ?? rootsOf[t]![0]
      const root = above(l.entry)
      if (parent !== undefined && !out.joins.has(root)) out.joins.set(root, parent + offsets[t]!)
    }
  }
  return out
}

/** Arranges what came as a waterfall shows it. */
export function arrange(flat: Flat, options: BuildOptions = {}): Columns {
  const of: Node[] = new Array<Node>(flat.n)
  const byID = flat.traces.map(() => new Map<string, Node>())
  for (let i = 0; i < flat.n; i++) {
    const parent = flat.nested[i]! >= 0 ? of[flat.nested[i]!]! : null
    const node: Node = { at: i, start: flat.start[i]!, end: flat.end[i]!, flags: flat.marks[i]!, kids: [], parent, shift: 0, joined: false }
    of[i] = node
    if (flat.ids[i]) byID[flat.trace[i]!]!.set(flat.ids[i]!, node)
    if (parent) parent.kids.push(node)
  }
  const roots: Node[] = []
  for (let i = 0; i < flat.n; i++) {
    if (flat.nested[i]! >= 0) continue
    const node = of[i]!
    const orphan = (node.flags & FLAG.orphan) !== 0
    const join = flat.joins.get(i)
    const own = flat.up[i] ? byID[flat.trace[i]!]!.get(flat.up[i]!) : undefined
    const parent = own ?? (join !== undefined ? of[join] : undefined)
    if (parent && !orphan && parent !== node && !under(parent, node)) {
      node.parent = parent
      node.joined = own === undefined
      parent.kids.push(node)
      if (node.flags & FLAG.inferred) parent.flags |= FLAG.answered
    } else {
      if (flat.up[i] && !orphan && !parent) node.flags |= FLAG.lostParent
      roots.push(node)
    }
  }

  if (options.skew) correctSkew(roots)
  const at = (n: Node) => (Number.isNaN(n.start) ? Infinity : n.start + n.shift)
  const inOrder = (a: Node, b: Node) => {
    const orphan = (a.flags & FLAG.orphan) - (b.flags & FLAG.orphan)
    return orphan || at(a) - at(b) || 0
  }
  roots.sort(inOrder)

  // Depth first, without recursion: a trace may be as deep as its sender likes.
  const nodes: Node[] = []
  const depths: number[] = []
  const parents: number[] = []
  const lasts: number[] = []
  const todo: { node: Node; parent: number; depth: number }[] = []
  for (let i = roots.length - 1; i >= 0; i--) todo.push({ node: roots[i]!, parent: -1, depth: 0 })
  for (let item = todo.pop(); item; item = todo.pop()) {
    const i = nodes.length
    nodes.push(item.node)
    depths.push(item.depth)
    parents.push(item.parent)
    lasts.push(i + 1)
    const kids = item.node.kids
    if (kids.length > 1) kids.sort(inOrder)
    for (let k = kids.length - 1; k >= 0; k--) todo.push({ node: kids[k]!, parent: i, depth: item.depth + 1 })
  }
  for (let i = nodes.length - 1; i >= 0; i--) {
    const p = parents[i]!
    if (p >= 0 && lasts[p]! < lasts[i]!) lasts[p] = lasts[i]!
  }

  const n = nodes.length
  let t0 = Infinity
  for (const node of nodes) if (node.start > 0) t0 = Math.min(t0, node.start + node.shift)
  if (t0 === Infinity) t0 = 0

  const services: ServiceEntry[] = []
  const serviceIndex = new Map<number, number>()
  const serviceOf = (k: number): number => {
    let i = serviceIndex.get(k)
    if (i === undefined) {
      if (services.length >= 65_535) return 65_534
      i = services.length
      services.push({ ...(flat.services[k] ?? { name: '', type: '' }), colour: 0, count: 0, self: 0 })
      serviceIndex.set(k, i)
    }
    return i
  }

  const c: Columns = {
    id: flat.id,
    revision: flat.revision,
    duration: flat.duration,
    t0,
    span: 0,
    until: 0,
    n,
    parent: Int32Array.from(parents),
    depth: Uint16Array.from(depths, (d) => Math.min(d, 65_535)),
    last: Int32Array.from(lasts),
    start: new Float64Array(n),
    end: new Float64Array(n),
    self: new Float64Array(n),
    flags: new Uint16Array(n),
    name: new Uint32Array(n),
    detail: new Uint32Array(n),
    service: new Uint16Array(n),
    texts: flat.texts,
    ids: new Array<string>(n),
    services,
    order: Int32Array.from(nodes, (node) => node.at),
    traces: flat.traces,
    trace: new Uint16Array(n),
    wait: new Float64Array(n).fill(NaN),
    links: [],
    critical: { who: new Int32Array(0), from: new Float64Array(0), to: new Float64Array(0) },
    counts: { segments: 0, inferred: 0, orphans: 0, errors: 0, faults: 0, throttles: 0, inProgress: 0, lostParents: 0, exceptions: 0, skewed: 0, waits: 0 },
    entry: null,
    maxDepth: 0,
  }
  for (let i = 0; i < n; i++) {
    const node = nodes[i]!
    const at = node.at
    const p = parents[i]!
    c.start[i] = node.start > 0 ? node.start + node.shift - t0 : p >= 0 ? c.start[p]! : 0
    c.end[i] = Number.isNaN(node.end) ? NaN : Math.max(c.start[i]!, node.end + node.shift - t0)
    c.span = Math.max(c.span, Number.isNaN(c.end[i]!) ? c.start[i]! : c.end[i]!)
    c.flags[i] = node.flags
    c.name[i] = flat.name[at]!
    c.detail[i] = flat.detail[at]!
    c.ids[i] = flat.ids[at]!
    c.trace[i] = flat.trace[at]!
    c.maxDepth = Math.max(c.maxDepth, depths[i]!)
    if (flat.service[at] !== NONE) {
      c.service[i] = serviceOf(flat.service[at]!)
      services[c.service[i]!]!.count++
    } else c.service[i] = c.service[p]!
    // What began when its call was over waited in between, in a queue as a rule.
    if (p >= 0 && node.flags & FLAG.segment && !(node.flags & FLAG.inferred) && c.start[i]! > c.end[p]! + WAIT_LEAST && (node.joined || !otherClock(c, i))) {
      c.wait[i] = c.end[p]!
      c.counts.waits++
    }
    const k = c.counts
    if (node.flags & FLAG.segment && !(node.flags & FLAG.inferred)) k.segments++
    if (node.flags & FLAG.inferred) k.inferred++
    else {
      if (node.flags & FLAG.fault) k.faults++
      else if (node.flags & FLAG.throttle) k.throttles++
      else if (node.flags & FLAG.error) k.errors++
      if (node.flags & FLAG.exception) k.exceptions++
    }
    if (node.flags & FLAG.orphan) k.orphans++
    if (node.flags & FLAG.inProgress) k.inProgress++
    if (node.flags & FLAG.lostParent) k.lostParents++
    if (node.flags & FLAG.skewed) k.skewed++
  }
  c.until = c.span
  if (c.counts.inProgress > 0 && options.now !== undefined && options.now - t0 < GIVEN_UP) c.until = Math.max(c.span, options.now - t0)
  colourServices(c)
  selfTimes(c)
  // What a call waited for its inferred callee is the callee's work.
  for (let i = 0; i < n; i++) if (!(c.flags[i]! & FLAG.answered)) services[c.service[i]!]!.self += c.self[i]!
  c.critical = criticalPath(c)
  if (flat.links.length > 0) {
    const rowOf = new Int32Array(n)
    for (let i = 0; i < n; i++) rowOf[c.order[i]!] = i
    c.links = flat.links.map((l) => ({ ...l, entry: rowOf[l.entry]! }))
  }
  const rootIndex = mainRoot(c)
  if (rootIndex >= 0) {
    const { entry: _, ...request } = flat.requests.find((r) => r.entry === c.order[rootIndex]) ?? { entry: 0, method: '', url: '', status: null, user: '' }
    c.entry = request
  }
  return c
}

/** Services that sent segments come first, then what they call; each by how much of it there is. */
export function colourServices(c: Columns, assign: (names: readonly string[]) => Map<string, number> = assignColours): Columns {
  const own = new Map<string, number>()
  const called = new Map<string, number>()
  for (let i = 0; i < c.n; i++) {
    const of = c.flags[i]! & FLAG.inferred ? called : own
    const { name } = c.services[c.service[i]!]!
    of.set(name, (of.get(name) ?? 0) + 1)
  }
  const palette = assign([...byCount(own), ...byCount(called)])
  for (const s of c.services) s.colour = palette.get(s.name)!
  return c
}

/**
 * Does a segment lie outside of the call that it answers although it cannot? It begins before the call, or when a
 * call that waited for it was over, and would have fitted in: the clocks of the machines differ.
 */
export function otherClock(c: Columns, i: number): boolean {
  const p = c.parent[i]!
  if (p < 0 || !(c.flags[i]! & FLAG.segment) || c.flags[i]! & FLAG.inferred || c.trace[i] !== c.trace[p]) return false
  if (c.start[i]! < c.start[p]! - 0.002) return true
  // Queues are called with the namespace aws; whoever calls another service waits for its answer.
  return (c.flags[p]! & FLAG.remote) !== 0 && c.start[i]! > c.end[p]! && c.end[i]! - c.start[i]! <= c.end[p]! - c.start[p]! + WAIT_LEAST
}

/** Pauses shorter than a millisecond are clocks and rounding. */
const WAIT_LEAST = 0.001


/** The name under which the service map knows a segment. */
function calleeName(e: Entity): string {
  const name = typeof e.name === 'string' ? e.name : '(no name)'
  const aws = e.inferred === true ? record(e.aws) : undefined
  return (aws && (text(aws.table_name) || text(aws.bucket_name) || text(aws.queue_url) || text(aws.function_name) || text(aws.topic_arn))) || name
}

function under(node: Node, top: Node): boolean {
  for (let n: Node | null = node; n; n = n.parent) if (n === top) return true
  return false
}

/** The root that stands for the request: the earliest segment that nobody called. */
export function mainRoot(c: Columns): number {
  let best = -1
  for (let i = 0; i < c.n; i = c.last[i]!) {
    if (c.flags[i]! & FLAG.orphan) continue
    const lost = (c.flags[i]! & FLAG.lostParent) !== 0
    if (best < 0) best = i
    else if ((c.flags[best]! & FLAG.lostParent) !== 0 && !lost) best = i
  }
  return best >= 0 ? best : c.n > 0 ? 0 : -1
}

/**
 * Moves segments that lie outside of the call that they answer, although they would fit
 * in: their clock differs from the caller's. Half of the spare time goes on either side.
 */
function correctSkew(roots: Node[]): void {
  const todo = [...roots]
  for (let node = todo.pop(); node; node = todo.pop()) {
    const p = node.parent
    if (p) node.shift = p.shift
    if (p && !node.joined && node.flags & FLAG.segment && !(node.flags & FLAG.inferred) && !Number.isNaN(p.end) && !Number.isNaN(node.end)) {
      const length = node.end - node.start
      const room = p.end - p.start
      const tolerance = 0.001
      if (length <= room + tolerance && (node.start < p.start - tolerance || node.end > p.end + tolerance)) {
        node.shift = p.start + p.shift + Math.max(0, room - length) / 2 - node.start
        node.flags |= FLAG.skewed
      }
    }
    todo.push(...node.kids)
  }
}

/** When an entity ended; what is in progress lasts until now. */
export function endOf(c: Columns, i: number, now = c.until): number {
  const end = c.end[i]!
  return Number.isNaN(end) ? Math.max(c.start[i]!, c.until, now) : end
}

/** An entity's own time now. What is in progress works itself unless it waits for something that is, too. */
export function selfNow(c: Columns, i: number, now: number): number {
  if (!Number.isNaN(c.end[i]!)) return c.self[i]!
  for (let k = i + 1; k < c.last[i]!; k = c.last[k]!) if (Number.isNaN(c.end[k]!) && !(c.flags[k]! & FLAG.inferred)) return c.self[i]!
  return c.self[i]! + Math.max(0, now - c.until)
}

/** Until when a piece of the critical path lasts now: the last one grows while its entity is in progress. */
export function pieceEnd(c: Columns, i: number, to: number, now: number): number {
  return to >= c.until && Number.isNaN(c.end[i]!) ? Math.max(to, now) : to
}

/** Fills in what of each entity's time no child covers. */
function selfTimes(c: Columns): void {
  const end = (i: number) => endOf(c, i)
  // Children come in the order of their starts, so one pass per parent is enough.
  const covered = new Float64Array(c.n)
  const reach = new Float64Array(c.n).fill(-Infinity)
  for (let i = 0; i < c.n; i++) {
    const p = c.parent[i]!
    // An inferred callee is the call once more: it covers nothing.
    if (p < 0 || c.flags[i]! & FLAG.inferred) continue
    const from = Math.max(c.start[i]!, c.start[p]!, reach[p]!)
    const to = Math.min(end(i), end(p))
    if (to > from) {
      covered[p]! += to - from
      reach[p] = to
    }
  }
  for (let i = 0; i < c.n; i++) c.self[i] = Math.max(0, end(i) - c.start[i]! - covered[i]!)
}

/**
 * The critical path: the pieces of work without which the request would have been
 * over earlier. From the end of an entity it goes back in time: to the child that ended
 * last, through it to its start, from there to the child that had ended last by then,
 * and so on; what no child covers is the entity's own. A child that is still running when its
 * parent ends did not hold it up; what is in progress, as its parent is, does.
 */
export function criticalPath(c: Columns): Columns['critical'] {
  const who: number[] = []
  const from: number[] = []
  const to: number[] = []
  const root = mainRoot(c)
  if (root >= 0) {
    const end = (i: number) => endOf(c, i)
    const kids = new Map<number, number[]>()
    const kidsOf = (i: number): number[] => {
      let list = kids.get(i)
      if (!list) {
        list = []
        for (let k = i + 1; k < c.last[i]!; k = c.last[k]!) if (!(c.flags[k]! & FLAG.inferred)) list.push(k)
        list.sort((a, b) => end(a) - end(b)) // the latest end is taken first, from the back
        kids.set(i, list)
      }
      return list
    }
    const piece = (i: number, a: number, b: number) => {
      if (b > a) {
        who.push(i)
        from.push(a)
        to.push(b)
      }
    }
    interface Frame {
      i: number
      low: number
      cursor: number
      /** By how much the entity itself was forgiven to end late: what it did last may, too. */
      slack: number
    }
    const stack: Frame[] = [{ i: root, low: c.start[root]!, cursor: end(root), slack: 0 }]
    // Clocks of two machines, and times that are rounded to the millisecond, let the answer
    // to a call seem to end a little after the call. That much is forgiven.
    const late = (k: number) => (c.flags[k]! & FLAG.segment ? Math.max(0.001, (end(k) - c.start[k]!) * 0.02) : 1e-9)
    while (stack.length > 0) {
      const f = stack[stack.length - 1]!
      const list = kidsOf(f.i)
      let next = -1
      while (list.length > 0) {
        const k = list.pop()!
        if (end(k) <= f.cursor + late(k) + f.slack && c.start[k]! < f.cursor && end(k) > f.low) {
          next = k
          break
        }
      }
      if (next < 0) {
        piece(f.i, f.low, f.cursor)
        stack.pop()
        continue
      }
      const kidEnd = Math.min(end(next), f.cursor)
      const kidStart = Math.max(c.start[next]!, f.low)
      piece(f.i, kidEnd, f.cursor)
      f.cursor = kidStart
      f.slack = 0
      stack.push({ i: next, low: kidStart, cursor: kidEnd, slack: Math.max(0, end(next) - kidEnd) })
    }
  }
  // Pieces were found from the end to the start.
  who.reverse()
  from.reverse()
  to.reverse()
  return { who: Int32Array.from(who), from: Float64Array.from(from), to: Float64Array.from(to) }
}

export interface RowOptions {
  collapsed: ReadonlySet<number>
  /** Show inferred callees as rows of their own. */
  inferred: boolean
  /** Entities that match what is looked for; with `only`, others go unless a match lies below. */
  matches?: Uint8Array | null
  only?: boolean
  /** Only what the critical path goes through. */
  critical?: boolean
  /** Only segments: one row for each service's part. */
  segments?: boolean
  /** Siblings of one kind, of which a closed pile shows the first alone. */
  piles?: Piles | null
  /** First members of piles that are open. */
  open?: ReadonlySet<number>
}

/** The member that stands for a closed pile: the first that is kept. */
function shownOf(pile: Pile, keep: Uint8Array | null): number {
  return keep ? (pile.members.find((i) => keep[i]) ?? -1) : pile.members[0]!
}

/** How deep an entity lies among segments alone. */
export function segmentDepths(c: Columns): Uint16Array {
  const out = new Uint16Array(c.n)
  for (let i = 0; i < c.n; i++) {
    const p = c.parent[i]!
    if (p >= 0) out[i] = Math.min(65_535, out[p]! + (c.flags[p]! & FLAG.segment || c.parent[p]! < 0 ? 1 : 0))
  }
  return out
}

/** The numbers of the entities that have a row, in order. */
export function rows(c: Columns, o: RowOptions): Int32Array {
  let keep: Uint8Array | null = null
  const keepUp = (i: number) => {
    for (let p = i; p >= 0 && !keep![p]; p = c.parent[p]!) keep![p] = 1
  }
  if (o.only && o.matches) {
    keep = new Uint8Array(c.n)
    for (let i = 0; i < c.n; i++) if (o.matches[i]) keepUp(i)
  }
  if (o.critical) {
    const before = keep
    keep = new Uint8Array(c.n)
    for (const i of c.critical.who) keepUp(i)
    if (before) for (let i = 0; i < c.n; i++) keep[i] = keep[i]! & before[i]!
  }
  const out = new Int32Array(c.n)
  let length = 0
  for (let i = 0; i < c.n; ) {
    if (keep && !keep[i]) {
      i = c.last[i]! // nothing below is kept either
      continue
    }
    const pile = o.piles && o.piles.of[i]! >= 0 ? o.piles.list[o.piles.of[i]!]! : null
    const closed = pile !== null && !o.open?.has(pile.members[0]!)
    if (closed && shownOf(pile, keep) !== i) {
      i = c.last[i]!
      continue
    }
    const hidden = (!o.inferred && (c.flags[i]! & FLAG.inferred) !== 0 && c.parent[i]! >= 0) || (o.segments && !(c.flags[i]! & FLAG.segment) && c.parent[i]! >= 0)
    if (!hidden) out[length++] = i
    i = closed || o.collapsed.has(i) ? c.last[i]! : i + 1
  }
  return out.slice(0, length)
}

export interface FlameNode {
  name: string
  service: number
  depth: number
  /** Seconds from the left edge, and how wide. */
  x: number
  width: number
  count: number
  self: number
  flags: number
  /** One entity of those that were merged: the longest. */
  example: number
}

/**
 * The flame graph: entities with the same path of names are one box, as wide as all of
 * them took together. A child's width is cut to its parent's where work ran in parallel,
 * so that boxes never stick out. `of` has the box of each entity, null for what has none.
 */
export function flame(c: Columns): { boxes: FlameNode[]; total: number; depth: number; of: readonly (FlameNode | null)[] } {
  interface Merged extends FlameNode {
    kids: Map<string, Merged>
    total: number
    longest: number
  }
  const top: Merged = { name: '', service: 0, depth: -1, x: 0, width: 0, count: 0, self: 0, flags: 0, example: -1, kids: new Map(), total: 0, longest: -1 }
  const of = new Array<Merged | null>(c.n).fill(null)
  for (let i = 0; i < c.n; i++) {
    if (c.flags[i]! & FLAG.inferred && c.parent[i]! >= 0) continue
    const p = c.parent[i]!
    const parent = p >= 0 ? of[p] : top
    if (!parent || parent.depth >= 400) continue
    const key = `${c.name[i]}\n${c.service[i]}`
    let m = parent.kids.get(key)
    if (!m) {
      m = { name: c.texts[c.name[i]!]!, service: c.service[i]!, depth: parent.depth + 1, x: 0, width: 0, count: 0, self: 0, flags: 0, example: i, kids: new Map(), total: 0, longest: -1 }
      parent.kids.set(key, m)
    }
    of[i] = m
    const length = endOf(c, i) - c.start[i]!
    m.count++
    m.total += length
    m.self += c.self[i]!
    m.flags |= c.flags[i]!
    if (length > m.longest) {
      m.longest = length
      m.example = i
    }
  }
  for (const m of top.kids.values()) top.total += m.total
  top.width = top.total
  const boxes: FlameNode[] = []
  let depth = 0
  const todo: Merged[] = [top]
  for (let m = todo.pop(); m; m = todo.pop()) {
    let sum = 0
    for (const kid of m.kids.values()) sum += kid.total
    const scale = sum > m.width && sum > 0 ? m.width / sum : 1
    let x = m.x
    for (const kid of [...m.kids.values()].sort((a, b) => b.total - a.total)) {
      kid.x = x
      kid.width = kid.total * scale
      x += kid.width
      depth = Math.max(depth, kid.depth + 1)
      boxes.push(kid)
      todo.push(kid)
    }
  }
  return { boxes, total: top.total, depth, of }
}
