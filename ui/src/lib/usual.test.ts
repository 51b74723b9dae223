import { describe, expect, test } from 'vitest'
import { ROW, type TraceRow } from './summary'
import { build, type Entity, type TraceAnswer } from './trace'
import { oddity, peers, quantile, route, spread, usual } from './usual'

function columns(...segments: Entity[]) {
  const answer: TraceAnswer = { Id: '1-00000001-000000000000000000000001', Duration: 1, Revision: 1, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: [] }
  return build(answer).columns
}

test('routes leave out what differs from request to request', () => {
  expect(route('https://x.example/orders/123/lines?a=1#b')).toBe('/orders/…/lines')
  expect(route('/v2/carts/8a6e0804-2bd0')).toBe('/v2/carts/…')
  expect(route('https://x.example')).toBe('/')
  expect(route('')).toBe('/')
})

describe('peers', () => {
  const row = (id: string, url: string, more: Partial<TraceRow> = {}): TraceRow => ({ id, start: 1, duration: 1, response: 1, flags: 0, status: 200, method: 'GET', url, agent: '', client: '', entry: 'web', entryType: '', services: [], users: [], annotations: {}, revision: 1, bars: null, ...more })
  const many = Array.from({ length: 6 }, (_, k) => row(`n${k}`, `https://x/orders/${k}`))
  const of = { id: 'me', entry: 'web', method: 'GET', url: 'https://x/orders/99' }
  test('have the same entry point, method and route, and are well and complete', () => {
    const all = [...many, row('me', 'https://x/orders/99'), row('other', 'https://x/carts/1'), row('post', 'https://x/orders/1', { method: 'POST' }), row('bad', 'https://x/orders/7', { flags: ROW.fault }), row('open', 'https://x/orders/8', { flags: ROW.inProgress, duration: NaN })]
    const p = peers(all, of)
    expect(p.rows.map((r) => r.id)).toEqual(['n0', 'n1', 'n2', 'n3', 'n4', 'n5'])
    expect(p.route).toBe('/orders/…')
  })
  test('may have another route, or have failed, where there are too few', () => {
    expect(peers([row('a', 'https://x/carts/1'), row('b', 'https://x/carts/2')], of)).toMatchObject({ route: '', rows: [{ id: 'a' }, { id: 'b' }] })
    expect(peers([row('a', 'https://x/orders/1', { flags: ROW.fault })], of)).toMatchObject({ route: '/orders/…', rows: [{ id: 'a' }] })
  })
})

test('quantiles lie between neighbours; a spread is even', () => {
  expect([quantile([1, 2, 3, 4], 0.5), quantile([5], 0.9), quantile([0, 10], 0.25)]).toEqual([2.5, 5, 2.5])
  expect(quantile([], 0.5)).toBeNaN()
  expect(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4)).toEqual([0, 2, 5, 7])
  expect(spread([1, 2], 4)).toEqual([1, 2])
})

describe('the usual', () => {
  const of = (id: string, total: number, cart: number, calls = 1, more: Entity[] = []) =>
    columns({ id, name: 'shop', start_time: 100, end_time: 100 + total, subsegments: [...Array.from({ length: calls }, (_, k): Entity => ({ id: `${id}c${k}`, name: 'cart', start_time: 100 + k * cart, end_time: 100 + (k + 1) * cart, namespace: 'remote' })), ...more] })
  const others = [1, 1.1, 1.2, 1.3, 1.4].map((t, k) => of(`o${k}`, t, 0.2, 1, [{ id: `o${k}a`, name: 'audit', start_time: 100.5, end_time: 100.6 }]))
  const rows = usual(of('me', 5, 0.3, 6, [{ id: 'n', name: 'fallback', start_time: 102, end_time: 104, fault: true }]), others)
  const get = (name: string) => rows.find((r) => r.name === name)!
  test('is compared path by path', () => {
    expect(rows.map((r) => [r.name, r.depth])).toEqual([['shop', 0], ['cart', 1], ['fallback', 1], ['audit', 1]])
    expect(get('shop')).toMatchObject({ index: 0, count: 1, seen: 5, usualCount: 1 })
    expect(get('shop').median).toBeCloseTo(1.2)
    expect(get('shop').low).toBeCloseTo(1.04)
    expect(get('shop').seconds).toBeCloseTo(5)
    expect(get('cart').seconds).toBeCloseTo(1.8)
    expect(get('cart').median).toBeCloseTo(0.2)
  })
  test('names what is odd', () => {
    expect(rows.map((r) => oddity(r, others.length))).toEqual(['slow', 'often', 'new', 'missing'])
    expect(usual(of('x', 1.2, 0.2, 1, [{ id: 'xa', name: 'audit', start_time: 100.5, end_time: 100.6 }]), others).map((r) => oddity(r, 5))).toEqual(['', '', ''])
    expect(oddity(usual(of('q', 0.2, 0.01), others)[0]!, 5)).toBe('fast')
    expect(rows.map((r) => oddity({ ...r, seen: 0 }, 0))).toEqual(['', '', '', ''])
  })
})
