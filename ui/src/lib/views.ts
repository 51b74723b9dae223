// Saved views: places of the page under names, kept by the server for everybody.

import { signal } from '@preact/signals'
import { get, send } from './api'
import { go, href, place } from './place'

export interface View {
  ID: string
  Name: string
  Page: string
  Query: string
  Owner: { ID: string; Name: string | null } | null
  MayChange: boolean
  Created: number | null
  Changed: number | null
}

export const savedViews = signal<View[]>([])

/** The dialog that saves the place that we are at is open. */
export const saving = signal(false)

export async function loadViews(): Promise<View[]> {
  savedViews.value = (await get<{ Views: View[] }>('api/views', {})).Views
  return savedViews.value
}

const NAMES: Record<string, string> = { map: 'Map', traces: 'Traces', trace: 'Trace', compare: 'Compare', analytics: 'Analytics' }

/** Is a place worth a name? */
export function isView(path: string): boolean {
  return path.split('/')[0]! in NAMES
}

export function pageName(path: string): string {
  return NAMES[path.split('/')[0]!] ?? path
}

/** Parameters that say where one was rather than what was looked at. */
const PASSING = ['row', 'edit']

export function currentQuery(): string {
  const params = new URLSearchParams(place.peek().params)
  for (const name of PASSING) params.delete(name)
  return params.toString()
}

export function viewHref(v: { Page: string; Query: string }): string {
  return href(v.Page, new URLSearchParams(v.Query))
}

/** A link that leads to what the view is then, should it be changed. */
export function viewLink(v: View): string {
  return href(`views/${v.ID}`)
}

export function openView(v: View, options: { replace?: boolean } = {}) {
  go(viewHref(v), options)
}

/** The view that is shown at the moment, if it was saved. */
export function currentView(): View | undefined {
  const here = currentQuery()
  return savedViews.value.find((v) => v.Page === place.value.path && new URLSearchParams(v.Query).toString() === here)
}

export async function saveView(name: string): Promise<View> {
  const v = await send<View>('POST', 'api/views', { Name: name, Page: place.peek().path, Query: currentQuery() })
  await loadViews()
  return v
}

export async function changeView(id: string, to: Partial<Pick<View, 'Name' | 'Page' | 'Query'>>): Promise<void> {
  await send('PUT', `api/views/${id}`, to)
  await loadViews()
}

export async function deleteView(id: string): Promise<void> {
  await send('DELETE', `api/views/${id}`, undefined)
  await loadViews()
}

const LABELS: Record<string, string> = { q: '', range: 'last ', group: 'group ', a: 'A: ', b: 'B: ', live: 'live', view: 'as ' }

/** What a view shows, in a line: the filter, the window, the group. */
export function viewText(v: { Page: string; Query: string }): string {
  const params = new URLSearchParams(v.Query)
  const parts: string[] = []
  if (v.Page.includes('/')) parts.push(v.Page.split('/')[1]!)
  for (const [name, label] of Object.entries(LABELS)) {
    const value = params.get(name)
    if (value) parts.push(name === 'live' ? label : label + value)
  }
  if (params.get('from')) parts.push('fixed window')
  return parts.join(' · ') || 'everything'
}
