import { expect, test } from 'vitest'
import { parted, readBox, writeBox, type Box } from './contrast'
import type { TraceRow } from './summary'

const T = 1_795_356_000
const row = (id: string, start: number, duration: number) => ({ id, start, duration }) as TraceRow

test('a box goes into an address and comes back', () => {
  for (const box of [{ from: T, to: T + 60.5, low: 0.25, high: 2 }, { from: T + 0.125, to: T + 1, low: null, high: null }] satisfies Box[]) expect(readBox(writeBox(box))).toEqual(box)
  for (const text of ['', 'x', '5', '5~4', '5~5~1~2', '~9', 'NaN~NaN']) expect(readBox(text), text).toBeNull()
  expect(readBox('1~2~3~1')).toEqual({ from: 1, to: 2, low: null, high: null }) // half of it is nonsense
})

test('traces are parted by a box, none is lost', () => {
  const rows = [row('in', T + 5, 1), row('early', T - 1, 1), row('late', T + 11, 1), row('quick', T + 5, 0.1), row('slow', T + 5, 9), row('running', T + 5, NaN), row('nowhere', NaN, NaN)]
  const ids = (b: Box) => [parted(rows, b).inside, parted(rows, b).outside].map((list) => list.map((r) => r.id).join(' '))
  expect(ids({ from: T, to: T + 10, low: 0.5, high: 2 })).toEqual(['in', 'early late quick slow running nowhere'])
  expect(ids({ from: T, to: T + 10, low: null, high: null })).toEqual(['in quick slow running', 'early late nowhere'])
})
