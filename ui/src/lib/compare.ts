// Lays traces beside each other by the paths of names of what they hold.

import { findTraceID } from './ids'
import { route } from './usual'
import { endOf, FAILED, FLAG, mainRoot, type Columns } from './trace'

/** What several traces have at one path. Lists have a place for each trace. */
export interface Step {
  path: string
  name: string
  service: string
  /** What it is about, when that is the same wherever it occurs; else "". */
  detail: string
  depth: number
  colour: number
  up: Step | null
  /** How often each has it; 0: it is missing there. */
  counts: number[]
  seconds: number[]
  self: number[]
  /** Marks of all entries together. */
  flags: number[]
}

interface Node extends Step {
  kids: Map<string, Node>
}

/** Aligns traces, in the order of a waterfall: steps of the first as it has them, behind them those of the others. */
export function align(traces: readonly Columns[]): Step[] {
  const zeros = () => new Array<number>(traces.length).fill(0)
  const node = (name: string, service: string, detail: string, parent: Node | null, colour: number): Node => ({
    path: parent ? `${parent.path}\u0000${name}\n${service}` : '', name, service, detail, depth: parent ? parent.depth + 1 : -1, colour, up: parent && parent.depth >= 0 ? parent : null,
    counts: zeros(), seconds: zeros(), self: zeros(), flags: zeros(), kids: new Map(),
  })
  const top = node('', '', '', null, 8)
  const colours = new Map<string, number>()
  for (const s of traces[0]?.services ?? []) colours.set(s.name, s.colour)
  traces.forEach((c, k) => {
    const of = new Array<Node | null>(c.n).fill(null)
    for (let i = 0; i < c.n; i++) {
      if (c.flags[i]! & FLAG.inferred && c.parent[i]! >= 0) continue
      const parent = c.parent[i]! >= 0 ? of[c.parent[i]!] : top
      if (!parent || parent.depth > 300) continue
      const name = c.texts[c.name[i]!]!
      const detail = c.texts[c.detail[i]!] ?? ''
      const service = c.services[c.service[i]!]!
      const key = `${name}\n${service.name}`
      let n = parent.kids.get(key)
      if (!n) {
        n = node(name, service.name, detail, parent, colours.get(service.name) ?? service.colour)
        parent.kids.set(key, n)
      } else if (n.detail !== detail) n.detail = ''
      of[i] = n
      n.counts[k]!++
      n.seconds[k]! += endOf(c, i) - c.start[i]!
      n.self[k]! += c.self[i]!
      n.flags[k]! |= c.flags[i]!
    }
  })
  const out: Step[] = []
  const todo: Node[] = [...top.kids.values()].reverse()
  for (let n = todo.pop(); n; n = todo.pop()) {
    out.push(n)
    todo.push(...[...n.kids.values()].reverse())
  }
  return out
}

export interface Difference {
  path: string
  name: string
  depth: number
  colour: number
  countA: number
  countB: number
  secondsA: number
  secondsB: number
  selfA: number
  selfB: number
  failedA: boolean
  failedB: boolean
}

/** Two traces, aligned. */
export function compare(a: Columns, b: Columns): Difference[] {
  return align([a, b]).map((s) => ({
    path: s.path, name: s.name, depth: s.depth, colour: s.colour,
    countA: s.counts[0]!, countB: s.counts[1]!, secondsA: s.seconds[0]!, secondsB: s.seconds[1]!, selfA: s.self[0]!, selfB: s.self[1]!,
    failedA: (s.flags[0]! & FAILED) !== 0, failedB: (s.flags[1]! & FAILED) !== 0,
  }))
}

/** What a trace began with: its root, and what that was asked for, whichever item of it. */
export function beganWith(c: Columns): string {
  const root = mainRoot(c)
  return [root >= 0 ? c.texts[c.name[root]!]! : '', c.entry?.method ?? '', c.entry?.url ? route(c.entry.url) : ''].filter(Boolean).join(' ')
}

/** The entry points of traces, when they are not of one kind: then there is little to lay beside each other. */
export function entryPoints(traces: readonly Columns[]): string[] {
  const found = [...new Set(traces.filter((c) => c.n > 0).map(beganWith))]
  return found.length > 1 ? found : []
}

/** Seconds between the longest and the shortest; what is missing takes none. */
export function spread(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values)
}

/** Is a step not the same everywhere: more or less often, failed or not, or more than a twentieth longer? */
export function differs(s: Step, values: readonly number[] = s.seconds): boolean {
  return s.counts.some((n) => n !== s.counts[0]) || s.flags.some((f) => (f & FAILED) !== (s.flags[0]! & FAILED)) || spread(values) > 0.05 * Math.max(...values)
}

/** The names above a step, from the top down. */
export function above(s: Step): string[] {
  const out: string[] = []
  for (let up = s.up; up; up = up.up) out.push(up.name)
  return out.reverse()
}

/** Reads the ids of a list of traces: whatever has an id in it counts, each once. */
export function traceList(text: string): { ids: string[]; wrong: string[] } {
  const ids = new Set<string>()
  const wrong: string[] = []
  for (const part of text.split(/[\s,]+/)) {
    const id = findTraceID(part)
    if (id) ids.add(id)
    else if (part) wrong.push(part)
  }
  return { ids: [...ids], wrong }
}

/** A list with one of it at another place. */
export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const out = [...list]
  out.splice(to, 0, ...out.splice(from, 1))
  return out
}
