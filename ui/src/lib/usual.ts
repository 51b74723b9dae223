// A trace held against the usual ones of the same entry point.

import { endOf, FAILED, FLAG, type Columns } from './trace'
import { ROW, type TraceRow } from './summary'

/** A path of a URL without what differs from request to request: "/orders/…/lines". */
export function route(url: string): string {
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1] ?? url.replace(/[?#].*$/, '')
  return (path || '/')
    .split('/')
    .map((part) => (/\d/.test(part) && !/^v\d{1,2}$/.test(part) ? '…' : part))
    .join('/')
}

/** The traces to compare with: of the same entry point, method and route, complete, and well if enough of them are. */
export function peers(rows: readonly TraceRow[], of: { id: string; entry: string; method: string; url: string }): { rows: TraceRow[]; route: string } {
  const same = rows.filter((r) => r.id !== of.id && r.entry === of.entry && r.method === of.method && !(r.flags & ROW.inProgress) && !Number.isNaN(r.duration))
  const path = route(of.url)
  const near = same.filter((r) => route(r.url) === path)
  const chosen = near.length >= LEAST || near.length === same.length ? near : same
  const well = chosen.filter((r) => !(r.flags & (ROW.fault | ROW.error | ROW.throttle)))
  return { rows: well.length >= LEAST ? well : chosen, route: chosen === near ? path : '' }
}

const LEAST = 5

/** Up to `most` of a list, evenly spread. */
export function spread<T>(list: readonly T[], most: number): T[] {
  if (list.length <= most) return [...list]
  return Array.from({ length: most }, (_, k) => list[Math.floor((k * list.length) / most)]!)
}

/** A quantile of sorted numbers, between neighbours in proportion. */
export function quantile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return NaN
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  return sorted[low]! + ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!) * (at - low)
}

export interface UsualRow {
  path: string
  name: string
  depth: number
  service: string
  /** The first of them in the trace at hand, -1 when it has none. */
  index: number
  count: number
  seconds: number
  self: number
  failed: boolean
  /** In how many of the others it is. */
  seen: number
  /** Of those that have it: how often, and how many seconds together. */
  usualCount: number
  low: number
  median: number
  high: number
  usualSelf: number
}

interface Sum {
  name: string
  service: string
  depth: number
  parent: string
  index: number
  count: number
  seconds: number
  self: number
  failed: boolean
}

/** Adds up entities with the same path of names. */
function sums(c: Columns): Map<string, Sum> {
  const out = new Map<string, Sum>()
  const pathOf = new Array<string>(c.n)
  for (let i = 0; i < c.n; i++) {
    const p = c.parent[i]!
    if (c.flags[i]! & FLAG.inferred && p >= 0) {
      pathOf[i] = pathOf[p]!
      continue
    }
    const service = c.services[c.service[i]!]!.name
    const name = c.texts[c.name[i]!]!
    const path = `${p >= 0 ? pathOf[p] : ''}\u0000${name}\n${service}`
    pathOf[i] = path
    let s = out.get(path)
    if (!s) {
      if (out.size >= MOST_PATHS) continue
      out.set(path, (s = { name, service, depth: Math.min(c.depth[i]!, 300), parent: p >= 0 ? pathOf[p]! : '', index: i, count: 0, seconds: 0, self: 0, failed: false }))
    }
    s.count++
    s.seconds += endOf(c, i) - c.start[i]!
    s.self += c.self[i]!
    s.failed ||= (c.flags[i]! & FAILED) !== 0
  }
  return out
}

const MOST_PATHS = 5000

/** Compares a trace with others path by path, in the order of a waterfall. What half of them have and it has not is there, too. */
export function usual(c: Columns, others: readonly Columns[]): UsualRow[] {
  const mine = sums(c)
  const theirs = new Map<string, Sum[]>()
  for (const o of others) {
    for (const [path, s] of sums(o)) {
      const list = theirs.get(path)
      if (list) list.push(s)
      else theirs.set(path, [s])
    }
  }
  const row = (path: string, s: Sum, here: boolean): UsualRow => {
    const list = theirs.get(path) ?? []
    const seconds = list.map((o) => o.seconds).sort((a, b) => a - b)
    const of = (pick: (o: Sum) => number) => quantile(list.map(pick).sort((a, b) => a - b), 0.5)
    return {
      path, name: s.name, depth: s.depth, service: s.service, index: here ? s.index : -1,
      count: here ? s.count : 0, seconds: here ? s.seconds : 0, self: here ? s.self : 0, failed: here && s.failed,
      seen: list.length, usualCount: of((o) => o.count), low: quantile(seconds, 0.1), median: quantile(seconds, 0.5), high: quantile(seconds, 0.9), usualSelf: of((o) => o.self),
    }
  }
  const kids = new Map<string, UsualRow[]>()
  const put = (parent: string, r: UsualRow) => {
    const list = kids.get(parent)
    if (list) list.push(r)
    else kids.set(parent, [r])
  }
  for (const [path, s] of mine) put(s.parent, row(path, s, true))
  for (const [path, list] of theirs) if (!mine.has(path) && list.length * 2 >= others.length) put(list[0]!.parent, row(path, list[0]!, false))
  const out: UsualRow[] = []
  const todo = [...(kids.get('') ?? [])].reverse()
  for (let r = todo.pop(); r; r = todo.pop()) {
    out.push(r)
    todo.push(...[...(kids.get(r.path) ?? [])].reverse())
  }
  return out
}

/** What is unusual about a row, in a word; "" when it is as always. */
export function oddity(r: UsualRow, others: number): 'new' | 'missing' | 'slow' | 'fast' | 'often' | '' {
  if (others === 0) return ''
  if (r.count === 0) return 'missing'
  if (r.seen === 0) return 'new'
  if (r.count > 2 * r.usualCount && r.count - r.usualCount >= 3) return 'often'
  if (r.seconds > r.high && r.seconds > 1.5 * r.median && r.seconds - r.median > 0.001) return 'slow'
  if (r.seconds < r.low && r.seconds < r.median / 2 && r.median - r.seconds > 0.001) return 'fast'
  return ''
}
