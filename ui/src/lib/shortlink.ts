// Short links: a state of the page under an id that the server makes of it.

/** What the server is asked and answers: the address below the page's folder. */
export interface State {
  Path: string
  Query: string
}

/** May a place have a link? A link to a link, and to the place that only leads on, are none. */
export function linkable(path: string, pages: readonly string[]): boolean {
  const first = path.split('/')[0]!
  return first !== '' && first !== 'l' && pages.includes(first)
}

/** The state of a place. It is the same, whichever parameter was set first. */
export function stateOf(path: string, params: URLSearchParams): State {
  const sorted = new URLSearchParams(params)
  sorted.sort()
  return { Path: path, Query: sorted.toString() }
}
