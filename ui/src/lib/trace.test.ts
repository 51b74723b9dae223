import { describe, expect, test } from 'vitest'
import { build, criticalPath, endOf, pieceEnd, selfNow, describe as describeEntity, flame, FLAG, mainRoot, rows, type Columns, type Entity, type TraceAnswer } from './trace'
import { compare } from './compare'
import { traceHTML } from './export'

function answer(segments: Entity[], orphans: Entity[] = []): TraceAnswer {
  return { Id: '1-00000001-000000000000000000000001', Duration: 1, Revision: 1, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: orphans.map((d) => ({ Id: d.id ?? '', Document: d })) }
}

/** A shop that calls a cart and then payments, which calls a table. */
const shop = answer([
  {
    id: 'a', name: 'shop', start_time: 100, end_time: 101, fault: true, http: { request: { method: 'POST', url: 'https://shop.example/orders?x=1' }, response: { status: 502 } },
    subsegments: [
      { id: 'b', name: 'cart', start_time: 100.1, end_time: 100.3, namespace: 'remote' },
      { id: 'c', name: 'payments', start_time: 100.3, end_time: 100.9, namespace: 'remote', subsegments: [{ id: 'c1', name: 'retry', start_time: 100.35, end_time: 100.4 }] },
    ],
  },
  { id: 'd', name: 'payments', parent_id: 'c', start_time: 100.4, end_time: 100.85, origin: 'AWS::EC2::Instance', subsegments: [{ id: 'e', name: 'DynamoDB', start_time: 100.5, end_time: 100.8, namespace: 'aws', aws: { operation: 'GetItem', table_name: 'cards' } }] },
  { id: 'f', name: 'DynamoDB', parent_id: 'e', start_time: 100.5, end_time: 100.8, inferred: true, aws: { operation: 'GetItem', table_name: 'cards' }, origin: 'AWS::DynamoDB::Table' },
])

const names = (c: Columns, list: Iterable<number>) => [...list].map((i) => c.ids[i])

