// The server itself: is it well, what does it keep, what comes in, what goes wrong, and
// what is set.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { AnswerError, get } from '../lib/api'
import { askServer } from '../lib/ask'
import { ago, bytes, count, duration, exact, many, percent, span, timeParts } from '../lib/format'
import { forwarding, type Forwarding } from '../lib/forward'
import { healthOf, isWrong, overBudget, tight, type Health } from '../lib/health'
import { parseHelp, parseMetrics, type Sample } from '../lib/metrics'
import { change, href, param, url } from '../lib/place'
import { server } from '../lib/server'
import { can } from '../lib/session'
import { Either } from '../ui/either'
import { Check, Fault, Warning } from '../ui/icons'
import { Problem, Swatch, utc, visible } from '../ui/parts'
import { NotAllowed } from '../ui/signin'

interface Sender {
  Count: number
  Hostname: string | null
  Host: string
  EC2InstanceId: string | null
  LastSeen: number
  Total: Record<string, unknown>
}

interface Status {
  Build: { Commit: string; Go: string; Platform: string; Time: string; Version: string }
  Degraded: string | null
  MemoryLimit: number | null
  Missing: string[]
  Now: number
  Started: number
  Storage: {
    CacheBytes: number
    Compacting: number
    CompactionDebt: number
    DiskBudget: number | null
    DiskBytes: number
    Documents: number
    Folder: string
    FreeBytes: number
    Kinds: { Kind: string; Bytes: number }[]
    MemoryBytes: number
    MinFreeBytes: number
    Newest: number | null
    Oldest: number | null
    Parts: { Began: number | null; Bytes: number; Documents: number; Traces: number }[]
    Retention: number | null
    Unavailable: string | null
    Waiting: number
    WaitingBytes: number
  }
}

interface Setting {
  Default: string
  Environment: string
  Group: string
  Name: string
  Origin: string
  Reloadable: boolean
  Summary: string
  Unit: string
  Value: string
}

const EVERY = 5000

/** What a kind of stored things is; the colour goes by the place in this list. */
const KINDS: Record<string, string> = {
  documents: 'Documents as they came, compressed',
  traces: 'Which documents a trace has',
  rows: 'A summary of each trace, for lists and searches',
  times: 'Traces by time of change and of end',
  terms: 'What searches pass over traces by',
  graph: 'The service graph, counted by time',
  letters: 'Documents that were refused',
  log: 'Durable, and not in its place yet',
  reserve: 'Set aside for when the disk is full',
}

async function metricsText(): Promise<string> {
  let r: Response
  try {
    r = await askServer(() => fetch(url('metrics')))
  } catch {
    throw new AnswerError('the server cannot be reached', 0)
  }
  const body = await r.text()
  if (!r.ok) throw new AnswerError(`/metrics: ${r.status} ${r.statusText}`, r.status)
  return body
}

