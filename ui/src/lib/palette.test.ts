import { expect, test } from 'vitest'
import css from '../style/tokens.css?raw'
import { ink, luminance, PALETTE } from './colour'

function theme(name: string): Map<string, string> {
  const from = css.indexOf(`:root[data-theme='${name}']`)
  return new Map([...css.slice(from, css.indexOf('}', from)).matchAll(/--([a-z0-9-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1]!, m[2]!]))
}

function linear(hex: string): number[] {
  return [1, 3, 5].map((k) => {
    const c = parseInt(hex.slice(k, k + 2), 16) / 255
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  })
}

// What is left of linear red, green and blue for eyes that miss one kind of cones
// (Machado, Oliveira and Fernandes 2009, severity 1).
const EYES: Record<string, number[][]> = {
  'all cones': [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}

/** OKLab: distances in it are about how different colours look. */
function oklab([r, g, b]: number[]): number[] {
  const l = Math.cbrt(0.4122214708 * r! + 0.5363325363 * g! + 0.0514459929 * b!)
  const m = Math.cbrt(0.2119034982 * r! + 0.6806995451 * g! + 0.1073969566 * b!)
  const s = Math.cbrt(0.0883024619 * r! + 0.2817188376 * g! + 0.6299787005 * b!)
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s]
}

const contrast = (a: string, b: string) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05)

for (const name of ['dark', 'light']) {
  const tokens = theme(name)
  const colours = PALETTE.map((k) => tokens.get(`s${k}`)!)
  for (const [eyes, m] of Object.entries(EYES))
    test(`service colours stay apart, ${name}, ${eyes}`, () => {
      const seen = colours.map((c) => oklab(m.map((row) => Math.max(0, row.reduce((sum, x, k) => sum + x * linear(c)[k]!, 0)))))
      const close: string[] = []
      for (let a = 0; a < seen.length; a++) for (let b = a + 1; b < seen.length; b++) if (Math.hypot(...seen[a]!.map((x, k) => x - seen[b]![k]!)) < 0.085) close.push(`s${PALETTE[a]} s${PALETTE[b]}`)
      expect(close).toEqual([])
    })
  test(`colours can be seen on the page, ${name}`, () => {
    for (const key of [...PALETTE.map((k) => `s${k}`), 'ok', 'error', 'fault', 'throttle', 'busy']) expect([key, contrast(tokens.get(key)!, tokens.get('surface')!) >= 3]).toEqual([key, true])
    for (const key of ['muted', 'faint', 'accent-text', 'error-text', 'fault-text', 'throttle-text', 'ok-text', 'busy-text']) expect([key, contrast(tokens.get(key)!, tokens.get('surface')!) >= 4.5]).toEqual([key, true])
  })
  test(`text on colours can be read, ${name}`, () => {
    for (const c of colours) expect(contrast(c, ink(c))).toBeGreaterThan(4.5)
  })
}
