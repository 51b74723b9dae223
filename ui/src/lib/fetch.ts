// Questions to the server from where there need be no page: workers.

import { AnswerError, askServer } from './ask'
import { track } from './waiting'

/** Asks, and makes errors of answers that are some. 304 is none. */
export async function ask(url: string, headers: Record<string, string>): Promise<Response> {
  let response: Response
  try {
    response = await askServer(() => track(fetch(url, { headers })))
  } catch {
    throw new AnswerError('the server cannot be reached', 0)
  }
  if (response.ok || response.status === 304) return response
  const body = await response.text()
  let message = body
  try {
    message = (JSON.parse(body) as { Message?: string }).Message ?? body
  } catch {
    // the text is all there is
  }
  throw new AnswerError(message || response.statusText, response.status)
}

/** Asks for JSON. */
export async function fetchJSON<T>(url: string): Promise<T> {
  return (await (await ask(url, { Accept: 'application/json' })).json()) as T
}
