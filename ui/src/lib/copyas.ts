// A trace, and an entry of it, as texts for elsewhere: commands, Markdown, conditions that a
// test can hold it to. Names are a sender's, so each text is quoted for where it goes.

import { annotation, quote, service } from './expression'
import { duration, exact, many, timeParts } from './format'
import { FAILED, FLAG, mainRoot, type Columns, type Entity } from './trace'

/** One word of a command, whatever is in it, for a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`
}

export const traceCommand = (id: string, server: string) => `roentgen trace ${shellWord(id)} --endpoint ${shellWord(server)}`
export const awsCommand = (id: string, server: string) => `aws xray batch-get-traces --trace-ids ${shellWord(id)} --endpoint-url ${shellWord(server)}`

/** The exit status is 0 when the trace is as the expression says, and 3 when it is not. */
export const assertion = (expression: string, id: string, server: string) => `roentgen explain ${shellWord(expression)} ${shellWord(id)} --endpoint ${shellWord(server)}`

/** Lists the traces like this one, from its own beginning on. */
export function searchCommand(expression: string, began: number, server: string): string {
  const since = new Date(Math.floor(began) * 1000).toISOString().replace('.000', '')
  return `roentgen traces ${shellWord(expression)} --since ${since} --endpoint ${shellWord(server)}`
}

/** What tells a trace or an entry from others: an element with what holds for it, and what holds for the trace. */
export interface Traits {
  /** "service(…)", "edge(…)", or "" for the trace itself. */
  element: string
  inside: string[]
  outside: string[]
}

const LONGEST = 200
const MOST_ANNOTATIONS = 8

/** Invisible characters, and those that turn the direction of a line, have no place in a command. */
const visible = (expression: string) => expression.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

export function expression(t: Traits): string {
  const inside = t.inside.join(' AND ')
  const element = t.element && inside ? `${t.element} { ${inside} }` : t.element
  return visible([element, ...(t.element ? [] : t.inside), ...t.outside].filter(Boolean).join(' AND '))
}

function outcome(flags: number): string {
  return flags & FLAG.fault ? 'fault' : flags & FLAG.throttle ? 'throttle' : flags & FLAG.error ? 'error' : flags & FLAG.inProgress ? '' : 'ok'
}

function annotationsOf(e: Entity): string[] {
  return Object.entries(e.annotations && typeof e.annotations === 'object' ? e.annotations : {})
    .filter(([key, v]) => key.length <= LONGEST && (typeof v === 'boolean' || (typeof v === 'number' && Number.isFinite(v)) || (typeof v === 'string' && v.length <= LONGEST)))
    .slice(0, MOST_ANNOTATIONS)
    .map(([key, v]) => annotation(key, v))
}

const entityID = (s: { name: string; type: string }) => (s.type && s.type !== 'remote' ? `id(name: ${quote(s.name)}, type: ${quote(s.type)})` : quote(s.name))

/** Conditions on an entry: its service or call, how it ended, its annotations. */
export function traitsOfEntry(c: Columns, i: number, e: Entity): Traits {
  const own = c.services[c.service[i]!]!
  const flags = c.flags[i]!
  const status = (e.http?.response as Record<string, unknown> | undefined)?.status
  const inside = [outcome(flags), typeof status === 'number' && Number.isFinite(status) ? `http.status = ${status}` : ''].filter(Boolean)
  const marks = annotationsOf(e)
  if (flags & (FLAG.segment | FLAG.inferred)) return { element: service(own.name, own.type && own.type !== 'remote' ? own.type : undefined), inside: [...inside, ...marks], outside: [] }
  for (let k = i + 1; k < c.last[i]!; k++) {
    if (c.parent[k] !== i || !(c.flags[k]! & (FLAG.segment | FLAG.inferred))) continue
    return { element: `edge(${entityID(own)}, ${entityID(c.services[c.service[k]!]!)})`, inside: [...inside, ...marks], outside: [] }
  }
  // A piece of its segment's own work: what can be asked of that is that it failed there, and its annotations.
  const failed = flags & FLAG.fault ? 'fault' : flags & FLAG.error ? 'error' : ''
  return {
    element: service(own.name, own.type && own.type !== 'remote' ? own.type : undefined),
    inside: [],
    outside: [...(failed && typeof e.name === 'string' && e.name.length <= LONGEST ? [`rootcause.${failed}.entity { name = ${quote(e.name)} }`] : []), ...marks],
  }
}

