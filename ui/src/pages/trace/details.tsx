// All that is known about the selected entry, in tabs. Each value can be copied, and those
// that searches know filter in or out.

import { signal, useComputed, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { get } from '../../lib/api'
import type { CountsAnswer } from '../../lib/counts'
import { and, andNot, annotation, exception, quote, service } from '../../lib/expression'
import { bytes, duration, exact, percent, timeParts } from '../../lib/format'
import { change, contextParams, go, href, param, place } from '../../lib/place'
import { curl } from '../../lib/curl'
import { findTraceID } from '../../lib/ids'
import { consoleLink } from '../../lib/console'
import { gaps } from '../../lib/siblings'
import { sourceLink, templateProblem } from '../../lib/source'
import { prettySQL } from '../../lib/sql'
import { endOf, FLAG, pieceEnd, selfNow, type Columns, type Entity } from '../../lib/trace'
import { Close, Copy, Down, External, Fit, Minus, Plus } from '../../ui/icons'
import { Json } from '../../ui/json'
import { copy, localStorageGet, localStorageSet, Popover, Status, Swatch, utc } from '../../ui/parts'
import { useShortcuts } from '../../ui/keys'
import { EntryMenu } from './copy'
import type { TraceState } from './state'

type Tab = 'overview' | 'exceptions' | 'http' | 'sql' | 'aws' | 'annotations' | 'metadata' | 'raw'

/** Goes to the traces that a condition finds, or does not. */
function search(condition: string, out: boolean) {
  const context = contextParams(place.peek().params)
  go(href('traces', { ...context, q: out ? andNot('', condition) : and('', condition) }))
}

export function Value({ label, value, condition, mono, children }: { label: string; value: string; condition?: string; mono?: boolean; children?: ComponentChildren }) {
  return (
    <div class="value">
      <dt>
        <bdi>{label}</bdi>
      </dt>
      <dd>
        <bdi class={mono ? 'mono' : ''}>{children ?? value}</bdi>
        <span class="value-actions">
        {condition && (
          <>
            <button title={`Find traces with ${condition}`} aria-label={`Find traces where ${label} is ${value}`} onClick={() => search(condition, false)}>
              <Plus />
            </button>
            <button title="Find traces without it" aria-label={`Find traces where ${label} is not ${value}`} onClick={() => search(condition, true)}>
              <Minus />
            </button>
          </>
        )}
          <button title="Copy" aria-label={`Copy ${label}`} onClick={() => copy(value)}>
            <Copy />
          </button>
        </span>
      </dd>
    </div>
  )
}

function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
}

interface Exception {
  id?: string
  message?: string
  type?: string
  remote?: boolean
  cause?: string
  truncated?: number
  skipped?: number
  stack?: { path?: string; line?: number; label?: string }[]
}

function exceptionsOf(e: Entity): Exception[] {
  const cause = record(e.cause)
  return cause && Array.isArray(cause.exceptions) ? (cause.exceptions.filter((x) => record(x)) as Exception[]) : []
}

/** Puts exceptions in the order of their causes: what was caught first, then what had caused it. */
export function chains(list: Exception[]): Exception[][] {
  const byID = new Map(list.filter((x) => x.id).map((x) => [x.id!, x]))
  const caused = new Set(list.map((x) => x.cause).filter(Boolean))
  const out: Exception[][] = []
  const seen = new Set<Exception>()
  const follow = (x: Exception) => {
    const chain: Exception[] = []
    for (let next: Exception | undefined = x; next && !seen.has(next); next = next.cause ? byID.get(next.cause) : undefined) {
      seen.add(next)
      chain.push(next)
    }
    if (chain.length > 0) out.push(chain)
  }
  for (const x of list) if (!x.id || !caused.has(x.id)) follow(x)
  for (const x of list) if (!seen.has(x)) follow(x)
  return out
}

