// Pages whose script comes when they are first wanted.

import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import { signal } from '@preact/signals'
import { AnswerError } from '../lib/ask'
import { Problem } from './parts'

const all: (() => Promise<void>)[] = []

/** Fetches what has not come yet, once there is nothing else to do: then every page is there without a server. */
export async function fetchPages(): Promise<void> {
  for (const fetch of all) await fetch()
}

/** A component that is loaded when it is first shown. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  const loaded = signal<{ component: ComponentType<P> } | null>(null)
  const error = signal<Error | null>(null)
  let under: Promise<void> | null = null
  const fetch = () =>
    (under ??= load().then(
      (component) => {
        loaded.value = { component }
        error.value = null
      },
      () => {
        under = null
        // A browser does not ask twice for a module that it could not get.
        error.value = new AnswerError('the script of this page could not be loaded', 0)
      },
    ))
  all.push(fetch)
  return function Lazy(props: P) {
    useEffect(() => void fetch(), [])
    if (loaded.value) {
      const { component: Component } = loaded.value
      return <Component {...props} />
    }
    if (error.value)
      return (
        <div style={{ padding: '20px' }}>
          <Problem error={error.value} retry={() => location.reload()} />
        </div>
      )
    return <div class="progress" />
  }
}

/** A module that is loaded when it is first wanted. */
export function later<M>(load: () => Promise<M>): () => Promise<M> {
  let under: Promise<M> | null = null
  const fetch = () =>
    (under ??= load().catch(() => {
      under = null
      throw new AnswerError('a script of this page could not be loaded; load the page anew', 0)
    }))
  all.push(() => fetch().then(() => {}, () => {}))
  return fetch
}
