import { describe, expect, test } from 'vitest'
import { byLabel, cluster, clusterOf, family, openName, piles, unfold, type Graph } from './cluster'
import { csv } from './csv'
import { failedAs, failedWords, type MapEdge, type MapNode } from './graph'
import { bounds, extend, layered, MOST_PINS, pin, pinned, pinName, readPins, writePins, type Layout, type LayoutQuestion } from './layout'
import { line, panInto, pathOf, placesOn, Room, withoutMiddle } from './mapline'
import { earlier } from './window'
import { tracesCSV } from '../pages/traces/rows'

const question = (edges: string[], more: string[] = []): LayoutQuestion => {
  const pairs = edges.map((e) => e.split('>') as [string, string])
  const keys = [...new Set([...pairs.flat(), ...more])]
  return { nodes: keys.map((key) => ({ key, width: 100, height: 50 })), edges: pairs.map(([from, to]) => ({ from, to, weight: 1 })), direction: 'LR' }
}

/** Pairs of nodes whose cards lie on each other. */
function overlaps(l: Layout): string[] {
  const list = Object.entries(l.nodes)
  const out: string[] = []
  for (let a = 0; a < list.length; a++)
    for (let b = a + 1; b < list.length; b++) if (Math.abs(list[a]![1].x - list[b]![1].x) < 100 && Math.abs(list[a]![1].y - list[b]![1].y) < 50) out.push(`${list[a]![0]} ${list[b]![0]}`)
  return out
}

/** Columns from left to right, each from top to bottom. */
function columns(l: Layout): string[][] {
  const xs = [...new Set(Object.values(l.nodes).map((p) => p.x))].sort((a, b) => a - b)
  return xs.map((x) => Object.keys(l.nodes).filter((k) => l.nodes[k]!.x === x).sort((a, b) => l.nodes[a]!.y - l.nodes[b]!.y))
}

describe('the layout of large graphs', () => {
  test('has callers left of callees, and a node behind its last caller', () => {
    expect(columns(layered(question(['a>b', 'b>c', 'a>c', 'c>d'])))).toEqual([['a'], ['b'], ['c'], ['d']])
  })
  test('cuts cycles where they close', () => {
    expect(columns(layered(question(['in>a', 'a>b', 'b>c', 'c>a'])))).toEqual([['in'], ['a'], ['b'], ['c']])
    expect(columns(layered(question(['a>b', 'b>a', 'a>a'])))).toEqual([['a'], ['b']])
  })
  test('orders a layer by its callers, so that edges do not cross', () => {
    expect(columns(layered(question(['r>a', 'r>b', 'r>c', 'a>z', 'b>y', 'c>x'])))).toEqual([['r'], ['a', 'b', 'c'], ['z', 'y', 'x']])
  })
  test('has those that nobody calls right before the first that they call', () => {
    expect(columns(layered(question(['a>b', 'b>c', 'late>c', 'both>b', 'both>c'])))).toEqual([['a', 'both'], ['b', 'late'], ['c']])
  })
  test('does not depend on the order of the answer', () => {
    const q = question(['a>b', 'a>c', 'b>d', 'c>d', 'd>e', 'a>f', 'f>e'], ['lonely'])
    const back = { ...q, nodes: [...q.nodes].reverse(), edges: [...q.edges].reverse() }
    expect(layered(back)).toEqual(layered(q))
  })
  test('takes nothing and one', () => {
    expect(layered(question([]))).toMatchObject({ width: 0, nodes: {} })
    expect(layered(question([], ['a']))).toEqual({ width: 148, height: 98, nodes: { a: { x: 74, y: 49 } }, edges: {} })
  })
  test('breaks tall layers into columns, and nothing overlaps', () => {
    const l = layered(question(Array.from({ length: 600 }, (_, k) => `root>n${k}`)))
    expect(overlaps(l)).toEqual([])
    expect(l.width / l.height).toBeGreaterThan(0.8)
    expect(l.width / l.height).toBeLessThan(3)
    expect(Object.values(l.nodes).every((p) => p.x <= l.width - 50 && p.y <= l.height - 25 && p.x >= 50 && p.y >= 25)).toBe(true)
  })
  test('lays ten thousand nodes out while one waits', () => {
    const q = question(Array.from({ length: 20_000 }, (_, k) => `n${(k * 7919) % 10_000}>n${(k * 104_729 + 13) % 10_000}`))
    const began = performance.now()
    const l = layered(q)
    expect(Object.keys(l.nodes)).toHaveLength(10_000)
    expect(performance.now() - began).toBeLessThan(5000) // some 100 ms on a machine that has time
  })
  test('goes as deep as a chain is long', () => {
    const l = layered(question(Array.from({ length: 9999 }, (_, k) => `n${k}>n${k + 1}`)))
    expect(l.nodes.n9999!.x).toBeGreaterThan(l.nodes.n9998!.x)
  })
})

