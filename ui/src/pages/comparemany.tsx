// Three to six traces as the columns of a table: step by step what each took, and by how much that
// differs from the first of them, the baseline.

import { useSignal } from '@preact/signals'
import { Fragment } from 'preact'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { comparison, MOST } from '../lib/basket'
import { fetchColumns } from '../lib/columns'
import { keptColours } from '../lib/colour'
import { above, align, differs, entryPoints, moved, spread, type Step } from '../lib/compare'
import { csv } from '../lib/csv'
import { duration, exact, many, timeParts } from '../lib/format'
import { change, href, param, url } from '../lib/place'
import { arrange, colourServices, FAILED, FLAG, mainRoot, outcomeText, type Columns } from '../lib/trace'
import { Copy, More } from '../ui/icons'
import { useShortcuts } from '../ui/keys'
import { copy, Popover, Problem, Status, Swatch, utc } from '../ui/parts'

/** So many steps are shown; a copy has them all. */
const MOST_STEPS = 2000
/** Stored times are exact to about this many seconds. */
const EXACT = 1e-6

/** A trace that is there, with its place in the list. */
interface Column {
  id: string
  number: number
  columns: Columns
  total: number
}

export function CompareMany({ ids: all, wrong }: { ids: readonly string[]; wrong: readonly string[] }) {
  const ids = all.slice(0, MOST)
  const states = useTraces(ids)
  const only = param('only').value === '1'
  const own = param('of').value === 'self'
  const sort = param('sort').value
  useEffect(() => {
    document.title = `Compare ${ids.length} traces · Roentgen`
  }, [ids.length])
  const waiting = ids.some((id) => !states.has(id))
  const there: Column[] = []
  ids.forEach((id, i) => {
    const columns = states.get(id)?.columns
    if (columns) there.push({ id, number: i + 1, columns, total: columns.duration ?? columns.span })
  })
  // Until all have come it is not known which is the baseline.
  const shown = waiting ? [] : there
  const steps = useMemo(() => align(shown.map((c) => c.columns)), [shown.map((c) => c.id).join()])
  const valuesOf = (s: Step) => (own ? s.self : s.seconds)
  const rows = useMemo(() => {
    const list = only ? steps.filter((s) => differs(s, valuesOf(s))) : steps
    if (sort !== 'spread' && sort !== '-spread') return list
    const down = sort === '-spread' ? 1 : -1
    return [...list].sort((a, b) => down * (spread(valuesOf(b)) - spread(valuesOf(a))))
  }, [steps, only, own, sort])
  const sorted = rows.length > 0 && (sort === 'spread' || sort === '-spread')
  const most = Math.max(EXACT, ...steps.slice(0, 20_000).map((s) => spread(valuesOf(s))))
  const put = (list: readonly string[]) => change(list.length > 2 ? { t: list.join(',') } : { ...comparison(list), t: null, sort: null, of: null })
  const toBaseline = (i: number) => put(moved(ids, i, 0))
  const sortBy = (to: string | null) => change({ sort: to }, { replace: true })
  useShortcuts(
    () => ({
      title: 'Comparison',
      shortcuts: [
        { keys: ['d'], what: 'Only what differs, or all', run: () => change({ only: param('only').peek() !== '1' }, { replace: true }) },
        { keys: ['s'], what: 'By spread, or as a tree', run: () => sortBy(param('sort').peek() ? null : '-spread') },
        { keys: ['w'], what: 'Own work, or durations', run: () => change({ of: param('of').peek() === 'self' ? null : 'self' }, { replace: true }) },
        { keys: ids.slice(1).map((_, i) => String(i + 2)), what: 'Make that trace the baseline', run: (e) => toBaseline(Number(e.key) - 1) },
      ],
    }),
    [ids.join()],
  )
  return (
    <div class="page" data-scroll>
      <div class="page-inner many-page">
        <h1>Compare {ids.length} traces</h1>
        {wrong.length > 0 && (
          <div class="notice warn" role="alert">
            <div>
              There is no trace id in <bdi>{wrong.slice(0, 5).join(', ').slice(0, 200)}</bdi>; left out.
            </div>
          </div>
        )}
        {all.length > MOST && (
          <div class="notice warn" role="alert">
            <div>
              {MOST} traces are compared at once; the last {all.length - MOST} of {all.length} are left out.
            </div>
          </div>
        )}
        {ids.map((id, i) => {
          const error = states.get(id)?.error
          return (
            error && (
              <div key={id} class="column many-gone">
                <div class="row">
                  <span class="badge">{i + 1}</span>
                  <code class="ellipsis grow">{id}</code>
                  <button class="button" onClick={() => put(ids.filter((x) => x !== id))}>
                    Take it out
                  </button>
                </div>
                <Problem error={error} retry={states.get(id)!.retry} />
              </div>
            )
          )
        })}
        {waiting && <div class="progress" role="progressbar" aria-label="The traces are read" />}
        {!waiting && shown.length < 2 && <div class="empty">It takes two traces to compare.</div>}
        {shown.length > 1 && (
          <>
            <p>{verdict(shown, steps)}</p>
            <EntryPoints traces={shown.map((c) => c.columns)} />
            <div class="row many-tools">
              <div class="segmented" role="group" aria-label="What is compared">
                <button aria-pressed={!own} onClick={() => change({ of: null }, { replace: true })}>
                  Duration
                </button>
                <button aria-pressed={own} title="Without the time of what was called (w)" onClick={() => change({ of: 'self' }, { replace: true })}>
                  Own work
                </button>
              </div>
              <button class="button" aria-pressed={only} onClick={() => change({ only: !only }, { replace: true })}>
                Only what differs
              </button>
              {sorted && (
                <button class="button" onClick={() => sortBy(null)}>
                  As a tree
                </button>
              )}
              <span class="grow muted num" aria-live="polite">
                {rows.length === steps.length ? many(steps.length, 'step') : `${exact(rows.length)} of ${many(steps.length, 'step')}`}
              </span>
              <button class="button" onClick={() => void copy(table(shown, rows), `${many(rows.length, 'row')} copied`)}>
                <Copy /> Copy as CSV
              </button>
            </div>
            <div class="card compare-table many" role="region" aria-label="Steps of the traces" tabIndex={0}>
              <table>
                <caption class="hidden-visually">Each step of {shown.length} traces, with what it took and the difference to the baseline</caption>
                <thead>
                  <tr>
                    <td class="many-step muted">The first is the baseline</td>
                    {shown.map((c, k) => (
                      <Head key={c.id} c={c} base={shown[0]!} first={k === 0} ids={ids} names={shown} put={put} />
                    ))}
                    <td />
                  </tr>
                  <tr>
                    <th scope="col" class="many-step">
                      Step
                    </th>
                    {shown.map((c, k) => (
                      <th key={c.id} scope="col" class="right">
                        {c.number} · <span class="num">{k === 0 ? 'baseline' : duration(c.total)}</span>
                      </th>
                    ))}
                    <th scope="col" class="right many-spread" aria-sort={sorted ? (sort === '-spread' ? 'descending' : 'ascending') : undefined}>
                      <button class="sort" title="Between the longest and the shortest (s)" onClick={() => sortBy(sort === '-spread' ? 'spread' : sort === 'spread' ? null : '-spread')}>
                        Spread{sorted && <span aria-hidden="true">{sort === '-spread' ? ' ↓' : ' ↑'}</span>}
                      </button>
                    </th>
                  </tr>
                </thead>
                <tbody class="num">
                  {rows.slice(0, MOST_STEPS).map((s) => (
                    <Line key={s.path} s={s} shown={shown} values={valuesOf(s)} most={most} sorted={sorted} />
                  ))}
                </tbody>
              </table>
              {rows.length === 0 && <div class="empty">{steps.length === 0 ? 'These traces hold no segments.' : 'Nothing differs by more than a twentieth.'}</div>}
            </div>
            {rows.length > MOST_STEPS && <p class="muted">{exact(rows.length - MOST_STEPS)} more; a copy has them all.</p>}
          </>
        )}
      </div>
    </div>
  )
}

