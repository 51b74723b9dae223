// Windows of time, as the address of the page says them: `range=15m` for one that ends
// now, `from=` and `to=` in epoch seconds for one that stands still.

export interface Window {
  from: number
  to: number
  /** Seconds, for a window that ends now; 0 for one that stands still. */
  relative: number
}

export const RANGES: readonly (readonly [string, string])[] = [
  ['5m', 'Last 5 minutes'],
  ['15m', 'Last 15 minutes'],
  ['1h', 'Last hour'],
  ['3h', 'Last 3 hours'],
  ['6h', 'Last 6 hours'],
  ['12h', 'Last 12 hours'],
  ['1d', 'Last day'],
  ['7d', 'Last week'],
  ['30d', 'Last 30 days'],
]

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Reads "15m", "90s", "2d"; null for anything else. */
export function parseRange(text: string): number | null {
  const match = /^\s*(\d{1,7}(?:\.\d+)?)\s*([smhdw])\s*$/i.exec(text)
  if (!match) return null
  const seconds = Number(match[1]) * UNITS[match[2]!.toLowerCase()]!
  return seconds > 0 && seconds <= 10 * 365 * 86_400 ? seconds : null
}

/** The window that is looked at when none is asked for, on every page. */
export const USUAL_RANGE = '15m'

/** Reads a window out of parameters; without any it is the usual one. */
export function readWindow(params: URLSearchParams, now: number): Window {
  const from = Number(params.get('from') ?? NaN)
  const to = Number(params.get('to') ?? NaN)
  if (Number.isFinite(from) && Number.isFinite(to) && to > from) return { from, to, relative: 0 }
  const relative = parseRange(params.get('range') ?? USUAL_RANGE) ?? parseRange(USUAL_RANGE)!
  return { from: now - relative, to: now, relative }
}

/** Says a window in words, for buttons. */
export function windowText(params: URLSearchParams): string | null {
  if (params.has('from') && params.has('to')) return null
  const text = params.get('range') ?? USUAL_RANGE
  const known = RANGES.find(([range]) => range === text)
  if (known) return known[1]
  return parseRange(text) ? `Last ${text}` : RANGES.find(([range]) => range === USUAL_RANGE)![1]
}

/** A window twice as long around the same middle, that does not reach beyond now. */
export function zoomOut(w: Window, now: number): { from: number; to: number } {
  const length = (w.to - w.from) * 2
  const middle = (w.from + w.to) / 2
  let to = middle + length / 2
  if (to > now && w.to <= now + 1) to = Math.max(now, w.to)
  return { from: to - length, to }
}

/** Round distances for a scale of `span` with about `wanted` marks. */
export function niceStep(span: number, wanted: number): number {
  const raw = span / Math.max(1, wanted)
  const power = 10 ** Math.floor(Math.log10(raw))
  const unit = raw / power
  return (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10) * power
}

/** Round lengths of time: tens up to a minute, then what a clock has. */
export function timeStep(span: number, wanted: number): number {
  return span / Math.max(1, wanted) > 20 ? clockStep(span, wanted) : niceStep(span, wanted)
}

const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]

/** Distances between marks on a clock, where tens are not round. */
export function clockStep(span: number, wanted: number): number {
  const raw = span / Math.max(1, wanted)
  if (raw < 1) return niceStep(span, wanted)
  return CLOCK_STEPS.find((step) => step >= raw) ?? niceStep(span, wanted)
}

/** About how many times of the clock a scale so many pixels wide has room for: a few on a slim one, too. */
export function marksIn(width: number): number {
  return Math.max(2, Math.min(5, width / 62), width / 110)
}

/** Windows that one is compared with: how far back, in words, and in the address. */
export const EARLIER: readonly (readonly [string, string])[] = [
  ['before', 'The window before'],
  ['1h', 'An hour earlier'],
  ['1d', 'A day earlier'],
  ['7d', 'A week earlier'],
]

/**
 * The window that `with` says: as long as this one and right before it, some time earlier, or
 * from `bfrom` to `bto`. Null when none of that is said.
 */
export function earlier(w: { from: number; to: number }, params: URLSearchParams): { from: number; to: number } | null {
  const how = params.get('with') ?? ''
  if (how === '') return null
  if (how === 'times') {
    const from = Number(params.get('bfrom') ?? NaN)
    const to = Number(params.get('bto') ?? NaN)
    if (Number.isFinite(from) && Number.isFinite(to) && to > from) return { from, to }
  }
  const back = how === 'before' ? w.to - w.from : parseRange(how)
  return back === null ? { from: w.from - (w.to - w.from), to: w.from } : { from: w.from - back, to: w.to - back }
}
