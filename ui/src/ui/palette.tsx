// The command palette and the overlay of shortcuts.

import { signal, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { get, type Completion } from '../lib/api'
import { atHand, basket, inBasket, setBasket } from '../lib/basket'
import { quote } from '../lib/expression'
import { many } from '../lib/format'
import { findTraceID } from '../lib/ids'
import { contextParams, go, href, place } from '../lib/place'
import { server } from '../lib/server'
import { can, session, signOut } from '../lib/session'
import { isView, loadViews, openView, pageName, savedViews, saving } from '../lib/views'
import { readWindow } from '../lib/window'
import { compareBasket, toggleBasket } from './basket'
import { keyNames, sections } from './keys'
import { Search } from './icons'
import { Dialog, say } from './parts'
import { setTheme } from './theme'
import { copyShortLink, hasShortLink } from './views'

export const paletteOpen = signal(false)
export const helpOpen = signal(false)

interface Command {
  group: string
  text: string
  hint?: string
  run: () => void
}

const context = () => contextParams(place.peek().params)

/** Path, name, keys, and the role that it takes if reading is not enough. */
export const pages: [path: string, text: string, keys: string, role?: 'admin'][] = [
  ['map', 'Map', 'g m'],
  ['traces', 'Traces', 'g t'],
  ['analytics', 'Analytics', 'g a'],
  ['views', 'Views', 'g v'],
  ['groups', 'Groups', 'g g'],
  ['sampling', 'Sampling', 'g r'],
  ['dead-letters', 'Dead letters', 'g d', 'admin'],
  ['keys', 'Keys', 'g k', 'admin'],
  ['settings', 'Server', 'g e'],
  ['start', 'Send traces', 'g s'],
]

/** The pages that whoever is signed in has a use for. */
export const usefulPages = () => pages.filter(([, , , role]) => !role || can(role))

function commands(): Command[] {
  const trace = atHand.value
  const kept = basket.value.length
  return [
    ...(trace ? [{ group: 'Basket', text: inBasket(trace.id) ? 'Take this trace out of the basket' : 'Put this trace into the basket', hint: 'x', run: () => toggleBasket(trace) }] : []),
    ...(kept > 1 ? [{ group: 'Basket', text: `Compare the ${kept} traces in the basket`, hint: 'g c', run: compareBasket }] : []),
    ...(kept > 0 ? [{ group: 'Basket', text: 'Empty the basket', run: () => setBasket([]) }] : []),
    ...savedViews.value.map((v): Command => ({ group: 'Saved views', text: v.Name, hint: pageName(v.Page), run: () => openView(v) })),
    ...(isView(place.value.path) ? [{ group: 'Saved views', text: 'Save this view', hint: 'g V', run: () => (saving.value = true) }] : []),
    ...(hasShortLink() ? [{ group: 'Saved views', text: 'Copy short link', hint: 'g L', run: copyShortLink }] : []),
    ...usefulPages().map(([path, text, hint]): Command => ({ group: 'Go to', text, hint, run: () => go(href(path, context())) })),
    { group: 'Go to', text: 'Traces with faults', run: () => go(href('traces', { ...context(), q: 'fault' })) },
    { group: 'Go to', text: 'Slow traces (over a second)', run: () => go(href('traces', { ...context(), q: 'responsetime > 1' })) },
    { group: 'Go to', text: 'Traces as they arrive', run: () => go(href('traces', { live: true })) },
    ...(server.keys && session.value?.Began != null ? [{ group: 'Session', text: 'Sign out', run: () => void signOut().catch((e: Error) => say(e.message)) }] : []),
    { group: 'Appearance', text: 'Dark theme', run: () => setTheme('dark') },
    { group: 'Appearance', text: 'Light theme', run: () => setTheme('light') },
    { group: 'Appearance', text: 'Theme of the system', run: () => setTheme('') },
    { group: 'Help', text: 'Keyboard shortcuts', hint: '?', run: () => (helpOpen.value = true) },
  ]
}

export function Palette() {
  if (!paletteOpen.value) return null
  return <OpenPalette close={() => (paletteOpen.value = false)} />
}

function OpenPalette({ close }: { close: () => void }) {
  const text = useSignal('')
  const at = useSignal(0)
  const services = useSignal<Completion | null>(null)
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => void loadViews().catch(() => {}), []) // without them the rest still works
  useEffect(() => {
    const abort = new AbortController()
    const w = readWindow(place.peek().params, Date.now() / 1000)
    const timer = setTimeout(
      () =>
        get<Completion>('api/complete', { kind: 'service_name', prefix: text.value, start: w.from, end: w.to + 1, limit: 8 }, abort.signal).then(
          (c) => (services.value = c),
          () => (services.value = null),
        ),
      text.value ? 120 : 0,
    )
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [text.value])
  const needle = text.value.trim().toLowerCase()
  const id = findTraceID(text.value)
  const found: Command[] = []
  if (id) found.push({ group: 'Trace', text: `Open trace ${id}`, run: () => go(href(`trace/${id}`)) })
  else if (/[=<>(]|^(fault|error|throttle|ok)$/i.test(text.value.trim())) found.push({ group: 'Search', text: `Find traces: ${text.value.trim()}`, run: () => go(href('traces', { ...context(), q: text.value.trim() })) })
  found.push(...commands().filter((c) => needle === '' || needle.split(/\s+/).every((w) => c.text.toLowerCase().includes(w))))
  // Of many traces only the newest are counted here.
  const least = services.value?.Partial ? 'at least ' : ''
  for (const s of services.value?.Items ?? []) found.push({ group: 'Services', text: s.Text, hint: s.Count === null ? '' : least + many(s.Count, 'trace'), run: () => go(href('traces', { ...context(), q: `service(${quote(s.Text)})` })) })
  const active = Math.min(at.value, found.length - 1)
  const run = (c: Command | undefined) => {
    if (!c) return
    close()
    c.run()
  }
  useEffect(() => {
    list.current?.querySelector('[data-active="true"]')?.scrollIntoView({ block: 'nearest' })
  }, [active])
  const rows: ComponentChildren[] = []
  let group = ''
  found.forEach((c, i) => {
    if (c.group !== group) {
      group = c.group
      rows.push(
        <h3 key={`g${group}`} role="presentation">
          {group}
        </h3>,
      )
    }
    rows.push(
      <div key={i} id={`command-${i}`} class="menu-item" role="option" aria-selected={i === active} data-active={i === active} onClick={() => run(c)} onPointerMove={() => (at.value = i)}>
        <bdi class="ellipsis">{c.text}</bdi>
        {c.hint && <span class="hint num">{c.hint}</span>}
      </div>,
    )
  })
  return (
    <Dialog title="Command palette" close={close} bare>
      <input
        class="palette-input"
        data-autofocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={active >= 0 ? `command-${active}` : undefined}
        aria-label="Trace id, service or command"
        placeholder="Trace id, log line, service or command"
        value={text.value}
        spellcheck={false}
        onInput={(e) => {
          text.value = e.currentTarget.value
          at.value = 0
        }}
        onKeyDown={(e) => {
          if (e.key === 'ArrowDown') at.value = Math.min(found.length - 1, active + 1)
          else if (e.key === 'ArrowUp') at.value = Math.max(0, active - 1)
          else if (e.key === 'Enter') run(found[active])
          else return
          e.preventDefault()
        }}
      />
      <div class="palette-list" id="palette-list" role="listbox" aria-label="Commands" ref={list}>
        {rows}
        {found.length === 0 && <div class="empty">Nothing goes by that name.</div>}
      </div>
    </Dialog>
  )
}

export function HelpOverlay() {
  if (!helpOpen.value) return null
  return (
    <Dialog title="Keyboard shortcuts" close={() => (helpOpen.value = false)} width={780}>
      <div class="keys">
        {sections.value.map((s) => (
          <section key={s.title}>
            <h3>{s.title}</h3>
            <ul>
              {s.shortcuts.map((k) => (
                <li key={k.what}>
                  <span>{k.what}</span>
                  <span>
                    {k.keys.slice(0, k.keys.length > 2 ? 1 : 2).map((key, i) => (
                      <span key={key}>
                        {i > 0 && <span class="faint"> or </span>}
                        {keyNames(key).map((n) => (
                          <kbd key={n}>{n}</kbd>
                        ))}
                      </span>
                    ))}
                    {k.keys.length > 2 && (
                      <span class="faint">
                        … <kbd>{keyNames(k.keys[k.keys.length - 1]!)[0]}</kbd>
                      </span>
                    )}
                  </span>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
    </Dialog>
  )
}

export function JumpButton() {
  return (
    <button class="jump" data-keys={keyNames('Mod+k').join(' ')} onClick={() => (paletteOpen.value = true)} aria-label="Jump to trace, service…">
      <Search />
      <span class="grow" style={{ textAlign: 'left' }}>
        Jump to trace, service…
      </span>
    </button>
  )
}