describe('the layout for a tall window', () => {
  const tall = (edges: string[]): LayoutQuestion => ({ ...question(edges), direction: 'TB' })
  test('has callers above callees, in rows that make it tall, and nothing overlaps', () => {
    const q = tall(['root>mid', ...Array.from({ length: 40 }, (_, k) => `mid>n${k}`)])
    const l = layered(q)
    expect(l.nodes.root!.y).toBeLessThan(l.nodes.mid!.y)
    for (let k = 0; k < 40; k++) expect(l.nodes[`n${k}`]!.y).toBeGreaterThan(l.nodes.mid!.y)
    expect(overlaps(l)).toEqual([])
    expect(l.width).toBeLessThan(l.height)
    expect(layered({ ...q, nodes: [...q.nodes].reverse(), edges: [...q.edges].reverse() })).toEqual(l)
  })
  test('puts what is new below its callers, and moves nothing', () => {
    const old = layered(tall(['a>b', 'a>c']))
    const l = extend(old, tall(['a>b', 'a>c', 'c>new']))
    for (const key of ['a', 'b', 'c']) expect(l.nodes[key]).toEqual(old.nodes[key])
    expect(l.nodes.new!.y).toBeGreaterThan(l.nodes.c!.y)
    expect(overlaps(l)).toEqual([])
  })
})

describe('lines and labels', () => {
  const card = { width: 100, height: 50 }
  test('leave and arrive at the sides that callers and callees turn to each other', () => {
    expect(pathOf(line({ x: 0, y: 0 }, { x: 300, y: 80 }, [], card, 'LR'))).toMatch(/^M50 0 C.* 248 80$/)
    expect(pathOf(line({ x: 0, y: 0 }, { x: 80, y: 300 }, [], card, 'TB'))).toMatch(/^M0 25 C.* 80 273$/)
  })
  test('find room that nothing else has, or none', () => {
    const room = new Room()
    room.take({ x: 300, y: 0, width: 400, height: 50 })
    const places = placesOn(line({ x: 0, y: 0 }, { x: 700, y: 0 }, [], card, 'LR'))
    const p = room.place(places, 60, 18)!
    expect(p.x > 500 + 30 || p.x < 100 - 30).toBe(true)
    expect(room.free({ ...p, width: 60, height: 18 })).toBe(false)
    room.take({ x: 350, y: 0, width: 900, height: 50 })
    expect(room.place(places, 60, 18)).toBeNull()
  })
  test('keep beginning and end of a name', () => {
    const letters = (t: string) => [...t].length
    expect(withoutMiddle('team-1-api-7', 12, letters)).toBe('team-1-api-7')
    expect(withoutMiddle('team-10-store-27', 9, letters)).toBe('team…e-27')
    expect(withoutMiddle('abc', 1, letters)).toBe('a…')
  })
  test('move a view only as far as a box takes to be seen', () => {
    const size = { width: 400, height: 300 }
    const v = { k: 0.5, x: 0, y: 0 }
    expect(panInto(v, { x: 200, y: 200, width: 100, height: 50 }, size, 20)).toEqual(v)
    expect(panInto(v, { x: 800, y: 200, width: 100, height: 50 }, size, 20)).toEqual({ k: 0.5, x: -45, y: 0 })
    expect(panInto(v, { x: -100, y: 200, width: 100, height: 50 }, size, 20)).toEqual({ k: 0.5, x: 95, y: 0 })
  })
})

test('failures are told by what they are', () => {
  const f = (more: object) => ({ total: 1000, ok: 0, error: 0, fault: 0, throttle: 0, seconds: 1, ...more })
  expect([{}, { throttle: 60, fault: 2 }, { error: 3, fault: 1 }, { error: 40, fault: 10 }].map((x) => [failedAs(f(x)), failedWords(f(x))])).toEqual([[null, ''], ['throttle', 'throttled, faults'], ['error', 'errors, faults'], ['fault', 'errors, faults']])
})

