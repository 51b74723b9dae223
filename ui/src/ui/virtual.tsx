// A list of rows of one height, of which only those in view exist.

import { useSignal } from '@preact/signals'
import type { ComponentChildren, RefObject } from 'preact'
import { useImperativeHandle, useRef } from 'preact/hooks'
import { exact } from '../lib/format'
import { PRINTED, printing, useSize } from './parts'

export interface VirtualHandle {
  /** Scrolls as little as is needed to show a row. */
  reveal(row: number): void
  toTop(): void
  readonly element: HTMLElement | null
}

/** Browsers clip elements somewhere above 30 million pixels. */
const TALLEST = 15_000_000

export function Virtual({ count, height, children, handle, label, onNearEnd, extra }: { count: number; height: number; children: (row: number) => ComponentChildren; handle?: RefObject<VirtualHandle | null>; label: string; onNearEnd?: () => void; extra?: ComponentChildren }) {
  const frame = useRef<HTMLDivElement>(null)
  const own = useRef<VirtualHandle>(null)
  const size = useSize(frame)
  const top = useSignal(0)
  const whole = count * height
  const scale = whole > TALLEST ? whole / TALLEST : 1
  const offset = top.value * scale
  const first = Math.max(0, Math.min(count, Math.floor(offset / height) - 6))
  const last = Math.min(count, Math.ceil((offset + size.height) / height) + 6)
  useImperativeHandle(
    handle ?? own,
    () => ({
      reveal(row) {
        const e = frame.current
        if (!e) return
        const y = row * height
        const at = e.scrollTop * scale
        if (y < at) e.scrollTop = y / scale
        else if (y + height > at + e.clientHeight) e.scrollTop = (y + height - e.clientHeight) / scale
      },
      toTop() {
        if (frame.current) frame.current.scrollTop = 0
      },
      get element() {
        return frame.current
      },
    }),
    [height, scale],
  )
  if (printing.value)
    return (
      <div class="virtual" ref={frame} role="rowgroup" aria-label={label}>
        {Array.from({ length: Math.min(count, PRINTED) }, (_, r) => children(r))}
        {count > PRINTED && <p class="muted printed-more">{exact(count - PRINTED)} more rows are not printed.</p>}
        {extra}
      </div>
    )
  const rows: ComponentChildren[] = []
  for (let r = first; r < last; r++) rows.push(children(r))
  return (
    <div
      class="virtual"
      data-scroll
      ref={frame}
      tabIndex={0}
      role="rowgroup"
      aria-label={label}
      onScroll={(e) => {
        const t = e.currentTarget
        top.value = t.scrollTop
        if (onNearEnd && t.scrollTop + t.clientHeight * 3 > t.scrollHeight) onNearEnd()
      }}
    >
      <div role="presentation" style={{ height: `${whole / scale}px`, position: 'relative' }}>
        <div role="presentation" style={{ transform: `translateY(${scale === 1 ? first * height : top.value - (offset - first * height)}px)` }}>
          {rows}
        </div>
      </div>
      {extra}
    </div>
  )
}
