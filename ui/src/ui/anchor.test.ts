import { expect, test } from 'vitest'
import { spotBeside } from './anchor'

const room = { width: 400, height: 300 }

test('a box opens below its anchor, above it where there is more room, and never beyond the window', () => {
  expect(spotBeside({ left: 20, top: 10, bottom: 40 }, { width: 100, height: 100 }, room)).toEqual({ left: 20, top: 45, height: 247 })
  expect(spotBeside({ left: 20, top: 220, bottom: 250 }, { width: 100, height: 100 }, room)).toMatchObject({ top: 115 })
  // Too high for either side: as high as the larger of both.
  expect(spotBeside({ left: 20, top: 200, bottom: 230 }, { width: 100, height: 900 }, room)).toMatchObject({ top: 8, height: 187 })
  expect(spotBeside({ left: 380, top: 10, bottom: 40 }, { width: 100, height: 50 }, room).left).toBe(292)
})
