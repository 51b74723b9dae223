// The entries of a trace as a table: sortable, and what a screen reader gets.

import { useEffect, useMemo, useRef } from 'preact/hooks'
import { duration, many } from '../../lib/format'
import { change, param } from '../../lib/place'
import type { Pile } from '../../lib/siblings'
import { endOf, FLAG, outcomeText, selfNow, type Columns } from '../../lib/trace'
import { Chain } from '../../ui/icons'
import { useShortcuts } from '../../ui/keys'
import { Status, Swatch } from '../../ui/parts'
import { TakeCSV, type Rows } from '../../ui/takecsv'
import { Virtual, type VirtualHandle } from '../../ui/virtual'
import type { TraceState } from './state'

type Key = 'order' | 'name' | 'service' | 'start' | 'duration' | 'self'

const HEADS: [Key, string, string][] = [
  ['name', 'Entry', 'grow'],
  ['service', 'Service', 'list-service'],
  ['start', 'Start', 'list-number list-start'],
  ['duration', 'Duration', 'list-number list-duration'],
  ['self', 'Self', 'list-number list-self'],
]

/** So many levels are told by their indent, and on a slim screen; those below say their number. */
const MOST_INDENTS = 24
const MOST_INDENTS_SLIM = 5

export function List({ trace }: { trace: TraceState }) {
  const c = trace.columns.value!
  const rows = trace.rows.value
  const sortText = param('sort').value
  const [sortKey, descending] = [(sortText.replace(/^-/, '') || 'order') as Key, sortText.startsWith('-')]
  const handle = useRef<VirtualHandle>(null)
  const now = trace.now.value
  /** The pile that an entry stands for, at the head of it. */
  const pileOf = (i: number) => {
    const pile = trace.pileOf(i)
    if (!pile) return null
    const open = trace.openPiles.value.has(pile.members[0]!)
    return !open || pile.members[0] === i ? { pile, open } : null
  }
  /** What a row says: of an entry, or of all of a closed pile. */
  const said = (i: number) => {
    const p = pileOf(i)
    if (p && !p.open) return { calls: p.pile.members.length, seconds: p.pile.seconds, self: p.pile.self, flags: c.flags[i]! | p.pile.flags }
    return { calls: 1, seconds: endOf(c, i, now) - c.start[i]!, self: selfNow(c, i, now), flags: c.flags[i]! }
  }
  const order = useMemo(() => {
    const list = Int32Array.from(rows)
    if (sortKey === 'order') return list
    const lengths = sortKey === 'duration' || sortKey === 'self' ? new Map(Array.from(rows, (i) => [i, said(i)[sortKey === 'self' ? 'self' : 'seconds']])) : null
    const by: Record<Exclude<Key, 'order'>, (a: number, b: number) => number> = {
      name: (a, b) => (c.texts[c.name[a]!]! < c.texts[c.name[b]!]! ? -1 : c.texts[c.name[a]!]! > c.texts[c.name[b]!]! ? 1 : 0),
      service: (a, b) => c.services[c.service[a]!]!.name.localeCompare(c.services[c.service[b]!]!.name),
      start: (a, b) => c.start[a]! - c.start[b]!,
      duration: (a, b) => lengths!.get(a)! - lengths!.get(b)!,
      self: (a, b) => lengths!.get(a)! - lengths!.get(b)!,
    }
    const compare = by[sortKey as Exclude<Key, 'order'>]
    if (compare) list.sort((a, b) => (descending ? compare(b, a) : compare(a, b)) || a - b)
    return list
  }, [rows, c, sortKey, descending])
  const at = order.indexOf(trace.selected.value)
  useEffect(() => {
    if (at >= 0) handle.current?.reveal(at)
  }, [at])
  const move = (by: number) => {
    const from = order.indexOf(trace.selected.peek())
    const next = from < 0 ? 0 : Math.max(0, Math.min(order.length - 1, from + by))
    if (order.length > 0) change({ entry: c.ids[order[next]!]! }, { replace: true })
  }
  useShortcuts(
    () => ({
      title: 'List',
      shortcuts: [
        { keys: ['j', 'ArrowDown'], what: 'Next entry', run: () => move(1) },
        { keys: ['k', 'ArrowUp'], what: 'Previous entry', run: () => move(-1) },
        { keys: ['p'], what: 'Pile up what repeats, or not', run: () => change({ piles: param('piles').peek() !== '1' }, { replace: true }) },
        { keys: ['s'], what: 'Only segments, or all', run: () => change({ segments: param('segments').peek() !== '1' }, { replace: true }) },
        { keys: [']'], what: 'Next failure', run: () => trace.nextFailure(1) },
        { keys: ['['], what: 'Previous failure', run: () => trace.nextFailure(-1) },
      ],
    }),
    [order],
  )
  const table = (): Rows => ({
    head: ['entry', 'what', 'service', 'type', 'level', 'calls', 'start_seconds', 'seconds', 'own_seconds', 'outcome', 'id', 'trace_id'],
    rows: Array.from(order, (i) => {
      const is = said(i)
      const s = c.services[c.service[i]!]!
      return [c.texts[c.name[i]!], c.texts[c.detail[i]!], s.name, s.type, c.depth[i]! + 1, is.calls, c.start[i], is.seconds, is.self, outcomeText(is.flags), c.ids[i], c.traces[c.trace[i]!]]
    }),
  })
  return (
    <>
      <div class="row list-line">
        <span class="grow muted num">{many(order.length, 'row')}</span>
        <TakeCSV of="the list" file={`entries-${trace.id}`} table={table} />
      </div>
      <div class="table list" data-sort={sortKey} role="table" aria-label="Entries of the trace" aria-rowcount={order.length + 1}>
        <div class="table-head" role="row" aria-rowindex={1}>
          {HEADS.map(([key, label, cls]) => (
            <div key={key} class={cls} role="columnheader" aria-sort={sortKey === key ? (descending ? 'descending' : 'ascending') : 'none'}>
              <button onClick={() => change({ sort: sortKey !== key ? (key === 'name' || key === 'service' ? key : `-${key}`) : descending ? (key === 'name' || key === 'service' ? null : key) : key === 'name' || key === 'service' ? `-${key}` : null }, { replace: true })}>
                {label} {sortKey === key && (descending ? '↓' : '↑')}
              </button>
            </div>
          ))}
          <div class="list-status" role="columnheader">
            Status
          </div>
        </div>
        <Virtual handle={handle} count={order.length} height={30} label="Entries">
          {(r) => <Row key={r % 199} c={c} i={order[r]!} r={r} selected={r === at} indent={sortKey === 'order'} is={said(order[r]!)} dim={trace.matches.value !== null && !trace.matches.value[order[r]!]} pile={pileOf(order[r]!)} onPile={() => trace.togglePile(order[r]!)} onPick={() => change({ entry: c.ids[order[r]!]! }, { replace: true })} />}
        </Virtual>
      </div>
    </>
  )
}

