// Small parts that every page uses.

import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { createPortal, flushSync } from 'preact/compat'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { AnswerError } from '../lib/api'
import { url } from '../lib/place'
import { useBeside } from './anchor'
import { Close, Fault, Throttle, Warning } from './icons'

export const toast = signal('')
let toastTimer = 0

export function say(text: string) {
  toast.value = text
  clearTimeout(toastTimer)
  toastTimer = window.setTimeout(() => (toast.value = ''), 2600)
}

/** Copies a text, also one that is still to come. Where that fails it says the text. */
export async function copy(text: string | Promise<string>, what = 'Copied') {
  try {
    // Some browsers let a page copy for as long as it is at work on a click only: they are promised what comes later.
    if (typeof text === 'string') await navigator.clipboard.writeText(text)
    else await navigator.clipboard.write([new ClipboardItem({ 'text/plain': text.then((t) => new Blob([t], { type: 'text/plain' })) })])
  } catch {
    text = await text
    // Without a secure origin there is no clipboard: the old way still works.
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'hidden-visually'
    document.body.append(area)
    area.select()
    if (!document.execCommand('copy')) what = `Not copied: ${text}`
    area.remove()
  }
  say(what)
}

/** Gives the reader a text as a file. */
export function save(name: string, text: string, type: string) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** What went wrong, in place, with a way to try again. */
export function Problem({ error, retry }: { error: Error; retry?: () => void }) {
  const status = error instanceof AnswerError ? error.status : -1
  const gone = status === 0 || (status >= 502 && status <= 504)
  const again = useRef(retry)
  again.current = retry
  // A server that is away is looked for until it is back.
  useEffect(() => {
    if (!gone || !again.current) return
    const timer = setInterval(() => {
      fetch(url('-/healthy')).then(
        (r) => r.ok && again.current?.(),
        () => {},
      )
    }, 2000)
    return () => clearInterval(timer)
  }, [gone, !retry])
  return (
    <div class="notice bad" role="alert">
      <Fault />
      <div class="grow">
        <div>{error.message.replace(/^[a-z]/, (c) => c.toUpperCase())}</div>
        {gone && <div class="muted">Is it running?{retry && ' The page goes on by itself when it is back.'}</div>}
      </div>
      {retry && (
        <button class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}

/** How something ended, by shape and colour. */
export function Status({ fault, error, throttle, busy, code }: { fault?: boolean; error?: boolean; throttle?: boolean; busy?: boolean; code?: number | null }) {
  const text = code ?? null
  if (fault) return <span class="badge fault"><Fault />{text ?? 'fault'}</span>
  if (throttle) return <span class="badge throttle"><Throttle />{text ?? 'throttled'}</span>
  if (error) return <span class="badge error"><Warning />{text ?? 'error'}</span>
  if (busy) return <span class="badge busy">in progress</span>
  return <span class="badge ok">{text ?? 'ok'}</span>
}

export function Swatch({ colour }: { colour: number }) {
  return <span class="swatch" data-colour={String(colour)} aria-hidden="true" />
}

/** How many there are over the window, as small bars. */
export function Sparkline({ series, wide }: { series: number[]; wide?: boolean }) {
  const most = Math.max(1, ...series)
  return (
    <svg class={wide ? 'sparkline wide' : 'sparkline'} viewBox={`0 0 ${series.length} 10`} preserveAspectRatio="none" aria-hidden="true">
      {series.map((n, i) => n > 0 && <rect key={i} x={i + 0.1} width="0.8" y={10 - Math.max(1, (n / most) * 10)} height={Math.max(1, (n / most) * 10)} />)}
    </svg>
  )
}

/** A button that opens something beside it. Escape and a click elsewhere close it. */
export function Popover({
  label,
  children,
  body,
  class: className = 'button',
  title,
  role,
}: {
  label: string
  children: ComponentChildren
  body: (close: () => void) => ComponentChildren
  class?: string
  title?: string
  role?: 'menu' | 'group'
}) {
  const [open, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const box = useRef<HTMLDivElement>(null)
  const close = () => {
    setOpen(false)
    button.current?.focus()
  }
  useBeside(open, button, box, 560)
  useLayoutEffect(() => {
    if (!open) return
    const first = box.current!.querySelector<HTMLElement>('[data-autofocus], [aria-checked="true"], button, a, input')
    first?.focus({ preventScroll: false })
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node) && !button.current?.contains(event.target as Node)) setOpen(false)
    }
    addEventListener('pointerdown', outside, true)
    return () => removeEventListener('pointerdown', outside, true)
  }, [open])
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.preventDefault()
      event.stopPropagation()
      close()
    } else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && !/^(TEXTAREA|SELECT)$/.test((event.target as Element).tagName)) {
      const items = [...box.current!.querySelectorAll<HTMLElement>('.menu-item, input, .button')]
      const at = items.indexOf(document.activeElement as HTMLElement)
      items[(at + (event.key === 'ArrowDown' ? 1 : items.length - 1)) % items.length]?.focus()
      event.preventDefault()
      event.stopPropagation()
    } else if (event.key === 'Tab') {
      queueMicrotask(() => {
        setTimeout(() => {
          if (!box.current?.contains(document.activeElement)) setOpen(false)
        })
      })
    }
  }
  return (
    <>
      <button ref={button} type="button" class={className} aria-label={className.includes('icon') ? label : undefined} title={title ?? label} aria-expanded={open} aria-haspopup={role === 'menu' ? 'menu' : 'dialog'} onClick={() => setOpen(!open)}>
        {children}
      </button>
      {open &&
        createPortal(
          <div ref={box} class="popover" role={role ?? 'group'} aria-label={label} onKeyDown={onKeyDown}>
            {body(close)}
          </div>,
          document.body,
        )}
    </>
  )
}

