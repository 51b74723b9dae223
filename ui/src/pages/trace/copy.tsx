// Items of menus that copy a trace or an entry as something. What writes the texts comes when
// it is first wanted.

import { post, type ExplainAnswer } from '../../lib/api'
import { url } from '../../lib/place'
import type { Columns } from '../../lib/trace'
import { Copy } from '../../ui/icons'
import { later } from '../../ui/lazy'
import { copy, Popover, say } from '../../ui/parts'
import type { TraceState } from './state'

const texts = later(() => import('../../lib/copyas'))
type Texts = Awaited<ReturnType<typeof texts>>

/** The server's address, for commands. */
export const endpoint = () => url('').replace(/\/$/, '')

/** An expression of what the server says is true of the trace. */
export async function settled(m: Texts, traits: Parameters<Texts['settle']>[0], trace: string): Promise<string> {
  const text = await m.settle(traits, (expression) => post<ExplainAnswer>('api/explain', { Expression: expression, TraceId: trace }).then((a) => a.Valid && a.Matches === true))
  if (!text) throw new Error('No filter expression finds this: searches do not know it')
  return text
}

export function copyItems(close: () => void) {
  const button = (label: string, run: () => void, hint?: string) => (
    <button
      class="menu-item"
      role="menuitem"
      onClick={() => {
        run()
        close()
      }}
    >
      <Copy /> {label} {hint && <span class="hint">{hint}</span>}
    </button>
  )
  const done = (label: string) => label.replace(/^Copy (as )?(.)/, (_, _as, first: string) => first.toUpperCase()) + ' copied'
  return {
    item: (label: string, text: string, hint?: string) => button(label, () => void copy(text, done(label)), hint),
    made: (label: string, make: (m: Texts) => string | Promise<string>) =>
      button(label, () => void texts().then(make).then((text) => copy(text, done(label)), (e: Error) => say(e.message))),
  }
}

/** What can be copied of an entry. */
export function EntryMenu({ trace, c, i }: { trace: TraceState; c: Columns; i: number }) {
  return <Popover label="Copy the entry as…" class="button plain icon" role="menu" body={(close) => <Items trace={trace} c={c} i={i} close={close} />}><Copy /></Popover>
}

function Items({ trace, c, i, close }: { trace: TraceState; c: Columns; i: number; close: () => void }) {
  const { item, made } = copyItems(close)
  const id = c.traces[c.trace[i]!] ?? trace.id
  const entity = async () => {
    const e = await trace.entity(i)
    if (!e) throw new Error('The entry is gone')
    return e
  }
  return (
    <>
      {item('Copy entry id', c.ids[i]!, 'y')}
      {item('Copy link', location.href)}
      {made('Copy command', (m) => m.traceCommand(id, endpoint()))}
      {made('Copy AWS command', (m) => m.awsCommand(id, endpoint()))}
      {made('Copy as Markdown', async (m) => m.entryMarkdown(c, i, await entity(), location.href))}
      {made('Copy filter expression', async (m) => settled(m, m.traitsOfEntry(c, i, await entity()), id))}
      {made('Copy search command', async (m) => m.searchCommand(await settled(m, m.traitsOfEntry(c, i, await entity()), id), c.t0, endpoint()))}
      {made('Copy test assertion', async (m) => m.assertion(await settled(m, m.traitsOfEntry(c, i, await entity()), id), id, endpoint()))}
    </>
  )
}
