// Colours of services. A name prefers one colour, on every page and visit, and keeps the one that it
// was given on the way from page to page; within one picture the services that matter most
// never share one.

/** The numbers of the colours of services: --s0 and so on in style/tokens.css. */
export const PALETTE: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12]

/** A number that stays the same for a name (FNV-1a). */
export function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i)
    h = Math.imul(h, 0x01000193)
  }
  return h >>> 0
}

/** Names by how often they are counted, most first; those that are counted alike by name. */
export function byCount(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : a > b ? 1 : 0)).map(([name]) => name)
}

/**
 * The colour number of each name; those that matter most come first. As many as there are colours
 * differ: each has the colour that it prefers, by its hash if nothing else is said, unless one before it has it, and what is
 * left then goes to the others. Names beyond have what they prefer, and share it.
 */
export function assignColours(names: readonly string[], preferred: (name: string) => number = byHash): Map<string, number> {
  const distinct = [...new Set(names)]
  const out = new Map<string, number>()
  const taken = new Set<number>()
  const take = (name: string, k: number) => {
    taken.add(k)
    out.set(name, PALETTE[k]!)
  }
  const first = distinct.slice(0, PALETTE.length)
  for (const name of first) if (!taken.has(preferred(name))) take(name, preferred(name))
  for (const name of first) {
    if (out.has(name)) continue
    let k = preferred(name)
    while (taken.has(k)) k = (k + 1) % PALETTE.length
    take(name, k)
  }
  for (const name of distinct.slice(PALETTE.length)) out.set(name, PALETTE[preferred(name)]!)
  return out
}

function byHash(name: string): number {
  return hash(name) % PALETTE.length
}

/** What names were given last, as places in the palette. */
const given = new Map<string, number>()
const MOST_GIVEN = 5000

/** The same, but a name prefers the colour that it was given last. */
export function keptColours(names: readonly string[]): Map<string, number> {
  const of = assignColours(names, (name) => given.get(name) ?? byHash(name))
  if (given.size > MOST_GIVEN) given.clear()
  for (const [name, colour] of of) given.set(name, PALETTE.indexOf(colour))
  return of
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
