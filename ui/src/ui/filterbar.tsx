// The filter bar: an expression with colours, completion and the place of a mistake, all
// from the server, which alone knows the language.

import { useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { get, post, type Completion, type ExplainAnswer } from '../lib/api'
import { tokens } from '../lib/expression'
import { findTraceID } from '../lib/ids'
import { go, href, place } from '../lib/place'
import { exact } from '../lib/format'
import { readWindow } from '../lib/window'
import { useBeside } from './anchor'
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

/** Milliseconds without a key after which an expression is judged: half of one is no mistake yet. */
const PAUSE = 600

type Mistake = NonNullable<ExplainAnswer['Error']>

/** What is wrong, and where. */
function MistakeWords({ mistake }: { mistake: Mistake }) {
  return (
    <>
      <b>{mistake.Found ? `“${mistake.Found}” does not fit at position ${mistake.Position}.` : mistake.Message}</b>
      {mistake.Expected?.length > 0 && <span class="muted"> Expected: {mistake.Expected.slice(0, 6).join(', ')}</span>}
    </>
  )
}

/** The expression with the suggestion in place of the mistake. */
function corrected(expression: string, mistake: Mistake): string {
  const from = unitOffset(expression, mistake.Offset)
  return expression.slice(0, from) + mistake.Suggestion + expression.slice(from + mistake.Found.length)
}

/** In place of what an expression that cannot be read would have found: what is wrong with it, and what can be done. */
export function Misread({ expression, message, onChange, id = 'filter' }: { expression: string; message: string; onChange: (text: string) => void; id?: string }) {
  const [mistake, setMistake] = useState<Mistake | null>(null)
  useEffect(() => {
    const abort = new AbortController()
    setMistake(null)
    post<ExplainAnswer>('api/explain', { Expression: expression }, abort.signal).then(
      (a) => setMistake(a.Error ?? null),
      () => {}, // the message says it in short
    )
    return () => abort.abort()
  }, [expression])
  const at = mistake ? unitOffset(expression, mistake.Offset) : 0
  const end = at + (mistake?.Found.length ?? 0)
  return (
    <div class="empty misread">
      <h2>The filter cannot be read</h2>
      <p>{mistake ? <MistakeWords mistake={mistake} /> : message}</p>
      {mistake && (
        <code class="misread-place">
          {expression.slice(0, at)}
          <span class="wrong">{expression.slice(at, end) || '\u00a0'}</span>
          {expression.slice(end)}
        </code>
      )}
      <div class="row">
        {mistake?.Suggestion && (
          <button class="button primary" onClick={() => onChange(corrected(expression, mistake))}>
            Write {mistake.Suggestion} there
          </button>
        )}
        {mistake && (
          <button
            class="button"
            onClick={() => {
              const bar = document.getElementById(id) as HTMLInputElement | null
              bar?.focus()
              bar?.setSelectionRange(at, end)
            }}
          >
            Go to the place
          </button>
        )}
        <button class="button" onClick={() => onChange('')}>
          Without the filter
        </button>
      </div>
    </div>
  )
}

export function FilterBar({ value, onChange, id = 'filter' }: { value: string; onChange: (text: string) => void; id?: string }) {
  const text = useSignal(value)
  // What may come next, and where the cursor was when it was asked for.
  const items = useSignal<(Completion & { at?: number }) | null>(null)
  const active = useSignal(-1)
  const open = useSignal(false)
  const problem = useSignal<Mistake | null>(null)
  const meaning = useSignal('')
  const input = useRef<HTMLInputElement>(null)
  const colours = useRef<HTMLDivElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const box = useRef<HTMLDivElement>(null)
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
      clearTimeout(checkTimer.current)
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

  const checkTimer = useRef(0)
  const later = (pause = PAUSE) => {
    clearTimeout(checkTimer.current)
    checkTimer.current = window.setTimeout(() => {
      checkTimer.current = 0
      void check(text.peek())
    }, pause)
  }

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
  useLayoutEffect(() => {
    if (list) box.current?.showPopover?.()
  }, [list !== null])
  useBeside(list !== null, frame, box, 340)
  const show = () => {
    open.value = true
    complete()
  }
  return (
    <div class={`filter ${bad ? 'bad' : ''}`}>
      <div class="filter-box" ref={frame}>
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
            // Focus alone opens nothing: it may have come from a dialog, or a key.
            onBlur={() => {
              setTimeout(() => (open.value = false), 120)
              if (checkTimer.current) later(0)
            }}
            onScroll={(e) => {
              if (colours.current) colours.current.scrollLeft = e.currentTarget.scrollLeft
            }}
            onInput={(e) => {
              const clean = e.currentTarget.value.replace(/[\r\n]+/g, ' ')
              if (clean !== e.currentTarget.value) e.currentTarget.value = clean
              text.value = clean
              problem.value = null
              show()
              later()
            }}
            onClick={show}
            onKeyDown={(e) => {
              const n = list?.Items.length ?? 0
              if (e.key === 'ArrowDown' && n === 0) show()
              else if (e.key === 'ArrowDown') active.value = (active.value + 1) % n
              else if (e.key === 'ArrowUp' && n > 0) active.value = (active.value + n - 1 + (active.value < 0 ? 1 : 0)) % n
              else if (e.key === 'Tab' && list && !e.shiftKey && n > 0 && text.value.trim()) insert(Math.max(0, active.value))
              else if (e.key === 'Enter') {
                if (list && active.value >= 0) insert(active.value)
                else run()
              } else if (e.key === 'Escape') {
                if (list) open.value = false
                else e.currentTarget.blur()
              } else if (e.key === ' ' && e.ctrlKey) show()
              else {
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
        <div ref={box} class="completion" popover="manual" id={`${id}-list`} role="listbox" aria-label="What may come next">
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
          <MistakeWords mistake={bad} />{' '}
          {bad.Suggestion && (
            <button
              class="link"
              onClick={() => {
                text.value = corrected(text.peek(), bad)
                run()
              }}
            >
              Did you mean {bad.Suggestion}?
            </button>
          )}
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
