import { describe, expect, test } from 'vitest'
import { above, align, compare, differs, entryPoints, moved, spread, traceList } from './compare'
import { build, FAILED, type Entity, type TraceAnswer } from './trace'

function columns(...segments: Entity[]) {
  const answer: TraceAnswer = { Id: '1-00000001-000000000000000000000001', Duration: 1, Revision: 1, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: [] }
  return build(answer).columns
}

/** A shop that asks a cart so many times, and payments, which take so long and look into a table. */
function order(carts: number, pay: number, more: { fault?: boolean; table?: string; audit?: boolean; start?: number } = {}) {
  const t = more.start ?? 100
  return columns(
    {
      id: 'a', name: 'shop', start_time: t, end_time: t + 0.5 + pay, fault: more.fault,
      subsegments: [
        ...Array.from({ length: carts }, (_, k): Entity => ({ id: `b${k}`, name: 'cart', start_time: t + k * 0.1, end_time: t + k * 0.1 + 0.05, namespace: 'remote' })),
        { id: 'c', name: 'payments', start_time: t + 0.4, end_time: t + 0.4 + pay, namespace: 'remote', fault: more.fault },
        ...(more.audit ? [{ id: 'z', name: 'audit', start_time: t + 0.45 + pay, end_time: t + 0.48 + pay }] : []),
      ],
    },
    { id: 'd', name: 'payments', parent_id: 'c', start_time: t + 0.4, end_time: t + 0.4 + pay, fault: more.fault, subsegments: [{ id: 'e', name: 'DynamoDB', namespace: 'aws', start_time: t + 0.4, end_time: t + 0.4 + pay / 2, aws: { operation: 'GetItem', table_name: more.table ?? 'cards' } }] },
    { id: 'f', name: 'DynamoDB', parent_id: 'e', start_time: t + 0.4, end_time: t + 0.4 + pay / 2, inferred: true },
  )
}

const rounded = (list: readonly number[]) => list.map((x) => Math.round(x * 1e3) / 1e3)

describe('traces are aligned', () => {
  const steps = align([order(1, 0.1), order(3, 0.4, { fault: true, table: 'cards2', start: 900 }), order(0, 0.1, { audit: true, start: 5000 })])
  const get = (name: string, depth: number) => steps.find((s) => s.name === name && s.depth === depth)!
  test('by the names on the way to them, the first as it stands, the rest behind it', () => {
    expect(steps.map((s) => [s.depth, s.service, s.name])).toEqual([
      [0, 'shop', 'shop'],
      [1, 'shop', 'cart'],
      [1, 'shop', 'payments'],
      [2, 'payments', 'payments'],
      [3, 'payments', 'DynamoDB'],
      [1, 'shop', 'audit'],
    ])
    expect(above(get('DynamoDB', 3))).toEqual(['shop', 'payments', 'payments'])
    expect(above(get('shop', 0))).toEqual([])
  })
  test('with counts and times of each, nought where it is missing', () => {
    expect(get('cart', 1).counts).toEqual([1, 3, 0])
    expect(rounded(get('cart', 1).seconds)).toEqual([0.05, 0.15, 0])
    expect(get('audit', 1).counts).toEqual([0, 0, 1])
    expect(rounded(get('audit', 1).seconds)).toEqual([0, 0, 0.03])
    expect(rounded(get('shop', 0).seconds)).toEqual([0.6, 0.9, 0.6])
    expect(rounded(get('payments', 2).self)).toEqual([0.05, 0.2, 0.05])
    expect(rounded([spread(get('payments', 2).seconds), spread(get('audit', 1).seconds)])).toEqual([0.3, 0.03])
  })
  test('with the failures of each', () => {
    expect(steps.map((s) => s.flags.map((f) => (f & FAILED) !== 0))).toEqual([[false, true, false], [false, false, false], [false, true, false], [false, true, false], [false, false, false], [false, false, false]])
  })
  test('with what they are about, if that is the same everywhere', () => {
    expect(get('DynamoDB', 3).detail).toBe('')
    expect(align([order(1, 0.1), order(1, 0.2), order(1, 0.3)]).find((s) => s.name === 'DynamoDB')!.detail).toBe('GetItem cards')
  })
  test('another order gives the same figures in that order', () => {
    const turned = align([order(0, 0.1, { audit: true }), order(1, 0.1), order(3, 0.4, { fault: true })])
    expect(turned.map((s) => s.name)).toEqual(['shop', 'payments', 'payments', 'DynamoDB', 'audit', 'cart'])
    expect(turned.find((s) => s.name === 'cart')!.counts).toEqual([0, 1, 3])
  })
  test('two as compare has them', () => {
    const pair = compare(order(1, 0.1), order(0, 0.4, { fault: true }))
    expect(pair.map((d) => [d.name, d.countA, d.countB, d.failedA, d.failedB])).toEqual([['shop', 1, 1, false, true], ['cart', 1, 0, false, false], ['payments', 1, 1, false, true], ['payments', 1, 1, false, true], ['DynamoDB', 1, 1, false, false]])
    expect(rounded([pair[3]!.secondsA, pair[3]!.secondsB, pair[3]!.selfB])).toEqual([0.1, 0.4, 0.2])
  })
  test('nothing beside nothing is nothing', () => {
    expect(align([])).toEqual([])
    expect(align([columns(), columns(), columns()])).toEqual([])
  })
})

