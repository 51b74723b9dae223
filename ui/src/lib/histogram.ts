// Histograms as the X-Ray API gives them: values in seconds, and how often each came.

export interface Entry {
  Value: number
  Count: number
}

export function total(entries: readonly Entry[]): number {
  let n = 0
  for (const e of entries) n += e.Count
  return n
}

/** The value below which a part of all lies; null when there are none. */
export function quantile(entries: readonly Entry[] | null | undefined, q: number): number | null {
  if (!entries || entries.length === 0) return null
  const all = total(entries)
  if (all === 0) return null
  const sorted = [...entries].sort((a, b) => a.Value - b.Value)
  let seen = 0
  for (const e of sorted) {
    seen += e.Count
    if (seen >= q * all - 1e-9) return e.Value
  }
  return sorted[sorted.length - 1]!.Value
}

export interface Bin {
  from: number
  to: number
  count: number
}

/**
 * Sorts entries into bins of equal width on a logarithmic scale: latencies span
 * magnitudes. Values below a tenth of a millisecond share the first bin.
 */
export function bins(entries: readonly Entry[], wanted: number): Bin[] {
  const least = 1e-4
  let low = Infinity
  let high = 0
  for (const e of entries) {
    if (e.Count <= 0) continue
    low = Math.min(low, Math.max(least, e.Value))
    high = Math.max(high, Math.max(least, e.Value))
  }
  if (high === 0) return []
  // A little air on both sides; one value alone gets a range to stand in.
  const a = Math.log10(low) - 0.02
  const b = Math.max(Math.log10(high) + 0.02, a + 0.2)
  const out: Bin[] = []
  for (let k = 0; k < wanted; k++) out.push({ from: 10 ** (a + ((b - a) * k) / wanted), to: 10 ** (a + ((b - a) * (k + 1)) / wanted), count: 0 })
  for (const e of entries) {
    const k = Math.min(wanted - 1, Math.max(0, Math.floor(((Math.log10(Math.max(least, e.Value)) - a) / (b - a)) * wanted)))
    out[k]!.count += e.Count
  }
  return out
}

/** Adds up histograms. */
export function merge(list: readonly (readonly Entry[] | null | undefined)[]): Entry[] {
  const sum = new Map<number, number>()
  for (const entries of list) for (const e of entries ?? []) sum.set(e.Value, (sum.get(e.Value) ?? 0) + e.Count)
  return [...sum].map(([Value, Count]) => ({ Value, Count })).sort((a, b) => a.Value - b.Value)
}

/** A number of seconds as a filter expression writes it, with no more digits than needed. */
export function seconds(x: number): string {
  return Number(x.toPrecision(3)).toString()
}
