// Several nodes of the map as one, where there are too many to see: what one caller alone
// calls, what has something in common, and what lies behind the nodes that are seen first.

import { addFigures, figures, shortType, type MapEdge, type MapNode } from './graph'
import { merge } from './histogram'

export interface Graph {
  nodes: MapNode[]
  edges: MapEdge[]
}

/** Ways to put nodes together, as the address says them; "" chooses by itself. */
export const CLUSTERINGS = ['', 'account', 'type', 'name', 'group', 'none'] as const
export type Clustering = (typeof CLUSTERINGS)[number]

/** Maps with more nodes are put together without being asked to. */
export const CLUSTER_FROM = 120

/** So many nodes of a large map are seen before those behind them. */
const FIRST = 120

/** So many nodes of clients have cards of their own. Where there are more, each that calls one service alone is a mark at it. */
export const MOST_CLIENTS = 6

/** A graph without the clients that call one service alone, and those clients by their keys. */
function withoutClients(g: Graph): { rest: Graph; clients: Map<string, { node: MapNode; edge: MapEdge }> } {
  const calls = new Map<string, MapEdge[]>()
  for (const n of g.nodes) if (n.kind === 'client') calls.set(n.key, [])
  for (const e of g.edges) calls.get(e.from)?.push(e)
  const clients = new Map<string, { node: MapNode; edge: MapEdge }>()
  for (const n of g.nodes) {
    const list = calls.get(n.key)
    if (list?.length === 1) clients.set(n.key, { node: n, edge: list[0]! })
  }
  if (clients.size <= MOST_CLIENTS) return { rest: g, clients: new Map() }
  return { rest: { nodes: g.nodes.filter((n) => !clients.has(n.key)), edges: g.edges.filter((e) => !clients.has(e.from)) }, clients }
}

/** Puts clients back: as marks at what they call, or into the cluster that it is in. */
function withClients(g: Graph, clients: ReadonlyMap<string, { node: MapNode; edge: MapEdge }>): Graph {
  if (clients.size === 0) return g
  const inside = new Map<string, MapNode>()
  const nodes = g.nodes.map((n) => (n.members ? { ...n, clients: [] as MapNode[] } : n))
  for (const n of nodes) for (const m of n.members ?? []) inside.set(m.key, n)
  const marks: MapNode[] = []
  const edges: MapEdge[] = []
  for (const { node, edge } of clients.values()) {
    const of = inside.get(edge.to)
    if (of) of.clients!.push(node)
    else {
      marks.push({ ...node, on: edge.to })
      edges.push(edge)
    }
  }
  return { nodes: [...nodes, ...marks], edges: [...g.edges, ...edges] }
}

/** Replaces nodes by what `into` says they are part of. Edges inside of a cluster vanish. */
function collapse(g: Graph, into: ReadonlyMap<string, string>, make: (key: string, members: MapNode[]) => MapNode): Graph {
  if (into.size === 0) return g
  const members = new Map<string, MapNode[]>()
  const kept: MapNode[] = []
  for (const n of g.nodes) {
    const key = into.get(n.key)
    if (key === undefined) {
      kept.push(n)
      continue
    }
    const list = members.get(key)
    // What is inside of a cluster that becomes part of another counts by itself.
    if (list) list.push(...(n.members ?? [n]))
    else members.set(key, [...(n.members ?? [n])])
  }
  const edges = new Map<string, { edge: MapEdge; histograms: MapEdge['histogram'][]; aliases: Set<string> | null }>()
  for (const e of g.edges) {
    const from = into.get(e.from) ?? e.from
    const to = into.get(e.to) ?? e.to
    if (from === to && (from !== e.from || to !== e.to)) continue
    const key = from === e.from && to === e.to ? e.key : `${from}>${to}`
    const old = edges.get(key)
    if (old) {
      old.edge.statistics = addFigures(old.edge.statistics, e.statistics)
      old.histograms.push(e.histogram)
      old.aliases ??= new Set(old.edge.aliases)
      for (const a of e.aliases) old.aliases.add(a)
    } else edges.set(key, { edge: { ...e, key, from, to }, histograms: [e.histogram], aliases: null })
  }
  return {
    nodes: [...kept, ...[...members].map(([key, list]) => make(key, list))],
    edges: [...edges.values()].map(({ edge, histograms, aliases }) => ({ ...edge, ...(histograms.length > 1 ? { histogram: merge(histograms) } : {}), ...(aliases ? { aliases: [...aliases] } : {}) })),
  }
}

