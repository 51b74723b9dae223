// Chooses the window of time.

import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { timeParts } from '../lib/format'
import { change, place } from '../lib/place'
import { parseRange, RANGES, readWindow, USUAL_RANGE, windowText, zoomOut } from '../lib/window'
import { Clock, Down, ZoomOut } from './icons'
import { localStorageSet, Popover, utc } from './parts'

/** A time as inputs of times take it. */
function timeInput(epoch: number): string {
  const p = timeParts(epoch, utc.peek(), 0)
  return `${p.date}T${p.time}`
}

/** The epoch time of what such an input holds. */
function parseTime(text: string): number {
  return new Date(utc.peek() ? `${text}Z` : text).getTime() / 1000
}

export function RangePicker() {
  const params = place.value.params
  const words = windowText(params)
  const w = readWindow(params, Date.now() / 1000)
  const from = timeParts(w.from, utc.value, 0)
  const to = timeParts(w.to, utc.value, 0)
  return (
    <div class="row" style={{ gap: '4px' }}>
      <Popover label="Window of time" class="button" body={(close) => <Choices close={close} />}>
        <Clock />
        <span class="num">{words ?? `${from.date} ${from.time} – ${from.date === to.date ? '' : `${to.date} `}${to.time}`}</span>
        <Down />
      </Popover>
      <button
        class="button icon"
        aria-label="Twice as long a window"
        title="Twice as long a window"
        onClick={() => {
          const now = Date.now() / 1000
          const z = zoomOut(readWindow(place.peek().params, now), now)
          change({ from: Math.round(z.from), to: Math.round(z.to), range: null })
        }}
      >
        <ZoomOut />
      </button>
    </div>
  )
}

function Choices({ close }: { close: () => void }) {
  const w = readWindow(place.peek().params, Date.now() / 1000)
  const own = useSignal('')
  const problem = useSignal('')
  const current = place.value.params.has('from') ? '' : (place.value.params.get('range') ?? USUAL_RANGE)
  return (
    <div style={{ width: '292px' }}>
      {RANGES.map(([range, text]) => (
        <button
          key={range}
          class="menu-item"
          role="menuitemradio"
          aria-checked={current === range}
          onClick={() => {
            change({ range, from: null, to: null })
            close()
          }}
        >
          {text} <span class="hint mono">{range}</span>
        </button>
      ))}
      <form
        class="row"
        style={{ padding: '4px 8px' }}
        onSubmit={(e) => {
          e.preventDefault()
          const text = own.value.trim()
          if (!parseRange(text)) {
            problem.value = 'Write 90s, 45m, 8h, 3d or 2w.'
            return
          }
          change({ range: text, from: null, to: null })
          close()
        }}
      >
        <input class="input grow" placeholder="Another, like 45m" aria-label="Another length, like 45m" value={own.value} onInput={(e) => (own.value = e.currentTarget.value)} />
        <button class="button">Set</button>
      </form>
      {problem.value && (
        <div class="text-fault" role="alert" style={{ padding: '0 8px 4px' }}>
          {problem.value}
        </div>
      )}
      <div class="menu-line" />
      <Times
        from={w.from}
        to={w.to}
        set={(a, b) => {
          change({ from: a, to: b, range: null })
          close()
        }}
        extra={(renew) => (
          <label class="row muted">
            <input
              type="checkbox"
              checked={utc.value}
              onChange={(e) => {
                utc.value = e.currentTarget.checked
                localStorageSet('roentgen.utc', utc.value ? '1' : '0')
                renew()
              }}
            />
            Times in UTC
          </label>
        )}
      />
    </div>
  )
}

/** Two times to choose; what does not make a window is said in place. */
export function Times({ from: first, to: last, set, extra }: { from: number; to: number; set: (from: number, to: number) => void; extra?: (renew: () => void) => ComponentChildren }) {
  const from = useSignal(timeInput(first))
  const to = useSignal(timeInput(last))
  const problem = useSignal('')
  const renew = () => {
    from.value = timeInput(first)
    to.value = timeInput(last)
  }
  return (
    <form
      class="column"
      style={{ padding: '4px 8px 8px', gap: '6px' }}
      onSubmit={(e) => {
        e.preventDefault()
        const a = parseTime(from.value)
        const b = parseTime(to.value)
        if (b > a) set(a, b)
        else problem.value = 'The end has to be after the start.'
      }}
    >
      {[
        ['From', from] as const,
        ['To', to] as const,
      ].map(([label, time]) => (
        <label key={label} class="row">
          <span class="muted" style={{ width: '36px' }}>
            {label}
          </span>
          <input class="input grow num" type="datetime-local" step="1" value={time.value} onInput={(e) => (time.value = e.currentTarget.value)} />
        </label>
      ))}
      {problem.value && (
        <div class="text-fault" role="alert">
          {problem.value}
        </div>
      )}
      <div class="row">
        <span class="row grow">{extra?.(renew)}</span>
        <button class="button primary">Set</button>
      </div>
    </form>
  )
}
