// Sampling rules: which there are, which decides on a request, and what other ones would
// have kept of the traces that are stored.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get, post } from '../lib/api'
import { ago, exact, many, percent } from '../lib/format'
import { change, param } from '../lib/place'
import { assumed } from '../lib/sampling'
import { can, whyNot } from '../lib/session'
import { Confirm } from '../ui/confirm'
import { Field } from '../ui/field'
import { Dialog, Problem, say } from '../ui/parts'
import { NotAllowed } from '../ui/signin'

interface Rule {
  RuleName: string
  RuleARN?: string
  Priority: number
  FixedRate: number
  ReservoirSize: number
  ServiceName: string
  ServiceType: string
  Host: string
  HTTPMethod: string
  URLPath: string
  ResourceARN: string
  Attributes: Record<string, string> | null
  Version?: number
}

interface Kept {
  RuleName: string
  Traces: number
  Kept: number
  FailedTraces: number
  FailedKept: number
}

interface Simulation {
  Start: number
  Traces: number
  Rootless: number
  Partial: boolean
  Rules: Kept[]
  Now: Kept[] | null
}

interface Explained {
  RuleName: string
  XRaySDKRuleName: string
  Rules: { RuleName: string; Matches: boolean; Mismatches: { Field: string; Pattern: string; Value: string }[] | null }[]
}

interface Client {
  RuleName: string
  ClientID: string
  Peer: string
  LastReport: number
  RequestRate: number
  SampledCount: number
  RequestCount: number
  ReservoirQuota: number | null
}

const FRESH: Rule = { RuleName: '', Priority: 100, FixedRate: 0.05, ReservoirSize: 1, ServiceName: '*', ServiceType: '*', Host: '*', HTTPMethod: '*', URLPath: '*', ResourceARN: '*', Attributes: {} }

function matches(r: Rule): string {
  const parts: string[] = []
  if (r.ServiceName !== '*') parts.push(`service ${r.ServiceName}`)
  if (r.ServiceType !== '*') parts.push(`type ${r.ServiceType}`)
  if (r.HTTPMethod !== '*') parts.push(r.HTTPMethod)
  if (r.Host !== '*') parts.push(`host ${r.Host}`)
  if (r.URLPath !== '*') parts.push(`path ${r.URLPath}`)
  if (r.ResourceARN !== '*') parts.push(r.ResourceARN)
  for (const [k, v] of Object.entries(r.Attributes ?? {})) parts.push(`${k} = ${v}`)
  return parts.join(', ') || 'every request'
}

function keeps(r: Rule): string {
  const first = r.ReservoirSize > 0 ? `${exact(r.ReservoirSize)} a second` : ''
  if (r.FixedRate >= 1) return 'everything'
  const rest = r.FixedRate > 0 ? `${percent(r.FixedRate)}${first ? ' of the rest' : ''}` : ''
  return [first, rest].filter(Boolean).join(', then ') || 'nothing'
}

