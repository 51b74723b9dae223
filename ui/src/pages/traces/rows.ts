// Traces of the list as rows that can be copied.

import { csv } from '../../lib/csv'
import type { TraceRow } from '../../lib/summary'
import { outcomeText } from '../../lib/trace'

const HEAD = ['id', 'start', 'duration_seconds', 'response_seconds', 'status', 'outcome', 'method', 'url', 'entry', 'services', 'users', 'client'] as const

/** Times as ISO 8601, durations in seconds; each annotation that any of them has is a column. */
export function tracesCSV(rows: readonly TraceRow[]): string {
  const keys = [...new Set(rows.flatMap((r) => Object.keys(r.annotations)))].sort()
  return csv(
    [...HEAD, ...keys.map((k) => `annotation.${k}`)],
    rows.map((r) => [
      r.id,
      Number.isNaN(r.start) ? '' : new Date(r.start * 1000).toISOString(),
      r.duration,
      r.response,
      r.status || null,
      outcomeText(r.flags),
      r.method,
      r.url,
      r.entry,
      r.services.join('; '),
      r.users.join('; '),
      r.client,
      ...keys.map((k) => {
        const list = Object.hasOwn(r.annotations, k) ? r.annotations[k]! : []
        return list.length === 1 && typeof list[0] === 'number' ? list[0] : list.join('; ')
      }),
    ]),
  )
}