export function Details({ trace }: { trace: TraceState }) {
  const c = trace.columns.value!
  const i = trace.selected.value
  const entity = useSignal<{ i: number; revision: number; e: Entity } | null>(null)
  const box = useRef<HTMLElement>(null)
  /** On a slim screen, where it lies below the views, it can take their room. */
  const large = useSignal(false)
  useEffect(() => {
    if (i < 0) large.value = false
  }, [i < 0])
  useEffect(() => {
    if (i < 0) return
    let gone = false
    void trace.entity(i).then((e) => {
      if (!gone && e) entity.value = { i, revision: c.revision, e }
    })
    return () => {
      gone = true
    }
  }, [i, c])
  const tabParam = param('tab')
  const e = entity.value && entity.value.i === i ? entity.value.e : null
  const tabs = useComputed(() => {
    const v = entity.value?.e
    if (!v) return [] as { id: Tab; label: string; count?: number }[]
    const list: { id: Tab; label: string; count?: number }[] = [{ id: 'overview', label: 'Overview' }]
    const ex = exceptionsOf(v).length
    if (ex > 0 || typeof v.cause === 'string') list.push({ id: 'exceptions', label: 'Exceptions', count: ex || 1 })
    if (record(v.http)) list.push({ id: 'http', label: 'HTTP' })
    if (record(v.sql)) list.push({ id: 'sql', label: 'SQL' })
    if (record(v.aws)) list.push({ id: 'aws', label: 'AWS' })
    const a = record(v.annotations)
    if (a && Object.keys(a).length) list.push({ id: 'annotations', label: 'Annotations', count: Object.keys(a).length })
    const m = record(v.metadata)
    if (m && Object.keys(m).length) list.push({ id: 'metadata', label: 'Metadata', count: Object.keys(m).length })
    list.push({ id: 'raw', label: 'Raw' })
    return list
  })
  const wanted = tabParam.value as Tab
  const tab: Tab = tabs.value.some((t) => t.id === wanted) ? wanted : tabs.value.some((t) => t.id === 'exceptions') && !wanted ? 'exceptions' : 'overview'
  const turn = (by: number) => {
    const list = tabs.peek()
    const at = list.findIndex((t) => t.id === tab)
    const next = list[(at + by + list.length) % list.length]
    if (next) change({ tab: next.id }, { replace: true })
  }
  useShortcuts(
    () => ({
      title: 'Entry',
      shortcuts: [
        { keys: ['Alt+ArrowRight', '.'], what: 'Next tab', run: () => turn(1) },
        { keys: ['Alt+ArrowLeft', ','], what: 'Previous tab', run: () => turn(-1) },
        { keys: ['y'], what: 'Copy the id of the entry', run: () => i >= 0 && copy(c.ids[i]!, 'Entry id copied') },
        { keys: ['Escape'], what: 'Close the entry', run: () => change({ entry: null, tab: null }, { replace: true }) },
      ],
    }),
    [tab, i, c],
  )
  if (i < 0) return null
  const s = c.services[c.service[i]!]!
  const flags = c.flags[i]!
  const running = Number.isNaN(c.end[i]!)
  const took = endOf(c, i, trace.now.value) - c.start[i]!
  const own = selfNow(c, i, trace.now.value)
  return (
    <aside class={`details ${large.value ? 'large' : ''}`} ref={box} aria-label="The selected entry">
      <header class="details-head">
        <div class="row">
          <Swatch colour={s.colour} />
          <h2 class="grow ellipsis" title={c.texts[c.name[i]!]}>
            <bdi>{c.texts[c.name[i]!]}</bdi>
          </h2>
          <EntryMenu trace={trace} c={c} i={i} />
          <button class="button plain icon details-size" aria-label="As large as the page" aria-pressed={large.value} title={large.value ? 'Smaller' : 'Larger'} onClick={() => (large.value = !large.value)}>
            {large.value ? <Down /> : <Fit />}
          </button>
          <button class="button plain icon" aria-label="Close the entry" onClick={() => change({ entry: null, tab: null }, { replace: true })}>
            <Close />
          </button>
        </div>
        {c.texts[c.detail[i]!] && (
          <div class="muted ellipsis" title={c.texts[c.detail[i]!]}>
            <bdi>{c.texts[c.detail[i]!]}</bdi>
          </div>
        )}
        <div class="row details-figures">
          <Status fault={(flags & FLAG.fault) !== 0} error={(flags & FLAG.error) !== 0} throttle={(flags & FLAG.throttle) !== 0} busy={running} />
          <span class="num">
            <b>{duration(took)}</b> <span class="muted">at {duration(c.start[i]!)}</span>
          </span>
          <span class="muted num" title="Time that no child accounts for">
            self {duration(own)}
            {took > 0 && ` (${percent(Math.min(1, own / took))})`}
          </span>
        </div>
        <div class="tabs" role="tablist" aria-label="What to show of the entry">
          {tabs.value.map((t) => (
            <button
              key={t.id}
              role="tab"
              id={`tab-${t.id}`}
              aria-selected={t.id === tab}
              aria-controls="tab-panel"
              tabIndex={t.id === tab ? 0 : -1}
              onClick={() => change({ tab: t.id }, { replace: true })}
              onKeyDown={(event) => {
                const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
                if (!by) return
                event.preventDefault()
                event.stopPropagation()
                turn(by)
                requestAnimationFrame(() => box.current?.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]')?.focus())
              }}
            >
              {t.label}
              {t.count !== undefined && <span class="tab-count">{t.count}</span>}
            </button>
          ))}
        </div>
      </header>
      <div class="details-body" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {e ? <Panel tab={tab} e={e} c={c} i={i} trace={trace} /> : <div class="skeleton" style={{ height: '120px' }} />}
      </div>
    </aside>
  )
}

