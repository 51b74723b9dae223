// Which sampling rule decides on requests like the one that a trace began with.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { post } from '../lib/api'
import { percent } from '../lib/format'
import { href } from '../lib/place'
import { Popover, Problem } from './parts'

interface Decision {
  RuleName: string
  XRaySDKRuleName: string
  Rules: { RuleName: string; Matches: boolean; FixedRate: number; ReservoirSize: number; Mismatches: { Field: string; Pattern: string; Value: string | null }[] | null }[]
}

export interface Request {
  service: string
  type: string
  method: string
  url: string
}

/** What the rules are asked about. A url may be a path alone, or nonsense. */
export function question(r: Request): Record<string, string> {
  const out: Record<string, string> = {}
  const set = (key: string, value: string) => {
    if (value) out[key] = value
  }
  set('ServiceName', r.service)
  set('ServiceType', r.type)
  set('HTTPMethod', r.method)
  if (r.url.startsWith('/')) set('URLPath', r.url.replace(/[?#].*$/, ''))
  else if (/^https?:\/\//.test(r.url) && URL.canParse(r.url)) {
    const u = new URL(r.url)
    set('Host', u.host)
    set('URLPath', u.pathname)
  }
  return out
}

export function SampledButton(props: Request) {
  return (
    <Popover label="Why was this recorded?" title="Which sampling rule decides on requests like this" class="button sampled" body={() => <Sampled {...props} />}>
      Sampling
    </Popover>
  )
}

function Sampled(props: Request) {
  const answer = useSignal<Decision | null>(null)
  const error = useSignal<Error | null>(null)
  const asked = question(props)
  useEffect(() => {
    const abort = new AbortController()
    post<Decision>('api/sampling/explain', asked, abort.signal).then(
      (a) => (answer.value = a),
      (e: Error) => e.name !== 'AbortError' && (error.value = e),
    )
    return () => abort.abort()
  }, [])
  const a = answer.value
  const rule = a?.Rules.find((r) => r.RuleName === a.RuleName)
  return (
    <div class="sampled-body" tabIndex={-1} data-autofocus>
      {error.value && <Problem error={error.value} />}
      {!a && !error.value && <p class="muted">Asking the rules…</p>}
      {a && (
        <>
          <p>
            {rule ? (
              <>
                <b>
                  <bdi>{rule.RuleName}</bdi>
                </b>{' '}
                decides on requests like this: the first {rule.ReservoirSize} each second, then {percent(rule.FixedRate)} of the others.
              </>
            ) : (
              'No rule matches requests like this.'
            )}
            {a.XRaySDKRuleName !== a.RuleName && ` In an X-Ray SDK ${a.XRaySDKRuleName || 'none'} does.`}
          </p>
          <ul class="muted">
            {a.Rules.filter((r) => !r.Matches)
              .slice(0, 6)
              .map((r) => (
                <li key={r.RuleName}>
                  <bdi>{r.RuleName}</bdi> does not: {(r.Mismatches ?? []).map((m) => `${m.Field} is ${m.Value ? JSON.stringify(m.Value) : 'not known'}, not ${m.Pattern}`).join('; ')}
                </li>
              ))}
          </ul>
          <p class="muted">As the rules are now, asked about {Object.values(asked).join(' · ') || 'nothing that is known'}. Whoever began the trace decided; its segment names the rule when the SDK says so.</p>
          <a href={href('sampling')}>To the rules</a>
        </>
      )}
    </div>
  )
}
