// What the views of one trace share: the columns, what is selected, hidden and looked for.
// What others should see by a link lies in the address; the rest lives as long as the page.

import { computed, effect, signal, untracked } from '@preact/signals'
import { Asker, AnswerError } from '../../lib/ask'
import { change, param, place, url } from '../../lib/place'
import { piles, type Piles } from '../../lib/siblings'
import { keptColours } from '../../lib/colour'
import { colourServices, FLAG, FAILED, GIVEN_UP, rows, type Columns, type Entity } from '../../lib/trace'
import { say, visible } from '../../ui/parts'
import type { EventsAnswer, Question, UsualAnswer } from '../../workers/trace.worker'

export type View = 'waterfall' | 'flame' | 'list' | 'log' | 'map' | 'usual' | 'raw'
export const VIEWS: readonly View[] = ['waterfall', 'flame', 'list', 'log', 'map', 'usual', 'raw']

export function openTrace(id: string) {
  const worker = new Asker<Question>(new Worker(new URL('../../workers/trace.worker.ts', import.meta.url), { type: 'module' }))
  const columns = signal<Columns | null>(null)
  const error = signal<Error | null>(null)
  const collapsed = signal<ReadonlySet<number>>(new Set())
  /** First members of the piles of siblings that are open. */
  const openPiles = signal<ReadonlySet<number>>(new Set())
  const linkedCount = signal(0)
  const matches = signal<Uint8Array | null>(null)
  const hover = signal(-1)
  /** Seconds since the trace began, for entries that are not over. */
  const now = signal(0)
  let closed = false

  const selectedID = param('entry')
  const skew = param('skew')
  const only = param('only')
  const inferred = param('inferred')
  const critical = param('critical')
  const query = param('find')
  const piled = param('piles')
  const onlySegments = param('segments')
  const linked = param('linked')

  const index = computed(() => {
    const c = columns.value
    const map = new Map<string, number>()
    // Of two traces with one id in common the trace asked for comes first.
    if (c) for (let i = c.n - 1; i >= 0; i--) if (c.trace[i] === 0 || !map.has(c.ids[i]!)) map.set(c.ids[i]!, i)
    return map
  })
  const siblings = computed<Piles | null>(() => (columns.value ? piles(columns.value) : null))
  const selected = computed(() => (selectedID.value ? (index.value.get(selectedID.value) ?? -1) : -1))
  const visibleRows = computed(() => {
    const c = columns.value
    if (!c) return new Int32Array(0)
    return rows(c, { collapsed: collapsed.value, inferred: inferred.value === '1', matches: matches.value, only: only.value === '1', critical: critical.value === '1', segments: onlySegments.value === '1', piles: piled.value === '1' ? siblings.value : null, open: openPiles.value })
  })
  const matchList = computed(() => {
    const m = matches.value
    const out: number[] = []
    if (m) for (let i = 0; i < m.length; i++) if (m[i] && (inferred.value === '1' || !(columns.value!.flags[i]! & FLAG.inferred))) out.push(i)
    return out
  })

  /** The part of the trace that is shown, in seconds. */
  const zoomText = param('zoom')
  const span = computed(() => {
    const c = columns.value
    if (!c) return 1
    return Math.max(c.span, c.counts.inProgress > 0 ? now.value : 0, 1e-6)
  })
  const zoom = computed<[number, number]>(() => {
    const match = /^([\d.]+)-([\d.]+)$/.exec(zoomText.value)
    const full: [number, number] = [0, span.value]
    if (!match) return full
    const from = Math.max(0, Number(match[1]) / 1000)
    const to = Math.min(span.value, Number(match[2]) / 1000)
    return to > from ? [from, to] : full
  })
  function setZoom(from: number, to: number) {
    const whole = span.peek()
    const least = Math.max(whole / 1e6, 1e-7)
    let a = Math.max(0, Math.min(from, to))
    let b = Math.min(whole, Math.max(from, to))
    if (b - a < least) {
      const middle = (a + b) / 2
      a = Math.max(0, middle - least / 2)
      b = a + least
    }
    if (a <= 0 && b >= whole) change({ zoom: null }, { replace: true })
    else change({ zoom: `${Number((a * 1000).toPrecision(9))}-${Number((b * 1000).toPrecision(9))}` }, { replace: true })
  }

  const api = url('api/')
  let asked = ''
  let loading = false
  async function load(again = false) {
    if (again && loading) return
    loading = true
    asked = `${skew.peek()} ${linked.peek()}`
    try {
      const fresh = await worker.ask<Columns | null>({ kind: 'load', api, id, skew: skew.peek() === '1', linked: linked.peek() === '1', again })
      if (closed) return
      error.value = null
      if (fresh) {
        const before = columns.peek()
        if (before) {
          // Entities are known by their numbers here, which others have by now.
          collapsed.value = moved(collapsed.peek(), before, fresh)
          openPiles.value = moved(openPiles.peek(), before, fresh)
        }
        columns.value = colourServices(fresh, keptColours)
        if (!again) void worker.ask<number>({ kind: 'linked' }).then((n) => !closed && (linkedCount.value = n), () => {})
      }
    } catch (e) {
      if (!closed && (!again || (e instanceof AnswerError && e.status === 404))) error.value = e as Error
    } finally {
      loading = false
    }
  }
  void load()

  const stop = [
    effect(() => {
      const wanted = `${skew.value} ${linked.value}`
      if (wanted === asked || !untracked(() => columns.value)) return
      asked = wanted
      void worker.ask<Columns | null>({ kind: 'arrange', skew: skew.peek() === '1', linked: linked.peek() === '1' }).then(
        (c) => {
          if (!c || closed || asked !== wanted) return
          collapsed.value = new Set()
          openPiles.value = new Set()
          columns.value = colourServices(c, keptColours)
        },
        (e: Error) => say(e.message),
      )
    }),
    effect(() => {
      const text = query.value
      const c = columns.value
      if (!c || !text.trim()) {
        matches.value = null
        return
      }
      // Who types asks when he rests.
      const timer = setTimeout(() => void worker.ask<Uint8Array | null>({ kind: 'find', text }).then((m) => {
        if (!closed && query.peek() === text && m?.length === columns.peek()?.n) matches.value = m
      }, (e: Error) => say(e.message)), 120)
      return () => clearTimeout(timer)
    }),
    effect(() => {
      // What is under way grows, and is asked for anew, while somebody looks.
      const c = columns.value
      if (!c || c.counts.inProgress === 0 || !visible.value) return
      const grow = () => (now.value = Math.max(0, Date.now() / 1000 - c.t0))
      if (Date.now() / 1000 - c.t0 > GIVEN_UP) return // given up long ago
      grow()
      const frame = setInterval(grow, 100)
      const poll = setInterval(() => void load(true), 1000)
      return () => {
        clearInterval(frame)
        clearInterval(poll)
      }
    }),
  ]

  function select(i: number, options: { replace?: boolean } = {}) {
    const c = columns.peek()
    if (!c || i < 0 || i >= c.n) {
      change({ entry: null }, { replace: true })
      return
    }
    reveal(i)
    change({ entry: c.ids[i]! }, { replace: options.replace ?? true })
  }

  /** Opens what hides an entity. */
  function reveal(i: number) {
    const c = columns.peek()!
    let open: Set<number> | null = null
    for (let p = c.parent[i]!; p >= 0; p = c.parent[p]!) {
      if (collapsed.peek().has(p)) {
        open ??= new Set(collapsed.peek())
        open.delete(p)
      }
    }
    if (open) collapsed.value = open
    // A closed pile shows its first member alone.
    const s = siblings.peek()
    if (piled.peek() !== '1' || !s) return
    let piles: Set<number> | null = null
    for (let p = i; p >= 0; p = c.parent[p]!) {
      const pile = s.of[p]! >= 0 ? s.list[s.of[p]!]! : null
      if (pile && (pile.members[0] !== p || p !== i) && !openPiles.peek().has(pile.members[0]!)) (piles ??= new Set(openPiles.peek())).add(pile.members[0]!)
    }
    if (piles) openPiles.value = piles
  }

  /** The pile that an entity is in while siblings are piled up. */
  function pileOf(i: number) {
    const s = siblings.peek()
    return piled.peek() === '1' && s && s.of[i]! >= 0 ? s.list[s.of[i]!]! : null
  }

  function togglePile(i: number, wanted?: boolean) {
    const pile = pileOf(i)
    if (!pile) return
    const next = new Set(openPiles.peek())
    if (wanted ?? !next.has(pile.members[0]!)) next.add(pile.members[0]!)
    else next.delete(pile.members[0]!)
    openPiles.value = next
  }

  function toggle(i: number, wanted?: boolean) {
    const c = columns.peek()!
    if (c.last[i]! <= i + 1) return
    const next = new Set(collapsed.peek())
    if (wanted ?? !next.has(i)) next.add(i)
    else next.delete(i)
    collapsed.value = next
  }

  /** Closes everything that lies deeper than a level; 0 opens all. */
  function collapseTo(level: number) {
    const c = columns.peek()!
    const next = new Set<number>()
    if (level > 0) for (let i = 0; i < c.n; i++) if (c.depth[i]! >= level - 1 && c.last[i]! > i + 1) next.add(i)
    collapsed.value = next
  }

  /** Goes to the next entity in the list of those that satisfy `wanted`. */
  function step(direction: 1 | -1, wanted: (i: number) => boolean) {
    const c = columns.peek()!
    const at = selected.peek()
    for (let k = 1; k <= c.n; k++) {
      const i = (((at + direction * k) % c.n) + c.n) % c.n
      if (wanted(i) && (inferred.peek() === '1' || !(c.flags[i]! & FLAG.inferred))) {
        select(i)
        return
      }
    }
  }

  return {
    id,
    columns,
    error,
    collapsed,
    matches,
    matchList,
    hover,
    now,
    selected,
    rows: visibleRows,
    zoom,
    span,
    setZoom,
    load: () => void load(),
    siblings,
    openPiles,
    pileOf,
    togglePile,
    linkedCount,
    /** Marks the entries that hold a text. */
    holding: (text: string) => worker.ask<Uint8Array | null>({ kind: 'find', text }),
    events: () => worker.ask<EventsAnswer | null>({ kind: 'events' }),
    usual: (from: number, to: number) => worker.ask<UsualAnswer | null>({ kind: 'usual', from, to }),
    select,
    toggle,
    collapseTo,
    reveal,
    nextMatch: (direction: 1 | -1) => step(direction, (i) => matches.peek()?.[i] === 1),
    nextFailure: (direction: 1 | -1) => step(direction, (i) => (columns.peek()!.flags[i]! & FAILED) !== 0),
    /** The trace as one HTML file. */
    html: () => worker.ask<string | null>({ kind: 'html', link: location.href }),
    entity: (i: number) => worker.ask<Entity | null>({ kind: 'entity', index: i }),
    view: computed<View>(() => {
      const v = place.value.params.get('view') as View
      return VIEWS.includes(v) ? v : 'waterfall'
    }),
    close() {
      closed = true
      for (const s of stop) s()
      worker.close()
    },
  }
}

/** The same entities in columns that are newer. */
function moved(set: ReadonlySet<number>, before: Columns, now: Columns): ReadonlySet<number> {
  if (set.size === 0) return set
  const ids = new Set(Array.from(set, (i) => before.ids[i]))
  const out = new Set<number>()
  for (let i = 0; i < now.n; i++) if (ids.has(now.ids[i])) out.add(i)
  return out
}

export type TraceState = ReturnType<typeof openTrace>
