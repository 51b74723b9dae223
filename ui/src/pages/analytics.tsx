// Two sets of traces side by side, and what tells them apart. The second may be the same
// search in the window before: what changed.

import { effect, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { Asker } from '../lib/ask'
import { contrast, durations, parted, readBox, writeBox, type Contrast } from '../lib/contrast'
import { and } from '../lib/expression'
import { seconds } from '../lib/histogram'
import { duration, exact, many, percent, timeParts } from '../lib/format'
import { change, contextParams, href, param, place, url } from '../lib/place'
import { ROW, type TraceRow } from '../lib/summary'
import { EARLIER, earlier, parseRange, readWindow, type Window } from '../lib/window'
import { FilterBar } from '../ui/filterbar'
import { ChartTable } from '../ui/charttable'
import { Copy, Down, Minus, Plus } from '../ui/icons'
import { Popover, prepare, Problem, themeVersion, token, useSize, utc } from '../ui/parts'
import { RangePicker, Times } from '../ui/range'
import { copyCSV } from '../ui/takecsv'
import { Heatmap } from './traces/heatmap'

/** Traces of each set that are looked at. */
const MOST = 5000

let worker: Asker<{ url: string }> | null = null

interface SetOf {
  rows: TraceRow[]
  more: boolean
  loading: boolean
  error: Error | null
}

const NONE: SetOf = { rows: [], more: false, loading: false, error: null }

/** Reads the traces of a set, unless `wanted` is false. */
function useSet(filter: string, from: number, to: number, attempt: number, wanted = true): SetOf {
  const state = useSignal<SetOf>({ ...NONE, loading: true })
  useEffect(() => {
    let gone = false
    state.value = { ...NONE, loading: wanted }
    if (!wanted) return
    worker ??= new Asker(new Worker(new URL('../workers/search.worker.ts', import.meta.url), { type: 'module' }))
    const load = async () => {
      let rows: TraceRow[] = []
      let next: string | null = null
      do {
        const q: Record<string, string> = { filter, start: from.toFixed(3), end: to.toFixed(3), limit: '2000' }
        if (next) q.token = next
        const page: { rows: TraceRow[]; next: string | null } = await worker!.ask({ url: url(`api/traces?${new URLSearchParams(q)}`) })
        if (gone) return
        rows = rows.concat(page.rows)
        next = page.next
        state.value = { rows, more: next !== null, loading: next !== null && rows.length < MOST, error: null }
      } while (next && rows.length < MOST)
    }
    load().catch((error: Error) => !gone && (state.value = { ...state.peek(), loading: false, error }))
    return () => {
      gone = true
    }
  }, [filter, from, to, attempt, wanted])
  return state.value
}

export function AnalyticsPage() {
  const params = place.value.params
  const a = param('a').value
  const b = param('b').value
  const range = ['range', 'from', 'to'].map((k) => params.get(k) ?? '').join('|')
  const w = useMemo(() => readWindow(place.peek().params, Date.now() / 1000), [range])
  const attempt = useSignal(0)
  const whole = useSet(a, w.from, w.to, attempt.value)
  // With a box the traces of A in it are compared with its others.
  const boxText = param('box').value
  const box = useMemo(() => readBox(boxText), [boxText])
  const parts = useMemo(() => box && parted(whole.rows, box), [whole.rows, box])
  const setA = parts ? { ...whole, rows: parts.inside } : whole
  const how = ['with', 'bfrom', 'bto'].map((k) => params.get(k) ?? '').join('|')
  const other = useMemo(() => earlier(w, place.peek().params), [w, how])
  const before = other !== null
  const second = useSet(before ? a : b, other?.from ?? w.from, other?.to ?? w.to, attempt.value, !box)
  const setB = parts ? { ...whole, rows: parts.outside, error: null } : second
  const oldest = useMemo(() => whole.rows.reduce((t, r) => (r.start < t ? r.start : t), w.to), [whole.rows, w])
  useEffect(() => {
    document.title = 'Analytics · Roentgen'
  }, [])
  const list = useMemo(() => contrast(setA.rows, setB.rows), [setA.rows, setB.rows])
  const same = !box && !before && a === b
  const context = contextParams(params)
  return (
    <div class="page" data-scroll>
      <div class="page-inner wide">
        <div class="row" style={{ flexWrap: 'wrap' }}>
          <div class="grow">
            <h1>Analytics</h1>
            <p class="muted">Two sets of traces, and what tells them apart.</p>
          </div>
          <div class="segmented" role="group" aria-label="What A is compared with">
            <button aria-pressed={!before && !box} onClick={() => change({ with: null, bfrom: null, bto: null, box: null })}>
              Another search
            </button>
            <button aria-pressed={before && !box} onClick={() => (before && !box) || change({ with: param('with').peek() || 'before', box: null })}>
              Another time
            </button>
            {box && <button aria-pressed={true}>A part of itself</button>}
          </div>
          {before && !box && <Earlier w={w} other={other} />}
          <RangePicker />
        </div>
        <div class="sets">
          <section class="card set set-a" aria-label="Set A">
            <h2>
              <span class="set-mark">A</span> <bdi>{a || 'All traces'}</bdi>
              {box && <span class="muted">in the box</span>}
            </h2>
            <FilterBar id="filter-a" value={a} onChange={(t) => change({ a: t })} />
            <Figures set={setA} href={box ? href('traces', { q: box.low === null ? a : and(a, within(box.low, box.high!)), from: box.from, to: box.to }) : href('traces', { ...context, q: a })} />
          </section>
          <section class="card set set-b" aria-label="Set B">
            <h2>
              <span class="set-mark">B</span> {box ? 'Its others, outside of the box' : before ? `The same, ${earlierWords(params).toLowerCase()}` : <bdi>{b || 'All traces'}</bdi>}
            </h2>
            {box ? (
              <p class="row" style={{ flexWrap: 'wrap' }}>
                <span class="muted num grow">
                  {spanText(box)}
                  {box.low !== null && `, ${duration(box.low)} to ${duration(box.high)}`}
                </span>
                <button class="button" onClick={() => change({ box: null })}>
                  Without the box
                </button>
              </p>
            ) : before ? <p class="muted num">{spanText(other)}</p> : <FilterBar id="filter-b" value={b} onChange={(t) => change({ b: t })} />}
            <Figures set={setB} against={setA} href={box ? href('traces', { ...context, q: a }) : before ? href('traces', { q: a, from: Math.floor(other.from), to: Math.ceil(other.to) }) : href('traces', { ...context, q: b })} />
          </section>
        </div>
        {setA.error && <Problem error={setA.error} retry={() => attempt.value++} />}
        {setB.error && setB.error.message !== setA.error?.message && <Problem error={setB.error} retry={() => attempt.value++} />}
        {(whole.rows.length > 0 || box) && (
          <div class="card analytics-heatmap">
            <Heatmap
              rows={{ value: whole.rows }}
              counts={null}
              from={whole.more && !whole.loading ? oldest : w.from}
              to={w.to}
              unknown={whole.loading ? { before: oldest, why: 'not read yet' } : whole.error ? { before: oldest, why: 'not known' } : null}
              chosen={box}
              verb="compare"
              // The box stands still, so the window does, too.
              onBrush={(from, to, low, high) => change({ box: writeBox({ from, to, low, high }), ...(w.relative ? { from: Math.floor(w.from), to: Math.ceil(w.to), range: null } : {}) })}
            />
            <p class="muted">Drag over the traces of A to compare those with its others.</p>
          </div>
        )}
        {(setA.rows.length > 0 || setB.rows.length > 0 || setA.loading || setB.loading) && <Durations
          a={setA.rows}
          b={setB.rows}
          onBrush={(low, high) => {
            // What lies in the range against what does not, of the traces of A.
            const inside = within(low, high)
            change({ a: and(a, inside), b: and(a, `!(${inside})`), with: null, bfrom: null, bto: null, box: null })
          }}
        />}
        <div class="row">
          <h2 class="grow">{before && !box ? 'What changed' : 'What tells them apart'}</h2>
          {list.length > 0 && !same && (
            <button class="button" onClick={() => copyCSV({ head: ['attribute', 'value', 'traces_a', 'share_a', 'traces_b', 'share_b', 'condition'], rows: list.map((c) => [c.title, c.text, c.countA, c.shareA, c.countB, c.shareB, c.condition]) })}>
              <Copy /> Copy as CSV
            </button>
          )}
        </div>
        {same ? (
          <div class="empty">
            <h2>Choose two sets</h2>
            <p>Both are the same now. Drag over the picture above, or take some that often tell:</p>
            <div class="row">
              <button class="button" onClick={() => change({ a: 'fault', b: '!fault' })}>
                Faults and the rest
              </button>
              <button class="button" onClick={() => change({ a: 'duration > 1', b: 'duration <= 1' })}>
                Slow and fast
              </button>
              <button class="button" onClick={() => change({ with: 'before' })}>
                Now and before
              </button>
            </div>
          </div>
        ) : list.length === 0 && (setA.error || setB.error) ? null : list.length === 0 && !setA.loading && !setB.loading ? (
          setA.rows.length > 0 && setB.rows.length > 0 ? <p class="muted">Nothing but what chance does, too.</p> : <NothingToCompare empty={setA.rows.length > 0 ? 'B' : setB.rows.length > 0 ? 'A' : 'both'} filtered={!!(a || (!before && !box && b))} />
        ) : list.length === 0 ? (
          <div class="column" style={{ gap: '12px' }} role="status" aria-label="The sets are read">
            {[88, 70, 76, 52].map((w) => (
              <div key={w} class="skeleton" style={{ width: `${w}%`, height: '16px' }} />
            ))}
          </div>
        ) : (
          <div class="card compare-table tells" role="region" aria-label="Attributes by how much they differ" tabIndex={0}>
            <table>
              <thead>
                <tr>
                  <th>Attribute</th>
                  <th>Value</th>
                  <th class="right">In A</th>
                  <th class="right">In B</th>
                  <th style={{ width: '30%' }}>
                    <span class="hidden-visually">Shares as bars</span>
                  </th>
                  <th>
                    <span class="hidden-visually">Filter</span>
                  </th>
                </tr>
              </thead>
              <tbody class="num">
                {list.slice(0, 100).map((c) => (
                  <Line key={c.condition} c={c} a={a} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </div>
  )
}

/** A set, or both, has no traces: what may be done about it. */
function NothingToCompare({ empty, filtered }: { empty: 'A' | 'B' | 'both'; filtered: boolean }) {
  const params = place.value.params
  return (
    <div class="empty">
      <h2>{empty === 'both' ? 'No traces to compare' : `${empty} has no traces`}</h2>
      <p>
        {empty === 'both' ? 'Neither A nor B has traces in this window.' : 'There is nothing to compare with.'} {filtered ? 'Look at more time, or ask for less.' : 'Look at more time, or send traces.'}
      </p>
      <div class="row">
        {params.get('range') !== '1d' && (
          <button class="button" onClick={() => change({ range: '1d', from: null, to: null, box: null })}>
            Look at the last day
          </button>
        )}
        {filtered && (
          <button class="button" onClick={() => change({ a: null, b: null })}>
            Without the filters
          </button>
        )}
        <a class="button" href={href('traces', contextParams(params))}>
          All traces of the window
        </a>
        {empty === 'both' && (
          <a class="button" href={href('start')}>
            How to send traces
          </a>
        )}
      </div>
    </div>
  )
}

const within = (low: number, high: number) => `duration >= ${seconds(low)} AND duration <= ${seconds(high)}`

/** How the other window is called. */
function earlierWords(params: URLSearchParams): string {
  const how = params.get('with') ?? ''
  return EARLIER.find(([key]) => key === how)?.[1] ?? (how !== 'times' && parseRange(how) ? `${how} earlier` : how === 'times' ? 'At another time' : EARLIER[0]![1])
}

function spanText(w: { from: number; to: number }): string {
  const from = timeParts(w.from, utc.value, 0)
  const to = timeParts(w.to, utc.value, 0)
  return `${from.date} ${from.time} – ${from.date === to.date ? '' : `${to.date} `}${to.time} ${to.zone}`
}

/** Chooses the window that this one is compared with. */
function Earlier({ w, other }: { w: Window; other: { from: number; to: number } }) {
  return (
    <Popover label="The other window" body={(close) => <EarlierChoices w={w} other={other} close={close} />}>
      {earlierWords(place.value.params)}
      <Down />
    </Popover>
  )
}

function EarlierChoices({ w, other, close }: { w: Window; other: { from: number; to: number }; close: () => void }) {
  const how = place.value.params.get('with')
  return (
    <div style={{ width: '292px' }}>
      {EARLIER.map(([key, text]) => (
        <button key={key} class="menu-item" role="menuitemradio" aria-checked={how === key} onClick={() => {
          change({ with: key, bfrom: null, bto: null })
          close()
        }}>
          {text}
        </button>
      ))}
      <div class="menu-line" />
      <Times
        from={other.from}
        to={other.to}
        set={(a, b) => {
          // This window stands still from now on, too: the other one does.
          change({ with: 'times', bfrom: a, bto: b, from: Math.floor(w.from), to: Math.ceil(w.to), range: null })
          close()
        }}
      />
    </div>
  )
}

function Line({ c, a }: { c: Contrast; a: string }) {
  return (
    <tr>
      <td class="muted">
        <bdi>{c.title}</bdi>
      </td>
      <td class="cell-value">
        <bdi>{c.text || '(empty)'}</bdi> {c.countB === 0 && <span class="badge only-in set-a">only in A</span>} {c.countA === 0 && <span class="badge only-in set-b">only in B</span>}
      </td>
      <td class="right tells-a" title={many(c.countA, 'trace')}>
        {percent(c.shareA)}
      </td>
      <td class="right tells-b" title={many(c.countB, 'trace')}>
        {percent(c.shareB)}
      </td>
      <td class="tells-bars">
        <svg width="100%" height="14" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
          <rect width={c.shareA * 100} height="6" class="share-a" />
          <rect y="8" width={c.shareB * 100} height="6" class="share-b" />
        </svg>
      </td>
      <td class="tells-actions">
        <span class="value-actions shown">
          <button title={`Only with ${c.condition} in A`} aria-label={`Only ${c.title} ${c.text} in A`} onClick={() => change({ a: and(a, c.condition) })}>
            <Plus />
          </button>
          <button title="Without it in A" aria-label={`Without ${c.title} ${c.text} in A`} onClick={() => change({ a: and(a, `!(${c.condition})`) })}>
            <Minus />
          </button>
        </span>
      </td>
    </tr>
  )
}

function figuresOf(rows: readonly TraceRow[]): { p50: number | null; p95: number | null; failed: number } {
  const sorted = rows.map((r) => r.duration).filter((d) => d >= 0).sort((x, y) => x - y)
  const at = (q: number) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]! : null)
  const bad = rows.reduce((n, r) => n + (r.flags & (ROW.error | ROW.fault | ROW.throttle) ? 1 : 0), 0)
  return { p50: at(0.5), p95: at(0.95), failed: rows.length ? bad / rows.length : 0 }
}

/** How much more or less A has than B: "+12 %", "×3.4". */
function Delta({ a, b, worse }: { a: number | null; b: number | null; worse: boolean }) {
  if (!a || !b || Math.abs(a / b - 1) < 0.01) return <dd class="muted"> </dd>
  const r = a / b
  const text = r >= 2 ? `×${r.toFixed(1)} in A` : `${r > 1 ? '+' : '−'}${percent(Math.abs(r - 1))} in A`
  return <dd class={worse && r > 1.1 ? 'text-fault small' : worse && r < 0.9 ? 'text-ok small' : 'muted small'}>{text}</dd>
}

function Figures({ set, href: link, against }: { set: SetOf; href: string; against?: SetOf }) {
  const f = useMemo(() => figuresOf(set.rows), [set.rows])
  const other = useMemo(() => (against ? figuresOf(against.rows) : null), [against?.rows])
  const ready = other && !set.loading && !against!.loading
  if (set.rows.length === 0 && (set.loading || set.error))
    return (
      <dl class="figures" aria-busy={set.loading}>
        {['Traces', 'p50', 'p95', 'Failed'].map((name, k) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{set.loading ? <span class="skeleton figure" role="img" aria-label="is loading" /> : <span class="muted">–</span>}</dd>
            {k === 0 && <dd class="muted">{set.loading ? 'loading…' : 'not known'}</dd>}
          </div>
        ))}
      </dl>
    )
  return (
    <dl class="figures num" aria-busy={set.loading}>
      <div>
        <dt>Traces</dt>
        <dd>{exact(set.rows.length)}</dd>
        <dd class="muted">{set.loading ? 'loading…' : set.error ? 'not all that there are' : set.more ? <a href={link}>the newest</a> : <a href={link}>all of them</a>}</dd>
      </div>
      <div>
        <dt>p50</dt>
        <dd>{duration(f.p50)}</dd>
        {ready && <Delta a={other.p50} b={f.p50} worse />}
      </div>
      <div>
        <dt>p95</dt>
        <dd>{duration(f.p95)}</dd>
        {ready && <Delta a={other.p95} b={f.p95} worse />}
      </div>
      <div>
        <dt>Failed</dt>
        <dd class={f.failed ? 'text-fault' : ''}>{set.rows.length > 0 ? percent(f.failed) : '–'}</dd>
        {ready && Math.abs(other.failed - f.failed) >= 0.001 && <dd class="muted small">{percent(other.failed)} in A</dd>}
      </div>
    </dl>
  )
}

const HEIGHT = 110

function Durations({ a, b, onBrush }: { a: readonly TraceRow[]; b: readonly TraceRow[]; onBrush: (low: number, high: number) => void }) {
  const brush = useSignal<[number, number] | null>(null)
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const list = useMemo(() => durations(a, b, Math.max(20, Math.min(90, Math.floor((size.width || 600) / 12)))), [a, b, size.width])
  useLayoutEffect(
    () =>
      effect(() => {
        void themeVersion.value
        const e = canvas.current
        if (!e || size.width === 0) return
        const g = prepare(e, size.width, HEIGHT)
        if (list.length === 0) return
        const floor = HEIGHT - 18
        // Shares, so that a large set does not hide a small one.
        const share = (n: number, of: number) => (of > 0 ? n / of : 0)
        const most = Math.max(...list.map((x) => Math.max(share(x.a, a.length), share(x.b, b.length))), 1e-9)
        const w = size.width / list.length
        list.forEach((x, k) => {
          for (const [n, of, colour, shift] of [
            [x.a, a.length, token('--s2'), 0],
            [x.b, b.length, token('--s0'), 0.5],
          ] as const) {
            if (n === 0) continue
            const h = Math.max(2, Math.sqrt(share(n, of) / most) * (floor - 8))
            g.fillStyle = colour
            g.fillRect(k * w + shift * w + 0.5, floor - h, Math.max(1, w / 2 - 1), h)
          }
        })
        g.fillStyle = token('--line')
        g.fillRect(0, floor, size.width, 1)
        g.font = `10.5px ${getComputedStyle(document.body).fontFamily}`
        g.textBaseline = 'middle'
        g.fillStyle = token('--faint')
        const low = Math.log10(list[0]!.from)
        const high = Math.log10(list[list.length - 1]!.to)
        for (let p = Math.ceil(low); p <= high; p++) g.fillText(p >= 2 ? `${10 ** p} s` : duration(10 ** p), Math.min(size.width - 40, ((p - low) / (high - low)) * size.width + 3), HEIGHT - 8)
        const chosen = brush.value
        if (!chosen) return
        g.fillStyle = token('--accent-soft')
        g.fillRect(Math.min(...chosen), 0, Math.abs(chosen[1] - chosen[0]), floor)
        g.fillStyle = token('--accent')
        for (const px of chosen) g.fillRect(px, 0, 1.5, floor)
      }),
    [list, size.width],
  )
  const px = (e: PointerEvent) => Math.min(size.width, Math.max(0, e.clientX - canvas.current!.getBoundingClientRect().left))
  const value = (x: number) => {
    const low = Math.log10(list[0]!.from)
    return 10 ** (low + (x / size.width) * (Math.log10(list[list.length - 1]!.to) - low))
  }
  return (
    <div>
      <div ref={frame} class="card durations">
        <canvas
          ref={canvas}
          role="img"
          aria-label="Durations of both sets, as shares of each"
          style={{ width: `${size.width}px`, height: `${HEIGHT}px` }}
          onPointerDown={(e) => {
            if (list.length === 0) return
            brush.value = [px(e), px(e)]
            e.currentTarget.setPointerCapture(e.pointerId)
          }}
          onPointerMove={(e) => brush.value && (brush.value = [brush.value[0], px(e)])}
          onPointerCancel={() => (brush.value = null)}
          onPointerUp={() => {
            const r = brush.value
            brush.value = null
            if (r && Math.abs(r[1] - r[0]) > 4) onBrush(value(Math.min(...r)), value(Math.max(...r)))
          }}
        />
      </div>
      {list.length > 0 && (
        <div class="row durations-foot">
          <span class="muted grow">Drag over durations to compare the traces of A in that range with its others.</span>
          <ChartTable
            of="Durations"
            head={['From', 'To', 'A', 'B', '']}
            names={['from_seconds', 'to_seconds', 'traces_a', 'traces_b']}
            rows={() =>
              list
                .filter((x) => x.a + x.b > 0)
                .map((x) => ({
                  values: [x.from, x.to, x.a, x.b],
                  cells: [
                    duration(x.from),
                    duration(x.to),
                    exact(x.a),
                    exact(x.b),
                    <button key="c" class="link" aria-label={`Compare traces between ${duration(x.from)} and ${duration(x.to)} with the others`} onClick={() => onBrush(x.from, x.to)}>
                      compare
                    </button>,
                  ],
                }))
            }
          />
        </div>
      )}
    </div>
  )
}