describe('a layout that is extended', () => {
  const old: Layout = { width: 500, height: 200, nodes: { a: { x: 74, y: 100 }, b: { x: 254, y: 49 }, c: { x: 254, y: 151 } }, edges: { 'a>b': [{ x: 1, y: 1 }] } }
  const q = question(['a>b', 'a>c', 'a>new', 'new>far', 'first>a', 'lonely>lonely'])
  const l = extend(old, q)
  test('leaves what is there where it is', () => {
    for (const key of ['a', 'b', 'c']) expect(l.nodes[key]).toEqual(old.nodes[key])
    expect(l.edges).toEqual(old.edges)
  })
  test('puts new nodes right of their callers and left of those they call, on none other', () => {
    expect(l.nodes.new!.x).toBe(254)
    expect(l.nodes.far).toEqual({ x: l.nodes.new!.x + 180, y: l.nodes.new!.y })
    expect(l.nodes.first).toEqual({ x: -106, y: 100 })
    expect(l.nodes.lonely!.y).toBeGreaterThan(151)
    expect(overlaps(l)).toEqual([])
  })
  test('comes out the same whatever comes first', () => {
    expect(extend(old, { ...q, nodes: [...q.nodes].reverse() })).toEqual(l)
  })
  test('keeps the places of nodes that are gone for when they come back', () => {
    const gone = extend(l, question(['a>b']))
    expect(gone.nodes.c).toEqual(old.nodes.c)
  })
  test('knows its bounds', () => {
    expect(bounds([l.nodes.first!, l.nodes.b!], 100, 50)).toEqual({ x: -156, y: 24, width: 460, height: 101 })
    expect(bounds([], 100, 50)).toEqual({ x: 0, y: 0, width: 0, height: 0 })
  })
})

describe('pins', () => {
  test('go through the address and back', () => {
    const pins = pin(pin(new Map(), 'web|AWS::EC2::Instance|', { x: 12.4, y: -80.6 }), 'שלום 🎉|remote|', { x: 300, y: 20 })
    const text = writePins(pins)
    expect(text).toMatch(/^[0-9a-z]+:12,-81~[0-9a-z]+:300,20$/)
    expect(readPins(text)).toEqual(pins)
  })
  test('are read with care', () => {
    expect([...readPins('a:1,2~~x~b:1e9,3~c:1,~d:<b>,2~e:-5,7~A:1,1')]).toEqual([['a', { x: 1, y: 2 }], ['e', { x: -5, y: 7 }]])
  })
  test('can be taken away, and the oldest give way', () => {
    let pins = pin(new Map(), 'a', { x: 1, y: 1 })
    expect(pin(pins, 'a', null).size).toBe(0)
    for (let k = 0; k < MOST_PINS; k++) pins = pin(pins, `n${k}`, { x: k, y: k })
    expect(pins.size).toBe(MOST_PINS)
    expect(pins.has(pinName('a'))).toBe(false)
    expect(pins.has(pinName(`n${MOST_PINS - 1}`))).toBe(true)
  })
  test('move their nodes, and the edges of those go straight', () => {
    const l: Layout = { width: 500, height: 200, nodes: { a: { x: 74, y: 100 }, b: { x: 254, y: 49 }, c: { x: 434, y: 49 } }, edges: { 'a>b': [], 'b>c': [], 'a>c': [] } }
    const edges = ['a>b', 'b>c', 'a>c'].map((key) => ({ key, from: key[0]!, to: key[2]! }))
    const moved = pinned(l, pin(new Map(), 'b', { x: 900, y: 400 }), edges, 100, 50)
    expect(moved.nodes).toEqual({ ...l.nodes, b: { x: 900, y: 400 } })
    expect(Object.keys(moved.edges)).toEqual(['a>c'])
    expect([moved.width, moved.height]).toEqual([974, 449])
    expect(pinned(l, pin(new Map(), 'elsewhere', { x: 1, y: 1 }), edges, 100, 50)).toBe(l)
  })
})

function node(key: string, total = 1, more: Partial<MapNode> = {}): MapNode {
  return { key, name: key, type: 'AWS::EC2::Instance', kind: 'service', state: 'active', root: false, account: '', statistics: { total, ok: total, error: 0, fault: 0, throttle: 0, seconds: total }, histogram: [{ Value: 1, Count: total }], ...more }
}
function graph(edges: string[], make: (key: string) => MapNode = (key) => node(key)): Graph {
  const pairs = edges.map((e) => e.split('>') as [string, string])
  return {
    nodes: [...new Set(pairs.flat())].map(make),
    edges: pairs.map(([from, to]): MapEdge => ({ key: `${from}>${to}`, from, to, aliases: [`${to}.alias`], statistics: { total: 8, ok: 6, error: 0, fault: 2, throttle: 0, seconds: 4 }, histogram: [{ Value: 0.5, Count: 8 }] })),
  }
}
const keys = (g: Graph) => g.nodes.map((n) => n.key).sort()
const edgeKeys = (g: Graph) => g.edges.map((e) => e.key).sort()
const inAll = (g: Graph) => g.nodes.reduce((n, x) => n + (x.members?.length ?? 1), 0)

