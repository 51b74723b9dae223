// Why a trace matches a filter, or does not: the server says it part by part.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { post, type ExplainAnswer, type Explanation } from '../lib/api'
import { findTraceID } from '../lib/ids'
import { Popover, Problem } from './parts'

/** A button that asks for what is not given: the trace, or the filter. */
export function WhyButton({ filter, trace, label, class: className }: { filter?: string; trace?: string; label: string; class?: string }) {
  return (
    <Popover label={label} title={trace ? 'Does this trace match a filter, and why?' : 'Why is a trace not in this list?'} class={className ?? 'button'} body={() => <Why filter={filter} trace={trace} />}>
      {label}
    </Popover>
  )
}

export function Why({ filter, trace }: { filter?: string; trace?: string }) {
  const text = useSignal(trace ? (filter ?? '') : '')
  const answer = useSignal<ExplainAnswer | null>(null)
  const error = useSignal<Error | null>(null)
  const hint = useSignal('')
  const abort = useRef<AbortController | null>(null)
  const ask = () => {
    abort.current?.abort()
    answer.value = null
    error.value = null
    hint.value = ''
    const id = trace ?? findTraceID(text.value)
    const expression = trace ? text.value.trim() : (filter ?? '').trim()
    if (!text.value.trim()) return
    if (!id) {
      hint.value = 'That holds no trace id. One looks like 1-58406520-a006649127e371903a2de979.'
      return
    }
    if (!expression) {
      hint.value = 'There is no filter: every trace of the window is in the list. See whether the time of the trace lies in it.'
      return
    }
    const a = new AbortController()
    abort.current = a
    post<ExplainAnswer>('api/explain', { Expression: expression, TraceId: id }, a.signal).then(
      (x) => (answer.value = x),
      (e: Error) => e.name !== 'AbortError' && (error.value = e),
    )
  }
  useEffect(() => {
    if (trace && filter) ask()
    return () => abort.current?.abort()
  }, [])
  const a = answer.value
  return (
    <div class="why">
      <form
        class="row"
        onSubmit={(e) => {
          e.preventDefault()
          ask()
        }}
      >
        <input
          class="input grow mono"
          data-autofocus
          spellcheck={false}
          autocomplete="off"
          aria-label={trace ? 'Filter expression' : 'Trace id'}
          placeholder={trace ? 'fault AND responsetime > 1' : 'Id of the trace that you miss'}
          value={text.value}
          onInput={(e) => (text.value = e.currentTarget.value)}
        />
        <button class="button primary" type="submit">
          Explain
        </button>
      </form>
      {!trace && filter && (
        <p class="muted why-filter">
          Filter: <code>{filter}</code>
        </p>
      )}
      <div aria-live="polite">
        {hint.value && <p class="muted">{hint.value}</p>}
        {error.value && <Problem error={error.value} />}
        {a && !a.Valid && (
          <p class="text-error">
            {a.Error?.Message} {a.Error?.Suggestion && `Did you mean ${a.Error.Suggestion}?`}
          </p>
        )}
        {a?.Valid && (
          <>
            <p class="why-verdict">
              {a.Matches === true && <b class="text-ok">It matches.</b>}
              {a.Matches === false && <b class="text-fault">It does not match.</b>}
              {a.Matches === null && <b class="muted">It would take too long to tell.</b>}
              {a.Matches === true && !trace && <span class="muted"> If it is not in the list, its time is not in the window.</span>}
            </p>
            {a.Explanation && <ul class="why-tree">{<Part e={a.Explanation} blame={a.Matches === false} />}</ul>}
          </>
        )}
      </div>
    </div>
  )
}

/** One part of an expression. Parts that made the difference stand out. */
function Part({ e, blame }: { e: Explanation; blame: boolean }) {
  const mark = e.Truth === 'true' ? '✓' : e.Truth === 'false' ? '✗' : '?'
  const leaf = !e.Parts || e.Parts.length === 0
  return (
    <li class={`why-part ${e.Truth ?? ''}`}>
      <div class={`why-line ${blame && leaf && e.Truth === 'false' ? 'blamed' : ''}`}>
        <span class="why-mark" role="img" aria-label={e.Truth === 'true' ? 'true' : e.Truth === 'false' ? 'false' : 'unknown'}>
          {mark}
        </span>
        <span>
          <code>
            <bdi>{e.Text}</bdi>
          </code>
          <span class="muted"> {e.Meaning}</span>
          {e.Found && (
            <span class="why-found">
              {' '}
              <bdi>{e.Found}</bdi>
            </span>
          )}
        </span>
      </div>
      {e.Parts && e.Parts.length > 0 && (
        <ul>
          {e.Parts.map((p, k) => (
            <Part key={k} e={p} blame={blame && e.Truth === 'false'} />
          ))}
        </ul>
      )}
    </li>
  )
}
