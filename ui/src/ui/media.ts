// What the window is like, as signals.

import { signal, type ReadonlySignal } from '@preact/signals'

function media(query: string): ReadonlySignal<boolean> {
  const list = matchMedia(query)
  const s = signal(list.matches)
  list.addEventListener('change', () => (s.value = list.matches))
  return s
}

/** Too narrow for a row of pages. */
export const narrow = media('(max-width: 700px)')
/** Too narrow for things beside each other, as the style sheets have it. */
export const slim = media('(max-width: 860px)')
/** Wide enough for all of them. */
export const wide = media('(min-width: 1380px)')