function Panel({ tab, e, c, i, trace }: { tab: Tab; e: Entity; c: Columns; i: number; trace: TraceState }) {
  switch (tab) {
    case 'overview':
      return <Overview e={e} c={c} i={i} trace={trace} />
    case 'exceptions':
      return <Exceptions e={e} c={c} trace={trace} />
    case 'http':
      return <Http e={e} c={c} i={i} />
    case 'sql':
      return <Sql e={e} />
    case 'aws':
      return <Aws aws={record(e.aws)!} />
    case 'annotations':
      return (
        <dl class="values">
          {Object.entries(record(e.annotations)!).map(([k, v]) => (
            <Value key={k} label={k} value={typeof v === 'string' ? v : JSON.stringify(v)} condition={v !== null && typeof v !== 'object' ? annotation(k, v) : undefined} mono={typeof v !== 'string'} />
          ))}
        </dl>
      )
    case 'metadata':
      return <Searchable value={record(e.metadata)!} open={2} />
    case 'raw':
      return <Searchable value={e} open={1} />
  }
}

function Searchable({ value, open }: { value: unknown; open: number }) {
  const needle = useSignal('')
  return (
    <>
      <div class="row" style={{ marginBottom: '8px' }}>
        <input class="input grow" type="search" placeholder="Search keys and values" aria-label="Search keys and values" value={needle.value} onInput={(e) => (needle.value = e.currentTarget.value)} />
        <button class="button" onClick={() => copy(JSON.stringify(value, null, 2), 'JSON copied')}>
          <Copy /> Copy
        </button>
      </div>
      <Json value={value} open={open} needle={needle.value.trim().toLowerCase()} />
    </>
  )
}

function Time({ t }: { t: number }) {
  const p = timeParts(t, utc.value, 6)
  return (
    <span class="num">
      {p.date} {p.time} <span class="faint">{p.zone}</span>
    </span>
  )
}

