// The traces of a search by the values of one attribute: how many, how many fail, how long they take.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get } from '../../lib/api'
import { addCounts, conditionOf, emptyCounts, quantileOf, type CountsAnswer } from '../../lib/counts'
import { duration, exact, percent } from '../../lib/format'
import { change, param } from '../../lib/place'
import { titleOf, type Scalar } from '../../lib/summary'
import { Problem, Sparkline } from '../../ui/parts'
import { TakeCSV } from '../../ui/takecsv'

interface Row {
  value: Scalar
  count: number
  failed: number
  series: number[]
  p50: number
  p95: number
}

const MOST = 500

type Order = 'value' | 'count' | 'failed' | 'p50' | 'p95'

export function Grouped({ by, from, to, filter, only }: { by: string; from: number; to: number; filter: string; only: (condition: string) => void }) {
  const rows = useSignal<Row[] | null>(null)
  const distinct = useSignal(0)
  const total = useSignal(0)
  const error = useSignal<Error | null>(null)
  useEffect(() => {
    const abort = new AbortController()
    rows.value = null
    error.value = null
    const load = async () => {
      let sum = emptyCounts(from, to, 10)
      const steps = new Map<string, Map<number, number>>()
      let next: string | null = null
      do {
        const a: CountsAnswer = await get<CountsAnswer>('api/counts', { filter, start: from.toFixed(3), end: to.toFixed(3), columns: 10, values: MOST, key: by, token: next ?? undefined }, abort.signal)
        sum = addCounts(sum, a)
        for (const f of a.Facets)
          for (const v of f.Values) {
            const key = `${typeof v.Value} ${v.Value}`
            const known = steps.get(key) ?? new Map<number, number>()
            for (const [step, n] of v.Steps ?? []) known.set(step, (known.get(step) ?? 0) + n)
            steps.set(key, known)
          }
        const facet = sum.facets.get(by)
        total.value = sum.traces
        distinct.value = facet?.distinct ?? 0
        rows.value = [...(facet?.values ?? [])].map(([key, v]) => {
          const list = [...steps.get(key)!].sort((x, y) => x[0] - y[0])
          return { ...v, p50: quantileOf(list, 0.5), p95: quantileOf(list, 0.95) }
        })
        next = a.NextToken
      } while (next)
    }
    load().catch((e: Error) => e.name !== 'AbortError' && (error.value = e))
    return () => abort.abort()
  }, [by, from, to, filter])
  const orderText = param('order').value || '-count'
  const order = orderText.replace(/^-/, '') as Order
  const sign = orderText.startsWith('-') ? -1 : 1
  const list = [...(rows.value ?? [])].sort((a, b) => {
    if (order === 'value') return sign * (typeof a.value === 'number' && typeof b.value === 'number' ? a.value - b.value : String(a.value).localeCompare(String(b.value)))
    const of = (r: Row) => (order === 'failed' ? r.failed / r.count : order === 'p50' ? r.p50 || 0 : order === 'p95' ? r.p95 || 0 : r.count)
    return sign * (of(a) - of(b)) || b.count - a.count
  })
  const head = (id: Order, label: string, cls = 'right') => (
    <th class={cls} aria-sort={order === id ? (sign < 0 ? 'descending' : 'ascending') : 'none'}>
      <button onClick={() => change({ order: order === id && sign < 0 ? id : `-${id}` }, { replace: true })}>
        {label} {order === id && (sign < 0 ? '↓' : '↑')}
      </button>
    </th>
  )
  const most = Math.max(1, ...list.map((r) => r.count))
  const title = titleOf(by)
  return (
    <div class="grouped" data-scroll tabIndex={0} role="region" aria-label={`Traces by ${title}`}>
      <div class="row grouped-head">
        <h2 class="grow">
          By <bdi>{title}</bdi> <span class="muted num">{rows.value && `${exact(distinct.value)} ${distinct.value === 1 ? 'value' : 'values'}`}</span>
        </h2>
        {list.length > 0 && (
          <TakeCSV
            of="the groups"
            file="traces-by-value"
            table={() => ({ head: [title, 'traces', 'failed', 'p50_seconds', 'p95_seconds', 'condition'], rows: list.map((r) => [typeof r.value === 'boolean' ? String(r.value) : r.value, r.count, r.failed, r.p50, r.p95, conditionOf(by, r.value)]) })}
          />
        )}
        <button class="button" onClick={() => change({ by: null, order: null })}>
          Back to the traces
        </button>
      </div>
      {error.value && <Problem error={error.value} />}
      {!rows.value && !error.value && <div class="progress" />}
      {rows.value && list.length === 0 && <div class="empty">No trace of this search has a value.</div>}
      {list.length > 0 && (
        <table>
          <thead>
            <tr>
              {head('value', title, '')}
              {head('count', 'Traces')}
              {head('failed', 'Failed')}
              {head('p50', 'p50')}
              {head('p95', 'p95')}
              <th class="grouped-series">Over time</th>
            </tr>
          </thead>
          <tbody class="num">
            {list.map((r) => (
              <tr key={`${typeof r.value} ${r.value}`}>
                <td>
                  <button class="link ellipsis" title={conditionOf(by, r.value)} onClick={() => only(conditionOf(by, r.value))}>
                    <bdi>{r.value === '' ? '(empty)' : String(r.value)}</bdi>
                  </button>
                </td>
                <td class="right grouped-count">
                  <svg class="facet-bar" width="100%" height="100%" preserveAspectRatio="none" viewBox="0 0 100 10" aria-hidden="true">
                    <rect x={100 - (r.count / most) * 100} width={(r.count / most) * 100} height="10" />
                  </svg>
                  <span>
                    {exact(r.count)} <span class="faint">{percent(r.count / Math.max(1, total.value))}</span>
                  </span>
                </td>
                <td class={`right ${r.failed ? 'text-fault' : 'faint'}`}>{percent(r.failed / r.count)}</td>
                <td class="right">{Number.isNaN(r.p50) ? '–' : duration(Number(r.p50.toPrecision(2)))}</td>
                <td class="right">{Number.isNaN(r.p95) ? '–' : duration(Number(r.p95.toPrecision(2)))}</td>
                <td class="grouped-series">
                  <Sparkline series={r.series} wide />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {distinct.value > list.length && list.length > 0 && <p class="faint">The {exact(list.length)} most frequent.</p>}
    </div>
  )
}
