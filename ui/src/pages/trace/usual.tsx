// The trace beside the usual ones of its entry point: what took longer, what is new, what
// is missing.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { duration, exact, many, percent } from '../../lib/format'
import { change, href, param } from '../../lib/place'
import { oddity, type UsualRow } from '../../lib/usual'
import { Problem, Swatch } from '../../ui/parts'
import { TakeCSV, type Rows } from '../../ui/takecsv'
import type { UsualAnswer } from '../../workers/trace.worker'
import type { TraceState } from './state'

/** How far back the usual is looked for. */
const PERIODS: [string, string, number][] = [
  ['1h', 'An hour', 3600],
  ['1d', 'A day', 86_400],
  ['7d', 'A week', 7 * 86_400],
]

const ODD: Record<string, string> = { new: 'not in the others', missing: 'missing here', slow: 'slower', fast: 'faster', often: 'more often' }

export function Usual({ trace }: { trace: TraceState }) {
  const c = trace.columns.value!
  const answer = useSignal<UsualAnswer | null>(null)
  const error = useSignal<Error | null>(null)
  const loading = useSignal(true)
  const period = PERIODS.find(([id]) => id === param('usual').value) ?? PERIODS[1]!
  const only = param('odd').value === '1'
  const end = c.t0 + c.span
  useEffect(() => {
    let gone = false
    loading.value = true
    error.value = null
    trace.usual(c.t0 - period[2], Math.max(end, c.t0 + 1)).then(
      (a) => {
        if (gone) return
        answer.value = a
        loading.value = false
      },
      (e: Error) => {
        if (gone) return
        error.value = e
        loading.value = false
      },
    )
    return () => {
      gone = true
    }
  }, [trace, c.revision, period[0]])
  const a = answer.value
  if (error.value) return <div style={{ padding: '16px' }}><Problem error={error.value} retry={() => change({ usual: period[0] }, { replace: true })} /></div>
  if (!a) return loading.value ? <><div class="progress" /><p class="empty" role="status">Reading the usual traces…</p></> : <Nothing period={period[0]} text="This trace has no segment that its request began with." />
  const mine = c.duration ?? c.span
  const others = a.examined.length
  const colours = new Map(c.services.map((s) => [s.name, s.colour]))
  const rows = only ? a.rows.filter((r) => oddity(r, others) !== '') : a.rows
  const plain = !a.rows.length || (param('linked').value !== '1' && param('skew').value !== '1')
  const at = plain ? trace.selected.value : -1
  const scale = Math.max(1e-9, ...a.rows.slice(0, 2000).map((r) => Math.max(r.seconds, Number.isNaN(r.high) ? 0 : r.high)))
  return (
    <div class="usual" data-scroll tabIndex={0}>
      <div class="row usual-head">
        <p class="grow">
          {a.traces === 0 ? (
            <>
              No other trace of <b><bdi>{a.entry}</bdi></b> {a.method} <bdi>{a.route}</bdi> in the time before.
            </>
          ) : (
            <>
              <b>{verdict(mine, a)}</b>{' '}
              <span class="muted">
                Held against {many(a.traces, 'other')}{a.partial && ' or more'} of <bdi>{a.entry}</bdi> {a.method} <bdi>{a.route}</bdi>.
              </span>{' '}
              {mine > a.median && culprit(a.rows, others)}
            </>
          )}
        </p>
        <div class="segmented" role="group" aria-label="How far back">
          {PERIODS.map(([id, text]) => (
            <button key={id} aria-pressed={id === period[0]} onClick={() => change({ usual: id === '1d' ? null : id }, { replace: true })}>
              {text}
            </button>
          ))}
        </div>
        <button class="button" aria-pressed={only} onClick={() => change({ odd: !only }, { replace: true })}>
          Only what is odd
        </button>
        {a.typical && (
          <a class="button" href={href('compare', { a: a.typical, b: trace.id })}>
            Beside the median
          </a>
        )}
      </div>
      {a.traces > 0 && (
        <dl class="usual-figures num">
          <div>
            <dt>This trace</dt>
            <dd>{duration(mine)}</dd>
          </div>
          <div>
            <dt>Median of the {exact(a.traces)}</dt>
            <dd>{duration(a.median)}</dd>
          </div>
          <div>
            <dt>Eight of ten took</dt>
            <dd>
              {duration(a.low)} to {duration(a.high)}
            </dd>
          </div>
          <div>
            <dt>Quicker than this one</dt>
            <dd>{percent(a.slower)}</dd>
          </div>
        </dl>
      )}
      {others > 0 && <TakeCSV of="the comparison" file={`usual-${trace.id}`} table={() => table(rows, others)} />}
      {others > 0 && (
        <div class="card compare-table">
          <table>
            <caption class="hidden-visually">Entries of this trace, and what they are as a rule in {others} others</caption>
            <thead>
              <tr>
                <th>Entry</th>
                <th class="right">Here</th>
                <th class="right" title={`Median of the ${others} traces that were looked into`}>
                  Median
                </th>
                <th class="right usual-calls">Calls</th>
                <th class="usual-picture">Here, and eight of ten others</th>
              </tr>
            </thead>
            <tbody class="num">
              {rows.slice(0, 2000).map((r) => (
                <Line key={r.path} r={r} colour={colours.get(r.service) ?? 8} others={others} scale={scale} selected={r.index >= 0 && r.index === at} onPick={() => (plain ? trace.select(r.index) : pick(trace, r))} />
              ))}
            </tbody>
          </table>
          {rows.length === 0 && <div class="empty">Nothing is odd about this trace.</div>}
        </div>
      )}
      {others > 0 && <p class="faint usual-note">Entries were compared with those of {many(others, 'trace')}, evenly spread over the time before.</p>}
      {a.traces === 0 && <Nothing period={period[0]} text="With others to compare with, this shows what took longer than usual, what is new and what is missing." />}
    </div>
  )
}