test('what differs: how often, whether it failed, or by more than a twentieth', () => {
  const get = (list: Parameters<typeof align>[0], name: string) => align(list).filter((s) => s.name === name).map((s) => differs(s))
  expect(get([order(1, 0.1), order(1, 0.1), order(1, 0.104)], 'payments')).toEqual([false, false])
  expect(get([order(1, 0.1), order(1, 0.1), order(1, 0.12)], 'payments')).toEqual([true, true])
  expect(get([order(1, 0.1), order(1, 0.1), order(2, 0.1)], 'cart')).toEqual([true])
  expect(get([order(1, 0.1), order(1, 0.1, { fault: true }), order(1, 0.1)], 'payments')).toEqual([true, true])
  const s = align([order(1, 0.1), order(1, 0.2)]).find((x) => x.name === 'cart')!
  expect([differs(s), differs(s, [0, 1])]).toEqual([false, true])
})

test('lists of traces are read from whatever has ids in it', () => {
  const [a, b] = ['1-6926f000-00000000000000000000000a', '1-6926f000-00000000000000000000000b']
  expect(traceList(`${a},${b},${a}`)).toEqual({ ids: [a, b], wrong: [] })
  expect(traceList(` ${a}\n00-6926f00000000000000000000000000b-00f067aa0ba902b7-01 oops,,<b>`)).toEqual({ ids: [a, b], wrong: ['oops', '<b>'] })
  expect(traceList('')).toEqual({ ids: [], wrong: [] })
})

test('one of a list is moved', () => {
  expect([moved([1, 2, 3, 4], 2, 0), moved([1, 2, 3], 0, 2), moved([1, 2, 3], 1, 1)]).toEqual([[3, 1, 2, 4], [2, 3, 1], [1, 2, 3]])
})

test('traces that began with different requests are told apart, items of one kind are not', () => {
  const of = (name: string, method: string, url: string) => columns({ id: 'a', name, start_time: 1, end_time: 2, http: { request: { method, url } } })
  expect(entryPoints([of('shop', 'GET', 'https://shop.example/orders/1234'), of('shop', 'GET', 'https://shop.example/orders/5678?x=1')])).toEqual([])
  expect(entryPoints([of('shop', 'GET', 'https://shop.example/orders'), of('shop', 'POST', 'https://shop.example/orders'), of('web', 'GET', 'https://shop.example/orders')])).toHaveLength(3)
  expect(entryPoints([of('shop', 'GET', 'https://shop.example/'), columns()])).toEqual([])
})