function Overview({ e, c, i, trace }: { e: Entity; c: Columns; i: number; trace: TraceState }) {
  const s = c.services[c.service[i]!]!
  const flags = c.flags[i]!
  const p = c.parent[i]!
  let onPath = 0
  for (let k = 0; k < c.critical.who.length; k++) if (c.critical.who[k] === i) onPath += pieceEnd(c, i, c.critical.to[k]!, trace.now.value) - c.critical.from[k]!
  const svc = record(e.service)
  const holes = gaps(c, i, trace.now.value)
  const longest = holes.reduce<(typeof holes)[number] | null>((most, g) => (!most || g.to - g.from > most.to - most.from ? g : most), null)
  const other = c.trace[i]! > 0 ? c.traces[c.trace[i]!]! : null
  return (
    <>
      {other && (
        <div class="notice">
          <div>
            <b>Of a linked trace.</b> <a href={href(`trace/${other}`, { entry: c.ids[i]! })}>Open it alone</a>
          </div>
        </div>
      )}
      {flags & FLAG.orphan ? (
        <div class="notice warn">
          <div>
            <b>Orphan.</b> Its parent <code>{String(e.parent_id ?? '')}</code> has not arrived, so the X-Ray API hides it. Functions on Lambda send nothing but such subsegments: the segment above them comes from Lambda itself. Elsewhere the segment was lost, or is still open.
          </div>
        </div>
      ) : null}
      {flags & FLAG.lostParent ? (
        <div class="notice warn">
          <div>
            <b>Its caller is missing.</b> This segment says it was called by <code>{String(e.parent_id ?? '')}</code>, which is not part of the trace: the caller was not sampled, has not sent yet, or its context got lost on the way.
          </div>
        </div>
      ) : null}
      {flags & FLAG.inferred ? (
        <div class="notice">
          <div>
            <b>Inferred.</b> Nothing was sent by <bdi>{s.name}</bdi> itself: this is what its caller knows about it.
          </div>
        </div>
      ) : null}
      {flags & FLAG.skewed ? (
        <div class="notice">
          <div>
            <b>Moved.</b> By its own clock it lay outside of the call that it answers; it is shown in the middle of it.
          </div>
        </div>
      ) : null}
      <dl class="values">
        <Value label="Service" value={s.name} condition={service(s.name, s.type && s.type !== 'remote' ? s.type : undefined)} />
        {s.type && <Value label="Type" value={s.type} condition={`service(id(type: ${quote(s.type)}))`} />}
        <Value label="Starts" value={String(e.start_time)}>
          <Time t={c.t0 + c.start[i]!} />
        </Value>
        {!Number.isNaN(c.end[i]!) && (
          <Value label="Ends" value={String(e.end_time)}>
            <Time t={c.t0 + c.end[i]!} />
          </Value>
        )}
        {!Number.isNaN(c.wait[i]!) && (
          <Value label="Waited" value={String(c.start[i]! - c.wait[i]!)}>
            <span class="num">
              {duration(c.start[i]! - c.wait[i]!)} <span class="muted">between the call and its start, in a queue as a rule</span>
            </span>
          </Value>
        )}
        {longest && (
          <Value label="Longest gap" value={String(longest.to - longest.from)}>
            <span class="num">
              {duration(longest.to - longest.from)} <span class="muted">with nothing recorded below, from {duration(longest.from)} on{holes.length > 1 && `; ${duration(holes.reduce((sum, g) => sum + g.to - g.from, 0))} in ${holes.length} gaps`}</span>
            </span>
          </Value>
        )}
        {onPath > 0 && (
          <Value label="Critical path" value={String(onPath)}>
            <span class="num">
              {duration(onPath)} <span class="muted">({percent(onPath / trace.span.value)} of the trace)</span>
            </span>
          </Value>
        )}
        {typeof e.user === 'string' && e.user && <Value label="User" value={e.user} condition={`user = ${quote(e.user)}`} />}
        {svc && typeof svc.version === 'string' && <Value label="Version" value={svc.version} />}
        {svc && typeof svc.runtime === 'string' && <Value label="Runtime" value={[svc.runtime, svc.runtime_version].filter(Boolean).join(' ')} />}
        <Value label="Kind" value={flags & FLAG.segment ? 'segment' : e.namespace ? `subsegment, ${e.namespace}` : 'subsegment'} />
        <Value label="Id" value={c.ids[i]!} mono />
        {p >= 0 && (
          <Value label="Called by" value={c.ids[p]!}>
            <button class="link" onClick={() => trace.select(p)}>
              <bdi>{c.texts[c.name[p]!]}</bdi>
            </button>
          </Value>
        )}
      </dl>
      <Links e={e} />
      <SamplingNote e={e} />
    </>
  )
}

