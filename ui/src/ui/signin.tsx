// Signing in: as a page, and in place when a session has ended.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { ago, span } from '../lib/format'
import { contextParams, href, place } from '../lib/place'
import { server } from '../lib/server'
import { asked, can, ended, findOut, session, signIn, signOut } from '../lib/session'
import { Field } from './field'
import { Logo, Person, Warning } from './icons'
import { Dialog, Popover, Problem, say } from './parts'

const LOCAL = /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

function Form({ again, done }: { again?: string; done?: () => void }) {
  const secret = useRef<HTMLInputElement>(null)
  const id = useRef<HTMLInputElement>(null)
  const error = useSignal<Error | null>(null)
  const busy = useSignal(false)
  const submit = (event: Event) => {
    event.preventDefault()
    // What stands in the fields may have been put there by the browser.
    const name = id.current!.value.trim()
    const password = secret.current!.value.trim()
    if (!name || !password) {
      error.value = new Error('Both are needed: the id of the key and its secret.')
      ;(name ? secret : id).current!.focus()
      return
    }
    busy.value = true
    signIn(name, password).then(
      () => {
        error.value = null
        busy.value = false
        done?.()
      },
      (e: Error) => {
        error.value = e
        busy.value = false
        secret.current?.select()
      },
    )
  }
  return (
    <form class="sign-in-form" onSubmit={submit} aria-busy={busy.value}>
      <Field name="Access key id">
        <input ref={id} class="input mono" name="username" autocomplete="username" autocapitalize="off" spellcheck={false} placeholder="RGEN…" defaultValue={again ?? ''} data-autofocus={again ? undefined : true} maxLength={128} />
      </Field>
      <Field name="Secret access key">
        <input ref={secret} class="input mono" type="password" name="password" autocomplete="current-password" data-autofocus={again ? true : undefined} maxLength={256} />
      </Field>
      {error.value && <Problem error={error.value} />}
      {location.protocol === 'http:' && !LOCAL.test(location.hostname) && (
        <div class="notice warn">
          <Warning />
          <div>This connection is not encrypted: the secret can be read on its way. Ask for TLS on this server.</div>
        </div>
      )}
      <button class="button primary" disabled={busy.value}>
        {busy.value ? 'Signing in…' : 'Sign in'}
      </button>
    </form>
  )
}

/** All there is to see for those who are not signed in. */
export function SignInPage() {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    document.title = 'Sign in · Roentgen'
    box.current?.querySelector<HTMLElement>('[data-autofocus]')?.focus()
  }, [])
  return (
    <main id="main" class="sign-in" tabIndex={-1} data-scroll>
      <div class="card sign-in-box" ref={box}>
        <div class="sign-in-brand">
          <Logo />
          <h1>Sign in to Roentgen</h1>
        </div>
        <p class="muted">With an access key of this server. It is asked for once; the browser then keeps a session, not the secret.</p>
        <Form />
        <details>
          <summary>I have no key</summary>
          <p class="muted">Whoever runs this server makes one. The role read is enough to look at traces; admin changes settings, too.</p>
          <pre class="code" tabIndex={0}>
            roentgen key create --keys FILE --role read --name you
          </pre>
        </details>
      </div>
    </main>
  )
}

/** What stands in for the page until it is known who asks. */
export function Door() {
  const error = useSignal<Error | null>(null)
  const look = () => {
    error.value = null
    findOut().catch((e: Error) => (error.value = e))
  }
  useEffect(look, [])
  if (error.value)
    return (
      <main id="main" class="sign-in" tabIndex={-1}>
        <div class="sign-in-box">
          <h1 class="hidden-visually">Roentgen</h1>
          <Problem error={error.value} retry={look} />
        </div>
      </main>
    )
  if (!session.value) return <div class="progress" role="status" aria-label="Loading" />
  return <SignInPage />
}

/** Over the page, when the session ended in the middle of work. */
export function SignInAgain() {
  const aside = useSignal(false)
  useEffect(() => {
    aside.value = false
  }, [ended.value, asked.value])
  if (!ended.value) return null
  const key = session.value?.Key
  return (
    <>
      {aside.value && (
        <div class="session-bar" role="status">
          <Warning />
          <span class="grow">Your session has ended. What you see is from before.</span>
          <button class="button" onClick={() => (aside.value = false)}>
            Sign in again
          </button>
        </div>
      )}
      {!aside.value && (
        <Dialog title="Your session has ended" close={() => (aside.value = true)} width={420}>
          <div class="dialog-body">
            <p class="muted">It was idle or open for too long, the server was restarted, or the key was revoked. Sign in again and go on where you were: nothing is lost.</p>
            <Form again={key?.ID} done={() => say('Signed in again')} />
          </div>
        </Dialog>
      )}
    </>
  )
}

/** Who is signed in, and the way out. */
export function Account() {
  const s = session.value
  if (!server.keys || !s?.Key) return null
  const name = s.Key.Name ?? s.Key.ID
  const now = Date.now() / 1000
  return (
    <Popover label={`Signed in as ${name}`} class="button plain icon" body={(close) => (
      <div class="account">
        <div>
          <span class="muted">Signed in as</span>
          <b>
            <bdi>{name}</bdi>
          </b>
          {s.Key!.Name && <code class="muted">{s.Key!.ID}</code>}
        </div>
        <div>
          <span class="muted">May</span>
          <span>{can('admin') ? 'look at traces, send them, and change everything' : s.Roles.map((r) => (r === 'read' ? 'look at traces' : 'send traces')).join(' and ')}</span>
        </div>
        {s.Began !== null ? (
          <div>
            <span class="muted">Session</span>
            <span>
              began {ago(now - s.Began)}, ends in {span(Math.max(0, (s.Expires ?? now) - now))}
              {s.Idle !== null && `, or after ${span(s.Idle)} without use`}
            </span>
          </div>
        ) : (
          <p class="muted">By a token that a proxy adds to requests.</p>
        )}
        {can('admin') && (
          <a class="menu-item" href={href('keys', contextParams(place.value.params))} onClick={close}>
            Access keys
          </a>
        )}
        {s.Began !== null && (
          <button class="button" onClick={() => signOut().then(close, (e: Error) => say(e.message))}>
            Sign out
          </button>
        )}
      </div>
    )}>
      <Person />
    </Popover>
  )
}

/** In place of a page, or of a part of one, that the key at hand is not good for. */
export function NotAllowed({ what, role = 'admin' }: { what: string; role?: 'admin' | 'read' }) {
  const k = session.value?.Key
  return (
    <div class="notice" role="note">
      <Warning />
      <div>
        <b>{what} a key with the role {role}.</b>{' '}
        <span class="muted">
          You are signed in as <bdi>{k?.Name ?? k?.ID}</bdi>, which may {session.value?.Roles.includes('read') ? 'only look at traces' : 'only send traces'}. Whoever runs the server can make another key.
        </span>
      </div>
    </div>
  )
}
