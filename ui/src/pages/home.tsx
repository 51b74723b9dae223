// The front door: the map when there is something on it, else how to send a first trace.

import { useEffect } from 'preact/hooks'
import { useSignal } from '@preact/signals'
import { get, type TraceSummaries } from '../lib/api'
import { go, href, place } from '../lib/place'
import { Problem } from '../ui/parts'

export function HomePage() {
  const error = useSignal<Error | null>(null)
  const look = () => {
    error.value = null
    const now = Date.now() / 1000
    get<TraceSummaries>('api/traces', { start: now - 30 * 86_400, end: now + 3600, clock: 'changed', limit: 1 }).then(
      (t) => go(href(t.TraceSummaries.length > 0 ? 'map' : 'start', place.peek().params), { replace: true }),
      (e: Error) => (error.value = e),
    )
  }
  useEffect(look, [])
  if (error.value)
    return (
      <div style={{ padding: '20px' }}>
        <Problem error={error.value} retry={look} />
      </div>
    )
  return (
    <>
      <div class="progress" />
      <p class="empty">Looking for traces…</p>
    </>
  )
}
