// How a server is: the worst of what it tells about itself, in words.

import { bytes, exact, many } from './format'
import type { Forwarding } from './forward'
import type { Sample } from './metrics'

export interface Told {
  Missing: readonly string[]
  Degraded: string | null
  Storage: { Unavailable: string | null; FreeBytes: number; MinFreeBytes: number; DiskBytes: number; DiskBudget: number | null }
}

export interface Health {
  /** bad: it does not do its work. warn: not all of it. past: it did not, earlier. well: it does. */
  level: 'bad' | 'warn' | 'past' | 'well'
  /** Why it is no better than that. */
  reasons: string[]
  /** Documents that were wrong when they came: their senders' fault, and worth a word. */
  refused: number
}

/** Nearly as little is left on the disk as makes it refuse documents. */
export const tight = (st: Told['Storage']) => st.FreeBytes < st.MinFreeBytes * 2

/** The store takes clearly more than it should: it hovers about its budget while the oldest traces go. */
export const overBudget = (st: Told['Storage']) => st.DiskBudget !== null && st.DiskBytes > st.DiskBudget * 1.1

const INGEST = 'roentgen_ingest_documents_total'

/** What the server did with documents when it could not do better. What is not here is the fault of the sender. */
const OWN: Record<string, string> = { overloaded: 'told to come again, for lack of room', failed: 'not stored: the store failed' }

/** A sample that counts what should not be. Those of the way in are counted by source and code, too, so only some of its results are. */
export function isWrong(s: Sample): boolean {
  if (!(s.value > 0) || !s.name.startsWith('roentgen_')) return false
  // An import is as quick as the server lets it be: what is told to come again is sent again.
  if (s.name === INGEST) return (s.labels.result ?? '') in OWN && !(s.labels.source === 'import' && s.labels.result === 'overloaded')
  if (s.name === 'roentgen_api_requests_total') return s.labels.code !== 'ok'
  return /(dropped|lost|malformed|refused|corruptions|errors|unparsable_documents)\w*_total$/.test(s.name)
}

/** Did something get lost by the server itself? Documents and calls that were wrong when they came are none of its doing. */
const isLoss = (s: Sample) => isWrong(s) && (s.name === INGEST || /(dropped|lost|corruptions|errors)\w*_total$/.test(s.name))

/** `rate` says how much a second a sample has grown lately, null when that is not known. `says` is what a metric counts. */
export function healthOf(told: Told, samples: readonly Sample[], rate: (s: Sample) => number | null, says: (name: string) => string, passing: Forwarding | null): Health {
  const st = told.Storage
  const bad = [...told.Missing]
  if (st.Unavailable) bad.push(`documents are refused: ${st.Unavailable}`)
  const warn: string[] = []
  // What makes it refuse documents is said once.
  if (told.Degraded && !st.Unavailable) warn.push(told.Degraded)
  if (tight(st)) warn.push(`${bytes(st.FreeBytes)} are left on the disk; below ${bytes(st.MinFreeBytes)} documents are refused`)
  if (overBudget(st)) warn.push(`the store takes more than its budget of ${bytes(st.DiskBudget!)}`)
  const past: string[] = []
  for (const d of passing?.destinations ?? []) {
    if (d.failures_in_a_row > 0 && !told.Degraded) warn.push(`${many(d.failures_in_a_row, 'call')} to ${d.name} failed in a row`)
    if (d.lost > 0) past.push(`${many(d.lost, 'document')} for ${d.name} got lost`)
  }
  if (passing?.spool.failure) warn.push(passing.spool.failure)
  let refused = 0
  for (const s of samples) {
    if (s.name === INGEST && (s.labels.result === 'refused' || s.labels.result === 'malformed')) refused += s.value
    if (!isLoss(s)) continue
    const own = OWN[s.labels.result ?? '']
    const text = own && s.name === INGEST ? `${many(s.value, 'document')} by ${s.labels.source} ${s.value === 1 ? 'was' : 'were'} ${own}` : `${exact(s.value)} × ${lower(says(s.name))}`
    ;((rate(s) ?? 0) > 0 ? warn : past).push(text)
  }
  if (bad.length > 0) return { level: 'bad', reasons: bad, refused }
  if (warn.length > 0) return { level: 'warn', reasons: [...warn, ...past], refused }
  return { level: past.length > 0 ? 'past' : 'well', reasons: past, refused }
}

/** For the middle of a sentence. */
const lower = (text: string) => text.replace(/\.$/, '').replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase())