/** Conditions on a trace: where it came in, and how it ended. */
export function traitsOfTrace(c: Columns): Traits {
  const root = mainRoot(c)
  if (root < 0) return { element: '', inside: [], outside: c.services.slice(0, 3).map((s) => service(s.name)) }
  const list = [`name = ${quote(c.texts[c.name[root]!]!)}`, outcome(c.flags[root]!)]
  if (c.entry?.method && c.entry.method.length <= LONGEST) list.push(`http.method = ${quote(c.entry.method)}`)
  if (c.entry?.status != null) list.push(`http.status = ${c.entry.status}`)
  return { element: '', inside: [], outside: list.filter(Boolean) }
}

/**
 * Keeps what the server says is true of the trace, so that what is copied holds as it stands: orphans and
 * entries that another version replaced are shown, but not searched. Null when nothing is left.
 */
export async function settle(t: Traits, holds: (expression: string) => Promise<boolean>): Promise<string | null> {
  if (expression(t) && (await holds(expression(t)))) return expression(t)
  const kept: Traits = { element: '', inside: [], outside: [] }
  const tried = async (next: Traits) => (await holds(expression(next))) && Object.assign(kept, next)
  if (t.element) await tried({ ...kept, element: t.element })
  if (kept.element || !t.element) for (const x of t.inside) await tried({ ...kept, inside: [...kept.inside, x] })
  for (const x of t.outside) await tried({ ...kept, outside: [...kept.outside, x] })
  return expression(kept) || null
}

/** A text as code in a line of Markdown: nothing in it has a meaning there, in a table either. */
export function code(text: string): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+/g, ' ').replace(/`/g, '\u02cb').replace(/\|/g, '\\|').trim()
  const short = plain.length > 160 ? `${plain.slice(0, 159)}…` : plain
  return short ? `\`${short.replace(/\\+$/, '')}\`` : ''
}

/** A block of code whose fence is longer than any in it. */
function block(text: string, language = ''): string {
  const fence = '`'.repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((m) => m.length + 1)))
  return `${fence}${language}\n${text.replace(/[\u0000-\u0008\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, '')}\n${fence}`
}

const link = (href: string) => `<${href.replace(/[<>\s]/g, encodeURIComponent)}>`
const ending = (c: Columns, i: number) => (Number.isNaN(c.end[i]!) ? c.span : c.end[i]!)

function state(flags: number): string {
  const words = [flags & FLAG.fault && 'fault', flags & FLAG.error && 'error', flags & FLAG.throttle && 'throttled', flags & FLAG.inProgress && 'in progress', flags & FLAG.orphan && 'orphan'].filter(Boolean)
  return words.length > 0 ? words.join(', ') : 'ok'
}

/** So many entries are listed; of a longer trace those that matter most. */
export const MOST_LISTED = 40

/** Entries in the order of the waterfall: all of a short trace, else what failed, segments and what took longest. */
export function listed(c: Columns): number[] {
  const all: number[] = []
  for (let i = 0; i < c.n; i++) if (!(c.flags[i]! & FLAG.inferred) || c.parent[i]! < 0) all.push(i)
  if (all.length <= MOST_LISTED) return all
  const rank = (i: number) => (c.parent[i]! < 0 ? 4 : 0) + (c.flags[i]! & FAILED ? 2 : 0) + (c.flags[i]! & FLAG.segment ? 1 : 0)
  return all
    .sort((a, b) => rank(b) - rank(a) || ending(c, b) - c.start[b]! - (ending(c, a) - c.start[a]!) || a - b)
    .slice(0, MOST_LISTED)
    .sort((a, b) => a - b)
}