/** Says that traces began with different requests, so that their steps hardly meet. */
export function EntryPoints({ traces }: { traces: readonly Columns[] }) {
  const points = entryPoints(traces)
  if (points.length === 0) return null
  return (
    <div class="notice warn" role="note">
      <div>
        <b>These are different requests:</b>{' '}
        {points.map((p, k) => (
          <span key={p}>
            {k > 0 && (k === points.length - 1 ? ' and ' : ', ')}
            <bdi>{p}</bdi>
          </span>
        ))}
        . Steps are laid beside each other by their way from the root, so most are only in one of them.
      </div>
    </div>
  )
}

/** A name that breaks behind its dots, dashes and slashes rather than inside of a word. */
export function Breaking({ text }: { text: string }) {
  return (
    <bdi>
      {text.split(/(?<=[./_:@-])/).map((part, k) => (
        <Fragment key={k}>
          {k > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </bdi>
  )
}

function failing(flags: number) {
  return { fault: (flags & FLAG.fault) !== 0, error: (flags & FLAG.error) !== 0, throttle: (flags & FLAG.throttle) !== 0 }
}

function nameOf(c: Columns): string {
  const root = mainRoot(c)
  return root >= 0 ? c.texts[c.name[root]!]! : '(no root yet)'
}

function signed(seconds: number): string {
  return Math.abs(seconds) < EXACT ? 'the same' : `${seconds > 0 ? '+' : ''}${duration(seconds)}`
}

function Head({ c, base, first, ids, names, put }: { c: Column; base: Column; first: boolean; ids: readonly string[]; names: readonly Column[]; put: (list: readonly string[]) => void }) {
  const t = timeParts(c.columns.t0, utc.value)
  const root = mainRoot(c.columns)
  const at = ids.indexOf(c.id)
  const e = c.columns.entry
  const item = (text: string, list: () => readonly string[], close: () => void) => (
    <button class="menu-item" role="menuitem" onClick={() => (close(), put(list()))}>
      {text}
    </button>
  )
  return (
    <td class="many-head">
      <div class="row">
        <span class="badge">{c.number}</span>
        <a class="ellipsis grow" href={href(`trace/${c.id}`)} title={c.id}>
          <b>
            <bdi>{nameOf(c.columns)}</bdi>
          </b>
        </a>
        <Popover
          label={`More to do with trace ${c.number}`}
          class="button plain icon"
          role="menu"
          body={(close) => (
            <>
              <a class="menu-item" role="menuitem" href={href(`trace/${c.id}`)} onClick={close}>
                Open the trace
              </a>
              {names
                .filter((o) => o.id !== c.id)
                .map((o) => (
                  <a key={o.id} class="menu-item" role="menuitem" href={href('compare', comparison(o.number < c.number ? [o.id, c.id] : [c.id, o.id]))} onClick={close}>
                    <span class="ellipsis">
                      Beside {o.number}, <bdi>{nameOf(o.columns)}</bdi>
                    </span>
                    <span class="hint num">{duration(o.total)}</span>
                  </a>
                ))}
              <div class="menu-line" />
              {at > 0 && item('Make it the baseline', () => moved(ids, at, 0), close)}
              {at > 1 && item('Move to the left', () => moved(ids, at, at - 1), close)}
              {at < ids.length - 1 && item('Move to the right', () => moved(ids, at, at + 1), close)}
              {item('Take it out', () => ids.filter((id) => id !== c.id), close)}
            </>
          )}
        >
          <More />
        </Popover>
      </div>
      <div class="muted ellipsis many-request" title={e ? `${e.method} ${e.url}` : undefined}>
        {e?.method} <bdi>{e?.url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')}</bdi>
      </div>
      <div class="row num">
        <b class="grow">{c.columns.counts.inProgress > 0 ? `${duration(c.total)}…` : duration(c.total)}</b>
        <Status {...failing(root >= 0 ? c.columns.flags[root]! : 0)} busy={c.columns.counts.inProgress > 0} code={e?.status} />
      </div>
      <div class="num muted many-time">
        <span>{t.time}</span> <span class="faint">{t.date}</span>
      </div>
      <div class="row num">
        {first ? (
          <span class="badge">baseline</span>
        ) : (
          <>
            <span class="grow">{signed(c.total - base.total)}</span>
            <a class="link" href={href('compare', comparison([base.id, c.id]))} title={`The two traces alone, ${base.number} and ${c.number}`}>
              beside {base.number}
            </a>
          </>
        )}
      </div>
    </td>
  )
}

function Line({ s, shown, values, most, sorted }: { s: Step; shown: readonly Column[]; values: readonly number[]; most: number; sorted: boolean }) {
  const apart = spread(values)
  const path = above(s)
  return (
    <tr>
      <td class="many-step">
        <div class="row" style={{ paddingLeft: sorted ? undefined : `calc(${Math.min(s.depth, 20)} * var(--step))` }} title={[...path, s.name].join(' › ')}>
          <Swatch colour={s.colour} />
          <span class="ellipsis">
            {s.service !== s.name && (
              <span class="muted">
                <Breaking text={s.service} /> ›{' '}
              </span>
            )}
            <Breaking text={s.name} />
            {s.detail && (
              <span class="faint">
                {' '}
                <bdi>{s.detail}</bdi>
              </span>
            )}
            {sorted && path.length > 0 && (
              <span class="faint">
                {' '}
                in <bdi>{path.join(' › ')}</bdi>
              </span>
            )}
          </span>
        </div>
      </td>
      {shown.map((c, k) => {
        if (s.counts[k] === 0)
          return (
            <td key={c.id} class="right faint">
              missing
            </td>
          )
        const flags = s.flags[k]!
        const by = values[k]! - values[0]!
        const much = Math.abs(by) >= EXACT && Math.abs(by) > most * 0.2
        return (
          <td key={c.id} class="right">
            <div class="row many-cell">
              {(flags & (FAILED | FLAG.inProgress)) !== 0 && <Status {...failing(flags)} busy={(flags & FLAG.inProgress) !== 0} />}
              {(s.counts[k]! > 1 || s.counts.some((n) => n > 1)) && <span class="badge">{exact(s.counts[k]!)} ×</span>}
              <span>{duration(values[k])}</span>
            </div>
            {k > 0 && (s.counts[0] === 0 ? <div class="many-by text-error">not in {shown[0]!.number}</div> : <div class={`many-by ${!much ? 'muted' : by > 0 ? 'text-error' : 'text-ok'}`}>{signed(by)}</div>)}
          </td>
        )
      })}
      <td class="right many-spread">
        {apart < EXACT ? <span class="faint">none</span> : duration(apart)}
        <svg width="100%" height="4" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
          <rect width={(apart / most) * 100} height="4" class="bar-ok" />
        </svg>
      </td>
    </tr>
  )
}

function verdict(list: readonly Column[], steps: readonly Step[]): string {
  const by = [...list].sort((a, b) => a.total - b.total)
  const [quick, slow] = [by[0]!, by[by.length - 1]!]
  const head = slow.total - quick.total < EXACT ? 'All took as long.' : `${slow.number} took longest, ${duration(slow.total)}; ${quick.number} was the quickest with ${duration(quick.total)}.`
  let top: Step | undefined
  for (const s of steps) if (!top || spread(s.self) > spread(top.self)) top = s
  return top && spread(top.self) >= EXACT ? `${head} Most of the spread is in ${top.name}: ${duration(Math.min(...top.self))} to ${duration(Math.max(...top.self))} of its own work.` : head
}

function table(list: readonly Column[], steps: readonly Step[]): string {
  const exactly = (seconds: number) => Math.round(seconds / EXACT) / Math.round(1 / EXACT)
  return csv(
    ['service', 'step', 'within', ...list.flatMap((c) => [`${c.id} count`, `${c.id} seconds`, `${c.id} own_seconds`, `${c.id} outcome`]), 'spread_seconds', 'spread_own_seconds'],
    steps.map((s) => [s.service, s.name, above(s).join(' > '), ...list.flatMap((_, k) => (s.counts[k] ? [s.counts[k], exactly(s.seconds[k]!), exactly(s.self[k]!), outcomeText(s.flags[k]!)] : [0, null, null, ''])), exactly(spread(s.seconds)), exactly(spread(s.self))]),
  )
}

interface Loaded {
  columns: Columns | null
  error: Error | null
  retry: () => void
}

/** Reads traces, each once unless it is tried again; those that are still being read are not in the answer. */
function useTraces(ids: readonly string[]): ReadonlyMap<string, Loaded> {
  const got = useSignal<ReadonlyMap<string, Loaded>>(new Map())
  const asked = useRef(new Set<string>())
  const gone = useRef(false)
  const load = (id: string) => {
    asked.current.add(id)
    const put = (columns: Columns | null, error: Error | null) => {
      if (!gone.current) got.value = new Map(got.peek()).set(id, { columns, error, retry: () => load(id) })
    }
    fetchColumns(url('api/'), id).then(
      (t) => put(colourServices(arrange(t!.flat), keptColours), null),
      (e: Error) => put(null, e),
    )
  }
  useEffect(() => {
    for (const id of ids) if (!asked.current.has(id)) load(id)
  }, [ids.join()])
  useEffect(
    () => () => {
      gone.current = true
    },
    [],
  )
  return got.value
}
