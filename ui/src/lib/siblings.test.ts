import { describe, expect, test } from 'vitest'
import { gaps, idle, pattern, piles, repetitions } from './siblings'
import { build, otherClock, rows, segmentDepths, type Entity, type TraceAnswer } from './trace'

function columns(...segments: Entity[]) {
  const answer: TraceAnswer = { Id: '1-00000001-000000000000000000000001', Duration: 1, Revision: 1, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: [] }
  return build(answer).columns
}
const queries = (n: number): Entity[] => Array.from({ length: n }, (_, k) => ({ id: `q${k}`, name: 'db', start_time: 1 + k * 0.1, end_time: 1.05 + k * 0.1, namespace: 'remote', fault: k === 2, sql: { sanitized_query: `SELECT * FROM t WHERE id = ${k}` }, subsegments: k === 0 ? [{ id: 'inner', name: 'connect', start_time: 1, end_time: 1.01 }] : [] }))

describe('piles of siblings', () => {
  const c = columns({ id: 'a', name: 'a', start_time: 1, end_time: 3, subsegments: [...queries(6), { id: 'x', name: 'other', start_time: 2, end_time: 2.1 }, { id: 'y', name: 'other', start_time: 2.1, end_time: 2.2 }, ...Array.from({ length: 5 }, (_, k): Entity => ({ id: `s${k}`, name: `step ${k}`, start_time: 2.3, end_time: 2.4 }))] })
  const p = piles(c)
  const ids = (list: Iterable<number>) => [...list].map((i) => c.ids[i])
  test('have a name and, but for numbers, what they are about in common', () => {
    expect(p.list.map((x) => [x.name, x.detail, x.members.length, x.failed])).toEqual([['db', 'SELECT * FROM t WHERE id = …', 6, 1], ['step 0', '', 5, 0]])
    expect(p.list[0]!.seconds).toBeCloseTo(0.3)
    expect(ids(p.list[0]!.members)).toEqual(['q0', 'q1', 'q2', 'q3', 'q4', 'q5'])
    expect([p.of[c.ids.indexOf('q3')], p.of[c.ids.indexOf('x')], p.of[c.ids.indexOf('inner')]]).toEqual([0, -1, -1])
  })
  test('are one row, or one for each when they are open', () => {
    expect(ids(rows(c, { collapsed: new Set(), inferred: false, piles: p }))).toEqual(['a', 'q0', 'x', 'y', 's0'])
    expect(ids(rows(c, { collapsed: new Set(), inferred: false, piles: p, open: new Set([c.ids.indexOf('q0')]) }))).toEqual(['a', 'q0', 'inner', 'q1', 'q2', 'q3', 'q4', 'q5', 'x', 'y', 's0'])
    expect(ids(rows(c, { collapsed: new Set(), inferred: false, piles: null }))).toHaveLength(c.n)
  })
  test('show a member that matches when the first does not', () => {
    const matches = Uint8Array.from(c.ids, (id) => (id === 'q4' ? 1 : 0))
    expect(ids(rows(c, { collapsed: new Set(), inferred: false, piles: p, matches, only: true }))).toEqual(['a', 'q4'])
  })
  test('that are calls to others are repetitions', () => {
    expect(repetitions(p, c, 6).map((x) => x.name)).toEqual(['db']) // steps of its own work are none
    expect(repetitions(p, c)).toEqual([])
  })
  test('patterns leave out numbers, identifiers and texts in quotes', () => {
    expect(pattern("GET /carts/8a6e0804-2bd0-4672-b79d-d97027f9071a/lines/12 'x\\'y' deadbeef01")).toBe('GET /carts/…/lines/… … …')
    expect(pattern('GetItem carts')).toBe('GetItem carts')
  })
})