describe('build', () => {
  const { columns: c } = build(shop)
  test('orders entities as a waterfall shows them', () => {
    expect(c.ids).toEqual(['a', 'b', 'c', 'c1', 'd', 'e', 'f'])
    expect([...c.depth]).toEqual([0, 1, 1, 2, 2, 3, 4])
    expect([...c.parent]).toEqual([-1, 0, 0, 2, 2, 4, 5])
    expect([...c.last]).toEqual([7, 2, 7, 4, 7, 7, 7])
  })
  test('counts times from the earliest start', () => {
    expect(c.t0).toBe(100)
    expect(c.span).toBeCloseTo(1)
    expect(c.start[4]).toBeCloseTo(0.4)
  })
  test('gives the self time, which children in parallel do not take twice', () => {
    expect(c.self[0]).toBeCloseTo(1 - 0.2 - 0.6)
    expect(c.self[2]).toBeCloseTo(0.6 - 0.05 - 0.45)
    expect(c.self[5]).toBeCloseTo(0.3) // its callee is inferred: the call once more
    expect(c.services[2]!.self).toBeCloseTo(0.3)
    expect(c.services[1]!.self).toBeCloseTo(0.15)
    const parallel = build(answer([{ id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: [{ id: 'b', name: 'b', start_time: 1, end_time: 1.5 }, { id: 'c', name: 'c', start_time: 1.2, end_time: 1.6 }] }])).columns
    expect(parallel.self[0]).toBeCloseTo(0.4)
  })
  test('knows whose work it is', () => {
    expect(c.services.map((s) => [s.name, s.type])).toEqual([['shop', ''], ['payments', 'AWS::EC2::Instance'], ['cards', 'AWS::DynamoDB::Table']])
    expect(c.service[5]).toBe(1)
    expect(c.counts).toMatchObject({ segments: 2, inferred: 1, faults: 1, orphans: 0, inProgress: 0 })
    expect(c.entry).toEqual({ method: 'POST', url: 'https://shop.example/orders?x=1', status: 502, user: '' })
  })
  test('puts orphans last and does not take them for the root', () => {
    const { columns } = build(answer([{ id: 'z', name: 'late', start_time: 50, end_time: 51 }], [{ id: 'o', name: 'lost', type: 'subsegment', parent_id: 'nobody', start_time: 1, end_time: 2 }]))
    expect(columns.ids).toEqual(['z', 'o'])
    expect(columns.flags[1]! & FLAG.orphan).toBeTruthy()
    expect(mainRoot(columns)).toBe(0)
  })
  test('prefers a root that nobody called to one whose caller is missing', () => {
    const { columns } = build(answer([{ id: 'x', name: 'called', parent_id: 'gone', start_time: 1, end_time: 2 }, { id: 'y', name: 'root', start_time: 1.5, end_time: 3 }]))
    expect(columns.ids[mainRoot(columns)]).toBe('y')
    expect(columns.counts.lostParents).toBe(1)
  })
  test('keeps work in progress open', () => {
    const { columns } = build(answer([{ id: 'a', name: 'a', start_time: 5, in_progress: true, subsegments: [{ id: 'b', name: 'b', start_time: 6, end_time: 7 }] }]))
    expect(columns.end[0]).toBeNaN()
    expect(columns.counts.inProgress).toBe(1)
    expect(columns.span).toBe(2)
  })
  test('survives what nobody should send', () => {
    const loop = build(answer([{ id: 'a', name: 'a', parent_id: 'a', start_time: 1, end_time: 2 }, { id: 'b', parent_id: 'c', start_time: -1 }, { id: 'c', parent_id: 'b', name: 5 as unknown as string, subsegments: [null as unknown as Entity, { id: 'a' }] }]))
    expect(loop.columns.n).toBe(4)
    expect(build(answer([])).columns.n).toBe(0)
    let deep: Entity = { id: 'x0', name: 'x', start_time: 1, end_time: 2 }
    for (let k = 1; k < 5000; k++) deep = { id: `x${k}`, name: 'x', start_time: 1, end_time: 2, subsegments: [deep] }
    expect(build(answer([deep])).columns.maxDepth).toBe(4999)
  })
  test('moves a segment with a wrong clock into its call, when asked', () => {
    const skewed = answer([{ id: 'a', name: 'a', start_time: 10, end_time: 11, subsegments: [{ id: 'b', name: 'b', start_time: 10.2, end_time: 10.8, namespace: 'remote' }] }, { id: 'c', name: 'c', parent_id: 'b', start_time: 5, end_time: 5.4, subsegments: [{ id: 'd', name: 'd', start_time: 5.1, end_time: 5.2 }] }])
    expect(build(skewed).columns.t0).toBe(5)
    const c = build(skewed, { skew: true }).columns
    expect(c.t0).toBe(10)
    expect(c.start[2]).toBeCloseTo(0.3)
    expect(c.start[3]).toBeCloseTo(0.4)
    expect(c.counts.skewed).toBe(1)
  })
})

describe('critical path', () => {
  test('goes back from the end through what was waited for', () => {
    const { columns: c } = build(shop)
    const pieces = [...c.critical.who].map((who, k) => [c.ids[who], Number(c.critical.from[k]!.toFixed(3)), Number(c.critical.to[k]!.toFixed(3))])
    expect(pieces).toEqual([
      ['a', 0, 0.1],
      ['b', 0.1, 0.3],
      ['c', 0.3, 0.35],
      ['c1', 0.35, 0.4],
      ['d', 0.4, 0.5],
      ['e', 0.5, 0.8],
      ['d', 0.8, 0.85],
      ['c', 0.85, 0.9],
      ['a', 0.9, 1],
    ])
  })
  test('adds up to the duration of the root', () => {
    const { columns: c } = build(shop)
    let sum = 0
    for (let k = 0; k < c.critical.who.length; k++) sum += c.critical.to[k]! - c.critical.from[k]!
    expect(sum).toBeCloseTo(1)
  })
  test('passes by work that goes on after its caller ended', () => {
    const { columns: c } = build(answer([{ id: 'a', name: 'a', start_time: 0.001, end_time: 1, subsegments: [{ id: 'async', name: 'async', start_time: 0.5, end_time: 9 }, { id: 'b', name: 'b', start_time: 0.2, end_time: 0.9 }] }]))
    expect(names(c, new Set(criticalPath(c).who))).toEqual(['a', 'b'])
  })
  test('goes on into an answer that seems to end a little after its call', () => {
    const { columns: c } = build(answer([
      { id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: [{ id: 'b', name: 'b', start_time: 1.1, end_time: 1.9, namespace: 'remote' }] },
      { id: 'd', name: 'b', parent_id: 'b', start_time: 1.101, end_time: 1.903, subsegments: [{ id: 'e', name: 'bank', start_time: 1.11, end_time: 1.9025, namespace: 'remote' }] },
    ]))
    const { who, from, to } = c.critical
    const of = (id: string) => who.reduce((sum, i, k) => sum + (c.ids[i] === id ? to[k]! - from[k]! : 0), 0)
    expect(of('e')).toBeCloseTo(0.79)
    expect(of('d')).toBeCloseTo(0.009)
    expect(to.reduce((sum, t, k) => sum + t - from[k]!, 0)).toBeCloseTo(1)
  })
  test('takes the later of two that ran side by side', () => {
    const { columns: c } = build(answer([{ id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: [{ id: 'x', name: 'x', start_time: 1.1, end_time: 1.5 }, { id: 'y', name: 'y', start_time: 1.1, end_time: 1.8 }] }]))
    expect(names(c, new Set(c.critical.who))).toEqual(['a', 'y'])
  })
})