/** Other traces that an entry says it belongs with: the message that a queue held, say. */
function Links({ e }: { e: Entity }) {
  if (!Array.isArray(e.links)) return null
  const links = e.links.filter((l): l is Record<string, unknown> => record(l) !== null).slice(0, 100)
  if (links.length === 0) return null
  return (
    <>
      <h3 class="values-head">Linked traces</h3>
      <dl class="values">
        {links.map((l, k) => {
          const id = findTraceID(String(l.trace_id ?? ''))
          const text = String(l.trace_id ?? '')
          const attributes = record(l.attributes)
          return (
            <Value key={k} label={attributes && typeof attributes['aws.xray.link.type'] === 'string' ? attributes['aws.xray.link.type'] : 'Link'} value={text} mono>
              {id ? <a href={href(`trace/${id}`, { entry: typeof l.id === 'string' ? l.id : undefined })}>{id}</a> : text}
            </Value>
          )
        })}
      </dl>
    </>
  )
}

/** Why a request was traced, as far as its segment says. */
function SamplingNote({ e }: { e: Entity }) {
  const xray = record(record(e.aws)?.xray)
  if (!xray) return null
  const rule = xray.sampling_rule_name ?? xray.rule_name
  return (
    <>
      <h3 class="values-head">Recorded by</h3>
      <dl class="values">
        {typeof xray.sdk === 'string' && <Value label="SDK" value={[xray.sdk, xray.sdk_version].filter(Boolean).join(' ')} />}
        {typeof rule === 'string' && <Value label="Sampling rule" value={rule} />}
        {xray.auto_instrumentation === true && <Value label="Instrumentation" value="automatic" />}
      </dl>
    </>
  )
}

function Exceptions({ e, c, trace }: { e: Entity; c: Columns; trace: TraceState }) {
  if (typeof e.cause === 'string') return <ElsewhereCaused id={e.cause} c={c} trace={trace} />
  const cause = record(e.cause)
  return (
    <>
      {chains(exceptionsOf(e)).map((chain, k) => (
        <div key={k} class="chain">
          {chain.map((x, n) => (
            <ExceptionCard key={x.id ?? n} x={x} first={n === 0} at={c.t0} />
          ))}
        </div>
      ))}
      {cause && typeof cause.working_directory === 'string' && (
        <dl class="values">
          <Value label="Working directory" value={cause.working_directory} mono />
        </dl>
      )}
    </>
  )
}

/** An entry that names an exception which another one recorded: that is shown, with the way there. */
function ElsewhereCaused({ id, c, trace }: { id: string; c: Columns; trace: TraceState }) {
  const found = useSignal<{ i: number; list: Exception[] } | null>(null)
  useEffect(() => {
    let gone = false
    found.value = null
    void (async () => {
      const holding = await trace.holding(id)
      for (let k = 0; k < c.n && !gone; k++) {
        if (!holding?.[k] || !(c.flags[k]! & FLAG.exception)) continue
        const other = await trace.entity(k)
        const list = other ? exceptionsOf(other) : []
        if (!list.some((x) => x.id === id)) continue
        if (!gone) found.value = { i: k, list }
        return
      }
    })()
    return () => {
      gone = true
    }
  }, [id, c])
  const f = found.value
  return (
    <>
      <div class="notice">
        <div>
          Caused by exception <code>{id}</code>, which {f ? <b><bdi>{c.texts[c.name[f.i]!]}</bdi></b> : 'another entry of this trace'} recorded.{' '}
          {f && (
            <button class="link" onClick={() => trace.select(f.i)}>
              Go there
            </button>
          )}
        </div>
      </div>
      {f &&
        chains(f.list)
          .filter((chain) => chain.some((x) => x.id === id))
          .map((chain, k) => (
            <div key={k} class="chain">
              {chain.map((x, n) => (
                <ExceptionCard key={x.id ?? n} x={x} first={n === 0} at={c.t0} />
              ))}
            </div>
          ))}
    </>
  )
}

