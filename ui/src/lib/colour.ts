// Colours of services. A name keeps its colour from page to page; within one picture
// a second name that would get the same one moves on to the next that is free.

export const PALETTE_SIZE = 8

/** A number that stays the same for a name (FNV-1a). */
export function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i)
    h = Math.imul(h, 0x01000193)
  }
  return h >>> 0
}

/** The colour numbers of names, in their order. */
export function colours(names: readonly string[]): number[] {
  const taken = new Set<number>()
  const byName = new Map<string, number>()
  return names.map((name) => {
    const known = byName.get(name)
    if (known !== undefined) return known
    let c = hash(name) % PALETTE_SIZE
    if (taken.size < PALETTE_SIZE) while (taken.has(c)) c = (c + 1) % PALETTE_SIZE
    taken.add(c)
    byName.set(name, c)
    return c
  })
}

function channel(hex: string, at: number): number {
  const c = parseInt(hex.slice(at, at + 2), 16) / 255
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
}

/** The relative luminance of a colour like "#40b7a4". */
export function luminance(hex: string): number {
  return 0.2126 * channel(hex, 1) + 0.7152 * channel(hex, 3) + 0.0722 * channel(hex, 5)
}

/** What text on a colour is written in, of dark and white: what is read better. */
export function ink(colour: string): string {
  return luminance(colour) > 0.2 ? '#0a0d13' : '#ffffff'
}