function Row({ c, i, r, selected, indent, is, dim, pile, onPile, onPick }: { c: Columns; i: number; r: number; selected: boolean; indent: boolean; is: { seconds: number; self: number; flags: number }; dim: boolean; pile: { pile: Pile; open: boolean } | null; onPile: () => void; onPick: () => void }) {
  const s = c.services[c.service[i]!]!
  const f = is.flags
  return (
    <div class={`table-row ${selected ? 'selected' : ''} ${dim ? 'dim' : ''}`} role="row" aria-rowindex={r + 2} aria-selected={selected} onClick={onPick}>
      <div class="grow row" role="cell" style={indent ? { paddingLeft: `min(${Math.min(c.depth[i]!, MOST_INDENTS) * 12}px, 40%)` } : undefined}>
        {indent && c.depth[i]! > MOST_INDENTS_SLIM && (
          <span class="faint num list-level" data-deep={c.depth[i]! > MOST_INDENTS} title={`Level ${c.depth[i]! + 1}`}>
            {c.depth[i]! + 1}
          </span>
        )}
        {pile && (
          <button
            class="badge pile-badge"
            aria-expanded={pile.open}
            title={pile.open ? 'Close the pile' : 'Open the pile'}
            onClick={(e) => {
              e.stopPropagation()
              onPile()
            }}
          >
            {pile.pile.members.length} ×
          </button>
        )}
        {c.trace[i]! > 0 && (c.parent[i]! < 0 || c.trace[c.parent[i]!] !== c.trace[i]) && (
          <span class="icon" role="img" aria-label="Of a linked trace" title="Of a linked trace">
            <Chain />
          </span>
        )}
        <button class="row-button ellipsis" onClick={onPick}>
          <bdi>{c.texts[c.name[i]!]}</bdi>
        </button>
        <span class="faint ellipsis">
          <bdi>{c.texts[c.detail[i]!]}</bdi>
        </span>
      </div>
      <div class="list-service row" role="cell">
        <Swatch colour={s.colour} />
        <bdi class="ellipsis">{s.name}</bdi>
      </div>
      <div class="list-number list-start num" role="cell">
        {duration(c.start[i]!)}
      </div>
      <div class="list-number list-duration num" role="cell">
        {duration(is.seconds)}
      </div>
      <div class="list-number list-self num" role="cell">
        {duration(is.self)}
      </div>
      <div class="list-status" role="cell">
        <Status fault={(f & FLAG.fault) !== 0} error={(f & FLAG.error) !== 0} throttle={(f & FLAG.throttle) !== 0} busy={(f & FLAG.inProgress) !== 0} />
      </div>
    </div>
  )
}
