// Where the page is: a path and parameters, which say all there is to say about what
// is shown. The server answers every path of the page with the same document and tells
// by its <base> how far up the page's own folder is, so that a path prefix needs no setting.

import { computed, signal, type ReadonlySignal } from '@preact/signals'

const base = new URL('.', document.baseURI)
const baseElement = document.querySelector('base')
if (baseElement) baseElement.href = base.href // what was relative stays right when the path changes

/** The full address of something of the server's. */
export function url(path: string): string {
  return new URL(path, base).href
}

export interface Place {
  /** Below the page's folder, without slashes at its ends: "", "map", "trace/1-…". */
  path: string
  params: URLSearchParams
}

function read(from: URL | Location = location): Place {
  const path = from.pathname.startsWith(base.pathname) ? from.pathname.slice(base.pathname.length) : ''
  return { path: decode(path).replace(/^\/+|\/+$/g, ''), params: new URLSearchParams(from.search) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const place = signal<Place>(read())

addEventListener('popstate', () => {
  pending = null
  place.value = read()
  restore((history.state as { scroll?: number } | null)?.scroll ?? 0)
})

/** Scrolls to where a page was left, as soon as it is as long as it was, unless somebody scrolls first. */
function restore(to: number) {
  if (!(to > 0)) return
  const end = performance.now() + 3000
  let over = false
  const stop = () => (over = true)
  for (const kind of ['wheel', 'pointerdown', 'keydown', 'popstate']) addEventListener(kind, stop, { once: true, capture: true })
  const step = () => {
    const e = document.querySelector('[data-scroll]')
    if (over || performance.now() > end || (e && Math.abs(e.scrollTop - to) < 2)) return
    if (e && e.scrollHeight - e.clientHeight >= to) e.scrollTop = to
    requestAnimationFrame(step)
  }
  requestAnimationFrame(step)
}

export type Params = Record<string, string | number | boolean | null | undefined>

/** The address of a place, for links. Parameters that are empty are left out. */
export function href(path: string, params: Params | URLSearchParams = {}): string {
  const query = params instanceof URLSearchParams ? params : new URLSearchParams()
  if (!(params instanceof URLSearchParams)) {
    for (const [key, value] of Object.entries(params)) {
      if (value !== null && value !== undefined && value !== '' && value !== false) query.set(key, value === true ? '1' : String(value))
    }
  }
  const text = query.toString().replace(/%3A/g, ':').replace(/%2C/g, ',').replace(/%2F/g, '/')
  return new URL(path + (text ? `?${text}` : ''), base).href
}

/**
 * Goes to an address. `replace` leaves no step to go back to: for what changes by the
 * moment. Browsers take only so many of those a second, so the address bar follows a
 * little later; the page itself does not wait for it.
 */
export function go(to: string, options: { replace?: boolean } = {}) {
  const target = new URL(to, base)
  if (target.href === (pending ?? location.href)) return
  if (options.replace) {
    pending = target.href
    pendingTimer ||= window.setTimeout(settle, 120)
  } else {
    settle()
    history.replaceState({ ...(history.state as object | null), scroll: scrollState() }, '')
    history.pushState({}, '', target)
  }
  place.value = read(target)
}

let pending: string | null = null
let pendingTimer = 0

function settle() {
  clearTimeout(pendingTimer)
  pendingTimer = 0
  if (pending !== null) history.replaceState(history.state, '', pending)
  pending = null
}

addEventListener('pagehide', settle)

function scrollState(): number {
  return document.querySelector('[data-scroll]')?.scrollTop ?? 0
}

/** Changes parameters of the place that we are at. */
export function change(changes: Params, options: { replace?: boolean } = {}) {
  const params = new URLSearchParams(place.peek().params)
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '' || value === false) params.delete(key)
    else params.set(key, value === true ? '1' : String(value))
  }
  go(href(place.peek().path, params), options)
}

const computedParams = new Map<string, ReadonlySignal<string>>()

/** One parameter, as a signal that changes when it does; "" when it is not there. */
export function param(name: string): ReadonlySignal<string> {
  let s = computedParams.get(name)
  if (!s) {
    s = computed(() => place.value.params.get(name) ?? '')
    computedParams.set(name, s)
  }
  return s
}

/** The parameters that say which window and group is looked at; links between pages carry them along. */
export function contextParams(params: URLSearchParams): Params {
  const out: Params = {}
  for (const key of ['range', 'from', 'to', 'group']) {
    const value = params.get(key)
    if (value) out[key] = value
  }
  return out
}

// Links of the page change the place without loading it anew.
addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = (event.target as Element | null)?.closest?.('a')
  if (!link || link.target || link.hasAttribute('download') || link.dataset.external !== undefined) return
  const target = new URL(link.href)
  if (target.origin !== base.origin || !target.pathname.startsWith(base.pathname)) return
  const first = target.pathname.slice(base.pathname.length).split('/')[0]!
  if (!PAGES.includes(first)) return
  event.preventDefault()
  go(target.href)
})

/** First parts of the paths that are the page's; the server keeps the same list. */
export const PAGES = ['', 'map', 'traces', 'trace', 'compare', 'analytics', 'groups', 'dead-letters', 'start', 'sampling', 'settings', 'views', 'keys', 'l']