export function SettingsPage() {
  const status = useSignal<Status | null>(null)
  const samples = useSignal<Sample[]>([])
  const help = useSignal<Map<string, string>>(new Map())
  const before = useSignal<{ at: number; samples: Sample[] } | null>(null)
  const taken = useSignal(0)
  const senders = useSignal<Sender[] | null>(null)
  const passing = useSignal<Forwarding | null>(null)
  const error = useSignal<Error | null>(null)
  useEffect(() => {
    document.title = 'Server · Roentgen'
    let timer = 0
    let gone = false
    const load = async () => {
      try {
        status.value = await get<Status>('api/server', {})
        const text = await metricsText()
        if (gone) return
        if (samples.peek().length > 0) before.value = { at: taken.peek(), samples: samples.peek() }
        taken.value = Date.now() / 1000
        samples.value = parseMetrics(text)
        help.value = parseHelp(text)
        passing.value = await forwarding()
        senders.value = (await get<{ Senders: Sender[] }>('api/telemetry', {})).Senders
        error.value = null
      } catch (e) {
        error.value = e as Error
      }
      if (!gone) timer = window.setTimeout(again, EVERY)
    }
    const again = () => (visible.peek() ? void load() : (timer = window.setTimeout(again, 1000)))
    void load()
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [])
  const value = (name: string) => {
    const found = samples.value.filter((s) => s.name === name)
    return found.length > 0 ? found.reduce((n, s) => n + s.value, 0) : null
  }
  const rateOf = (s: Sample): number | null => {
    const b = before.value
    const old = b?.samples.find((x) => x.name === s.name && JSON.stringify(x.labels) === JSON.stringify(s.labels))
    const passed = taken.value - (b?.at ?? 0)
    return b && old && passed > 0 ? Math.max(0, (s.value - old.value) / passed) : null
  }
  const ingest = samples.value.filter((s) => s.name === 'roentgen_ingest_documents_total' && s.value > 0)
  const rates = ingest.filter((s) => s.labels.result === 'accepted').map(rateOf)
  const perSecond = rates.some((r) => r !== null) ? rates.reduce<number>((n, r) => n + (r ?? 0), 0) : null
  const wrong = samples.value.filter(isWrong)
  const says = (name: string) => (help.value.get(name) ?? name).replace(/[,:]? by (reason|source|result).*$/, '.')
  const st = status.value?.Storage
  const memory = value('process_resident_memory_bytes') ?? value('go_memstats_sys_bytes')
  const tiles: [string, string | null, string?][] = [
    ['Documents kept', st ? count(st.Documents) : null],
    ['On disk', st ? bytes(st.DiskBytes) : null],
    ['Left on the disk', st ? bytes(st.FreeBytes) : null],
    ['Memory', memory === null ? null : bytes(memory), status.value?.MemoryLimit ? `aims at ${bytes(status.value.MemoryLimit)}` : undefined],
    ['Documents a second', perSecond === null ? '–' : count(Math.round(perSecond * 10) / 10)],
    ['Connections', value('roentgen_http_connections') === null ? null : exact(value('roentgen_http_connections')!)],
    ['Running for', status.value ? duration(status.value.Now - status.value.Started) : null],
  ]
  return (
    <div class="page" data-scroll>
      <div class="page-inner">
        <h1>Server</h1>
        {error.value && <Problem error={error.value} />}
        {status.value && <Headline status={status.value} health={healthOf(status.value, samples.value, rateOf, says, passing.value)} />}
        {status.value && (
          <dl class="figures tiles num">
            {tiles.map(
              ([label, text, more]) =>
                text !== null && (
                  <div key={label} class="card">
                    <dt>{label}</dt>
                    <dd>{text}</dd>
                    {more && <dd class="muted">{more}</dd>}
                  </div>
                ),
            )}
          </dl>
        )}
        {st && <Storage st={st} />}
        {ingest.length > 0 && (
          <>
            <h2>What was received</h2>
            <div class="card compare-table" role="region" aria-label="What was received" tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th>By</th>
                    <th>Outcome</th>
                    <th class="right">Documents</th>
                    <th class="right">A second</th>
                  </tr>
                </thead>
                <tbody class="num">
                  {ingest.map((s) => {
                    const r = rateOf(s)
                    return (
                      <tr key={JSON.stringify(s.labels)}>
                        <td>{s.labels.source}</td>
                        <td class={s.labels.result === 'accepted' ? '' : 'text-error'}>{s.labels.result}</td>
                        <td class="right">{exact(s.value)}</td>
                        <td class="right">{r === null ? '–' : count(Math.round(r * 10) / 10)}</td>
                      </tr>
                    )
                  })}
                </tbody>
              </table>
            </div>
          </>
        )}
        <h2>What went wrong since the start</h2>
        {wrong.length === 0 && samples.value.length > 0 && <p class="muted">Nothing was refused, dropped or lost.</p>}
        {wrong.length > 0 && (
          <div class="card compare-table" role="region" aria-label="What went wrong" tabIndex={0}>
            <table>
              <thead>
                <tr>
                  <th class="right">How often</th>
                  <th>What</th>
                  <th class="right">A second</th>
                </tr>
              </thead>
              <tbody class="num">
                {wrong.map((s) => {
                  const r = rateOf(s)
                  return (
                    <tr key={s.name + JSON.stringify(s.labels)}>
                      <td class="right">
                        <b>{exact(s.value)}</b>
                      </td>
                      <td>
                        {s.name === 'roentgen_api_requests_total' ? 'Calls of the X-Ray API that got an error.' : says(s.name)}
                        <div class="muted">
                          {Object.entries(s.labels).map(([k, v]) => (
                            <span key={k} class="badge">
                              {v}
                            </span>
                          ))}{' '}
                          <code>{s.name}</code>
                        </div>
                      </td>
                      <td class="right">{r === null ? '–' : count(Math.round(r * 10) / 10)}</td>
                    </tr>
                  )
                })}
              </tbody>
            </table>
          </div>
        )}
        {passing.value && passing.value.destinations.length > 0 && <PassingOn f={passing.value} />}
        <h2>Daemons and agents that report</h2>
        {senders.value?.length === 0 && <p class="muted">None so far. X-Ray daemons and Roentgen's agents report every minute.</p>}
        {senders.value && senders.value.length > 0 && (
          <div class="card compare-table" role="region" aria-label="Daemons and agents" tabIndex={0}>
            <table class="paragraphs">
              <thead>
                <tr>
                  <th>Host</th>
                  <th class="right">Received</th>
                  <th class="right">Sent</th>
                  <th class="right">Refused</th>
                  <th class="right">Lost</th>
                  <th class="right">Last report</th>
                </tr>
              </thead>
              <tbody class="num">
                {senders.value.map((s) => {
                  const n = (k: string) => (typeof s.Total[k] === 'number' ? exact(s.Total[k] as number) : '–')
                  return (
                    <tr key={`${s.Hostname}${s.EC2InstanceId}${s.Host}`}>
                      <td class="title">
                        <bdi>{s.Hostname ?? s.EC2InstanceId ?? s.Host}</bdi>
                      </td>
                      <td class="right" data-label="Received">
                        {n('SegmentsReceivedCount')}
                      </td>
                      <td class="right" data-label="Sent">
                        {n('SegmentsSentCount')}
                      </td>
                      <td class="right" data-label="Refused">
                        {n('SegmentsRejectedCount')}
                      </td>
                      <td class="right" data-label="Lost">
                        {n('SegmentsSpilloverCount')}
                      </td>
                      <td class="right" data-label="Last report">
                        {ago(Date.now() / 1000 - s.LastSeen)}
                      </td>
                    </tr>
                  )
                })}
              </tbody>
            </table>
          </div>
        )}
        <Settings />
        {status.value && <Versions build={status.value.Build} />}
      </div>
    </div>
  )
}

const WORDS: Record<Health['level'], string> = {
  bad: 'It does not do its work:',
  warn: 'It answers, but not all is well:',
  past: 'It is well now. Since it was started, not all was:',
  well: 'It is well.',
}

/** The worst of what the page tells below, in a line. */
function Headline({ status, health }: { status: Status; health: Health }) {
  const { level, reasons, refused } = health
  const colour = { bad: 'bad', warn: 'warn', past: 'warn', well: 'fine' }[level]
  return (
    <div class={`notice ${colour}`} role="status">
      {level === 'bad' ? <Fault /> : level === 'well' ? <Check /> : <Warning />}
      <div>
        <b>{WORDS[level]}</b> <bdi>{reasons.join('; ')}</bdi>
        <div class="muted">
          {refused > 0 && (
            <>
              {many(refused, 'document')} {refused === 1 ? 'was' : 'were'} refused, which is up to {refused === 1 ? 'its sender' : 'their senders'}
              {can('admin') && (
                <>
                  : see <a href={href('dead-letters')}>dead letters</a>
                </>
              )}
              .{' '}
            </>
          )}
          Version {status.Build.Version}, at {server.url}
          {server.udp ? `, UDP at ${server.udp}` : ', no UDP'}.
        </div>
      </div>
    </div>
  )
}

function Storage({ st }: { st: Status['Storage'] }) {
  const now = Date.now() / 1000
  const kinds = Object.keys(KINDS).map((kind, colour) => ({ kind, colour, size: st.Kinds.find((k) => k.Kind === kind)?.Bytes ?? 0 }))
  const known = kinds.reduce((n, k) => n + k.size, 0)
  const total = Math.max(known, st.DiskBytes)
  // What no kind accounts for is about to be removed or merged.
  const rest = { kind: 'rest', colour: 9, size: total - known }
  const shown = [...kinds, rest].filter((k) => k.size > 0).sort((a, b) => b.size - a.size)
  const when = (t: number | null) => {
    if (t === null) return 'nothing is kept'
    const p = timeParts(t, utc.value)
    return `${p.date} ${p.time.slice(0, 5)}`
  }
  const little = tight(st)
  const volume = st.FreeBytes + st.DiskBytes
  return (
    <>
      <h2>Storage</h2>
      <div class="card storage num">
        <div class="size-bar" role="img" aria-label={`${bytes(total)} on disk; the table below says of what`}>
          {total > 0 && shown.map((k) => <span key={k.kind} data-colour={String(k.colour)} title={`${KINDS[k.kind] ?? 'About to be removed or merged'}: ${bytes(k.size)}`} style={{ width: `${(k.size / total) * 100}%` }} />)}
        </div>
        <div class="compare-table" role="region" aria-label="Size by kind" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th>What</th>
                <th class="right">Size</th>
                <th class="right">Share</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((k) => (
                <tr key={k.kind}>
                  <td>
                    <span class="row">
                      <Swatch colour={k.colour} /> {KINDS[k.kind] ?? 'About to be removed or merged'}
                    </span>
                  </td>
                  <td class="right">{bytes(k.size)}</td>
                  <td class="right">{total > 0 ? percent(k.size / total) : '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <dl class="facts">
          <div>
            <dt>Retention</dt>
            <dd>{st.Retention === null ? 'Traces are kept for ever' : `Traces go ${span(st.Retention)} after they arrived`}</dd>
            <dd>
              setting <code>retention</code>
            </dd>
          </div>
          <div>
            <dt>Disk budget</dt>
            <dd>{st.DiskBudget === null ? 'None: only the disk bounds it' : `${bytes(st.DiskBytes)} of ${bytes(st.DiskBudget)}; beyond it the oldest traces go`}</dd>
            {st.DiskBudget !== null && (
              <dd>
                <div class={`gauge ${overBudget(st) ? 'tight' : ''}`}>
                  <span style={{ width: `${Math.min(100, (st.DiskBytes / st.DiskBudget) * 100)}%` }} />
                </div>
              </dd>
            )}
          </div>
          <div>
            <dt>Disk left</dt>
            <dd class={little ? 'text-error' : ''}>{bytes(st.FreeBytes)}</dd>
            <dd>
              {volume > 0 && (
                <div class={`gauge ${little ? 'tight' : ''}`}>
                  <span style={{ width: `${(st.FreeBytes / volume) * 100}%` }} />
                </div>
              )}
              documents are refused below {bytes(st.MinFreeBytes)}
            </dd>
          </div>
          <div>
            <dt>Oldest</dt>
            <dd>{when(st.Oldest)}</dd>
            {st.Oldest !== null && <dd>{ago(now - st.Oldest)}</dd>}
          </div>
          <div>
            <dt>Newest</dt>
            <dd>{when(st.Newest)}</dd>
            {st.Newest !== null && <dd>{ago(Math.max(0, now - st.Newest))}</dd>}
          </div>
          <div>
            <dt>Waiting for searches</dt>
            <dd>{st.Waiting === 0 ? 'Everything can be searched for' : `${many(st.Waiting, 'document')}, ${bytes(st.WaitingBytes)}`}</dd>
            {st.Waiting > 0 && <dd>stored already, and soon in lists and on the map</dd>}
          </div>
          <div>
            <dt>Compaction</dt>
            <dd>{st.Compacting === 0 ? 'Nothing under way' : `${many(st.Compacting, 'compaction')} under way`}</dd>
            <dd>{st.CompactionDebt > 0 ? `${bytes(st.CompactionDebt)} to be merged, by and by` : 'files are merged in the background'}</dd>
          </div>
          <div>
            <dt>Memory of the store</dt>
            <dd>{bytes(st.MemoryBytes + st.CacheBytes)}</dd>
            <dd>
              {bytes(st.MemoryBytes)} to be written, {bytes(st.CacheBytes)} read before
            </dd>
          </div>
          <div>
            <dt>Folder</dt>
            <dd>
              <code>
                <bdi>{st.Folder}</bdi>
              </code>
            </dd>
          </div>
        </dl>
        {st.Parts.length > 1 && (
          <details>
            <summary>{many(st.Parts.length, 'part')}, each removed as one when its time has come</summary>
            <div class="compare-table" role="region" aria-label="Parts" tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th>Began</th>
                    <th class="right">Documents</th>
                    <th class="right">Traces</th>
                    <th class="right">Size of documents</th>
                  </tr>
                </thead>
                <tbody>
                  {[...st.Parts].reverse().map((p) => (
                    <tr key={p.Began}>
                      <td>{when(p.Began)}</td>
                      <td class="right">{exact(p.Documents)}</td>
                      <td class="right">{exact(p.Traces)}</td>
                      <td class="right">{bytes(p.Bytes)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </details>
        )}
      </div>
    </>
  )
}

/** Where everything that is received goes on to, and how that goes. */
function PassingOn({ f }: { f: Forwarding }) {
  const now = Date.now() / 1000
  const at = (text: string) => now - Date.parse(text) / 1000
  return (
    <>
      <h2>Passed on</h2>
      <div class="card compare-table" role="region" aria-label="Passed on" tabIndex={0}>
        <table class="paragraphs">
          <thead>
            <tr>
              <th>To</th>
              <th class="right">Waiting</th>
              <th class="right">Sent</th>
              <th class="right">Refused</th>
              <th class="right">Lost</th>
              <th class="right">Lag</th>
              <th>State</th>
            </tr>
          </thead>
          <tbody class="num">
            {f.destinations.map((d) => (
              <tr key={d.name}>
                <td class="title">
                  <bdi>{d.name}</bdi>
                  <div class="muted">
                    <bdi>{d.endpoint}</bdi>
                  </div>
                </td>
                <td class="right" data-label="Waiting">
                  {exact(d.waiting)}
                </td>
                <td class="right" data-label="Sent">
                  {exact(d.sent)}
                </td>
                <td class="right" data-label="Refused">
                  {d.refused > 0 && can('admin') ? <a href={href('dead-letters', { of: 'forward' })}>{exact(d.refused)}</a> : exact(d.refused)}
                </td>
                <td class={`right ${d.lost > 0 ? 'text-error' : ''}`} data-label="Lost">
                  {exact(d.lost)}
                </td>
                <td class="right" data-label="Lag">
                  {d.lag_seconds > 0 ? duration(d.lag_seconds) : '–'}
                </td>
                <td data-label="State">
                  {d.failures_in_a_row > 0 ? (
                    <span class="text-error">
                      {many(d.failures_in_a_row, 'call')} failed in a row: <bdi>{d.last_error}</bdi>
                    </span>
                  ) : Date.parse(d.last_sent) > 0 ? (
                    `last delivered ${ago(Math.max(0, at(d.last_sent)))}`
                  ) : (
                    <span class="muted">nothing so far</span>
                  )}
                  {d.failures_in_a_row === 0 && d.last_error && (
                    <div class="muted">
                      {ago(Math.max(0, at(d.last_error_at)))}: <bdi>{d.last_error}</bdi>
                    </div>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted">
        The folder of what waits takes {bytes(f.spool.bytes)} of {bytes(f.spool.limit_bytes)}; beyond that the oldest goes, and is lost to the destination.
        {f.spool.failure && (
          <span class="text-error">
            {' '}
            <bdi>{f.spool.failure}</bdi>
          </span>
        )}
      </p>
    </>
  )
}

function Settings() {
  const list = useSignal<Setting[] | null>(null)
  const error = useSignal<Error | null>(null)
  const all = param('settings').value === 'all'
  const allowed = can('admin')
  const load = () =>
    get<{ Settings: Setting[] }>('api/settings', {}).then(
      (a) => {
        list.value = a.Settings
        error.value = null
      },
      (e: Error) => (error.value = e),
    )
  useEffect(() => {
    if (allowed) void load()
  }, [allowed])
  const changed = (list.value ?? []).filter((s) => s.Origin !== 'default')
  const shown = all ? (list.value ?? []) : changed
  return (
    <>
      <div class="row">
        <h2 class="grow">Settings in force</h2>
        {list.value && (
          <Either label="Which settings" first={`Set: ${exact(changed.length)}`} second={`All: ${exact(list.value.length)}`} value={all} choose={(all) => change({ settings: all ? 'all' : null }, { replace: true })} />
        )}
      </div>
      {!allowed && <NotAllowed what="Seeing what is set takes" />}
      {error.value && <Problem error={error.value} retry={load} />}
      {list.value && shown.length === 0 && <p class="muted">All are at their defaults.</p>}
      {shown.length > 0 && (
        <div class="card compare-table" role="region" aria-label="Settings in force" tabIndex={0}>
          <table class="paragraphs">
            <thead>
              <tr>
                <th>Setting</th>
                <th>Value</th>
                <th>From</th>
                <th>Meaning</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((s) => (
                <tr key={s.Name}>
                  <td class="title setting-name">
                    <code>{s.Name}</code>
                  </td>
                  <td class="setting-value" data-label="Value">
                    <bdi>{s.Value === '' ? <span class="muted">none</span> : s.Value}</bdi>
                    {s.Origin !== 'default' && s.Value !== s.Default && <div class="muted">default: {s.Default === '' ? 'none' : s.Default}</div>}
                  </td>
                  <td class="muted setting-name" data-label="From">
                    <bdi>{s.Origin}</bdi>
                  </td>
                  <td class="muted">
                    {s.Summary}
                    {s.Reloadable && ' (SIGHUP takes a change over)'}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}

function Versions({ build }: { build: Status['Build'] }) {
  return (
    <>
      <h2>Version</h2>
      <dl class="facts">
        <div>
          <dt>Roentgen</dt>
          <dd>{build.Version}</dd>
          <dd>
            <code>{build.Commit.slice(0, 12)}</code> {build.Time && timeParts(Date.parse(build.Time) / 1000, utc.value).date}
          </dd>
        </div>
        <div>
          <dt>Built with</dt>
          <dd>{build.Go}</dd>
          <dd>for {build.Platform}</dd>
        </div>
        <div>
          <dt>Figures for programs</dt>
          <dd>
            <a href={url('metrics')} data-external>
              /metrics
            </a>
            ,{' '}
            <a href={url('-/ready')} data-external>
              /-/ready
            </a>
            {can('admin') && (
              <>
                ,{' '}
                <a href={url('debug/')} data-external>
                  /debug/
                </a>
              </>
            )}
          </dd>
        </div>
      </dl>
    </>
  )
}
