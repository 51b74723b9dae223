// Two traces side by side: what took longer in one, what is only in one.

import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { fetchColumns } from '../lib/columns'
import { compare, traceList, type Difference } from '../lib/compare'
import { keptColours } from '../lib/colour'
import { duration, many } from '../lib/format'
import { findTraceID } from '../lib/ids'
import { change, href, param, url } from '../lib/place'
import { arrange, colourServices, mainRoot, type Columns } from '../lib/trace'
import { Problem, Swatch } from '../ui/parts'
import { TakeCSV, type Rows } from '../ui/takecsv'
import { Breaking, CompareMany, EntryPoints } from './comparemany'

/** `t` has three traces or more; `a` and `b` are two beside each other. */
export function ComparePage() {
  const t = param('t').value
  const list = useMemo(() => traceList(t), [t])
  const two = list.ids.length < 3
  useEffect(() => {
    if (!t || !two) return
    const [a, b] = [...list.ids, ...list.wrong]
    change({ t: null, a: a ?? param('a').peek(), b: b ?? param('b').peek() }, { replace: true })
  }, [t])
  if (two) return t ? null : <CompareTwo />
  return <CompareMany ids={list.ids} wrong={list.wrong} />
}

function CompareTwo() {
  const a = useTrace(param('a').value)
  const b = useTrace(param('b').value)
  const only = param('only').value === '1'
  useEffect(() => {
    document.title = 'Compare · Roentgen'
  }, [])
  const rows = useMemo(() => (a.columns && b.columns ? compare(a.columns, b.columns) : []), [a.columns, b.columns])
  const shown = only ? rows.filter((r) => r.countA !== r.countB || Math.abs(r.secondsA - r.secondsB) > 0.05 * Math.max(r.secondsA, r.secondsB)) : rows
  const one = a.columns?.n ? a.columns : b.columns?.n ? b.columns : null
  const most = Math.max(1e-9, ...rows.map((r) => Math.abs(r.secondsB - r.secondsA)))
  return (
    <div class="page" data-scroll>
      <div class="page-inner" style={{ maxWidth: '1200px' }}>
        <h1>Compare two traces</h1>
        <div class="row compare-sides">
          <Side name="a" label="A" state={a} />
          <button class="button" onClick={() => change({ a: param('b').peek(), b: param('a').peek() })} aria-label="Swap them">
            ⇄
          </button>
          <Side name="b" label="B" state={b} />
        </div>
        {((a.error ?? b.error) || !(param('a').value && param('b').value)) && (
          <div class="empty">
            <h2>{(a.error ?? b.error) ? 'Choose another trace' : 'Two traces are needed'}</h2>
            <p>
              Paste their ids above. Or choose them in the list: <kbd>x</kbd> puts a trace into the basket, <kbd>g</kbd> <kbd>c</kbd> compares what is in it.
            </p>
            <div class="row">
              <a class="button" href={href('traces')}>
                To the traces
              </a>
              {one && (
                <a class="button" href={href(`trace/${one.id}`, { view: 'usual' })}>
                  Hold <bdi>{one.texts[one.name[Math.max(0, mainRoot(one))]!]}</bdi> against the usual
                </a>
              )}
            </div>
          </div>
        )}
        {a.columns && b.columns && (
          <>
            <div class="row compare-verdict">
              <p class="grow">{verdict(a.columns, b.columns, rows)}</p>
              <TakeCSV of="the comparison" file={`compare-${a.columns.id}-${b.columns.id}`} table={() => table(shown)} />
              <button class="button" aria-pressed={only} onClick={() => change({ only: !only }, { replace: true })}>
                Only what differs
              </button>
            </div>
            <EntryPoints traces={[a.columns, b.columns]} />
            <div class="card compare-table two" role="region" aria-label="What differs" tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th>Entry</th>
                    <th class="right"><span class="set-a"><span class="set-mark">A</span></span></th>
                    <th class="right"><span class="set-b"><span class="set-mark">B</span></span></th>
                    <th class="right">B − A</th>
                    <th class="wide-only" style={{ width: '22%' }}>
                      <span class="hidden-visually">Difference as a bar</span>
                    </th>
                  </tr>
                </thead>
                <tbody class="num">
                  {shown.slice(0, 2000).map((r) => (
                    <tr key={r.path}>
                      <td>
                        <span style={{ paddingLeft: `calc(${Math.min(r.depth, 20)} * var(--step))` }} class="row">
                          <Swatch colour={r.colour} />
                          <Breaking text={r.name} />
                          {r.countA === 0 ? (
                            <span class="badge only-in set-b">only in B</span>
                          ) : r.countB === 0 ? (
                            <span class="badge only-in set-a">only in A</span>
                          ) : (
                            r.countA !== r.countB && (
                              <span class="badge">
                                {r.countA} → {r.countB}
                              </span>
                            )
                          )}
                          {r.failedB && !r.failedA && r.countA > 0 && <span class="badge fault">fails in B</span>}
                          {r.failedA && !r.failedB && r.countB > 0 && <span class="badge fault">fails in A</span>}
                        </span>
                      </td>
                      <td class="right">{r.countA ? duration(r.secondsA) : '–'}</td>
                      <td class="right">{r.countB ? duration(r.secondsB) : '–'}</td>
                      <td class={`right ${r.countA && r.secondsB - r.secondsA > most * 0.2 ? 'text-fault' : ''}`}>
                        {r.countA && r.countB ? `${r.secondsB > r.secondsA ? '+' : ''}${duration(r.secondsB - r.secondsA)}` : '–'}
                      </td>
                      <td class="wide-only">
                        <svg width="100%" height="8" viewBox="-100 0 200 8" preserveAspectRatio="none" aria-hidden="true">
                          {/* What is only in one of them took neither longer nor less. */}
                          <rect visibility={r.countA && r.countB ? undefined : 'hidden'} x={Math.min(0, ((r.secondsB - r.secondsA) / most) * 100)} width={Math.abs(((r.secondsB - r.secondsA) / most) * 100)} height="8" class={r.secondsB > r.secondsA ? 'bar-fault' : 'bar-ok'} />
                        </svg>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </>
        )}
      </div>
    </div>
  )
}

function table(rows: readonly Difference[]): Rows {
  return {
    head: ['entry', 'level', 'a_calls', 'b_calls', 'a_seconds', 'b_seconds', 'difference_seconds', 'a_own_seconds', 'b_own_seconds', 'a_failed', 'b_failed'],
    rows: rows.map((r) => [r.name, r.depth + 1, r.countA, r.countB, r.countA ? r.secondsA : null, r.countB ? r.secondsB : null, r.secondsB - r.secondsA, r.countA ? r.selfA : null, r.countB ? r.selfB : null, r.failedA ? 'yes' : '', r.failedB ? 'yes' : '']),
  }
}

function verdict(a: Columns, b: Columns, rows: Difference[]): string {
  const by = (b.duration ?? b.span) - (a.duration ?? a.span)
  const both = rows.filter((r) => r.countA && r.countB)
  const own = [...both].sort((x, y) => Math.abs(y.selfB - y.selfA) - Math.abs(x.selfB - x.selfA))[0]
  const parts = [Math.abs(by) < 1e-6 ? 'Both took as long.' : `B took ${duration(Math.abs(by))} ${by > 0 ? 'longer' : 'less'} than A.`]
  const fails = both.find((r) => r.failedA !== r.failedB)
  if (fails) parts.push(`${fails.failedB ? 'B' : 'A'} fails, ${fails.failedB ? 'A' : 'B'} does not.`)
  const [onlyA, onlyB] = [rows.filter((r) => !r.countB).length, rows.filter((r) => !r.countA).length]
  if (onlyA > 0) parts.push(`${many(onlyA, 'entry', 'entries')} ${onlyA === 1 ? 'is' : 'are'} only in A.`)
  if (onlyB > 0) parts.push(`${many(onlyB, 'entry', 'entries')} ${onlyB === 1 ? 'is' : 'are'} only in B.`)
  if (own && Math.abs(own.selfB - own.selfA) > 0) parts.push(`Of what both did, ${own.name} differs most: ${duration(own.selfA)} of its own work in A, ${duration(own.selfB)} in B.`)
  return parts.join(' ')
}

interface Loaded {
  columns: Columns | null
  error: Error | null
}

function useTrace(id: string): Loaded {
  const state = useSignal<Loaded>({ columns: null, error: null })
  useEffect(() => {
    state.value = { columns: null, error: null }
    if (!id) return
    let gone = false
    fetchColumns(url('api/'), id).then(
      (t) => !gone && (state.value = { columns: colourServices(arrange(t!.flat), keptColours), error: null }),
      (e: Error) => !gone && (state.value = { columns: null, error: e }),
    )
    return () => {
      gone = true
    }
  }, [id])
  return state.value
}

function Side({ name, label, state }: { name: 'a' | 'b'; label: string; state: Loaded }) {
  const id = param(name).value
  const c = state.columns
  return (
    <div class={`card grow compare-side set-${name}`}>
      <div class="row">
        <span class="set-mark">{label}</span>
        <input class="input grow mono" aria-label={`Trace ${label}`} placeholder="Trace id" value={id} onChange={(e) => change({ [name]: findTraceID(e.currentTarget.value) ?? e.currentTarget.value.trim() })} />
      </div>
      {state.error && <Problem error={state.error} />}
      {c && c.n > 0 && (
        <div style={{ marginTop: '8px' }}>
          <a href={href(`trace/${c.id}`)}>
            <b>
              <bdi>{c.texts[c.name[Math.max(0, mainRoot(c))]!]}</bdi>
            </b>
          </a>{' '}
          <span class="muted">
            {c.entry?.method} <bdi>{c.entry?.url}</bdi>
          </span>
          <div class="num">
            <b>{duration(c.duration ?? c.span)}</b> <span class="muted">{c.n - c.counts.inferred} entries</span>
          </div>
        </div>
      )}
    </div>
  )
}
