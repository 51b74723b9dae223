import { expect, test } from 'vitest'
import { reveal } from './reveal'

test('a row that is in view with its neighbours stays where it is', () => {
  expect(reveal(260, 26, 200, 400)).toBe(200)
})

test('a row outside comes into view, with two around it', () => {
  expect(reveal(1000, 26, 0, 400)).toBe(1000 + 26 + 52 - 400)
  expect(reveal(100, 26, 500, 400)).toBe(48)
  expect(reveal(0, 26, 500, 400)).toBe(0)
})

test('however low the view, the row is whole in it', () => {
  for (let view = 26; view < 200; view += 7)
    for (const at of [0, 130, 5000]) {
      const to = reveal(520, 26, at, view)
      expect(to).toBeLessThanOrEqual(520)
      expect(to + view).toBeGreaterThanOrEqual(546)
      expect(reveal(520, 26, to, view)).toBe(to) // and stays there
    }
})