export function SamplingPage() {
  const rules = useSignal<Rule[] | null>(null)
  const error = useSignal<Error | null>(null)
  const kept = useSignal<Simulation | null>(null)
  const busy = useSignal(false)
  const clients = useSignal<{ Clients: Client[]; Total: number } | null>(null)
  const remove = useSignal<Rule | null>(null)
  const editing = param('edit').value
  const load = async () => {
    try {
      const list: Rule[] = []
      let token: string | null = null
      do {
        const page: { SamplingRuleRecords: { SamplingRule: Rule }[]; NextToken: string | null } = await post('GetSamplingRules', token ? { NextToken: token } : {})
        list.push(...page.SamplingRuleRecords.map((r) => r.SamplingRule))
        token = page.NextToken
      } while (token && list.length < 10_000)
      rules.value = list.sort((a, b) => a.Priority - b.Priority || (a.RuleName < b.RuleName ? -1 : 1))
      error.value = null
    } catch (e) {
      error.value = e as Error
    }
    get<{ Clients: Client[]; Total: number }>('api/sampling/clients', { limit: 50 }).then(
      (c) => (clients.value = c),
      () => {},
    )
  }
  useEffect(() => {
    document.title = 'Sampling · Roentgen'
    void load()
  }, [])
  const simulate = () => {
    busy.value = true
    post<Simulation>('api/sampling/simulate', {}).then(
      (s) => {
        kept.value = s
        busy.value = false
      },
      (e: Error) => {
        error.value = e
        busy.value = false
      },
    )
  }
  const edited = rules.value?.find((r) => r.RuleName === editing)
  const keptOf = new Map(kept.value?.Rules.map((k) => [k.RuleName, k]))
  return (
    <div class="page" data-scroll>
      <div class="page-inner wide">
        <div class="row" style={{ flexWrap: 'wrap' }}>
          <div class="grow">
            <h1>Sampling rules</h1>
            <p class="muted">SDKs ask for them every few minutes. The first that matches a request, by priority, decides whether it is traced.</p>
          </div>
          <button class="button" disabled={busy.value} onClick={simulate} title="What the rules would have kept of the traces of the last day">
            {busy.value ? 'Working it out…' : 'Try on the last day'}
          </button>
          <button class="button primary" disabled={!can('admin')} title={whyNot('admin')} onClick={() => change({ edit: '+' })}>
            New rule
          </button>
        </div>
        {!can('admin') && <NotAllowed what="Changing rules takes" />}
        {error.value && <Problem error={error.value} retry={load} />}
        <div class="card compare-table" role="region" aria-label="Sampling rules" tabIndex={0}>
          <table class="paragraphs">
            <thead>
              <tr>
                <th class="right">Priority</th>
                <th>Rule</th>
                <th>Matches</th>
                <th>Keeps</th>
                {kept.value && <th class="right">Would have kept</th>}
                <th>
                  <span class="hidden-visually">What to do</span>
                </th>
              </tr>
            </thead>
            <tbody class="num">
              {(rules.value ?? []).map((r) => {
                const k = keptOf.get(r.RuleName)
                return (
                  <tr key={r.RuleName}>
                    <td class="right muted" data-label="Priority">
                      {exact(r.Priority)}
                    </td>
                    <td class="title">
                      <b>
                        <bdi>{r.RuleName}</bdi>
                      </b>
                    </td>
                    <td data-label="Matches">
                      <bdi>{matches(r)}</bdi>
                    </td>
                    <td data-label="Keeps">{keeps(r)}</td>
                    {kept.value && (
                      <td class="right" data-label="Would keep">
                        {k && k.Traces > 0 ? (
                          <>
                            {exact(k.Kept)} of {exact(k.Traces)} <span class="muted">({percent(k.Kept / k.Traces)})</span>
                          </>
                        ) : (
                          '–'
                        )}
                      </td>
                    )}
                    <td>
                      <span class="row actions">
                        <button class="button plain" onClick={() => change({ edit: r.RuleName })}>
                          {can('admin') ? 'Change' : 'Details'}
                        </button>
                        {r.RuleName !== 'Default' && can('admin') && (
                          <button class="button plain" onClick={() => (remove.value = r)}>
                            Delete
                          </button>
                        )}
                      </span>
                    </td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </div>
        {kept.value && (
          <p class="muted">
            Worked out from {many(kept.value.Traces, 'stored trace')}
            {kept.value.Partial && ', the newest ones'}. Only what was traced is stored, so there were more requests.
          </p>
        )}
        <Explain rules={rules.value ?? []} />
        {clients.value && clients.value.Total > 0 && (
          <>
            <h2>Clients, by their latest report</h2>
            <div class="card compare-table" role="region" aria-label="Clients" tabIndex={0}>
              <table class="paragraphs">
                <thead>
                  <tr>
                    <th>Rule</th>
                    <th>Client</th>
                    <th class="right">Requests</th>
                    <th class="right">Traced</th>
                    <th class="right">Quota</th>
                    <th class="right">Report</th>
                  </tr>
                </thead>
                <tbody class="num">
                  {clients.value.Clients.map((c) => (
                    <tr key={c.RuleName + c.ClientID}>
                      <td class="title">
                        <bdi>{c.RuleName}</bdi>
                      </td>
                      <td class="mono" data-label="Client">
                        {c.ClientID.slice(0, 8)} <span class="muted">{c.Peer}</span>
                      </td>
                      <td class="right" data-label="Requests">
                        {exact(c.RequestCount)}
                      </td>
                      <td class="right" data-label="Traced">
                        {exact(c.SampledCount)}
                      </td>
                      <td class="right" data-label="Quota">
                        {c.ReservoirQuota ?? '–'}
                      </td>
                      <td class="right" data-label="Report">
                        {ago(Date.now() / 1000 - c.LastReport)}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </>
        )}
      </div>
      {(editing === '+' || edited) && <Editor key={editing} rule={edited} close={() => change({ edit: null })} done={() => void load()} />}
      {remove.value && (
        <Confirm
          title={`Delete ${remove.value.RuleName}?`}
          verb="Delete"
          done="Rule deleted"
          run={() => post('DeleteSamplingRule', { RuleName: remove.peek()!.RuleName }).then(load)}
          close={() => (remove.value = null)}
        >
          <p>Requests that it decided on fall to the next rule that matches.</p>
        </Confirm>
      )}
    </div>
  )
}

function Explain({ rules }: { rules: Rule[] }) {
  const ask = useSignal({ ServiceName: '', HTTPMethod: '', Host: '', URLPath: '' })
  const answer = useSignal<Explained | null>(null)
  /** What the answer is about: fields may have been changed since. */
  const asked = useSignal(ask.peek())
  const error = useSignal<Error | null>(null)
  const field = (name: keyof typeof ask.value, label: string, placeholder: string) => (
    <Field name={label}>
      <input class="input" placeholder={placeholder} value={ask.value[name]} onInput={(e) => (ask.value = { ...ask.value, [name]: e.currentTarget.value })} />
    </Field>
  )
  const decider = rules.find((r) => r.RuleName === answer.value?.RuleName)
  const unknown = decider ? assumed(decider, asked.value) : []
  return (
    <section class="card" style={{ padding: '14px 16px' }} aria-label="Which rule decides">
      <h2>Which rule decides on a request?</h2>
      <p class="muted">A field that is left empty is not known of the request, and what is not known matches every rule, as it does in SDKs.</p>
      <form
        class="field-row"
        style={{ marginTop: '10px' }}
        onSubmit={(e) => {
          e.preventDefault()
          const question = ask.peek()
          const body = Object.fromEntries(Object.entries(question).filter(([, v]) => v !== ''))
          post<Explained>('api/sampling/explain', body).then(
            (a) => {
              answer.value = a
              asked.value = question
              error.value = null
            },
            (x: Error) => (error.value = x),
          )
        }}
      >
        {field('ServiceName', 'Service', 'checkout')}
        {field('HTTPMethod', 'Method', 'GET')}
        {field('Host', 'Host', 'shop.example')}
        {field('URLPath', 'Path', '/orders')}
        <button class="button">Tell</button>
      </form>
      {error.value && <Problem error={error.value} />}
      {answer.value && (
        <div style={{ marginTop: '12px' }} aria-live="polite">
          <p>
            <b>
              <bdi>{answer.value.RuleName || 'None'}</bdi>
            </b>{' '}
            decides{answer.value.XRaySDKRuleName !== answer.value.RuleName && `; in an X-Ray SDK ${answer.value.XRaySDKRuleName || 'none'} does`}.
          </p>
          {unknown.length > 0 && (
            <p>
              It is meant for requests with{' '}
              {unknown.map((u, k) => (
                <span key={u.field}>
                  {k > 0 && (k < unknown.length - 1 ? ', ' : ' and ')}
                  {u.field}{' '}
                  <code>
                    <bdi>{u.pattern}</bdi>
                  </code>
                </span>
              ))}
              , which was not held against this one: {unknown.length === 1 ? 'that is' : 'these are'} not known of it.
            </p>
          )}
          <ul class="muted">
            {answer.value.Rules.filter((r) => !r.Matches)
              .slice(0, 20)
              .map((r) => (
                <li key={r.RuleName}>
                  <bdi>{r.RuleName}</bdi> does not match: {(r.Mismatches ?? []).map((m) => `${m.Field} is ${m.Value ? JSON.stringify(m.Value) : 'not known'}, not ${m.Pattern}`).join('; ')}
                </li>
              ))}
          </ul>
        </div>
      )}
    </section>
  )
}

function Editor({ rule, close, done }: { rule?: Rule; close: () => void; done: () => void }) {
  const r = useSignal<Rule>(rule ? { ...rule } : { ...FRESH })
  const attributes = useSignal(
    Object.entries(rule?.Attributes ?? {})
      .map(([k, v]) => `${k}=${v}`)
      .join('\n'),
  )
  const error = useSignal<Error | null>(null)
  const tried = useSignal<Simulation | null>(null)
  const isDefault = rule?.RuleName === 'Default'
  const read = (): Rule => ({
    ...r.peek(),
    Attributes: Object.fromEntries(
      attributes
        .peek()
        .split('\n')
        .filter((l) => l.includes('='))
        .map((l) => [l.slice(0, l.indexOf('=')).trim(), l.slice(l.indexOf('=') + 1).trim()]),
    ),
  })
  const body = (): Record<string, unknown> => {
    const { RuleARN: _, Version: __, ...rest } = read()
    if (isDefault) return { RuleName: rest.RuleName, FixedRate: rest.FixedRate, ReservoirSize: rest.ReservoirSize }
    return { ...rest }
  }
  const save = () =>
    (rule ? post('UpdateSamplingRule', { SamplingRuleUpdate: body() }) : post('CreateSamplingRule', { SamplingRule: { ...body(), Version: 1 } })).then(
      () => {
        say(rule ? 'Rule changed' : 'Rule made')
        done()
        close()
      },
      (e: Error) => (error.value = e),
    )
  const text = (name: 'ServiceName' | 'ServiceType' | 'Host' | 'HTTPMethod' | 'URLPath' | 'ResourceARN', label: string) => (
    <Field name={label}>
      <input class="input mono" disabled={isDefault} value={r.value[name]} onInput={(e) => (r.value = { ...r.value, [name]: e.currentTarget.value })} />
    </Field>
  )
  const number = (name: 'Priority' | 'ReservoirSize' | 'FixedRate', label: string, hint: string, step: string, disabled = false) => (
    <Field name={label} hint={hint}>
      <input class="input num" type="number" step={step} min="0" disabled={disabled} value={r.value[name]} onInput={(e) => (r.value = { ...r.value, [name]: Number(e.currentTarget.value) })} />
    </Field>
  )
  const name = r.value.RuleName || 'new-rule'
  const now = tried.value?.Now?.reduce((n, k) => n + k.Kept, 0) ?? 0
  const then = tried.value?.Rules.reduce((n, k) => n + k.Kept, 0) ?? 0
  return (
    <Dialog title={rule ? `Change ${rule.RuleName}` : 'New sampling rule'} close={close} width={620}>
      <form
        class="dialog-body column"
        style={{ gap: '10px', overflow: 'auto' }}
        onSubmit={(e) => {
          e.preventDefault()
          void save()
        }}
      >
        {error.value && <Problem error={error.value} />}
        <Field name="Name">
          <input class="input" value={r.value.RuleName} disabled={!!rule} maxLength={32} onInput={(e) => (r.value = { ...r.value, RuleName: e.currentTarget.value })} />
        </Field>
        <div class="field-row">
          {number('Priority', 'Priority', 'least is tried first', '1', isDefault)}
          {number('ReservoirSize', 'Traces a second', 'first', '1')}
          {number('FixedRate', 'Share of the rest', '0 to 1', 'any')}
        </div>
        <div class="pairs">
          {text('ServiceName', 'Service name')}
          {text('ServiceType', 'Service type')}
          {text('HTTPMethod', 'Method')}
          {text('Host', 'Host')}
          {text('URLPath', 'Path')}
          {text('ResourceARN', 'Resource ARN')}
        </div>
        <Field name="Attributes" hint="one a line: key=pattern">
          <textarea class="input mono" style={{ height: '56px', padding: '6px 10px' }} disabled={isDefault} value={attributes.value} onInput={(e) => (attributes.value = e.currentTarget.value)} />
        </Field>
        <div class="dialog-actions">
          {tried.value && (
            <p class="num" aria-live="polite">
              Of {exact(tried.value.Traces)} traces of the last day all rules together would have kept <b>{exact(then)}</b>
              {tried.value.Now && (
                <>
                  {' '}
                  instead of <b>{exact(now)}</b>
                </>
              )}
              .
            </p>
          )}
          <div class="row">
            <button
              type="button"
              class="button"
              onClick={() =>
                post<Simulation>('api/sampling/simulate', { Rules: [{ ...body(), RuleName: name }] }).then(
                  (s) => {
                    tried.value = s
                    error.value = null
                  },
                  (e: Error) => (error.value = e),
                )
              }
            >
              Try on the last day
            </button>
            <span class="grow" />
            <button type="button" class="button" onClick={close}>
              Cancel
            </button>
            <button class="button primary" disabled={!can('admin')} title={whyNot('admin')}>
              {rule ? 'Change' : 'Make rule'}
            </button>
          </div>
        </div>
      </form>
    </Dialog>
  )
}