test('rows of segments alone, and how deep they lie among themselves', () => {
  const c = columns(
    { id: 'a', name: 'a', start_time: 1, end_time: 3, subsegments: [{ id: 'b', name: 'b', start_time: 1, end_time: 2, subsegments: [{ id: 'c', name: 'c', start_time: 1, end_time: 2, namespace: 'remote' }] }] },
    { id: 'd', name: 'd', parent_id: 'c', start_time: 1.1, end_time: 1.9, subsegments: [{ id: 'e', name: 'e', start_time: 1.2, end_time: 1.3 }] },
  )
  const r = rows(c, { collapsed: new Set(), inferred: false, segments: true })
  expect([...r].map((i) => c.ids[i])).toEqual(['a', 'd'])
  expect([...r].map((i) => segmentDepths(c)[i])).toEqual([0, 1])
})

describe('gaps', () => {
  const c = columns({ id: 'a', name: 'a', start_time: 10, end_time: 20, subsegments: [{ id: 'b', name: 'b', start_time: 11, end_time: 13 }, { id: 'c', name: 'c', start_time: 12, end_time: 14 }, { id: 'd', name: 'd', start_time: 17, end_time: 25 }] })
  test('are what no child covers', () => {
    expect(gaps(c, 0)).toEqual([{ from: 0, to: 1 }, { from: 4, to: 7 }])
  })
  test('are none where nothing is nested', () => {
    expect(gaps(c, 1)).toEqual([])
  })
  test('reach to now while it is in progress', () => {
    const running = columns({ id: 'a', name: 'a', start_time: 10, in_progress: true, subsegments: [{ id: 'b', name: 'b', start_time: 10, end_time: 11 }] })
    expect(gaps(running, 0, 5)).toEqual([{ from: 1, to: 5 }])
  })
  test('of the whole trace lie between its parts', () => {
    const parts = columns({ id: 'a', name: 'a', start_time: 10, end_time: 12 }, { id: 'b', name: 'b', start_time: 11, end_time: 13 }, { id: 'c', name: 'c', start_time: 16, end_time: 17 })
    expect(idle(parts)).toEqual([{ from: 3, to: 6 }])
    expect(idle(c)).toEqual([])
  })
})

test('what begins after its call was over has waited', () => {
  const c = columns(
    { id: 'a', name: 'api', start_time: 10, end_time: 11, subsegments: [{ id: 's', name: 'queue', start_time: 10.2, end_time: 10.3, namespace: 'aws', aws: { operation: 'SendMessage' } }] },
    { id: 'w', name: 'worker', parent_id: 's', start_time: 14.3, end_time: 15 },
    { id: 'v', name: 'near', parent_id: 's', start_time: 10.25, end_time: 10.28 },
  )
  const at = (id: string) => c.ids.indexOf(id)
  expect(c.wait[at('w')]).toBeCloseTo(0.3)
  expect(c.start[at('w')]! - c.wait[at('w')]!).toBeCloseTo(4)
  expect(c.wait[at('v')]).toBeNaN()
  expect(c.counts.waits).toBe(1)
  // It leaves no gap in what sent it.
  expect(gaps(c, at('s')).map((g) => [g.from.toFixed(2), g.to.toFixed(2)])).toEqual([['0.20', '0.25'], ['0.28', '0.30']])
})

test('an answer that lies beyond a call that waited for it has another clock', () => {
  const call: Entity = { id: 'c', name: 'pay', start_time: 10.1, end_time: 10.5, namespace: 'remote', http: { request: { method: 'POST' }, response: { status: 200 } } }
  const of = (start: number, end: number) => columns({ id: 'a', name: 'a', start_time: 10, end_time: 11, subsegments: [call] }, { id: 'p', name: 'pay', parent_id: 'c', start_time: start, end_time: end })
  const tell = (start: number, end: number) => {
    const c = of(start, end)
    const i = c.ids.indexOf('p')
    return [otherClock(c, i), Number.isNaN(c.wait[i]!)]
  }
  expect(tell(10.8, 11.2)).toEqual([true, true]) // as long as the call: its clock is ahead
  expect(tell(9.9, 10.2)).toEqual([true, true])
  expect(tell(10.2, 10.4)).toEqual([false, true])
  expect(tell(10.8, 13)).toEqual([false, false]) // too long for an answer: it was only started
})