function clusterNode(key: string, name: string, members: MapNode[]): MapNode {
  const types = new Set(members.map((m) => m.type))
  const accounts = new Set(members.map((m) => m.account))
  return {
    key,
    name,
    type: types.size === 1 ? members[0]!.type : '',
    kind: 'cluster',
    state: 'active',
    root: members.some((m) => m.root),
    account: accounts.size === 1 ? members[0]!.account : '',
    statistics: members.map((m) => m.statistics).reduce(addFigures, figures(null)),
    histogram: merge(members.map((m) => m.histogram)),
    members,
  }
}

/**
 * Puts nodes that one and the same caller alone calls, and that are of one kind and call
 * nothing themselves, into one: twenty tables of a service are one pile. Keys in `open`
 * stay apart.
 */
export function piles(g: Graph, least: number, open: ReadonlySet<string>): Graph {
  const callers = new Map<string, Set<string>>()
  const calls = new Set<string>()
  for (const e of g.edges) {
    const list = callers.get(e.to)
    if (list) list.add(e.from)
    else callers.set(e.to, new Set([e.from]))
    calls.add(e.from)
  }
  const found = new Map<string, MapNode[]>()
  for (const n of g.nodes) {
    const by = callers.get(n.key)
    if (by?.size !== 1 || calls.has(n.key) || n.kind === 'service' || n.kind === 'client') continue
    const key = `pile|${[...by][0]!}|${n.kind}`
    const list = found.get(key)
    if (list) list.push(n)
    else found.set(key, [n])
  }
  const into = new Map<string, string>()
  for (const [key, members] of found) if (members.length >= least && !open.has(key)) for (const m of members) into.set(m.key, key)
  return collapse(g, into, (key, members) => clusterNode(key, `${members.length} × ${members[0]!.kind}`, members))
}

/** The part of a name that names of one family share: up to its first point, slash, colon or hyphen. */
export function family(name: string): string {
  const match = /^([^\s./:_-]{2,})[./:_-]/.exec(name.replace(/^(https?:\/\/|arn:[^:]*:)/, ''))
  return match ? match[1]!.toLowerCase() : ''
}

/**
 * Puts nodes with the same label together; those without one, and labels that only one node
 * has, stay as they are.
 */
export function byLabel(g: Graph, what: string, labelOf: (n: MapNode) => string, open: ReadonlySet<string>): Graph {
  const counts = new Map<string, number>()
  const labels = new Map<string, string>()
  for (const n of g.nodes) {
    const label = n.kind === 'client' ? '' : labelOf(n)
    if (!label) continue
    labels.set(n.key, label)
    counts.set(label, (counts.get(label) ?? 0) + 1)
  }
  const into = new Map<string, string>()
  for (const [key, label] of labels) if (counts.get(label)! > 1 && !open.has(`${what}|${label}`)) into.set(key, `${what}|${label}`)
  return collapse(g, into, (key, members) => clusterNode(key, what === 'type' ? shortType(key.slice(5)) : key.slice(what.length + 1), members))
}

/**
 * Shows the first `most` nodes as seen from the callers, level by level and the busy ones first;
 * all others are put into one for the seen node that leads to them. What is in
 * `open` shows the next ones behind it, and `reveal` is seen with all that leads to it.
 */
