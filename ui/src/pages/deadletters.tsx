// Documents that were refused: what was wrong with them, and what helps. Those that this server
// refused, and those that it took and a destination would not.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get } from '../lib/api'
import { exact, timeParts } from '../lib/format'
import { destinations } from '../lib/forward'
import { change, param } from '../lib/place'
import { can } from '../lib/session'
import { Either } from '../ui/either'
import { Copy } from '../ui/icons'
import { copy, Problem, utc } from '../ui/parts'
import { NotAllowed } from '../ui/signin'

type DeadLetter = Record<string, unknown>

interface Answer {
  DeadLetters: DeadLetter[]
  Next: string | number | null
}

const HERE = {
  path: 'api/dead-letters',
  words: 'Documents that were refused, newest first. Senders rarely look at the answer; here is what it said.',
  none: 'No document was refused. When one is, it is kept here with the reason and the remedy.',
}
const PASSED_ON = {
  path: 'api/forward/dead-letters',
  words: 'Documents that were stored here and that a destination refused for good, newest first. They are not sent again.',
  none: 'Destinations took everything that was passed on, or still wait for it. What one refuses for good is kept here with the reason.',
}

function text(v: unknown): string {
  return v === null || v === undefined ? '' : typeof v === 'string' ? v : JSON.stringify(v)
}

export function DeadLettersPage() {
  const allowed = can('admin')
  const passedOn = param('of').value === 'forward'
  const passes = useSignal(false)
  const again = useSignal(0)
  useEffect(() => {
    document.title = 'Dead letters · Roentgen'
    if (!allowed) return
    // Of a server that passes nothing on there may be some from before.
    void Promise.all([destinations().then((d) => d.length > 0), get<Answer>(PASSED_ON.path, { limit: 1 }).then((a) => a.DeadLetters.length > 0)]).then(
      (some) => (passes.value = some.includes(true)),
      () => {},
    )
  }, [allowed])
  const kind = passedOn ? PASSED_ON : HERE
  return (
    <div class="page" data-scroll>
      <div class="page-inner">
        <div class="row" style={{ flexWrap: 'wrap' }}>
          <div style={{ flex: '1 1 320px' }}>
            <h1>Dead letters</h1>
            <p class="muted">{kind.words}</p>
          </div>
          {allowed && (passes.value || passedOn) && (
            <Either label="Who refused them" first="Refused here" second="Not passed on" value={passedOn} choose={(forward) => change({ of: forward ? 'forward' : null })} />
          )}
          {allowed && (
            <button class="button" onClick={() => again.value++}>
              Refresh
            </button>
          )}
        </div>
        {allowed ? <Letters key={kind.path} again={again.value} path={kind.path} none={kind.none} /> : <NotAllowed what="Documents that were refused may hold anything, so looking at them takes" />}
      </div>
    </div>
  )
}

/** It begins anew whenever `again` changes. */
function Letters({ path, none, again }: { path: string; none: string; again: number }) {
  const list = useSignal<DeadLetter[] | null>(null)
  const next = useSignal<Answer['Next']>(null)
  const error = useSignal<Error | null>(null)
  const load = (before?: string | number) =>
    get<Answer>(path, { before, limit: 50 }).then(
      (a) => {
        list.value = before === undefined ? a.DeadLetters : [...(list.value ?? []), ...a.DeadLetters]
        next.value = a.Next
        error.value = null
      },
      (e: Error) => (error.value = e),
    )
  useEffect(() => void load(), [again])
  return (
    <>
      {error.value && <Problem error={error.value} retry={() => load()} />}
      {list.value?.length === 0 && (
        <div class="empty">
          <h2>None</h2>
          <p>{none}</p>
        </div>
      )}
      <ul class="letters">
        {(list.value ?? []).map((d, i) => (
          <Letter key={text(d.N ?? i)} d={d} />
        ))}
      </ul>
      {next.value !== null && list.value && (
        <button class="button" onClick={() => load(next.value!)}>
          Older ones
        </button>
      )}
    </>
  )
}

function pick(d: DeadLetter, ...names: string[]): string {
  for (const n of names) if (d[n] !== undefined && d[n] !== null && d[n] !== '') return text(d[n])
  return ''
}

function Letter({ d }: { d: DeadLetter }) {
  const open = useSignal(false)
  const at = Number(d.Time ?? NaN)
  const t = Number.isFinite(at) ? timeParts(at, utc.value) : null
  const document_ = pick(d, 'Document')
  return (
    <li class="letter card">
      <div class="row">
        <span class="badge fault">{pick(d, 'Code') || 'refused'}</span>
        <b class="grow">
          <bdi>{pick(d, 'Detail', 'Message')}</bdi>
        </b>
        {t && (
          <span class="faint num">
            {t.date} {t.time}
          </span>
        )}
      </div>
      {pick(d, 'Remedy') && (
        <p>
          <span class="muted">Remedy:</span> <bdi>{pick(d, 'Remedy')}</bdi>
        </p>
      )}
      {pick(d, 'Detail') && pick(d, 'Message') && (
        <p class="muted">
          The sender was told: <bdi>{pick(d, 'Message')}</bdi>
        </p>
      )}
      <div class="row muted num letter-facts">
        {pick(d, 'Destination') && (
          <span>
            by <bdi>{pick(d, 'Destination')}</bdi>
          </span>
        )}
        {pick(d, 'Source') && <span>by {pick(d, 'Source')}</span>}
        {pick(d, 'Peer') && <span>from {pick(d, 'Peer')}</span>}
        {Number(d.Size) > 0 && <span>{exact(Number(d.Size))} bytes</span>}
        <span class="grow" />
        {document_ && (
          <>
            <button class="button plain" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
              {open.value ? 'Hide document' : 'Show document'}
            </button>
            <button class="button plain" onClick={() => copy(document_, 'Document copied')}>
              <Copy /> Copy
            </button>
          </>
        )}
      </div>
      {open.value && (
        <pre class="code" tabIndex={0}>
          <bdi>{document_.slice(0, 50_000)}</bdi>
        </pre>
      )}
    </li>
  )
}