/** A trace for an issue: what it was, and its entries as a table. */
export function traceMarkdown(c: Columns, href: string): string {
  const root = mainRoot(c)
  const began = timeParts(c.t0, true)
  const about = [c.entry?.method, c.entry?.url].filter(Boolean).join(' ')
  const failures = [c.counts.faults && many(c.counts.faults, 'fault'), c.counts.errors && many(c.counts.errors, 'error'), c.counts.throttles && many(c.counts.throttles, 'throttle')].filter(Boolean).join(', ')
  const head = [
    `**Trace** ${code(c.id)} · [open](${link(href)})`,
    '',
    `- ${[root >= 0 && code(c.texts[c.name[root]!]!), about && code(about), c.entry?.status].filter(Boolean).join(' ')}`,
    `- ${began.date} ${began.time} UTC, took **${duration(c.duration ?? c.span)}**${failures ? `, **${failures}**` : ''}`,
    '',
    '| Entry | Service | Start | Duration | Status |',
    '|:--|:--|--:|--:|:--|',
  ]
  const list = listed(c)
  for (const i of list) {
    const depth = Math.min(8, c.depth[i]!)
    const what = c.texts[c.detail[i]!]!
    head.push(`| ${'&nbsp;&nbsp;'.repeat(depth)}${code(c.texts[c.name[i]!]!) || '–'}${what ? ` ${code(what)}` : ''} | ${code(c.services[c.service[i]!]!.name)} | ${duration(c.start[i]!)} | ${duration(ending(c, i) - c.start[i]!)} | ${c.flags[i]! & FAILED ? `**${state(c.flags[i]!)}**` : state(c.flags[i]!)} |`)
  }
  const more = c.n - c.counts.inferred - list.length
  if (more > 0) head.push('', `${exact(more)} more entries.`)
  return `${head.join('\n')}\n`
}

/** An entry for an issue: its figures, what it was about, what went wrong. */
export function entryMarkdown(c: Columns, i: number, e: Entity, href: string): string {
  const out = [
    `**${code(c.texts[c.name[i]!]!) || 'Entry'}** of trace ${code(c.traces[c.trace[i]!] ?? c.id)} · [open](${link(href)})`,
    '',
    '| | |',
    '|:--|:--|',
  ]
  const row = (name: string, value: string) => value && out.push(`| ${name} | ${value} |`)
  row('Service', code(c.services[c.service[i]!]!.name))
  row('What', code(c.texts[c.detail[i]!]!))
  row('Duration', `${duration(ending(c, i) - c.start[i]!)} from ${duration(c.start[i]!)} on, ${duration(c.self[i]!)} of its own`)
  row('Status', state(c.flags[i]!))
  for (const [key, v] of Object.entries(e.annotations && typeof e.annotations === 'object' ? e.annotations : {}).slice(0, 50)) row(code(key), code(typeof v === 'string' ? v : JSON.stringify(v)))
  const sql = e.sql?.sanitized_query
  if (typeof sql === 'string' && sql) out.push('', block(sql.slice(0, 4000), 'sql'))
  const cause = e.cause as { exceptions?: unknown } | string | null | undefined
  const exceptions = cause && typeof cause === 'object' && Array.isArray(cause.exceptions) ? cause.exceptions : []
  for (const x of exceptions.slice(0, 10) as Record<string, unknown>[]) {
    if (!x || typeof x !== 'object') continue
    const stack = (Array.isArray(x.stack) ? x.stack : []) as Record<string, unknown>[]
    out.push('', block([`${x.type ?? 'Exception'}: ${x.message ?? ''}`, ...stack.slice(0, 15).map((f) => `    at ${f?.label ?? '?'} (${f?.path ?? '?'}:${f?.line ?? '?'})`), ...(stack.length > 15 ? [`    … ${stack.length - 15} more`] : [])].join('\n').slice(0, 8000)))
  }
  return `${out.join('\n')}\n`
}