describe('what is in progress', () => {
  const report = answer([
    { id: 'a', name: 'report', start_time: 100, in_progress: true, subsegments: [{ id: 'b', name: 'query', start_time: 110, end_time: 140 }, { id: 'c', name: 'render', start_time: 141, in_progress: true }] },
  ])
  const { columns: c } = build(report, { now: 190 })
  const path = (of: Columns) => Array.from(of.critical.who, (i, k) => [of.ids[i], of.critical.from[k], of.critical.to[k]])
  test('lasts until now, and is on the critical path', () => {
    expect([c.span, c.until, endOf(c, 0), endOf(c, 1)]).toEqual([41, 90, 90, 40])
    expect(path(c)).toEqual([['a', 0, 10], ['b', 10, 40], ['a', 40, 41], ['c', 41, 90]])
  })
  test('works itself unless it waits for what is in progress below it', () => {
    expect([...c.self]).toEqual([11, 30, 49])
    expect([0, 1, 2].map((i) => selfNow(c, i, 95))).toEqual([11, 30, 54])
  })
  test('goes on growing after the columns were made', () => {
    expect(Array.from(c.critical.who, (i, k) => pieceEnd(c, i, c.critical.to[k]!, 95))).toEqual([10, 40, 41, 95])
    expect([endOf(c, 2, 95), endOf(c, 1, 95)]).toEqual([95, 40])
  })
  test('lasts to the end of what is known when nobody says how late it is, or it was given up', () => {
    expect(build(report).columns.until).toBe(41)
    expect(build(report, { now: 100 + 7 * 3600 }).columns.until).toBe(41)
    expect(path(build(report).columns)).toEqual([['a', 0, 10], ['b', 10, 40], ['a', 40, 41]])
  })
  test('did not hold up what is over', () => {
    const { columns } = build(answer([{ id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: [{ id: 'b', name: 'b', start_time: 1.5, in_progress: true }] }]), { now: 50 })
    expect(path(columns).map(([id]) => id)).toEqual(['a'])
  })
})

describe('rows', () => {
  const { columns: c } = build(shop)
  test('leave out inferred callees unless asked for', () => {
    expect(names(c, rows(c, { collapsed: new Set(), inferred: false }))).toEqual(['a', 'b', 'c', 'c1', 'd', 'e'])
    expect(rows(c, { collapsed: new Set(), inferred: true }).length).toBe(7)
  })
  test('leave out what is below a closed entry', () => {
    expect(names(c, rows(c, { collapsed: new Set([2]), inferred: true }))).toEqual(['a', 'b', 'c'])
  })
  test('keep matches and what leads to them', () => {
    const matches = Uint8Array.from(c.ids, (id) => (id === 'e' ? 1 : 0))
    expect(names(c, rows(c, { collapsed: new Set(), inferred: false, matches, only: true }))).toEqual(['a', 'c', 'd', 'e'])
  })
  test('keep the critical path alone', () => {
    expect(names(c, rows(c, { collapsed: new Set(), inferred: false, critical: true }))).toEqual(['a', 'b', 'c', 'c1', 'd', 'e'])
    const other = build(answer([{ id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: [{ id: 'x', name: 'x', start_time: 1.1, end_time: 1.5 }, { id: 'y', name: 'y', start_time: 1.1, end_time: 1.8 }] }])).columns
    expect(names(other, rows(other, { collapsed: new Set(), inferred: false, critical: true }))).toEqual(['a', 'y'])
  })
})

