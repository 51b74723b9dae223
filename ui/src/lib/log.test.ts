import { describe, expect, test } from 'vitest'
import { KINDS, kindsOf, kindsText, lines, offsetText, shownLines, type Lines, type TraceEvent } from './log'
import { build, rows, type Columns, type Entity } from './trace'

const T = 1_795_355_000

function columns(...segments: Entity[]): Columns {
  return build({ Id: '1-6ab38001-00000000000000000000aaaa', Duration: 1, Revision: 1, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: [] }).columns
}

const read = (c: Columns, l: Lines) => Array.from({ length: l.n }, (_, k) => `${KINDS[l.kind[k]!]} ${c.ids[l.entry[k]!]}${l.note[k]! >= 0 ? ` ${l.note[k]}` : ''}`)
const event = (c: Columns, id: string, at: number, exception = false): TraceEvent => ({ entry: c.ids.indexOf(id), exception, name: 'x', message: '', at })
const visible = (c: Columns) => rows(c, { collapsed: new Set(), inferred: false })

describe('lines of a log', () => {
  const c = columns(
    { id: 'a', name: 'shop', start_time: T, end_time: T + 4, subsegments: [
      { id: 'b', name: 'first', start_time: T, end_time: T + 1 },
      { id: 'c', name: 'second', start_time: T + 1, end_time: T + 3, subsegments: [{ id: 'd', name: 'tick', start_time: T + 3, end_time: T + 3 }] },
      { id: 'e', name: 'third', start_time: T + 3, end_time: T + 4 },
    ] },
  )
  test('stand in the order of time, one call after the other and nested as the entries are', () => {
    expect(read(c, lines(c, []))).toEqual([
      'start a', 'start b', 'end b', 'start c',
      'start d', 'start e', 'end d', 'end c', // d has no length: it still starts and ends within c
      'end e', 'end a',
    ])
  })
  test('have events between start and end of their entry, exceptions without time before the end', () => {
    const events = [event(c, 'b', 0.5), event(c, 'b', NaN, true), event(c, 'c', 1), event(c, 'd', 3), event(c, 'e', 4, true)]
    expect(read(c, lines(c, events))).toEqual([
      'start a', 'start b', 'event b 0', 'exception b 1', 'end b', 'start c', 'event c 2',
      'start d', 'start e', 'event d 3', 'end d', 'end c', 'exception e 4', 'end e', 'end a',
    ])
    expect(lines(c, events).counts).toEqual([5, 3, 2, 5])
  })
  test('of one cause stay in its order', () => {
    expect(read(c, lines(c, [event(c, 'a', NaN, true), event(c, 'a', NaN, true), event(c, 'a', NaN, true)])).slice(-5)).toEqual(['exception a 0', 'exception a 1', 'exception a 2', 'end e', 'end a'])
  })
  test('lack the end of what is under way', () => {
    const live = columns({ id: 'a', name: 'job', start_time: T, in_progress: true, subsegments: [{ id: 'b', name: 'step', start_time: T + 1, end_time: T + 2 }] })
    expect(read(live, lines(live, [event(live, 'a', NaN, true), event(live, 'a', 5)]))).toEqual(['start a', 'exception a 0', 'start b', 'end b', 'event a 1'])
  })
  test('leave out events of entries that are not there', () => {
    expect(lines(c, [{ entry: -1, exception: true, name: '', message: '', at: 1 }, { entry: 99, exception: true, name: '', message: '', at: 1 }]).counts).toEqual([5, 0, 0, 5])
  })
  test('are sorted however large the trace is, and nest', () => {
    const n = 100_000
    const big = columns({ id: 'r', name: 'r', start_time: T, end_time: T + 100, subsegments: Array.from({ length: n }, (_, k) => ({ id: `s${k}`, name: 's', start_time: T + ((k * 7919) % n) / 1000, end_time: T + ((k * 7919) % n) / 1000 + (k % 3) / 1000 })) })
    const begin = performance.now()
    const l = lines(big, [])
    console.log(`# ${l.n} lines in ${(performance.now() - begin).toFixed(0)} ms`)
    expect(l.n).toBe(2 * (n + 1))
    const open = new Set<number>()
    let wrong = 0
    for (let k = 0; k < l.n; k++) {
      const i = l.entry[k]!
      if (k > 0 && l.at[k]! < l.at[k - 1]!) wrong++
      if (l.kind[k] === 0) {
        if (big.parent[i]! >= 0 && !open.has(big.parent[i]!)) wrong++
        open.add(i)
      } else if (!open.delete(i)) wrong++
    }
    expect([wrong, open.size]).toEqual([0, 0])
  })
})

describe('lines that are shown', () => {
  const c = columns(
    { id: 'a', name: 'shop', start_time: T, end_time: T + 2, subsegments: [{ id: 'b', name: 'carts', start_time: T + 1, end_time: T + 2 }] },
    { id: 'f', name: 'carts', parent_id: 'b', start_time: T + 1, end_time: T + 2, inferred: true },
  )
  const l = lines(c, [event(c, 'b', 1.5)])
  const of = (shown: Int32Array) => [...shown].map((k) => read(c, l)[k])
  test('are those of entries that have a row', () => {
    expect(of(shownLines(l, c.n, visible(c), kindsOf('')))).toEqual(['start a', 'start b', 'event b 0', 'end b', 'end a'])
    expect(of(shownLines(l, c.n, rows(c, { collapsed: new Set(), inferred: true }), kindsOf('end')))).toEqual(['end f', 'end b', 'end a'])
  })
  test('are of the kinds that the address has', () => {
    expect(of(shownLines(l, c.n, visible(c), kindsOf('event,exception,nonsense')))).toEqual(['event b 0'])
    expect(of(shownLines(l, c.n, visible(c), kindsOf('none')))).toEqual([])
    for (const text of ['start', 'event,end', 'none']) expect(kindsText(kindsOf(text))).toBe(text)
    expect(kindsText(kindsOf(''))).toBeNull()
  })
})

test('offsets are of one form in a trace', () => {
  expect([offsetText(0, 0.5), offsetText(0.0123456, 0.5), offsetText(1.5, 2), offsetText(-0.25, 2)]).toEqual(['0.000 ms', '12.346 ms', '1.500000 s', '−0.250000 s'])
})
