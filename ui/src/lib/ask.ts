// Questions to a worker, and its answers.

import { track } from './waiting'

/** What a proxy or the browser says in its own way. */
function readable(message: string, status: number): string {
  if (/^\s*</.test(message)) return `${status || 'something'} that is not from Roentgen: is there a proxy in between?`
  if (/^(Failed to fetch|NetworkError|Load failed)/.test(message)) return 'the server cannot be reached'
  return message
}

export class AnswerError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(readable(message, status))
  }
}

/**
 * What to do when the server wants to know who asks: `wait` returns when somebody has
 * signed in. Without it the refusal is an answer like others.
 */
export const locked: { wait?: (signal?: AbortSignal | null) => Promise<void> } = {}

const ANONYMOUS = /^(MissingAuthenticationToken|UnrecognizedClient|ExpiredToken)Exception$/

/** Was a request refused because nobody, or nobody any more, is signed in? */
export function isLocked(response: Response): boolean {
  return response.status === 401 || (response.status === 403 && ANONYMOUS.test(response.headers.get('x-amzn-errortype') ?? ''))
}

/** Asks the server; when it wants to know who asks, once more after somebody signed in. */
export async function askServer(ask: () => Promise<Response>, signal?: AbortSignal | null): Promise<Response> {
  const response = await ask()
  if (!locked.wait || !isLocked(response)) return response
  await locked.wait(signal)
  return ask()
}

export class Asker<Q> {
  private next = 1
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()

  /** `local` answers without asking the server. */
  constructor(
    private readonly worker: Worker,
    private readonly local = false,
  ) {
    worker.onmessage = (event: MessageEvent<{ id: number; value?: unknown; error?: { message: string; status: number } }>) => {
      const { id, value, error } = event.data
      const w = this.waiting.get(id)
      this.waiting.delete(id)
      if (error) w?.reject(new AnswerError(error.message, error.status))
      else w?.resolve(value)
    }
    worker.onerror = (event) => {
      for (const w of this.waiting.values()) w.reject(new AnswerError(event.message || 'a part of the page could not be loaded', 0))
      this.waiting.clear()
    }
  }

  async ask<A>(question: Q): Promise<A> {
    try {
      return await this.send<A>(question)
    } catch (error) {
      if (!locked.wait || !(error instanceof AnswerError) || error.status !== 401) throw error
      await locked.wait()
      return this.send<A>(question)
    }
  }

  private send<A>(question: Q): Promise<A> {
    const id = this.next++
    const answer = new Promise<A>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.worker.postMessage({ id, question })
    })
    return this.local ? answer : track(answer)
  }

  close() {
    this.worker.terminate()
    this.waiting.clear()
  }
}
