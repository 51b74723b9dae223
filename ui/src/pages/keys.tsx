// Access keys: who may talk to this server, and what for.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { get, send } from '../lib/api'
import { ago, bytes, exact, timeParts } from '../lib/format'
import { change, param } from '../lib/place'
import { can, session } from '../lib/session'
import { Confirm } from '../ui/confirm'
import { Either } from '../ui/either'
import { Field, Fields } from '../ui/field'
import { Check, Copy, Fault, Warning } from '../ui/icons'
import { copy, Dialog, Problem, say, utc } from '../ui/parts'
import { NotAllowed } from '../ui/signin'

interface Key {
  ID: string
  Name: string | null
  Roles: string[]
  State: 'valid' | 'expired' | 'revoked'
  Created: number | null
  Expires: number | null
  Revoked: number | null
  LastUsed: number | null
  Sessions: number
  DocumentsPerSecond: number
  BytesPerSecond: number
}

interface Keys {
  Authentication: boolean
  Changeable: boolean
  Why: string | null
  File: string | null
  Keys: Key[]
  UsedSince: number | null
  DocumentsPerSecond: number
  BytesPerSecond: number
}

interface Made {
  Key: Key
  SecretAccessKey: string
  Bearer: string
}

const ROLES: [role: string, text: string][] = [
  ['read', 'look at traces, statistics and settings'],
  ['write', 'send traces, ask for sampling rules'],
  ['admin', 'everything, these included'],
]

const day = (t: number) => <span class="date">{timeParts(t, utc.value).date}</span>