function ExceptionCard({ x, first, at }: { x: Exception; first: boolean; at: number }) {
  const all = useSignal(false)
  const stack = Array.isArray(x.stack) ? x.stack : []
  const shown = all.value ? stack : stack.slice(0, 12)
  const text = [`${x.type ?? 'Exception'}: ${x.message ?? ''}`, ...stack.map((f) => `    at ${f.label ?? '?'} (${f.path ?? '?'}${f.line !== undefined ? `:${f.line}` : ''})`)].join('\n')
  return (
    <section class="exception">
      {!first && <div class="caused">caused by</div>}
      <div class="row">
        <b class="exception-type grow">
          <bdi>{String(x.type ?? 'Exception')}</bdi>
        </b>
        {x.remote === true && <span class="badge">remote</span>}
        <span class="value-actions shown">
          <button title="Copy with stack" aria-label="Copy exception with stack" onClick={() => copy(text, 'Exception copied')}>
            <Copy />
          </button>
        </span>
      </div>
      {x.message && (
        <p class="exception-message">
          <bdi>{String(x.message).slice(0, 4000)}</bdi>
        </p>
      )}
      <Elsewhere x={x} at={at} />
      {stack.length > 0 && (
        <ol class="stack">
          {shown.map((f, k) => (
            <li key={k}>
              <span class="stack-label">
                <bdi>{String(f.label ?? '?')}</bdi>
              </span>
              <span class="stack-path">
                <Source path={String(f.path ?? '')} line={f.line} />
              </span>
            </li>
          ))}
        </ol>
      )}
      {stack.length > shown.length && (
        <button class="button plain" onClick={() => (all.value = true)}>
          {stack.length - shown.length} more frames
        </button>
      )}
      {stack.length > 0 && (
        <Popover label="Where the source is" class="button plain" body={() => <SourceTemplate />}>
          {template.value ? 'Source links' : 'Link to the source…'}
        </Popover>
      )}
      {typeof x.truncated === 'number' && x.truncated > 0 && <div class="faint">{x.truncated} frames were left out by the sender</div>}
    </section>
  )
}

/** How long before and after a trace the same exception is looked for, in seconds. */
const AROUND = 3600
/** Texts of expressions that are too long to be of use. */
const LONGEST = 1000

/** In how many traces around this one the same exception was at the root of a failure, with the way there. */
function Elsewhere({ x, at }: { x: Exception; at: number }) {
  const parts = (
    [
      ['name', x.type, 'of this type'],
      ['message', x.message, 'with this message'],
    ] as const
  ).filter(([, text]) => text && String(text).length <= LONGEST)
  const found = useSignal<(CountsAnswer | null)[]>([])
  const window_ = { from: Math.floor(at - AROUND), to: Math.ceil(at + AROUND) }
  useEffect(() => {
    const abort = new AbortController()
    const count = (filter: string) => get<CountsAnswer>('api/counts', { filter, start: window_.from, end: window_.to, columns: 1, values: 1 }, abort.signal).catch(() => null)
    void Promise.all(parts.map(([part, text]) => count(exception(part, String(text))))).then((list) => !abort.signal.aborted && (found.value = list))
    return () => abort.abort()
  }, [x.type, x.message, at])
  if (parts.length === 0) return null
  const known = found.value
  if (known.length > 0 && known.every((a) => a?.Traces === 0 && a.NextToken === null)) return <p class="muted">It is not at the root of a failure, which is where searches look for exceptions.</p>
  return (
    <p class="muted">
      Within an hour:{' '}
      {parts.map(([part, text, words], k) => {
        const a = known[k]
        return (
          <span key={part}>
            {k > 0 && ', '}
            <a href={href('traces', { q: exception(part, String(text)), ...window_ })}>
              <span class="num">{a ? `${exact(a.Traces)}${a.NextToken === null ? '' : ' or more'} ` : ''}</span>
              {a?.Traces === 1 && a.NextToken === null ? 'trace' : 'traces'} {words}
            </a>
          </span>
        )
      })}
    </p>
  )
}

