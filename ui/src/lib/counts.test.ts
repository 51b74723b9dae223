import { describe, expect, test } from 'vitest'
import { addCounts, emptyCounts, countedFrom, facetsOfCounts, findFacets, isCut, heatOf, quantileOf, type CountsAnswer } from './counts'
import { barsOf } from './summary'

const answer = (more: Partial<CountsAnswer>): CountsAnswer => ({ Traces: 3, Failed: 1, Examined: 5, NextToken: null, Partial: false, Cells: [], Facets: [], ...more })

describe('counts', () => {
  const first = answer({
    NextToken: 't',
    Cells: [[0, 36, 2, 1], [9, 47, 1, 0]],
    Facets: [{ Key: 'status', Distinct: 1, Values: [{ Value: 200, Count: 2, Failed: 0, Series: [1, 1] }] }, { Key: 'annotation.id', Distinct: 1, Values: [{ Value: '200', Count: 1, Failed: 0, Series: [1, 0] }] }],
  })
  const second = answer({ Cells: [[0, 36, 5, 0]], Facets: [{ Key: 'status', Distinct: 2, Values: [{ Value: 500, Count: 1, Failed: 1, Series: [0, 1] }, { Value: 200, Count: 4, Failed: 0, Series: [0, 4] }] }] })
  const c = addCounts(addCounts(emptyCounts(100, 200, 10), first), second)
  test('of several answers add up', () => {
    expect(c).toMatchObject({ traces: 6, failed: 2, examined: 10, done: true, partial: false })
    expect(addCounts(emptyCounts(0, 1, 10), first).done).toBe(false)
    expect(facetsOfCounts(c)).toEqual([
      { key: 'status', title: 'Status', distinct: 2, values: [{ text: '200', count: 6, condition: 'http.status = 200', series: [1, 5] }, { text: '500', count: 1, condition: 'http.status = 500', series: [0, 1] }] },
      { key: 'annotation.id', title: 'id', distinct: 1, values: [{ text: '200', count: 1, condition: 'annotation.id = "200"', series: [1, 0] }] },
    ])
  })
  test('become a picture of whole powers of ten', () => {
    const h = heatOf(c, 20, 24)
    expect(h).toMatchObject({ columns: 10, lines: 12, from: 100, to: 200, most: 7 })
    expect(h.low).toBeCloseTo(0.1)
    expect(h.high).toBeCloseTo(1)
    expect([h.counts[0], h.failures[0], h.counts[11 * 10 + 9]]).toEqual([7, 1, 1])
  })
  test('are put together where there is less room', () => {
    const h = heatOf(c, 4, 6)
    expect(h).toMatchObject({ columns: 4, lines: 6 })
    expect(h.counts.reduce((a, b) => a + b)).toBe(8)
    expect(h.to).toBeCloseTo(220) // three columns of ten each: the last stands for one
    expect(h.counts[5 * 4 + 3]).toBe(1)
  })
  test('of nothing have a scale all the same', () => {
    const h = heatOf(emptyCounts(0, 1, 10), 10, 24)
    expect(h.high).toBeGreaterThan(h.low)
    expect(h.most).toBe(0)
  })
})

test('quantiles of steps are within a step', () => {
  expect(quantileOf([[12, 50], [24, 50]], 0.5)).toBeCloseTo(0.0001 * 10 ** (13 / 12))
  expect(quantileOf([[12, 50], [24, 50]], 0.75)).toBeCloseTo(0.0001 * 10 ** (24.5 / 12))
  expect(quantileOf([[0, 1]], 1)).toBeCloseTo(0.0001 * 10 ** (1 / 12))
  expect(quantileOf([], 0.5)).toBeNaN()
})

test('the shape of a trace is put into bytes', () => {
  const names = ['shop', 'cards', 'shop']
  expect(barsOf([[0, 0, 2, 2], [1, 0.5, 0.5, 0]], (k) => names[k]!, ['shop', 'cards'])).toEqual(Uint8Array.from([0, 0, 255, 2, 1, 64, 64, 0]))
  expect(barsOf([], () => '', [])).toBeNull()
  expect(barsOf([[0, 0, 0, 0]], () => 'shop', ['shop'])).toBeNull()
})

describe('what was counted', () => {
  test('say how far back they reach, and whether values are missing', () => {
    const c = addCounts(emptyCounts(1000, 1100, 10), answer({ NextToken: 't', Cells: [[7, 36, 2, 1], [9, 47, 1, 0]], Facets: [{ Key: 'user', Distinct: 3, Values: [{ Value: 'ann', Count: 2, Failed: 0, Series: [1] }] }] }))
    expect(countedFrom(c)).toBe(1070)
    expect(isCut(c)).toBe(true)
    expect(countedFrom(emptyCounts(1000, 1100, 10))).toBe(1100)
    expect(countedFrom(addCounts(c, answer({})))).toBeNull()
  })

  test('are looked through by title and by value', () => {
    const value = (text: string) => ({ text, count: 1, condition: text })
    const known = [
      { key: 'service', title: 'Service', distinct: 2, values: [value('cart'), value('web')] },
      { key: 'user', title: 'User', distinct: 99, values: [value('ann')] },
    ]
    expect(findFacets(known, null, 'SERV').map((f) => f.values.length)).toEqual([2])
    expect(findFacets(known, null, 'an').map((f) => [f.key, f.values[0]!.text])).toEqual([['user', 'ann']])
    // What the server found is more than what it had listed.
    const found = [{ key: 'user', title: 'User', distinct: 1, values: [value('zoe')] }]
    expect(findFacets(known, found, 'zo').map((f) => f.values[0]!.text)).toEqual(['zoe'])
    expect(findFacets(known, [], 'zo')).toEqual([])
  })
})