export function KeysPage() {
  const keys = useSignal<Keys | null>(null)
  const error = useSignal<Error | null>(null)
  const made = useSignal<Made | null>(null)
  const revoke = useSignal<Key | null>(null)
  const old = param('old').value === '1'
  const making = param('edit').value === '+'
  const allowed = can('admin')
  const load = () =>
    get<Keys>('api/keys', {}).then(
      (k) => {
        keys.value = k
        error.value = null
      },
      (e: Error) => (error.value = e),
    )
  useEffect(() => {
    document.title = 'Keys · Roentgen'
    if (allowed) void load()
  }, [allowed])
  const all = keys.value?.Keys ?? []
  const valid = all.filter((k) => k.State === 'valid')
  const shown = old ? all : valid
  const mine = session.value?.Key?.ID
  return (
    <div class="page" data-scroll>
      <div class="page-inner wide">
        <div class="row" style={{ flexWrap: 'wrap' }}>
          <div class="grow">
            <h1>Keys</h1>
            <p class="muted">Programs sign their requests with a key, or send it as a token; people sign in here with one.</p>
          </div>
          {keys.value?.Authentication && (
            <button class="button primary" disabled={!keys.value.Changeable} title={keys.value.Why ?? undefined} onClick={() => change({ edit: '+' })}>
              New key
            </button>
          )}
        </div>
        {!allowed && <NotAllowed what="Seeing and making keys takes" />}
        {error.value && <Problem error={error.value} retry={load} />}
        {keys.value && !keys.value.Authentication && <Off />}
        {keys.value?.Authentication && (
          <>
            {!keys.value.Changeable && (
              <div class="notice warn">
                <Warning />
                <div>
                  <b>This server may not change its keys.</b> <span class="muted">{keys.value.Why} On a machine that may: roentgen key create --keys FILE --role read</span>
                </div>
              </div>
            )}
            {valid.length < all.length && (
              <div class="row">
                <Either label="Which keys" first={`Valid: ${exact(valid.length)}`} second={`All: ${exact(all.length)}`} value={old} choose={(all) => change({ old: all || null })} />
              </div>
            )}
            {shown.length === 0 && (
              <div class="empty card">
                <h2>{all.length === 0 ? 'No keys' : 'No valid keys'}</h2>
                <p>{all.length === 0 ? 'The file has none.' : 'All that there were have expired or were revoked.'} Nobody can sign in or send traces until there is one.</p>
              </div>
            )}
            {shown.length > 0 && (
              <div class="card compare-table" role="region" aria-label="Access keys" tabIndex={0}>
                <table class="paragraphs keys-table">
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>Key id</th>
                      <th>State</th>
                      <th>Roles</th>
                      <th>Last used</th>
                      <th>Made</th>
                      <th>May send a second</th>
                      <th>
                        <span class="hidden-visually">What to do</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody class="num">
                    {shown.map((k) => (
                      <tr key={k.ID} class={k.State === 'valid' ? '' : 'past'}>
                        <td class="title">
                          <b>
                            <bdi>{k.Name ?? '–'}</bdi>
                          </b>
                          {k.ID === mine && <span class="badge">you</span>}
                        </td>
                        <td class="mono" data-label="Key id">
                          {k.ID}
                        </td>
                        <td data-label="State">
                          <State k={k} />
                        </td>
                        <td data-label="Roles">{k.Roles.join(', ')}</td>
                        <td data-label="Last used">
                          {k.LastUsed === null ? <span class="muted">{keys.value!.UsedSince && (k.Created === null || k.Created < keys.value!.UsedSince) ? `not since ${day(keys.value!.UsedSince)}` : 'never'}</span> : ago(Date.now() / 1000 - k.LastUsed)}
                          {k.Sessions > 0 && <span class="muted"> · {k.Sessions} signed in</span>}
                        </td>
                        <td data-label="Made">{k.Created === null ? '–' : day(k.Created)}</td>
                        <td data-label="May send a second">{limits(k, keys.value!)}</td>
                        <td class="right">
                          {k.State !== 'revoked' && (
                            <button class="button plain" disabled={!keys.value!.Changeable} onClick={() => (revoke.value = k)} aria-label={`Revoke ${k.Name ?? k.ID}`}>
                              Revoke
                            </button>
                          )}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
            <p class="muted">
              Kept in <code>{keys.value.File}</code>, which <code>roentgen key</code> changes, too.
            </p>
          </>
        )}
      </div>
      {allowed && making && keys.value?.Authentication && !made.value && (
        <NewKey
          close={() => change({ edit: null })}
          done={(m) => {
            made.value = m
            void load()
          }}
        />
      )}
      {made.value && (
        <Secret
          made={made.value}
          close={() => {
            made.value = null
            change({ edit: null })
          }}
        />
      )}
      {revoke.value && (
        <Confirm
          title={`Revoke ${revoke.value.Name ?? revoke.value.ID}?`}
          verb="Revoke"
          done="Key revoked"
          run={() => send('DELETE', `api/keys/${encodeURIComponent(revoke.peek()!.ID)}`, undefined).then(load)}
          close={() => (revoke.value = null)}
        >
          <p>
            {revoke.value.ID === mine
              ? 'This is the key that you are signed in with: you will be signed out.'
              : 'Whatever uses it is refused from then on, and everybody who is signed in with it is signed out.'}{' '}
            It cannot be taken back; a new key can be made.
          </p>
          {revoke.value.LastUsed !== null && <p class="muted">It was last used {ago(Date.now() / 1000 - revoke.value.LastUsed)}.</p>}
        </Confirm>
      )}
    </div>
  )
}

/** A key that ends within so many seconds is said to. */
const SOON = 7 * 86_400

const STATES = { valid: ['ok', Check], expired: ['error', Warning], revoked: ['fault', Fault] } as const

/** Does it work, and until when, or since when not. */
function State({ k }: { k: Key }) {
  const [colour, Sign] = STATES[k.State]
  const at = k.State === 'revoked' ? k.Revoked : k.Expires
  return (
    <>
      <span class={`badge ${colour}`}>
        <Sign /> {k.State}
      </span>
      {at !== null && (
        <span class={k.State === 'valid' && at - Date.now() / 1000 < SOON ? 'text-error' : ''}>
          {k.State === 'valid' && 'until '}
          {day(at)}
        </span>
      )}
    </>
  )
}

function limits(k: Key, all: Keys): string {
  if (!k.Roles.includes('write') && !k.Roles.includes('admin')) return '–'
  const documents = k.DocumentsPerSecond || all.DocumentsPerSecond
  const size = k.BytesPerSecond || all.BytesPerSecond
  const parts = [documents ? `${exact(documents)} documents` : '', size ? bytes(size) : ''].filter(Boolean)
  return parts.join(', ') || 'any number'
}

/** Keys are not asked for: what that means, and how to change it. */
function Off() {
  const command = 'roentgen key create --keys keys.json --role admin --name me\nroentgen serve --keys keys.json'
  return (
    <>
      <div class="notice warn">
        <Warning />
        <div>
          <b>This server asks nobody for a key.</b> <span class="muted">Whoever reaches it may read and change everything. That is meant for one machine; keys come first when others can reach it.</span>
        </div>
      </div>
      <p>Make a key, which shows its secret once, and start the server with the file:</p>
      <div class="way-code">
        <button class="button" onClick={() => copy(command)}>
          <Copy /> Copy
        </button>
        <pre class="code" tabIndex={0}>
          {command}
        </pre>
      </div>
      <p class="muted">From then on this page asks to sign in, and programs need a key to send traces. Keys are made and revoked here then.</p>
    </>
  )
}

function NewKey({ close, done }: { close: () => void; done: (made: Made) => void }) {
  const name = useSignal('')
  const roles = useSignal<string[]>(['read'])
  const ends = useSignal('')
  const documents = useSignal('')
  const size = useSignal('')
  const error = useSignal<Error | null>(null)
  const busy = useSignal(false)
  const sends = roles.value.includes('write') || roles.value.includes('admin')
  const submit = (event: Event) => {
    event.preventDefault()
    busy.value = true
    const number = (t: string, by = 1) => (sends && t.trim() ? Math.round(Number(t) * by) : 0)
    send<Made>('POST', 'api/keys', { Name: name.peek().trim(), Roles: roles.peek(), ExpiresIn: ends.peek(), DocumentsPerSecond: number(documents.peek()), BytesPerSecond: number(size.peek(), 1e6) }).then(done, (e: Error) => {
      error.value = e
      busy.value = false
    })
  }
  return (
    <Dialog title="New key" close={close} width={520}>
      <form class="dialog-body column" style={{ gap: '12px', overflow: 'auto' }} onSubmit={submit}>
        {error.value && <Problem error={error.value} />}
        <Field name="Name" hint="whose it is, for people">
          <input class="input" data-autofocus value={name.value} maxLength={128} onInput={(e) => (name.value = e.currentTarget.value)} />
        </Field>
        <Fields name="Roles" hint="what it may do">
          {ROLES.map(([role, text]) => (
            <label key={role} class="choice">
              <input type="checkbox" checked={roles.value.includes(role)} onChange={(e) => (roles.value = e.currentTarget.checked ? [...roles.value, role] : roles.value.filter((r) => r !== role))} />
              <b>{role}</b> <span class="muted">{text}</span>
            </label>
          ))}
        </Fields>
        <Field name="Ends">
          <select class="input" value={ends.value} onChange={(e) => (ends.value = e.currentTarget.value)}>
            <option value="">never</option>
            <option value="1d">after a day</option>
            <option value="7d">after a week</option>
            <option value="30d">after 30 days</option>
            <option value="90d">after 90 days</option>
            <option value="365d">after a year</option>
          </select>
        </Field>
        {sends && (
          <div class="field-row">
            <Field name="Documents a second">
              <input class="input" type="number" min="0" step="1" placeholder="as the server says" value={documents.value} onInput={(e) => (documents.value = e.currentTarget.value)} />
            </Field>
            <Field name="Megabytes a second">
              <input class="input" type="number" min="0" step="any" placeholder="as the server says" value={size.value} onInput={(e) => (size.value = e.currentTarget.value)} />
            </Field>
          </div>
        )}
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class="button primary" disabled={busy.value || roles.value.length === 0}>
            Make key
          </button>
        </div>
      </form>
    </Dialog>
  )
}

/** The secret of a new key, this once. */
function Secret({ made, close }: { made: Made; close: () => void }) {
  const copied = useSignal(false)
  const sure = useRef(false)
  const leave = () => {
    if (!copied.peek() && !sure.current) {
      sure.current = true
      say('The secret is not shown again: close once more to leave it')
      return
    }
    close()
  }
  const row = (label: string, text: string, what: string) => (
    <div class="secret-row">
      <span class="field-name">{label}</span>
      <code>{text}</code>
      <button
        class="button"
        aria-label={`Copy ${label.toLowerCase()}`}
        onClick={() => {
          copied.value = true
          void copy(text, what)
        }}
      >
        <Copy /> Copy
      </button>
    </div>
  )
  return (
    <Dialog title={`Key for ${made.Key.Name ?? made.Key.ID}`} close={leave} width={640}>
      <div class="dialog-body column" style={{ gap: '12px', overflow: 'auto' }}>
        <div class="notice warn">
          <Warning />
          <div>
            <b>The secret is shown this once.</b> <span class="muted">Copy it now to where it will be used.</span>
          </div>
        </div>
        {row('Access key id', made.Key.ID, 'Key id copied')}
        {row('Secret access key', made.SecretAccessKey, 'Secret copied')}
        {row('Bearer token', made.Bearer, 'Token copied')}
        {row('For a shell', `export AWS_ACCESS_KEY_ID=${made.Key.ID} AWS_SECRET_ACCESS_KEY=${made.SecretAccessKey}`, 'Commands copied')}
        <div class="row" style={{ justifyContent: 'flex-end' }}>
          <button class="button primary" onClick={leave}>
            <Check /> Done
          </button>
        </div>
      </div>
    </Dialog>
  )
}