/** A dialog in the middle. Focus stays inside and returns to where it was. */
export function Dialog({ title, close, children, width = 640, bare }: { title: string; close: () => void; children: ComponentChildren; width?: number; bare?: boolean }) {
  const box = useRef<HTMLDivElement>(null)
  // Before the next frame: whoever opens it by keyboard types on at once.
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null
    const find = (what: string) => box.current!.querySelector<HTMLElement>(what)
    const first = find('[data-autofocus]') ?? find('input:enabled, textarea:enabled') ?? find('button')
    ;(first ?? box.current!).focus()
    return () => before?.focus?.()
  }, [])
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.preventDefault()
      event.stopPropagation()
      close()
    } else if (event.key === 'Tab') {
      const all = [...box.current!.querySelectorAll<HTMLElement>('a[href], button:not([disabled]), input, textarea, select, [tabindex="0"]')]
      if (all.length === 0) return
      const first = all[0]!
      const last = all[all.length - 1]!
      if (event.shiftKey && document.activeElement === first) {
        last.focus()
        event.preventDefault()
      } else if (!event.shiftKey && document.activeElement === last) {
        first.focus()
        event.preventDefault()
      }
    }
  }
  return createPortal(
    <div class="backdrop" onPointerDown={(e) => e.target === e.currentTarget && close()}>
      <div ref={box} class="dialog" role="dialog" aria-modal="true" aria-label={title} tabIndex={-1} style={{ maxWidth: `${width}px` }} onKeyDown={onKeyDown}>
        {!bare && (
          <div class="row" style={{ padding: '14px 12px 10px 20px' }}>
            <h1 class="grow">{title}</h1>
            <button class="button plain icon" aria-label="Close" onClick={close}>
              <Close />
            </button>
          </div>
        )}
        {children}
      </div>
    </div>,
    document.body,
  )
}

/** A signal for how many pixels an element has; it follows changes of its size. */
export function useSize(ref: { current: HTMLElement | null }): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 })
  useLayoutEffect(() => {
    const e = ref.current
    if (!e) return
    const measure = () => setSize((s) => (s.width === e.clientWidth && s.height === e.clientHeight ? s : { width: e.clientWidth, height: e.clientHeight }))
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(e)
    return () => observer.disconnect()
  }, [])
  return size
}

/** Counts up when the theme changes, so that canvases are painted anew. */
export const themeVersion = signal(0)
matchMedia('(prefers-color-scheme: light)').addEventListener('change', () => themeVersion.value++)
// What was painted before the letters had come is painted anew with them.
document.fonts?.addEventListener('loadingdone', () => themeVersion.value++)

const tokenCache = new Map<string, string>()
let tokenVersion = -1

/** A colour of the theme, for canvases. */
export function token(name: string): string {
  if (tokenVersion !== themeVersion.peek()) {
    tokenCache.clear()
    tokenVersion = themeVersion.peek()
  }
  let value = tokenCache.get(name)
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim()
    tokenCache.set(name, value)
  }
  return value
}

/** Makes a canvas as sharp as the screen and returns its context, in CSS pixels. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.min(3, devicePixelRatio || 1)
  const w = Math.max(1, Math.round(width * ratio))
  const h = Math.max(1, Math.round(height * ratio))
  if (canvas.width !== w) canvas.width = w
  if (canvas.height !== h) canvas.height = h
  const g = canvas.getContext('2d')!
  g.setTransform(ratio, 0, 0, ratio, 0, 0)
  g.clearRect(0, 0, width, height)
  return g
}

/** Is the page in front? Polling stops while it is not. */
export const visible = signal(!document.hidden)
document.addEventListener('visibilitychange', () => (visible.value = !document.hidden))

/** Is it on its way to paper, which does not scroll? What has to be there then is drawn before the picture is taken. */
export const printing = signal(matchMedia('print').matches)
const toPaper = (is: boolean) => flushSync(() => (printing.value = is))
addEventListener('beforeprint', () => toPaper(true))
addEventListener('afterprint', () => toPaper(false))
matchMedia('print').addEventListener('change', (e) => toPaper(e.matches))
/** So many rows of a list go to paper. */
export const PRINTED = 1000

export const utc = signal(localStorageGet('roentgen.utc') === '1')

export function localStorageGet(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

export function localStorageSet(key: string, value: string) {
  try {
    localStorage.setItem(key, value)
  } catch {
    // switched off, or full: the choice lasts until the page is closed
  }
}