describe('clusters', () => {
  const tables = graph(['web>web2', 'web>t1', 'web>t2', 'web>t3', 'web2>t4'], (key) => (key.startsWith('t') ? node(key, 10, { kind: 'table', type: 'AWS::DynamoDB::Table' }) : node(key)))
  test('pile up what one caller alone calls', () => {
    const c = piles(tables, 3, new Set())
    expect(keys(c)).toEqual(['pile|web|table', 't4', 'web', 'web2'])
    expect(c.nodes.find((n) => n.members)).toMatchObject({ kind: 'cluster', name: '3 × table', type: 'AWS::DynamoDB::Table', statistics: { total: 30 }, histogram: [{ Value: 1, Count: 30 }] })
    expect(c.edges.find((e) => e.key === 'web>pile|web|table')).toMatchObject({ statistics: { total: 24, fault: 6 }, histogram: [{ Value: 0.5, Count: 24 }], aliases: ['t1.alias', 't2.alias', 't3.alias'] })
    expect(piles(tables, 3, new Set(['pile|web|table'])).nodes).toHaveLength(6)
    expect(piles(tables, 4, new Set()).nodes).toHaveLength(6)
  })
  test('put together what has a label in common, without the edges inside', () => {
    const g = graph(['in>a1', 'a1>a2', 'a2>b1', 'b1>b2', 'b2>c1'], (key) => node(key, 2, { account: key === 'in' ? '' : key[0]! }))
    const c = byLabel(g, 'account', (n) => n.account, new Set())
    expect(keys(c)).toEqual(['account|a', 'account|b', 'c1', 'in']) // c has one alone
    expect(edgeKeys(c)).toEqual(['account|a>account|b', 'account|b>c1', 'in>account|a'])
    expect(keys(byLabel(g, 'account', (n) => n.account, new Set(['account|a'])))).toEqual(['a1', 'a2', 'account|b', 'c1', 'in'])
    expect(clusterOf(c, 'a2')!.key).toBe('account|a')
    expect(clusterOf(c, 'c1')).toBeUndefined()
    // What was an edge from a node to itself stays one.
    expect(edgeKeys(byLabel(graph(['a>a', 'a>b']), 'x', () => '', new Set()))).toEqual(['a>a', 'a>b'])
  })
  test('have families by the first part of a name', () => {
    expect(['shop.cart', 'shop-web', 'Shop_db', 'cart', 'a.b', 'https://sqs.eu/x', ''].map(family)).toEqual(['shop', 'shop', 'shop', '', '', 'sqs', ''])
  })
  test('hide what lies behind the nodes that are seen first', () => {
    // in calls a (busy) and b; a calls a1 and a2, a1 calls a11; b calls b1.
    const g = graph(['in>a', 'in>b', 'a>a1', 'a>a2', 'a1>a11', 'b>b1'], (key) => node(key, key === 'a' ? 9 : 1))
    const c = unfold(g, 3, new Set())
    expect(keys(c)).toEqual(['a', 'b', 'b1', 'behind|a', 'in']) // b1 alone stays as it is
    expect(c.nodes.find((n) => n.key === 'behind|a')).toMatchObject({ name: '3 behind a', members: [{ key: 'a1' }, { key: 'a2' }, { key: 'a11' }] })
    expect(edgeKeys(c)).toEqual(['a>behind|a', 'b>b1', 'in>a', 'in>b'])
    // Opened it shows the next ones; what is left behind them is one alone.
    expect(keys(unfold(g, 3, new Set(['behind|a'])))).toEqual(['a', 'a1', 'a11', 'a2', 'b', 'b1', 'in'])
    expect(keys(unfold(g, 2, new Set(), 'a11'))).toEqual(['a', 'a1', 'a11', 'a2', 'behind|in', 'in'])
    expect(unfold(g, 7, new Set())).toBe(g)
  })
  test('take cycles that nobody enters', () => {
    const g = graph(['x>y', 'y>z', 'z>x'], (key) => node(key, key === 'y' ? 9 : 1))
    expect(keys(unfold(g, 1, new Set()))).toEqual(['behind|y', 'y'])
    expect(inAll(unfold(g, 1, new Set()))).toBe(3)
  })
  test('leave few enough of ten thousand, and lose none', () => {
    const g = graph([...Array.from({ length: 9999 }, (_, k) => `n${Math.floor(k / 4)}>n${k + 1}`), ...Array.from({ length: 5000 }, (_, k) => `n${k}>n${(k * 7919 + 1) % 10_000}`)])
    for (const by of ['', 'type'] as const) {
      const c = cluster(g, by, new Set())
      expect(c.nodes.length).toBeLessThan(500)
      expect(inAll(c)).toBe(10_000)
      expect(c.edges.every((e) => c.nodes.some((n) => n.key === e.from) && c.nodes.some((n) => n.key === e.to))).toBe(true)
    }
    expect(cluster(g, 'none', new Set())).toBe(g)
    const c = cluster(g, '', new Set(), 'n9999')
    expect(c.nodes.some((n) => n.key === 'n9999')).toBe(true)
    expect(inAll(c)).toBe(10_000)
  })
  test('have clients of one service as marks where there are many, and in the cluster of what they call', () => {
    const make = (count: number) => graph([...Array.from({ length: count }, (_, k) => `c${k}>s${k}`), 'both>s0', 'both>s1', 's0>db', 's1>db'], (key) => (key.startsWith('c') || key === 'both' ? node(key, 1, { kind: 'client', name: key.replace('c', 's') }) : node(key, 1, { account: ['s2', 's3'].includes(key) ? 'one' : '' })))
    expect(cluster(make(6), '', new Set()).nodes.some((n) => n.on)).toBe(false)
    const c = cluster(make(7), 'account', new Set())
    expect(c.nodes.filter((n) => n.on).map((n) => `${n.key}@${n.on}`)).toEqual(['c0@s0', 'c1@s1', 'c4@s4', 'c5@s5', 'c6@s6'])
    expect(c.nodes.find((n) => n.key === 'both')!.on).toBeUndefined() // it calls two
    expect(clusterOf(c, 'c2')!.key).toBe('account|one')
    expect(edgeKeys(c)).toContain('c0>s0')
  })
  test('leave small maps alone', () => {
    expect(cluster(tables, '', new Set())).toBe(tables)
  })
  test('have names when they are open', () => {
    expect([openName('pile|web|EC2|1|table'), openName('behind|web|EC2|'), openName('behind|'), openName('account|123'), openName('type|AWS::DynamoDB::Table')]).toEqual(['tables of web', 'behind web', 'more', '123', 'DynamoDB Table'])
  })
})