test('flame graph adds up calls with the same path and never sticks out', () => {
  const calls = Array.from({ length: 10 }, (_, k): Entity => ({ id: `q${k}`, name: 'query', start_time: 1 + k * 0.05, end_time: 1.2 + k * 0.05, namespace: 'remote', sql: {} }))
  const { columns: c } = build(answer([{ id: 'a', name: 'a', start_time: 1, end_time: 2, subsegments: calls }]))
  const f = flame(c)
  expect(f.boxes.map((b) => [b.name, b.count, b.depth])).toEqual([['a', 1, 0], ['query', 10, 1]])
  expect(f.boxes[1]!.width).toBeCloseTo(1) // two seconds of work in a second
  expect(f.total).toBeCloseTo(1)
  // Each of them leads to the box, not the longest alone.
  for (let i = 0; i < c.n; i++) expect(f.of[i]).toBe(f.boxes[c.ids[i] === 'a' ? 0 : 1])
})

test('entities are described by what they did', () => {
  expect(describeEntity({ http: { request: { method: 'GET', url: 'https://x.example/a?b=1#c' }, response: { status: 404 } } })).toBe('GET /a?b=1 · 404')
  expect(describeEntity({ namespace: 'aws', aws: { operation: 'SendMessage', queue_url: 'https://sqs/1/orders' } })).toBe('SendMessage orders')
  expect(describeEntity({ sql: { sanitized_query: 'SELECT\n  1' } })).toBe('SELECT 1')
  expect(describeEntity({ http: 'nonsense' as never, sql: [] as never })).toBe('')
})

test('the file of a trace holds all of it, as text', () => {
  const { columns, entities } = build(answer([{ id: 'a', name: '<script>alert(1)</script>', start_time: 1, end_time: 2, fault: true, annotations: { k: '"><img src=x>' }, subsegments: [{ id: 'b', name: 'inner', start_time: 1.5, end_time: 1.75 }] }]))
  const html = traceHTML(columns, (i) => entities[i]!, 'http://x/?a=1&b=<')
  expect(html).not.toMatch(/<script|<img/)
  expect(html).toContain('inner')
  expect(html).toContain('left:50.000%;width:25.000%')
  expect(html).toContain('250 ms')
})

test('compare lays two traces beside each other', () => {
  const slow = structuredClone(shop)
  slow.Segments[1]!.Document.subsegments![0]!.end_time = 100.84
  slow.Segments[0]!.Document.subsegments!.splice(0, 1)
  const d = compare(build(shop).columns, build(slow).columns)
  expect(d.map((r) => [r.name, r.countA, r.countB])).toEqual([['shop', 1, 1], ['cart', 1, 0], ['payments', 1, 1], ['retry', 1, 1], ['payments', 1, 1], ['DynamoDB', 1, 1]])
  const table = d[5]!
  expect(table.secondsB - table.secondsA).toBeCloseTo(0.04)
})

test('a hundred thousand entries are no trouble', () => {
  const list: Entity[] = Array.from({ length: 100 }, (_, s) => ({ id: `s${s}`, name: `step ${s % 7}`, start_time: 1 + s / 100, end_time: 1.009 + s / 100, subsegments: Array.from({ length: 1000 }, (_, k) => ({ id: `s${s}-${k}`, name: 'call', start_time: 1 + s / 100 + k / 1e6, end_time: 1 + s / 100 + (k + 0.9) / 1e6 })) }))
  const begin = performance.now()
  const { columns } = build(answer([{ id: 'root', name: 'root', start_time: 1, end_time: 3, subsegments: list }]))
  const r = rows(columns, { collapsed: new Set(), inferred: false })
  expect(r.length).toBe(100_101)
  expect(columns.critical.who.length).toBeGreaterThan(100_000)
  expect(performance.now() - begin).toBeLessThan(20_000) // it is not quadratic
})
