// Fetches the columns of traces, and of those that are linked with them.

import { AnswerError } from './ask'
import { quote } from './expression'
import { ask, fetchJSON } from './fetch'
import { findTraceID } from './ids'
import { read, type Flat } from './trace'

/** Asks for the columns of a trace; null when they are still the ones with the tag `unless`. `api` ends in a slash. */
export async function fetchColumns(api: string, id: string, unless = ''): Promise<{ flat: Flat; tag: string } | null> {
  const response = await ask(`${api}traces/${encodeURIComponent(id)}/columns`, unless ? { 'If-None-Match': unless } : {})
  if (response.status === 304) return null
  return { flat: read(await response.arrayBuffer()), tag: response.headers.get('ETag') ?? '' }
}

/** Linked traces that are shown together, and entries of all of them. */
const MOST_TRACES = 20
const MOST_ENTRIES = 200_000

/**
 * Follows links in both directions, from the trace to those it names and to those that name it,
 * and on from there. `more` says that there are others beyond the bounds.
 */
export async function fetchLinked(api: string, first: Flat): Promise<{ flats: Flat[]; more: boolean }> {
  const flats = [first]
  const known = new Set([first.id])
  let entries = first.n
  let more = false
  for (let at = 0; at < flats.length; at++) {
    const f = flats[at]!
    const wanted = new Set<string>()
    for (const l of f.links) {
      const id = findTraceID(l.trace)
      if (id) wanted.add(id)
    }
    for (const id of await linkedFrom(api, f)) wanted.add(id)
    for (const id of wanted) {
      if (known.has(id)) continue
      if (flats.length >= MOST_TRACES || entries >= MOST_ENTRIES) {
        more = true
        break
      }
      known.add(id)
      try {
        const got = await fetchColumns(api, id)
        if (got && got.flat.n > 0) {
          flats.push(got.flat)
          entries += got.flat.n
        }
      } catch (e) {
        if (!(e instanceof AnswerError) || e.status !== 404) throw e // one that was not sampled is no mistake
      }
    }
  }
  return { flats, more }
}

/** As long as a message may lie in a queue. */
const LONGEST_WAIT = 14 * 86_400

/** The ids of traces that have links to one. They begin after it, or not long before. */
export async function linkedFrom(api: string, f: Flat): Promise<string[]> {
  let begin = Infinity
  for (const t of f.start) if (t > 0 && t < begin) begin = t
  if (begin === Infinity) return []
  const q = new URLSearchParams({ filter: `annotation[link.trace_id] = ${quote(f.id)}`, start: (begin - 3600).toFixed(3), end: Math.min(begin + LONGEST_WAIT, Math.max(Date.now() / 1000, begin) + 3600).toFixed(3), limit: String(MOST_TRACES) })
  const page = await fetchJSON<{ TraceSummaries: { Id: string }[] }>(`${api}traces?${q}`)
  return page.TraceSummaries.map((s) => s.Id)
}