export function unfold(g: Graph, most: number, open: ReadonlySet<string>, reveal = ''): Graph {
  if (g.nodes.length <= most) return g
  const byKey = new Map(g.nodes.map((n) => [n.key, n]))
  const calls = new Map<string, MapNode[]>()
  const called = new Set<string>()
  for (const e of g.edges) {
    const to = byKey.get(e.to)
    if (!to || e.from === e.to) continue
    const list = calls.get(e.from)
    if (list) list.push(to)
    else calls.set(e.from, [to])
    called.add(e.to)
  }
  const busy = (a: MapNode, b: MapNode) => b.statistics.total - a.statistics.total || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
  const parent = new Map<string, string>()
  const children = new Map<string, string[]>()
  const order: MapNode[] = []
  const walk = (first: MapNode[]) => {
    let level = first.filter((n) => !parent.has(n.key))
    for (const n of level) parent.set(n.key, '')
    while (level.length > 0) {
      level.sort(busy)
      order.push(...level)
      const next: MapNode[] = []
      for (const n of level)
        for (const c of calls.get(n.key) ?? []) {
          if (parent.has(c.key)) continue
          parent.set(c.key, n.key)
          const list = children.get(n.key)
          if (list) list.push(c.key)
          else children.set(n.key, [c.key])
          next.push(c)
        }
      level = next
    }
  }
  walk(g.nodes.filter((n) => !called.has(n.key)))
  // Of what is left all are in or behind cycles: the busiest goes first.
  for (const n of g.nodes.filter((n) => !parent.has(n.key)).sort(busy)) if (!parent.has(n.key)) walk([n])

  const seen = new Set(order.slice(0, most).map((n) => n.key))
  for (const key of open) {
    if (!key.startsWith('behind|')) continue
    const anchor = key.slice(7)
    const next = anchor === '' ? order.filter((n) => parent.get(n.key) === '' && !seen.has(n.key)).map((n) => n.key) : (children.get(anchor) ?? [])
    for (const child of next.filter((c) => !seen.has(c)).sort((a, b) => busy(byKey.get(a)!, byKey.get(b)!)).slice(0, most)) seen.add(child)
  }
  for (let key = reveal; key && byKey.has(key); key = parent.get(key) ?? '') seen.add(key)
  const anchors = new Map<string, string>()
  const into = new Map<string, string>()
  for (const n of order) {
    if (seen.has(n.key)) {
      anchors.set(n.key, n.key)
      continue
    }
    const anchor = anchors.get(parent.get(n.key) ?? '') ?? ''
    anchors.set(n.key, anchor)
    into.set(n.key, `behind|${anchor}`)
  }
  // One alone needs no more room than the pile that it would be in.
  const sizes = new Map<string, number>()
  for (const key of into.values()) sizes.set(key, (sizes.get(key) ?? 0) + 1)
  for (const [node, key] of into) if (sizes.get(key) === 1) into.delete(node)
  return collapse(g, into, (key, members) => {
    if (key === 'behind|') return clusterNode(key, `${members.length} more`, members)
    const behind = byKey.get(key.slice(7))!.name
    return { ...clusterNode(key, `${members.length} behind ${behind}`, members), behind }
  })
}

/** Puts a graph together in the way that was asked for, or in one that leaves few enough nodes. */
export function cluster(g: Graph, by: Clustering, open: ReadonlySet<string>, reveal = '', groups: ReadonlyMap<string, string> = new Map()): Graph {
  const { rest, clients } = withoutClients(g)
  return withClients(together(rest, by, open, clients.get(reveal)?.edge.to ?? reveal, groups), clients)
}

function together(g: Graph, by: Clustering, open: ReadonlySet<string>, reveal: string, groups: ReadonlyMap<string, string>): Graph {
  if (by === 'none') return g
  if (by === '') return g.nodes.length <= CLUSTER_FROM ? g : unfold(piles(g, 3, open), FIRST, open, reveal)
  const labels: Record<Exclude<Clustering, '' | 'none'>, (n: MapNode) => string> = {
    account: (n) => n.account,
    type: (n) => n.type,
    name: (n) => family(n.name),
    group: (n) => groups.get(n.key) ?? '',
  }
  return unfold(byLabel(g, by, labels[by], open), 2 * CLUSTER_FROM, open, reveal)
}

/** The cluster that a node is in; undefined when it stands alone or is none. */
export function clusterOf(g: Graph, key: string): MapNode | undefined {
  return g.nodes.find((n) => n.members?.some((m) => m.key === key) || n.clients?.some((m) => m.key === key))
}

/** What an open cluster is called, for whoever wants to close it. */
export function openName(key: string): string {
  const parts = key.split('|')
  if (parts[0] === 'pile') return `${parts[parts.length - 1]}s of ${parts[1]}`
  if (parts[0] === 'behind') return parts[1] ? `behind ${parts[1]}` : 'more'
  return parts[0] === 'type' ? shortType(key.slice(5)) : key.slice(parts[0]!.length + 1)
}
