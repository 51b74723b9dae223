// Where a list has to be scrolled to so that one of its rows is seen.

/**
 * How far down to scroll so that the row from `y` on lies in view, two more above and below it where there is
 * room; the answer is `at`, where it is scrolled to now, when it does already.
 */
export function reveal(y: number, row: number, at: number, view: number): number {
  const margin = Math.max(0, Math.min(row * 2, (view - row) / 2))
  const close = Math.min(margin, row)
  if (y - close < at) return Math.max(0, y - margin)
  if (y + row + close > at + view) return Math.max(0, y + row + margin - view)
  return at
}
