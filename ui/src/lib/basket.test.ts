import { beforeEach, describe, expect, test, vi } from 'vitest'
import { atHand, basket, comparison, entryText, inBasket, lookAt, MOST, parseBasket, setBasket, takeOut, toggle } from './basket'

const id = (k: number) => `1-6926f000-${k.toString(16).padStart(24, '0')}`
const kept = (k: number) => ({ id: id(k), entry: `shop ${k}`, seconds: k / 10 })

describe('the basket', () => {
  beforeEach(() => {
    const map = new Map<string, string>()
    vi.stubGlobal('sessionStorage', { getItem: (k: string) => map.get(k) ?? null, setItem: (k: string, v: string) => map.set(k, v), removeItem: (k: string) => map.delete(k) })
    setBasket([])
  })

  test('holds six, in the order in which they came, and refuses the seventh', () => {
    expect(Array.from({ length: MOST + 1 }, (_, k) => toggle(kept(k + 1)))).toEqual(['in', 'in', 'in', 'in', 'in', 'in', 'full'])
    expect(basket.value.map((k) => k.id)).toEqual([1, 2, 3, 4, 5, 6].map(id))
    expect(toggle(kept(3))).toBe('out')
    expect(toggle(kept(7))).toBe('in')
    expect(basket.value.map((k) => k.id)).toEqual([1, 2, 4, 5, 6, 7].map(id))
    takeOut(id(1))
    expect([inBasket(id(1)), inBasket(id(2))]).toEqual([false, true])
  })
  test('is stored as it is, and not at all when empty', () => {
    toggle(kept(1))
    toggle({ id: id(2), entry: '', seconds: null })
    expect(parseBasket(sessionStorage.getItem('roentgen.basket'))).toEqual([kept(1), { id: id(2), entry: '', seconds: null }])
    setBasket([])
    expect(sessionStorage.getItem('roentgen.basket')).toBeNull()
  })
  test('works where nothing can be stored', () => {
    vi.stubGlobal('sessionStorage', { setItem: () => { throw new Error('full') }, removeItem: () => { throw new Error('off') } })
    expect(toggle(kept(1))).toBe('in')
    expect(basket.value).toEqual([kept(1)])
  })
  test('learns how long a trace took once it is over', () => {
    toggle({ ...kept(1), seconds: null })
    lookAt(kept(1))
    expect(basket.value).toEqual([kept(1)])
    lookAt(kept(2))
    expect([basket.value, atHand.value]).toEqual([[kept(1)], kept(2)])
  })
})

test('what is stored is read with care', () => {
  for (const bad of [null, '', 'no JSON', '7', '{}', 'null', '[null, 3, "x", {}, {"id": 5}, {"id": "1-2"}]']) expect(parseBasket(bad)).toEqual([])
  expect(parseBasket(JSON.stringify([{ id: id(1), entry: 4, seconds: 'x' }, { id: id(1) }, ...Array.from({ length: 9 }, (_, k) => kept(k + 2))]))).toEqual([{ id: id(1), entry: '', seconds: null }, ...[2, 3, 4, 5, 6].map(kept)])
})

test('what a trace began with is said in a line', () => {
  expect(entryText('shop', 'POST', 'https://shop.example:8443/orders?x=1')).toBe('shop POST /orders?x=1')
  expect([entryText('', '', ''), entryText('cron', '', ''), entryText('shop', 'GET', '/a'), entryText('shop', 'GET', 'https://x')]).toEqual(['', 'cron', 'shop GET /a', 'shop GET'])
  expect(entryText('shop', 'GET', `/${'a'.repeat(9000)}`).length).toBe(300)
})

test('two are compared beside each other, more in a table', () => {
  expect(comparison([id(1)])).toEqual({ a: id(1), b: undefined })
  expect(comparison([id(1), id(2)])).toEqual({ a: id(1), b: id(2) })
  expect(comparison([1, 2, 3].map(id))).toEqual({ t: [1, 2, 3].map(id).join(',') })
})
