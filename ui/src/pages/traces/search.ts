// A search under way: pages of rows as they come, or traces as they arrive.

import { batch, computed, signal } from '@preact/signals'
import { get } from '../../lib/api'
import { Asker } from '../../lib/ask'
import { addCounts, emptyCounts, type Counts, type CountsAnswer } from '../../lib/counts'
import { and, quote } from '../../lib/expression'
import { param, place, url } from '../../lib/place'
import { follow as listen } from '../../lib/session'
import { compact, type TraceRow } from '../../lib/summary'
import { readWindow, type Window } from '../../lib/window'
import type { TraceSummary } from '../../lib/api'

/** Rows that are fetched without being asked for; heatmap and counts do not need them. */
const AUTOMATIC = 2000
const MOST = 100_000
/** Rows that are kept of what arrives, and changes that are collected before they are taken in. */
export const LIVE_MOST = 20_000
const INCOMING_MOST = 2000
/** Columns that the server counts into. */
const COLUMNS = 120
/** Values of each key that the server lists. */
const VALUES = 50

/** The filter that is asked for: what is in the bar, and the group that is looked at. */
export function wholeFilter(): string {
  const group = param('group').peek()
  return group ? and(param('q').peek(), `group.name = ${quote(group)}`) : param('q').peek()
}

/** Which traces are asked for, but for the time that has passed. */
function question(): string {
  const { params } = place.peek()
  return [wholeFilter(), ...['range', 'from', 'to', 'live'].map((k) => params.get(k) ?? '')].join('\n')
}

/** Counts a window, or of its values those that contain a text, and tells `took` of each answer. */
export async function countWindow(w: { from: number; to: number }, find: string, signal: AbortSignal, took: (sum: Counts) => void) {
  let sum = emptyCounts(w.from, w.to, COLUMNS)
  let next: string | null = null
  do {
    const a: CountsAnswer = await get<CountsAnswer>('api/counts', { filter: wholeFilter(), start: w.from.toFixed(3), end: w.to.toFixed(3), columns: COLUMNS, values: VALUES, find, token: next ?? undefined }, signal)
    if (signal.aborted) return
    sum = addCounts(sum, a)
    took(sum)
    next = a.NextToken
  } while (next)
}

const worker = new Asker<{ url: string }>(new Worker(new URL('../../workers/search.worker.ts', import.meta.url), { type: 'module' }))

