// Lays the service graph out in layers, from callers to callees, away from the page.

import * as dagre from '@dagrejs/dagre'
import { LARGE, layered, type Layout, type LayoutQuestion } from '../lib/layout'

/** So many times as high as it is wide is too high. */
const TOWER = 2.5

function layout(q: LayoutQuestion): Layout {
  if (q.nodes.length > LARGE || q.direction === 'TB') return layered(q) // dagre makes rows that are far wider than a tall window
  const g = new dagre.graphlib.Graph({ multigraph: false })
  g.setGraph({ rankdir: q.direction, nodesep: 12, ranksep: 104, edgesep: 5, marginx: 24, marginy: 24, ranker: 'network-simplex' })
  g.setDefaultEdgeLabel(() => ({}))
  // The same graph has to come out the same, whatever the order of the answer.
  for (const n of [...q.nodes].sort((a, b) => (a.key < b.key ? -1 : 1))) g.setNode(n.key, { width: n.width, height: n.height })
  for (const e of [...q.edges].sort((a, b) => (a.from + a.to < b.from + b.to ? -1 : 1))) if (e.from !== e.to) g.setEdge(e.from, e.to, { weight: e.weight })
  dagre.layout(g)
  const out: Layout = { width: 0, height: 0, nodes: {}, edges: {} }
  const size = g.graph() as { width?: number; height?: number }
  out.width = size.width ?? 0
  out.height = size.height ?? 0
  for (const key of g.nodes()) {
    const n = g.node(key) as { x: number; y: number }
    out.nodes[key] = { x: n.x, y: n.y }
  }
  for (const e of g.edges()) out.edges[`${e.v}>${e.w}`] = (g.edge(e) as { points: { x: number; y: number }[] }).points
  // Many who call few make a tower that nobody can read: there layers are broken into columns.
  if (out.height > TOWER * out.width) {
    const broken = layered(q)
    if (broken.height < out.height) return broken
  }
  return out
}

self.onmessage = (event: MessageEvent<{ id: number; question: LayoutQuestion }>) => {
  const { id, question } = event.data
  try {
    self.postMessage({ id, value: layout(question) })
  } catch (error) {
    self.postMessage({ id, error: { message: `the map could not be laid out: ${(error as Error).message}`, status: 0 } })
  }
}
