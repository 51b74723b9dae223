// The service graph as the map shows it.

import type { GraphEdge, GraphService, HistogramEntry, ServiceGraph, Statistics } from './api'

export interface MapNode {
  key: string
  name: string
  type: string
  kind: Kind
  state: string
  root: boolean
  account: string
  statistics: Figures
  histogram: HistogramEntry[]
  /** More than one service, shown as one. */
  members?: MapNode[]
  /** Of a cluster: the node that it lies behind. */
  behind?: string
  /** Of a cluster: those that call its members from outside. */
  clients?: MapNode[]
  /** The key of the node that it is drawn at, as a mark. */
  on?: string
}

export interface MapEdge {
  key: string
  from: string
  to: string
  aliases: string[]
  statistics: Figures
  histogram: HistogramEntry[]
}

export interface Figures {
  total: number
  ok: number
  error: number
  fault: number
  throttle: number
  seconds: number
}

export type Kind = 'client' | 'service' | 'function' | 'database' | 'table' | 'queue' | 'topic' | 'bucket' | 'remote' | 'aws' | 'cluster'

export function figures(s: Statistics | null | undefined): Figures {
  if (!s) return { total: 0, ok: 0, error: 0, fault: 0, throttle: 0, seconds: 0 }
  return { total: s.TotalCount, ok: s.OkCount, error: s.ErrorStatistics.OtherCount, fault: s.FaultStatistics.TotalCount, throttle: s.ErrorStatistics.ThrottleCount, seconds: s.TotalResponseTime }
}

export function addFigures(a: Figures, b: Figures): Figures {
  return { total: a.total + b.total, ok: a.ok + b.ok, error: a.error + b.error, fault: a.fault + b.fault, throttle: a.throttle + b.throttle, seconds: a.seconds + b.seconds }
}

export function failing(f: Figures): number {
  return f.total > 0 ? (f.error + f.fault + f.throttle) / f.total : 0
}

/** The worst that is worth a colour: less than one in a hundred is none. */
export function health(f: Figures): 'none' | 'ok' | 'error' | 'fault' | 'throttle' {
  if (f.total === 0) return 'none'
  if (f.fault / f.total >= 0.01) return 'fault'
  if (f.throttle / f.total >= 0.01) return 'throttle'
  if (f.error / f.total >= 0.01) return 'error'
  return 'ok'
}

/** The ways to fail, the worst first, each with the word that it is told by. */
export const FAILURES = [
  ['fault', 'faults'],
  ['throttle', 'throttled'],
  ['error', 'errors'],
] as const

export type Failure = (typeof FAILURES)[number][0]

/** What a part of calls that failed is coloured by: as the ring, and where that is too rare for a ring, by what there is most of. */
export function failedAs(f: Figures): Failure | null {
  const h = health(f)
  if (h !== 'none' && h !== 'ok') return h
  const most = FAILURES.map(([key]) => key).reduce((a, b) => (f[b] > f[a] ? b : a))
  return f[most] > 0 ? most : null
}

/** How calls failed, in words: "errors, faults", what there is most of first. */
export function failedWords(f: Figures): string {
  return FAILURES.filter(([key]) => f[key] > 0)
    .sort((a, b) => f[b[0]] - f[a[0]])
    .map(([, word]) => word)
    .join(', ')
}

/** What a node is called: those who call from outside have the name of what they call. */
export function nodeName(n: MapNode): string {
  return n.kind === 'client' ? `Clients of ${shortName(n.name)}` : n.name
}

export function kindOf(type: string | null, state: string): Kind {
  const t = type ?? ''
  if (t === 'client') return 'client'
  if (t === 'remote') return 'remote'
  if (/Lambda/.test(t)) return 'function'
  if (/DynamoDB|::Table/.test(t)) return 'table'
  if (/Database|RDS|SQL|Redshift|Aurora/i.test(t)) return 'database'
  if (/SQS|Queue|Kinesis/i.test(t)) return 'queue'
  if (/SNS|Topic|Events/i.test(t)) return 'topic'
  if (/S3|Bucket/i.test(t)) return 'bucket'
  if (state === 'active') return 'service'
  return t.startsWith('AWS::') ? 'aws' : 'remote'
}

/** A name short enough to show: of a queue's address or an ARN the last part. */
export function shortName(name: string): string {
  if (/^https?:\/\/sqs[.-]/.test(name)) return name.replace(/^.*\//, '')
  if (/^arn:[^:]*:/.test(name)) return name.replace(/^.*[:/]/, '') || name
  return name
}

/** What a type is called on the map: "AWS::ECS::Fargate" is "ECS Fargate". */
export function shortType(type: string): string {
  return type.replace(/^AWS::/, '').replace(/::/g, ' ')
}

export function keyOf(s: { Name: string; Type: string | null; AccountId?: string | null }): string {
  return [s.Name, s.Type ?? '', s.AccountId ?? ''].join('|')
}

export function toMap(graph: ServiceGraph): { nodes: MapNode[]; edges: MapEdge[] } {
  const byRef = new Map<number, GraphService>(graph.Services.map((s) => [s.ReferenceId, s]))
  const nodes: MapNode[] = []
  const edges: MapEdge[] = []
  for (const s of graph.Services) {
    let f = figures(s.SummaryStatistics)
    // A client has no numbers of its own: those of its calls are what it sees.
    if (s.Type === 'client') f = s.Edges.map((e: GraphEdge) => figures(e.SummaryStatistics)).reduce(addFigures, figures(null))
    nodes.push({
      key: keyOf(s),
      name: s.Name,
      type: s.Type ?? '',
      kind: kindOf(s.Type, s.State),
      state: s.State,
      root: s.Root === true,
      account: s.AccountId ?? '',
      statistics: f,
      histogram: s.ResponseTimeHistogram ?? [],
    })
    for (const e of s.Edges) {
      const target = byRef.get(e.ReferenceId)
      if (!target) continue
      edges.push({
        key: `${keyOf(s)}>${keyOf(target)}`,
        from: keyOf(s),
        to: keyOf(target),
        aliases: e.Aliases.flatMap((a) => a.Names),
        statistics: figures(e.SummaryStatistics),
        histogram: e.ResponseTimeHistogram ?? [],
      })
    }
  }
  return { nodes, edges }
}

/** The nodes within so many steps of one, in either direction. */
export function neighbours(edges: readonly MapEdge[], from: string, steps: number): Set<string> {
  const next = new Map<string, string[]>()
  const link = (a: string, b: string) => {
    const list = next.get(a)
    if (list) list.push(b)
    else next.set(a, [b])
  }
  for (const e of edges) {
    link(e.from, e.to)
    link(e.to, e.from)
  }
  const seen = new Set([from])
  let edge = [from]
  for (let k = 0; k < steps; k++) {
    const more: string[] = []
    for (const a of edge)
      for (const b of next.get(a) ?? [])
        if (!seen.has(b)) {
          seen.add(b)
          more.push(b)
        }
    edge = more
  }
  return seen
}
