// Who is signed in, and what that allows. A server without keys asks nobody.
//
// When the session ends in the middle of work, whatever the page asks for waits until
// somebody has signed in again, and is then asked once more: nothing that was typed or
// chosen is lost.

import { computed, signal } from '@preact/signals'
import { AnswerError, locked } from './ask'
import { setBasket } from './basket'
import { url } from './place'
import { server } from './server'

export type Role = 'read' | 'write' | 'admin'

export interface Session {
  Authentication: boolean
  Began: number | null
  Expires: number | null
  /** Seconds without a request after which it ends. */
  Idle: number | null
  Key: { ID: string; Name: string | null } | null
  Roles: Role[]
  Server: { Region: string; UDP: string; Version: string } | null
}

const NOBODY: Session = { Authentication: true, Began: null, Expires: null, Idle: null, Key: null, Roles: [], Server: null }
const EVERYBODY: Session = { ...NOBODY, Authentication: false, Roles: ['read', 'write', 'admin'] }

/** null: it is not known yet. */
export const session = signal<Session | null>(server.keys ? null : EVERYBODY)

/** The session ended while the page was in use; it stays as it is until somebody signs in. */
export const ended = signal(false)

/** Counts what had to wait for somebody to sign in again. */
export const asked = signal(0)

/** May the page be looked at? */
export const admitted = computed(() => !server.keys || session.value?.Key != null)

export function can(role: Role): boolean {
  return session.value?.Roles.includes(role) ?? false
}

/** Why something is not offered, "" when it is. */
export function whyNot(role: Role): string {
  if (can(role)) return ''
  return `This needs a key with the role ${role}; ${keyName()} does not have it.`
}

export function keyName(): string {
  const k = session.value?.Key
  return k ? (k.Name ?? k.ID) : 'yours'
}

/** The page's folder, as the browser sees it: the cookie is for that alone. */
const folder = () => new URL(url('')).pathname

function take(s: Session) {
  if (s.Server) Object.assign(server, { version: s.Server.Version, udp: s.Server.UDP, region: s.Server.Region })
  session.value = s
}

async function ask(method: string, path: string, body?: unknown): Promise<Session> {
  let response: Response
  try {
    response = await fetch(url(path), { method, body: body === undefined ? undefined : JSON.stringify(body), headers: { Accept: 'application/json', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) } })
  } catch {
    throw new AnswerError('the server cannot be reached', 0)
  }
  const text = await response.text()
  let answer: Session & { Message?: string; message?: string }
  try {
    answer = JSON.parse(text) as typeof answer
  } catch {
    throw new AnswerError(response.ok ? 'the answer was cut off, or is not from Roentgen' : `${response.status} ${response.statusText}`, response.status)
  }
  if (!response.ok) throw new AnswerError(answer.Message ?? answer.message ?? `${response.status} ${response.statusText}`, response.status)
  return answer
}

/** Finds out who is signed in. */
export async function findOut(): Promise<Session> {
  const s = await ask('GET', 'api/session')
  if (s.Key || !ended.peek()) take(s)
  return s
}

export async function signIn(id: string, secret: string): Promise<void> {
  take(await ask('POST', 'api/session', { AccessKeyId: id, SecretAccessKey: secret, Path: folder() }))
  goOn()
}

function goOn() {
  ended.value = false
  const list = waiting
  waiting = []
  for (const go of list) go()
}

export async function signOut(): Promise<void> {
  await ask('DELETE', `api/session?path=${encodeURIComponent(folder())}`)
  ended.value = false
  setBasket([]) // whoever sits here next has nothing of it
  session.value = NOBODY
}

let waiting: (() => void)[] = []

/** Waits until somebody has signed in again. */
function signedInAgain(signal?: AbortSignal | null): Promise<void> {
  asked.value++
  if (session.peek()?.Key) ended.value = true
  else session.value = NOBODY
  return new Promise((done, fail) => {
    waiting.push(done)
    signal?.addEventListener('abort', () => fail(new DOMException('no longer wanted', 'AbortError')), { once: true })
  })
}

if (server.keys) locked.wait = signedInAgain

// Somebody may have signed in again in another tab.
addEventListener('focus', () => {
  if (ended.peek()) findOut().then((s) => s.Key && goOn(), () => {})
})

/**
 * Follows a stream of events, through failures: the browser tries again by itself when a
 * connection breaks, but not when the server refuses it.
 */
export function follow(path: string, on: { open: () => void; lost: () => void; message: (data: string) => void }): { close: () => void } {
  let source: EventSource | null = null
  let timer = 0
  let closed = false
  const open = () => {
    if (closed) return
    const s = new EventSource(url(path))
    source = s
    s.onopen = on.open
    s.onmessage = (event: MessageEvent<string>) => on.message(event.data)
    s.onerror = () => {
      on.lost()
      if (s.readyState !== EventSource.CLOSED || closed) return
      const again = () => void (timer = window.setTimeout(open, 3000))
      if (!server.keys) again()
      else ask('GET', 'api/session').then((who) => (who.Key ? again() : signedInAgain().then(open)), again)
    }
  }
  open()
  return {
    close: () => {
      closed = true
      clearTimeout(timer)
      source?.close()
    },
  }
}