function table(rows: readonly UsualRow[], others: number): Rows {
  return {
    head: ['entry', 'level', 'calls', 'seconds', 'own_seconds', 'usual_calls', 'usual_seconds', 'usual_low_seconds', 'usual_high_seconds', 'usual_own_seconds', 'others_with_it', 'others', 'what', 'failed'],
    rows: rows.map((r) => [r.name, r.depth + 1, r.count, r.seconds, r.self, r.usualCount, r.median, r.low, r.high, r.usualSelf, r.seen, others, oddity(r, others), r.failed ? 'yes' : '']),
  }
}

/** Rows count entries as they are without links and corrected clocks. */
function pick(trace: TraceState, r: UsualRow) {
  const c = trace.columns.peek()!
  const name = r.name
  for (let i = 0; i < c.n; i++) if (c.trace[i] === 0 && c.texts[c.name[i]!] === name && c.depth[i] === r.depth) return trace.select(i)
}

function Nothing({ period, text }: { period: string; text: string }) {
  return (
    <div class="empty">
      <h2>Nothing to compare with</h2>
      <p>{text}</p>
      {period !== '7d' && (
        <button class="button" onClick={() => change({ usual: '7d' }, { replace: true })}>
          Look at a week
        </button>
      )}
    </div>
  )
}

function verdict(mine: number, a: UsualAnswer): string {
  // A hair beyond the others is as long as they are.
  if (mine > a.high && mine > a.median * 1.2) return `Slower than ${a.slower >= 0.995 ? 'all' : percent(a.slower)} of the others.`
  if (mine < a.low && mine < a.median / 1.2) return `Faster than ${a.slower <= 0.005 ? 'all' : percent(1 - a.slower)} of the others.`
  return 'It took as long as usual.'
}

/** Whose own work made most of the difference. */
function culprit(rows: readonly UsualRow[], others: number) {
  if (others === 0) return null
  let most: UsualRow | null = null
  let by = 0
  for (const r of rows) {
    const extra = r.self - (Number.isNaN(r.usualSelf) ? 0 : r.usualSelf)
    if (extra > by) {
      by = extra
      most = r
    }
  }
  if (!most || by < 0.001) return null
  return (
    <span>
      Most of what is longer is in <b><bdi>{most.name}</bdi></b>: {duration(most.self)} of its own work, {Number.isNaN(most.usualSelf) ? 'where others have none' : `usually ${duration(most.usualSelf)}`}.
    </span>
  )
}

function Line({ r, colour, others, scale, selected, onPick }: { r: UsualRow; colour: number; others: number; scale: number; selected: boolean; onPick: () => void }) {
  const odd = oddity(r, others)
  const x = (t: number) => Math.sqrt(Math.max(0, t) / scale) * 100
  return (
    <tr class={selected ? 'selected' : ''}>
      <td>
        <span class="row usual-name" style={{ paddingLeft: `calc(${Math.min(r.depth, 20)} * var(--step))` }}>
          <Swatch colour={colour} />
          {r.index >= 0 ? (
            <button class="link ellipsis" onClick={onPick}>
              <bdi>{r.name}</bdi>
            </button>
          ) : (
            <bdi class="ellipsis muted">{r.name}</bdi>
          )}
          {odd && <span class={`badge ${odd === 'slow' || odd === 'often' ? 'error' : ''}`}>{ODD[odd]}</span>}
          {r.failed && <span class="badge fault">failed</span>}
          {r.seen > 0 && r.seen < others && <span class="faint num" title={`${r.seen} of ${others} others have it`}>{percent(r.seen / others)}</span>}
        </span>
      </td>
      <td class={`right ${odd === 'slow' ? 'text-error' : ''}`}>{r.count ? duration(r.seconds) : '–'}</td>
      <td class="right">{r.seen ? <span title={`${duration(r.low)} to ${duration(r.high)}`}>{duration(r.median)}</span> : '–'}</td>
      <td class="right usual-calls">
        {exact(r.count)}
        {r.seen > 0 && Math.round(r.usualCount) !== r.count && <span class="faint"> / {exact(Math.round(r.usualCount))}</span>}
      </td>
      <td class="usual-picture">
        <svg width="100%" height="12" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
          {r.seen > 0 && <rect class="usual-range" x={x(r.low)} width={Math.max(0.6, x(r.high) - x(r.low))} y="2" height="8" />}
          {r.seen > 0 && <rect class="usual-median" x={x(r.median) - 0.3} width="0.6" y="1" height="10" />}
          {r.count > 0 && <rect class={odd === 'slow' ? 'usual-here odd' : 'usual-here'} x="0" width={Math.max(0.5, x(r.seconds))} y="5" height="2.4" />}
        </svg>
      </td>
    </tr>
  )
}
