// The flame graph of a trace: what belongs together by its path of names is one box.

import { effect, useSignal } from '@preact/signals'
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { ink } from '../../lib/colour'
import { duration, many, percent } from '../../lib/format'
import { flame, FLAG, type FlameNode } from '../../lib/trace'
import { useShortcuts } from '../../ui/keys'
import { prepare, themeVersion, token, useSize } from '../../ui/parts'
import { failureColour, fit, round } from './waterfall'
import type { TraceState } from './state'

const ROW = 24

export function Flame({ trace }: { trace: TraceState }) {
  const c = trace.columns.value!
  const f = useMemo(() => flame(c), [c])
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const hover = useSignal<FlameNode | null>(null)
  const focus = useSignal<FlameNode | null>(null)
  const chosen = f.of[trace.selected.value] ?? null
  const matches = trace.matches.value
  /** Boxes in which something matches, null while nothing is looked for. */
  const hits = useMemo(() => matches && new Set(f.of.filter((_, i) => matches[i])), [f, matches])
  const height = Math.max(f.depth * ROW + 8, 40)
  const from = focus.value?.x ?? 0
  const width = focus.value?.width ?? f.total
  const x = (t: number) => ((t - from) / Math.max(width, 1e-12)) * size.width

  useLayoutEffect(() => {
    const stop = effect(() => {
      void [themeVersion.value, hover.value, focus.value]
      const e = canvas.current
      if (!e || size.width === 0) return
      const g = prepare(e, size.width, height)
      g.textBaseline = 'middle'
      const sans = getComputedStyle(document.body).fontFamily
      for (const b of f.boxes) {
        const a = Math.max(0, x(b.x))
        const w = Math.min(size.width, x(b.x + b.width)) - a
        if (w < 0.3) continue
        const y = 4 + b.depth * ROW
        const dim = hits !== null && !hits.has(b)
        g.globalAlpha = dim ? 0.25 : 1
        const colour = token(`--s${c.services[b.service]!.colour}`)
        g.fillStyle = colour
        round(g, a + 0.5, y, Math.max(0.6, w - 1), ROW - 2, Math.min(4, w / 3))
        g.globalAlpha *= b === hover.value ? 1 : 0.9
        g.fill()
        g.globalAlpha = dim ? 0.4 : 1
        const bad = failureColour(b.flags)
        if (bad) {
          g.fillStyle = bad
          g.fillRect(a + 1, y + ROW - 5, Math.max(1, w - 2), 3)
        }
        if (b === chosen) {
          g.strokeStyle = token('--text')
          g.lineWidth = 2
          round(g, a + 1, y + 1, Math.max(1, w - 2), ROW - 4, 4)
          g.stroke()
        }
        if (w > 34) {
          g.save()
          g.beginPath()
          g.rect(a + 5, y, w - 9, ROW)
          g.clip()
          g.fillStyle = ink(colour)
          g.font = `560 11.5px ${sans}`
          g.fillText(fit(g, `${b.name}${b.count > 1 ? `  ×${b.count}` : ''}`, w - 12), a + 7, y + ROW / 2 - 0.5)
          g.restore()
        }
      }
      g.globalAlpha = 1
    })
    return stop
  }, [f, size.width, chosen, hits])

  const boxAt = (event: PointerEvent | MouseEvent): FlameNode | null => {
    const r = canvas.current!.getBoundingClientRect()
    const px = event.clientX - r.left
    const depth = Math.floor((event.clientY - r.top - 4) / ROW)
    for (const b of f.boxes) if (b.depth === depth && px >= x(b.x) && px <= x(b.x + b.width)) return b
    return null
  }
  const go = (dx: number, dy: number) => {
    const at = chosen ?? f.boxes.find((b) => b.depth === 0)
    if (!at || !chosen) {
      if (at) trace.select(at.example)
      return
    }
    const middle = at.x + at.width / 2
    const row = f.boxes.filter((b) => b.depth === at.depth + dy).sort((a, b) => a.x - b.x)
    const next = dy !== 0 ? (row.find((b) => b.x <= middle && b.x + b.width >= middle) ?? row.find((b) => b.x >= at.x - 1e-12 && b.x < at.x + at.width)) : row[row.indexOf(at) + dx]
    if (next) trace.select(next.example)
  }
  useShortcuts(
    () => ({
      title: 'Flame graph',
      shortcuts: [
        { keys: ['j', 'ArrowDown'], what: 'Into what it called', run: () => go(0, 1) },
        { keys: ['k', 'ArrowUp'], what: 'To what called it', run: () => go(0, -1) },
        { keys: ['l', 'ArrowRight'], what: 'The next beside it', run: () => go(1, 0) },
        { keys: ['h', 'ArrowLeft'], what: 'The one before it', run: () => go(-1, 0) },
        { keys: ['f'], what: 'Zoom to it, or back', run: () => (focus.value = focus.peek() === chosen ? null : chosen) },
        { keys: ['0'], what: 'Show all of it', run: () => (focus.value = null) },
      ],
    }),
    [f, chosen],
  )
  const shown = hover.value ?? chosen
  return (
    <div class="flame">
      <div class="flame-line muted" aria-live="polite">
        {shown ? (
          <>
            <b>
              <bdi>{shown.name}</bdi>
            </b>{' '}
            · {c.services[shown.service]!.name} · {many(shown.count, 'call')} · {duration(shown.width)} ({percent(shown.width / Math.max(f.total, 1e-12))}) · self {duration(shown.self)}
            {shown.flags & FLAG.fault ? ' · fault' : ''}
          </>
        ) : (
          'Same calls are added up. A double click zooms; the list view has the same as a table.'
        )}
        {focus.value && (
          <button class="button plain" onClick={() => (focus.value = null)}>
            Show all
          </button>
        )}
      </div>
      <div class="flame-frame" ref={frame} data-scroll tabIndex={0} role="group" aria-label={`Flame graph of ${f.boxes.length} boxes`}>
        <canvas
          ref={canvas}
          aria-hidden="true"
          style={{ width: `${size.width}px`, height: `${height}px` }}
          onPointerMove={(e) => (hover.value = boxAt(e))}
          onPointerLeave={() => (hover.value = null)}
          onClick={(e) => {
            const b = boxAt(e)
            if (b) trace.select(b.example)
          }}
          onDblClick={(e) => (focus.value = boxAt(e))}
        />
      </div>
    </div>
  )
}
