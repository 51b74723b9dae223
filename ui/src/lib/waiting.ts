// Which questions to the server are open for long, so that the page can say so.

import { signal } from '@preact/signals'

/** Milliseconds after which an answer is late. */
const LATE = 2500

/** How many answers are late. */
export const late = signal(0)

export function track<T>(answer: Promise<T>): Promise<T> {
  let counted = false
  const timer = setTimeout(() => {
    counted = true
    late.value++
  }, LATE)
  const done = () => {
    clearTimeout(timer)
    if (counted) late.value--
    counted = false
  }
  answer.then(done, done)
  return answer
}