export function createSearch() {
  const rows = signal<TraceRow[]>([])
  const state = signal<'loading' | 'done' | 'paused'>('loading')
  const error = signal<Error | null>(null)
  const window_ = signal<Window>(readWindow(place.peek().params, Date.now() / 1000))
  const waiting = signal<TraceRow[]>([])
  const paused = signal(false)
  const missed = signal(0)
  const connected = signal(false)
  /** What the server counted of the window; null while traces are followed, or when it cannot be had. */
  const counts = signal<Counts | null>(null)
  /** Why the window could not be counted. */
  const uncounted = signal<Error | null>(null)
  /** How far back the pages that came reach, in epoch seconds; null when they are all of the window. */
  const reached = signal<number | null>(null)
  let counting: AbortController | null = null
  let token: string | null = null
  /** The window that pages are asked of: that of the list moves on while traces are followed. */
  let asked = window_.peek()
  let asking = ''
  /** What is shown is of the same question asked before; the next answer takes its place. */
  let old = false
  let run = 0
  let loading = false
  let source: { close: () => void } | null = null
  let incoming: TraceRow[] = []
  let frame = 0

  async function page(mine: number, limit: number) {
    const q: Record<string, string | number> = { filter: wholeFilter(), start: asked.from.toFixed(3), end: asked.to.toFixed(3), limit, shape: 'true' }
    if (token) q.token = token
    const answer = await worker.ask<{ rows: TraceRow[]; next: string | null }>({ url: url(`api/traces?${new URLSearchParams(Object.entries(q).map(([k, v]) => [k, String(v)]))}`) })
    if (mine !== run) return false
    token = answer.next
    batch(() => {
      rows.value = old || rows.peek().length === 0 ? answer.rows : rows.peek().concat(answer.rows)
      reached.value = token === null ? null : answer.rows.reduce((t, r) => (r.start < t ? r.start : t), Math.min(reached.peek() ?? asked.to, asked.to))
      if (old) window_.value = asked
    })
    old = false
    return true
  }

  async function fill(mine: number, upTo: number) {
    if (loading) return
    loading = true
    state.value = 'loading'
    try {
      let first = old || rows.peek().length === 0
      do {
        if (!(await page(mine, first ? 200 : 2000))) return
        first = false
      } while (token && rows.peek().length < upTo)
      state.value = token ? 'paused' : 'done'
    } catch (e) {
      if (mine === run) {
        error.value = e as Error
        state.value = 'paused'
      }
    } finally {
      if (mine === run) loading = false
    }
  }

  async function count(mine: number) {
    counting?.abort()
    counting = null
    uncounted.value = null
    if (!old) counts.value = null
    if (param('live').peek() === '1') return
    const abort = new AbortController()
    counting = abort
    try {
      await countWindow(asked, '', abort.signal, (sum) => {
        if (mine === run) counts.value = sum
      })
    } catch (e) {
      if (mine !== run || abort.signal.aborted) return
      // What is loaded is counted instead, unless all of the window was counted before.
      if (!counts.peek()?.done) counts.value = null
      uncounted.value = e as Error
    }
  }

  /** Starts anew: with another expression, window, or the same ones at a later time. */
  function start() {
    const mine = ++run
    loading = false
    token = null
    // Asked the same again, as of now: what is here stays until there is an answer.
    old = asking === (asking = question()) && param('live').peek() !== '1' && rows.peek().length > 0
    batch(() => {
      asked = readWindow(place.peek().params, Date.now() / 1000)
      error.value = null
      if (!old) {
        window_.value = asked
        rows.value = []
        reached.value = asked.to
      }
      waiting.value = []
      missed.value = 0
    })
    follow()
    void count(mine)
    void fill(mine, param('live').peek() === '1' ? 500 : AUTOMATIC)
  }

  function more() {
    if (token && !loading && rows.peek().length < MOST && state.peek() === 'paused') void fill(run, Math.min(MOST, rows.peek().length + 4000))
  }

  function follow() {
    source?.close()
    source = null
    connected.value = false
    if (param('live').peek() !== '1') return
    const mine = run
    source = listen(`api/tail?${new URLSearchParams({ filter: wholeFilter(), shape: 'true' })}`, {
      open: () => (connected.value = true),
      lost: () => (connected.value = false), // it tries again by itself
      message: (data) => {
        if (mine !== run) return
        const got = JSON.parse(data) as TraceSummary & { Missed?: number }
        if (got.Missed) {
          missed.value += got.Missed
          return
        }
        incoming.push(compact(got))
        // Timers of a page that is not looked at may rest for a minute; what has come is taken in before it piles up.
        if (incoming.length >= INCOMING_MOST) take()
        else frame ||= window.setTimeout(take, rows.peek().length < 5000 ? 150 : 500)
      },
    })
  }

  /** Takes what has arrived into the list, or puts it aside while the list is paused. */
  function take() {
    clearTimeout(frame)
    frame = 0
    const fresh = incoming
    incoming = []
    if (paused.peek()) waiting.value = merge(fresh, waiting.peek()).slice(0, LIVE_MOST)
    else {
      const w = window_.peek()
      batch(() => {
        rows.value = merge(fresh, rows.peek()).slice(0, LIVE_MOST)
        if (w.relative) window_.value = { from: Date.now() / 1000 - w.relative, to: Date.now() / 1000, relative: w.relative }
      })
    }
  }

  function resume() {
    paused.value = false
    const w = waiting.peek()
    waiting.value = []
    rows.value = merge(w, rows.peek()).slice(0, LIVE_MOST)
  }

  return {
    rows,
    state,
    error,
    window: window_,
    waiting,
    paused,
    missed,
    connected,
    counts,
    uncounted,
    reached,
    start,
    more,
    resume,
    /** Everything of the window is here. */
    complete: computed(() => state.value === 'done'),
    fetchAll: () => {
      if (token && !loading) void fill(run, MOST)
    },
    stop() {
      run++
      counting?.abort()
      source?.close()
      clearTimeout(frame)
    },
  }
}

export type SearchState = ReturnType<typeof createSearch>

/** Puts traces that changed in front, each once, in the state that it has now. */
export function merge(fresh: readonly TraceRow[], old: readonly TraceRow[]): TraceRow[] {
  if (fresh.length === 0) return [...old]
  const newest = new Map<string, TraceRow>()
  for (const r of fresh) {
    const known = newest.get(r.id)
    if (!known || r.revision >= known.revision) newest.set(r.id, r)
  }
  const out: TraceRow[] = []
  // One that is shown already stays where it is; new ones come on top, latest first.
  const rest: TraceRow[] = []
  for (const r of old) {
    const now = newest.get(r.id)
    if (now) newest.delete(r.id)
    rest.push(now && now.revision >= r.revision ? now : r)
  }
  for (const r of newest.values()) out.push(r)
  out.sort((a, b) => (b.start || 0) - (a.start || 0))
  return out.concat(rest)
}

