// Keys. Every shortcut is said once, with what it does, so that the overlay behind `?`
// cannot forget one. A page adds its own while it is shown.

import { signal } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'

export interface Shortcut {
  /** As KeyboardEvent.key has it; two with a space between are pressed one after the other. */
  keys: string[]
  what: string
  run: (event: KeyboardEvent) => void
  /** Works while somebody types, too. */
  always?: boolean
}

export interface Section {
  title: string
  shortcuts: Shortcut[]
}

export const sections = signal<Section[]>([])

export function addSection(section: Section): () => void {
  sections.value = [...sections.value, section]
  return () => {
    sections.value = sections.value.filter((s) => s !== section)
  }
}

/**
 * Adds a section for as long as a component is shown. `make` is called anew when `inputs` change, before
 * the next key can come: an effect after painting would leave that one to the functions of before.
 */
export function useShortcuts(make: () => Section, inputs: unknown[]) {
  const own = useRef<Section | null>(null)
  useLayoutEffect(() => {
    const now = make()
    const list = sections.peek()
    // It keeps its place: which of two wins, and where the overlay shows it, must not depend on what changed last.
    sections.value = own.current && list.includes(own.current) ? list.map((s) => (s === own.current ? now : s)) : [...list, now]
    own.current = now
  }, inputs)
  useLayoutEffect(
    () => () => {
      sections.value = sections.peek().filter((s) => s !== own.current)
    },
    [],
  )
}

function typing(target: EventTarget | null): boolean {
  const e = target as HTMLElement | null
  return !!e && (e.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName ?? '')) && !/^(checkbox|radio|button|range)$/.test((e as HTMLInputElement).type ?? '')
}

/** Enter and Space press what somebody has gone to by keyboard, whatever else they do on a page. */
function presses(event: KeyboardEvent): boolean {
  const e = event.target as HTMLElement | null
  return (event.key === 'Enter' || event.key === ' ') && !!e?.closest?.('button, a, summary') && (e.matches(':focus-visible') || e.closest('.popover') !== null)
}

let prefix = ''
let prefixTimer = 0

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.isComposing || presses(event)) return
  const combined = `${event.ctrlKey || event.metaKey ? 'Mod+' : ''}${event.altKey ? 'Alt+' : ''}${event.key}`
  const busy = typing(event.target)
  const open = document.querySelector('[role="dialog"]') !== null
  const candidates = [prefix ? `${prefix} ${combined}` : '', combined].filter(Boolean)
  for (const candidate of candidates) {
    for (let i = sections.value.length - 1; i >= 0; i--) {
      for (const s of sections.value[i]!.shortcuts) {
        if (!s.keys.includes(candidate) || ((busy || open) && !s.always)) continue
        prefix = ''
        event.preventDefault()
        s.run(event)
        return
      }
    }
  }
  prefix = ''
  if (busy || open || combined.length !== 1) return
  if (sections.value.some((s) => s.shortcuts.some((k) => k.keys.some((key) => key.startsWith(`${combined} `))))) {
    prefix = combined
    clearTimeout(prefixTimer)
    prefixTimer = window.setTimeout(() => (prefix = ''), 1200)
  }
})

const NAMES: Record<string, string> = { ArrowDown: '↓', ArrowUp: '↑', ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', Enter: '↵', ' ': 'Space' }

/** The keys of a shortcut as the overlay shows them. */
export function keyNames(keys: string): string[] {
  const mac = /Mac|iPhone|iPad/.test(navigator.platform)
  return keys === ' ' ? ['Space'] : keys.split(' ').flatMap((k) => (k.startsWith('Mod+') ? [mac ? '⌘' : 'Ctrl', k.slice(4).toUpperCase()] : [NAMES[k] ?? k]))
}