/** Where source files are, as the reader says: kept in the browser. */
const template = signal(localStorageGet('roentgen.source') ?? '')

function Source({ path, line }: { path: string; line?: number }) {
  const to = sourceLink(template.value, path, typeof line === 'number' ? line : undefined)
  const text = (
    <bdi>
      {path}
      {line !== undefined && `:${line}`}
    </bdi>
  )
  return to ? (
    <a href={to} target="_blank" rel="noreferrer noopener">
      {text}
    </a>
  ) : (
    text
  )
}

function SourceTemplate() {
  const text = useSignal(template.value)
  const problem = templateProblem(text.value)
  return (
    <form
      class="source-template"
      onSubmit={(e) => {
        e.preventDefault()
        if (problem) return
        template.value = text.value.trim()
        localStorageSet('roentgen.source', template.value)
      }}
    >
      <label>
        Address of a line of source
        <input class="input mono" data-autofocus spellcheck={false} placeholder="vscode://file/home/me/shop/{path}:{line}" value={text.value} aria-invalid={problem ? true : undefined} onInput={(e) => (text.value = e.currentTarget.value)} />
      </label>
      <p class={problem ? 'text-error' : 'muted'}>{problem || 'Frames of stacks become links. {path} and {line} are filled in; it is kept in this browser.'}</p>
      <button class="button primary" type="submit" disabled={problem !== ''}>
        Keep
      </button>
    </form>
  )
}

function Http({ e, c, i }: { e: Entity; c: Columns; i: number }) {
  const request = record(e.http?.request)
  const response = record(e.http?.response)
  // Conditions on http.* ask the root; elsewhere they would find other traces.
  const root = c.parent[i]! < 0
  const status = response?.status
  const known = new Set(['method', 'url', 'status', 'content_length', 'user_agent', 'client_ip'])
  const rest = Object.entries({ ...request, ...response }).filter(([k]) => !known.has(k))
  return (
    <>
      {request && (
        <div class="http-line mono">
          <b>{String(request.method ?? '')}</b> <bdi>{String(request.url ?? '')}</bdi>
        </div>
      )}
      <dl class="values">
        {status !== undefined && <Value label="Status" value={String(status)} condition={root && typeof status === 'number' ? `http.status = ${status}` : undefined} mono />}
        {typeof request?.method === 'string' && <Value label="Method" value={request.method} condition={root ? `http.method = ${quote(request.method)}` : undefined} mono />}
        {typeof request?.url === 'string' && <Value label="URL" value={request.url} condition={root ? `http.url = ${quote(request.url)}` : undefined} mono />}
        {typeof response?.content_length === 'number' && <Value label="Length" value={String(response.content_length)}>{bytes(response.content_length)}</Value>}
        {typeof request?.client_ip === 'string' && <Value label="Client" value={request.client_ip} condition={root ? `http.clientip = ${quote(request.client_ip)}` : undefined} mono />}
        {typeof request?.user_agent === 'string' && <Value label="User agent" value={request.user_agent} condition={root ? `http.useragent = ${quote(request.user_agent)}` : undefined} />}
        {rest.map(([k, v]) => (
          <Value key={k} label={k} value={typeof v === 'string' ? v : JSON.stringify(v)} mono />
        ))}
      </dl>
      {request && typeof request.url === 'string' && (
        <button class="button" onClick={() => copy(curl(request), 'Command copied')}>
          <Copy /> Copy as curl
        </button>
      )}
    </>
  )
}

