// The basket: traces that were put aside to be compared. It is kept for as long as the tab of the
// browser is open, and is of that tab alone.

import { signal } from '@preact/signals'
import { findTraceID } from './ids'

/** So many traces are compared at once. */
export const MOST = 6

export interface Kept {
  id: string
  /** What the trace began with; "" when that has not arrived. */
  entry: string
  /** null while it is in progress. */
  seconds: number | null
}

const KEY = 'roentgen.basket'

/** Reads a basket as it was stored. Whatever else may lie there is passed over. */
export function parseBasket(text: string | null): Kept[] {
  let list: unknown
  try {
    list = JSON.parse(text ?? '[]')
  } catch {
    return []
  }
  const out: Kept[] = []
  for (const item of Array.isArray(list) ? (list as Partial<Kept>[]) : []) {
    const id = typeof item?.id === 'string' ? findTraceID(item.id) : null
    if (id && out.length < MOST && !out.some((k) => k.id === id)) out.push({ id, entry: typeof item.entry === 'string' ? item.entry : '', seconds: typeof item.seconds === 'number' ? item.seconds : null })
  }
  return out
}

function stored(): string | null {
  try {
    return sessionStorage.getItem(KEY)
  } catch {
    return null
  }
}

export const basket = signal<readonly Kept[]>(parseBasket(stored()))

/** The trace that is looked at, for commands that put it in. */
export const atHand = signal<Kept | null>(null)

export function setBasket(list: readonly Kept[]) {
  basket.value = list
  try {
    if (list.length > 0) sessionStorage.setItem(KEY, JSON.stringify(list))
    else sessionStorage.removeItem(KEY)
  } catch {
    // switched off, or full: it lasts until the page is loaded anew
  }
}

export const inBasket = (id: string) => basket.value.some((k) => k.id === id)

export function takeOut(id: string) {
  setBasket(basket.peek().filter((k) => k.id !== id))
}

/** Puts a trace in, or takes it out again. */
export function toggle(kept: Kept): 'in' | 'out' | 'full' {
  if (basket.peek().some((k) => k.id === kept.id)) {
    takeOut(kept.id)
    return 'out'
  }
  if (basket.peek().length >= MOST) return 'full'
  setBasket([...basket.peek(), kept])
  return 'in'
}

/** Says which trace is looked at. What the basket has of it becomes what is known now. */
export function lookAt(kept: Kept | null) {
  atHand.value = kept
  const known = kept && basket.peek().find((k) => k.id === kept.id)
  if (known && (known.seconds !== kept.seconds || known.entry !== kept.entry)) setBasket(basket.peek().map((k) => (k === known ? kept : k)))
}

/** What a trace began with, in a line: "shop POST /orders". */
export function entryText(name: string, method: string, url: string): string {
  return [name, method, url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')].filter(Boolean).join(' ').slice(0, 300)
}

/** The parameters of the comparison of some traces: two stand beside each other, more are columns of a table. */
export function comparison(ids: readonly string[]): { a?: string; b?: string; t?: string } {
  return ids.length > 2 ? { t: ids.join(',') } : { a: ids[0], b: ids[1] }
}
