// The filter bar: an expression with colours, completion and the place of a mistake, all
// from the server, which alone knows the language.

import { useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { get, post, type Completion, type ExplainAnswer } from '../lib/api'
import { tokens } from '../lib/expression'
import { findTraceID } from '../lib/ids'
import { go, href, place } from '../lib/place'
import { exact } from '../lib/format'
import { readWindow } from '../lib/window'
import { Close, Search } from './icons'
import { localStorageGet, localStorageSet } from './parts'

const HISTORY = 'roentgen.history'

export function history(): string[] {
  try {
    const list = JSON.parse(localStorageGet(HISTORY) ?? '[]') as unknown
    return Array.isArray(list) ? list.filter((x): x is string => typeof x === 'string').slice(0, 30) : []
  } catch {
    return []
  }
}

function remember(text: string) {
  if (text) localStorageSet(HISTORY, JSON.stringify([text, ...history().filter((t) => t !== text)].slice(0, 30)))
}

const utf8 = new TextEncoder()

/** Places in texts: the server counts bytes, the browser UTF-16 units. */
export function byteOffset(text: string, units: number): number {
  return utf8.encode(text.slice(0, units)).length
}
export function unitOffset(text: string, bytes: number): number {
  let b = 0
  for (let i = 0; i < text.length; ) {
    if (b >= bytes) return i
    const code = text.codePointAt(i)!
    b += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    i += code > 0xffff ? 2 : 1
  }
  return text.length
}

export function FilterBar({ value, onChange, id = 'filter' }: { value: string; onChange: (text: string) => void; id?: string }) {
  const text = useSignal(value)
  // What may come next, and where the cursor was when it was asked for.
  const items = useSignal<(Completion & { at?: number }) | null>(null)
  const active = useSignal(-1)
  const open = useSignal(false)
  const problem = useSignal<ExplainAnswer['Error'] | null>(null)
  const meaning = useSignal('')
  const input = useRef<HTMLInputElement>(null)
  const colours = useRef<HTMLDivElement>(null)
  const abort = useRef<AbortController | null>(null)
  const timer = useRef(0)

  useLayoutEffect(() => {
    text.value = value
    problem.value = null
    void check(value)
  }, [value])
  useEffect(
    () => () => {
      clearTimeout(timer.current)
      abort.current?.abort()
    },
    [],
  )

  async function check(expression: string) {
    if (!expression.trim() || findTraceID(expression.replace(/"(?:[^"\\]|\\.)*"/g, ''))) {
      problem.value = null
      meaning.value = ''
      return true
    }
    try {
      const answer = await post<ExplainAnswer>('api/explain', { Expression: expression })
      if (input.current && input.current.value !== expression) return answer.Valid
      problem.value = answer.Valid ? null : (answer.Error ?? null)
      meaning.value = answer.Valid ? (answer.Explanation?.Meaning ?? '') : ''
      return answer.Valid
    } catch {
      return true // the search itself will say what is wrong
    }
  }

  function complete() {
    clearTimeout(timer.current)
    abort.current?.abort()
    const e = input.current
    if (!e) return
    if (!e.value.trim()) {
      // Nothing written yet: what was searched before comes first.
      const old = history().slice(0, 6)
      items.value = { Kind: 'history', Start: 0, End: byteOffset(e.value, e.value.length), Items: [...old.map((t) => ({ Text: t, Detail: 'searched before', Count: null })), ...EXAMPLES.map(([t, d]) => ({ Text: t, Detail: d, Count: null }))], Traces: 0, Partial: false }
      active.value = -1
      return
    }
    if (items.peek()?.Kind === 'history') items.value = null // those were for an empty bar
    timer.current = window.setTimeout(async () => {
      const a = new AbortController()
      abort.current = a
      const w = readWindow(place.peek().params, Date.now() / 1000)
      const at = e.selectionStart ?? e.value.length
      try {
        const c = await get<Completion>('api/complete', { text: e.value, cursor: byteOffset(e.value, at), start: w.from, end: w.to + 1, limit: 40 }, a.signal)
        items.value = { ...c, at }
        active.value = -1
      } catch {
        items.value = null
      }
    }, 60)
  }

  function insert(k: number) {
    const c = items.peek()
    const item = c?.Items[k]
    const e = input.current
    if (!c || !item || !e) return
    const from = unitOffset(e.value, c.Start)
    // Who types faster than the server answers has gone on: that is replaced, too.
    const end = unitOffset(e.value, c.End)
    const to = c.at !== undefined && end === c.at ? Math.max(end, e.selectionStart ?? end) : end
    const whole = c.Kind === 'history'
    const space = whole || /[(."[]$/.test(item.Text) ? '' : ' '
    const after = e.value.slice(to)
    const next = e.value.slice(0, from) + item.Text + (after.startsWith(space) || !space ? '' : space) + after
    text.value = next
    e.value = next
    const at = from + item.Text.length + (space ? 1 : 0)
    e.setSelectionRange(at, at)
    active.value = -1
    if (whole) run()
    else {
      complete()
      later()
    }
  }

  const later = () => {
    clearTimeout(checkTimer.current)
    checkTimer.current = window.setTimeout(() => void check(text.peek()), 350)
  }
  const checkTimer = useRef(0)

  function run() {
    open.value = false
    const t = text.peek().trim()
    // An id in quotes is a value of an expression; any other is what somebody looks for.
    const trace = findTraceID(t.replace(/"(?:[^"\\]|\\.)*"/g, ''))
    if (trace) {
      go(href(`trace/${trace}`))
      return
    }
    void check(t).then((valid) => {
      if (!valid) return
      remember(t)
      onChange(t)
    })
  }

  const bad = problem.value
  const badAt = bad ? unitOffset(text.value, bad.Offset) : -1
  let at = 0
  const parts = tokens(text.value).map((t, k) => {
    const from = at
    at += t.text.length
    const wrong = bad && badAt >= from && badAt < at
    return (
      <span key={k} class={`tok-${t.kind} ${wrong ? 'wrong' : ''}`}>
        {t.text}
      </span>
    )
  })
  const list = open.value && items.value && items.value.Items.length > 0 ? items.value : null
  return (
    <div class={`filter ${bad ? 'bad' : ''}`}>
      <div class="filter-box">
        <Search />
        <div class="filter-text">
          <div class="filter-colours" ref={colours} aria-hidden="true">
            {parts}
            {bad && badAt >= text.value.length && <span class="wrong">&nbsp;</span>}
          </div>
          <input
            type="text"
            id={id}
            ref={input}
            value={text.value}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            placeholder={'Filter, like  service("checkout") AND responsetime > 0.5  — or paste a trace id'}
            aria-label="Filter expression or trace id"
            role="combobox"
            aria-expanded={list !== null}
            aria-controls={`${id}-list`}
            aria-autocomplete="list"
            aria-activedescendant={list && active.value >= 0 ? `${id}-${active.value}` : undefined}
            aria-invalid={bad ? true : undefined}
            aria-describedby={bad ? `${id}-problem` : undefined}
            onFocus={() => {
              open.value = true
              complete()
            }}
            onBlur={() => setTimeout(() => (open.value = false), 120)}
            onScroll={(e) => {
              if (colours.current) colours.current.scrollLeft = e.currentTarget.scrollLeft
            }}
            onInput={(e) => {
              const clean = e.currentTarget.value.replace(/[\r\n]+/g, ' ')
              if (clean !== e.currentTarget.value) e.currentTarget.value = clean
              text.value = clean
              problem.value = null
              open.value = true
              complete()
              later()
            }}
            onClick={() => {
              open.value = true
              complete()
            }}
            onKeyDown={(e) => {
              const n = list?.Items.length ?? 0
              if (e.key === 'ArrowDown' && n > 0) active.value = (active.value + 1) % n
              else if (e.key === 'ArrowUp' && n > 0) active.value = (active.value + n - 1 + (active.value < 0 ? 1 : 0)) % n
              else if (e.key === 'Tab' && list && !e.shiftKey && n > 0 && text.value.trim()) insert(Math.max(0, active.value))
              else if (e.key === 'Enter') {
                if (list && active.value >= 0) insert(active.value)
                else run()
              } else if (e.key === 'Escape') {
                if (list) open.value = false
                else e.currentTarget.blur()
              } else if (e.key === ' ' && e.ctrlKey) {
                open.value = true
                complete()
              } else {
                if (e.key === 'ArrowLeft' || e.key === 'ArrowRight') setTimeout(complete)
                return
              }
              e.preventDefault()
              e.stopPropagation()
            }}
          />
        </div>
        {text.value && (
          <button
            class="button plain icon"
            aria-label="Clear the filter"
            onClick={() => {
              text.value = ''
              problem.value = null
              onChange('')
              input.current?.focus()
            }}
          >
            <Close />
          </button>
        )}
      </div>
      {list && (
        <div class="completion" id={`${id}-list`} role="listbox" aria-label="What may come next">
          {list.Items.map((item, k) => (
            <div
              key={k}
              id={`${id}-${k}`}
              class="menu-item"
              role="option"
              aria-selected={k === active.value}
              data-active={k === active.value}
              onPointerDown={(e) => {
                e.preventDefault()
                insert(k)
              }}
            >
              <code class="ellipsis">
                <bdi>{item.Text}</bdi>
              </code>
              <span class="hint num">{item.Count !== null ? exact(item.Count) : item.Detail}</span>
            </div>
          ))}
          {list.Partial && <div class="completion-note faint">counted in the newest {exact(list.Traces)} traces</div>}
        </div>
      )}
      {bad && !list && (
        <div class="filter-problem" id={`${id}-problem`} role="alert">
          <b>{bad.Found ? `“${bad.Found}” does not fit at position ${bad.Position}.` : bad.Message}</b>{' '}
          {bad.Suggestion && (
            <button
              class="link"
              onClick={() => {
                const from = unitOffset(text.peek(), bad.Offset)
                text.value = text.peek().slice(0, from) + bad.Suggestion + text.peek().slice(from + bad.Found.length)
                run()
              }}
            >
              Did you mean {bad.Suggestion}?
            </button>
          )}{' '}
          {bad.Expected?.length > 0 && <span class="muted">Expected: {bad.Expected.slice(0, 6).join(', ')}</span>}
        </div>
      )}
      <div class="hidden-visually" aria-live="polite">
        {meaning.value}
      </div>
    </div>
  )
}

const EXAMPLES: [string, string][] = [
  ['fault', 'the request failed'],
  ['responsetime > 1', 'slower than a second'],
  ['service() { fault }', 'any service failed'],
  ['http.status = 429', 'refused for being too many'],
  ['partial', 'a part is missing'],
]