function Sql({ e }: { e: Entity }) {
  const sql = record(e.sql)!
  const query = typeof sql.sanitized_query === 'string' ? sql.sanitized_query : ''
  const { sanitized_query: _, ...rest } = sql
  return (
    <>
      {query && (
        <>
          <pre class="code">
            <bdi>{prettySQL(query.slice(0, 100_000))}</bdi>
          </pre>
          <div class="row" style={{ marginBottom: '10px' }}>
            <button class="button" onClick={() => copy(query, 'Query copied')}>
              <Copy /> Copy query
            </button>
            {/^\s*(select|insert|update|delete|with)\b/i.test(query) && (
              <button class="button" title="The query behind EXPLAIN, to ask the database for its plan" onClick={() => copy(`EXPLAIN ${query}`, 'EXPLAIN copied; fill in what was taken out')}>
                <Copy /> Copy with EXPLAIN
              </button>
            )}
          </div>
        </>
      )}
      <Fields value={rest} />
    </>
  )
}

function Aws({ aws }: { aws: Record<string, unknown> }) {
  const to = consoleLink(aws)
  return (
    <>
      <Fields value={aws} />
      {to && (
        <a class="button" href={to} target="_blank" rel="noreferrer noopener">
          <External /> Open in the AWS console
        </a>
      )}
    </>
  )
}

/** Blocks that SDKs and agents put into "aws", by the names that AWS gives to what they are of. */
const AWS_BLOCKS: Record<string, string> = { api_gateway: 'API Gateway', cloudwatch_logs: 'CloudWatch Logs', dynamodb: 'DynamoDB', ec2: 'EC2', ecs: 'ECS', eks: 'EKS', elastic_beanstalk: 'Elastic Beanstalk', lambda: 'Lambda', s3: 'S3', sns: 'SNS', sqs: 'SQS', xray: 'X-Ray' }

const AWS_NAMES: Record<string, string> = { operation: 'Operation', region: 'Region', request_id: 'Request id', account_id: 'Account', table_name: 'Table', queue_url: 'Queue', bucket_name: 'Bucket', function_name: 'Function', topic_arn: 'Topic', retries: 'Retries', resource_names: 'Resources' }

function Fields({ value }: { value: Record<string, unknown> }) {
  const plain = Object.entries(value).filter(([, v]) => v === null || typeof v !== 'object')
  const nested = Object.entries(value).filter(([, v]) => v !== null && typeof v === 'object')
  const condition = (k: string, v: unknown) => (k === 'account_id' ? `account.id = ${quote(String(v))}` : undefined)
  return (
    <>
      <dl class="values">
        {plain.map(([k, v]) => (
          <Value key={k} label={AWS_NAMES[k] ?? k} value={String(v)} mono condition={condition(k, v)} />
        ))}
      </dl>
      {nested.map(([k, v]) => (
        <div key={k}>
          <h3 class="values-head">{AWS_BLOCKS[k] ?? AWS_NAMES[k] ?? k}</h3>
          {Array.isArray(v) || Object.values(v as object).some((x) => x !== null && typeof x === 'object') ? (
            <Json value={v} open={3} />
          ) : (
            <dl class="values">
              {Object.entries(v as Record<string, unknown>).map(([n, x]) => (
                <Value key={n} label={n} value={String(x)} mono condition={n === 'availability_zone' ? `availabilityzone = ${quote(String(x))}` : n === 'instance_id' || n === 'id' ? `instance.id = ${quote(String(x))}` : undefined} />
              ))}
            </dl>
          )}
        </div>
      ))}
    </>
  )
}
