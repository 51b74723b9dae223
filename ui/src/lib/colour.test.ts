import { expect, test } from 'vitest'
import { assignColours, byCount, keptColours, PALETTE } from './colour'

const names = (n: number, of = 'service') => Array.from({ length: n }, (_, k) => `${of}-${k}`)

test('as many services as there are colours differ, whatever they are called', () => {
  for (let k = 0; k < 50; k++) {
    const list = names(PALETTE.length, `s${k}`)
    expect(new Set(assignColours(list).values()).size).toBe(PALETTE.length)
  }
})

test('a service has the colour that its name prefers unless one that matters more has it', () => {
  const list = names(PALETTE.length)
  const of = assignColours(list)
  const alone = (name: string) => assignColours([name]).get(name)!
  const seen = new Set<number>()
  for (const name of list) {
    if (seen.has(alone(name))) continue
    seen.add(alone(name))
    expect([name, of.get(name)]).toEqual([name, alone(name)])
  }
})

test('who comes after the last colour changes nothing for those before', () => {
  const list = names(40)
  const few = assignColours(list.slice(0, PALETTE.length))
  const all = assignColours(list)
  for (const [name, colour] of few) expect(all.get(name)).toBe(colour)
  for (const name of list.slice(PALETTE.length)) expect(all.get(name)).toBe(assignColours([name]).get(name))
})

test('a service keeps the colour that it was given on the page before', () => {
  const list = names(PALETTE.length)
  const clash = names(500, 'other').find((n) => assignColours([n]).get(n) === assignColours([list[0]!]).get(list[0]!))!
  const before = keptColours([clash, list[0]!])
  expect(keptColours([list[0]!])).toEqual(new Map([[list[0]!, before.get(list[0]!)!]]))
  expect(new Set(keptColours(list).values()).size).toBe(PALETTE.length)
  expect(keptColours([clash, ...list]).get(clash)).toBe(before.get(clash))
})

test('names are ordered by count, then by name', () => {
  expect(byCount(new Map([['b', 1], ['a', 1], ['z', 9], ['B', 1]]))).toEqual(['z', 'B', 'a', 'b'])
})

test('a name that comes twice has one colour', () => {
  expect(assignColours(['a', 'b', 'a'])).toEqual(assignColours(['a', 'b']))
})