test('rows become CSV that stays text in a spreadsheet', () => {
  expect(csv(['a', 'b'], [['x', 1.5], ['say "hi", you', null], ['=cmd()', -2], ['-1', NaN], ['two\nlines', undefined]])).toBe('a,b\r\nx,1.5\r\n"say ""hi"", you",\r\n\'=cmd(),-2\r\n\'-1,\r\n"two\nlines",\r\n')
})

test('earlier windows are as long as this one, or as they are said to be', () => {
  const w = { from: 10_000, to: 10_900 }
  const at = (text: string) => earlier(w, new URLSearchParams(text))
  expect(at('')).toBeNull()
  expect(at('with=before')).toEqual({ from: 9100, to: 10_000 })
  expect(at('with=1h')).toEqual({ from: 6400, to: 7300 })
  expect(at('with=1d')).toEqual({ from: -76_400, to: -75_500 })
  expect(at('with=times&bfrom=5&bto=8')).toEqual({ from: 5, to: 8 })
  expect(at('with=times&bfrom=8&bto=5')).toEqual({ from: 9100, to: 10_000 })
  expect(at('with=nonsense')).toEqual({ from: 9100, to: 10_000 })
})

test('traces become rows, with a column for each annotation', () => {
  const row = { id: '1-x', start: 0.5, duration: 1.25, response: NaN, flags: 2, status: 500, method: 'GET', url: 'https://a/?q=1,2', agent: '', client: '', entry: 'web', entryType: '', services: ['web', 'db'], users: [], bars: null, annotations: { size: [3], tag: ['a', 'b'] }, revision: 1 }
  expect(tracesCSV([row, { ...row, start: NaN, flags: 0, status: 0, annotations: {} }]).split('\r\n')).toEqual([
    'id,start,duration_seconds,response_seconds,status,outcome,method,url,entry,services,users,client,annotation.size,annotation.tag',
    '1-x,1970-01-01T00:00:00.500Z,1.25,,500,fault,GET,"https://a/?q=1,2",web,web; db,,,3,a; b',
    '1-x,,1.25,,,ok,GET,"https://a/?q=1,2",web,web; db,,,,',
    '',
  ])
})
