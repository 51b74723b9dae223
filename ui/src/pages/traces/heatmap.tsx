// Traces by time and duration. Dragging a part of it makes that the search.

import { effect, useSignal } from '@preact/signals'
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { duration, exact, timeParts } from '../../lib/format'
import { heatOf, type Counts } from '../../lib/counts'
import { heat, heatCells, type TraceRow } from '../../lib/summary'
import { clockStep, marksIn } from '../../lib/window'
import { ChartTable } from '../../ui/charttable'
import { prepare, themeVersion, token, useSize, utc } from '../../ui/parts'

const HEIGHT = 118
const LEFT = 52
const BOTTOM = 20
const TOP = 6
const LINES = 24

/** A part of the picture: epoch seconds, and durations in seconds, null for any. */
export interface Part {
  from: number
  to: number
  low: number | null
  high: number | null
}

/** Hatches what nothing is known of, and says why where there is room. */
function hatch(g: CanvasRenderingContext2D, left: number, width: number, height: number, why: string) {
  g.save()
  g.beginPath()
  g.rect(left, TOP, width, height)
  g.clip()
  g.strokeStyle = token('--line-strong')
  g.lineWidth = 1
  g.beginPath()
  for (let x = left - height; x < left + width; x += 8) {
    g.moveTo(x, TOP + height)
    g.lineTo(x + height, TOP)
  }
  g.stroke()
  const room = g.measureText(why).width + 14
  if (room < width) {
    g.textAlign = 'center'
    g.fillStyle = token('--bg')
    g.fillRect(left + (width - room) / 2, TOP + height / 2 - 10, room, 20)
    g.fillStyle = token('--muted')
    g.fillText(why, left + width / 2, TOP + height / 2)
  }
  g.restore()
}

/**
 * With `counts` it shows all of the window, without them what is loaded. Of what lies before `unknown` nothing
 * is known. `chosen` is framed; `verb` is what a brush does.
 */
export function Heatmap({ rows, counts, from, to, unknown, chosen, verb = 'traces', onBrush }: { rows: { readonly value: readonly TraceRow[] }; counts: Counts | null; from: number; to: number; unknown?: { before: number; why: string } | null; chosen?: Part | null; verb?: string; onBrush: (from: number, to: number, low: number | null, high: number | null) => void }) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const brush = useSignal<{ x0: number; y0: number; x1: number; y1: number } | null>(null)
  const hover = useSignal<{ x: number; y: number } | null>(null)
  const plot = Math.max(10, size.width - LEFT - 8)
  const wanted = Math.max(10, Math.min(160, Math.floor(plot / 7)))
  const h = useMemo(() => (counts ? heatOf(counts, Math.max(10, Math.floor(plot / 4)), LINES) : heat(rows.value, from, to, wanted, LINES)), [counts, counts ? null : rows.value, from, to, wanted])
  const columns = h.columns
  const total = counts ? counts.traces : rows.value.length
  const plotHeight = HEIGHT - BOTTOM - TOP
  const cellW = (plot * (h.to - h.from)) / (to - from) / columns
  const cellH = plotHeight / h.lines
  const logLow = Math.log10(h.low)
  const logHigh = Math.log10(h.high)

  useLayoutEffect(() => {
    return effect(() => {
      void [themeVersion.value, utc.value]
      const b = brush.value
      const hv = hover.value
      const e = canvas.current
      if (!e || size.width === 0) return
      const g = prepare(e, size.width, HEIGHT)
      const sans = getComputedStyle(document.body).fontFamily
      g.font = `10.5px ${sans}`
      g.textBaseline = 'middle'
      const faint = token('--faint')
      // Durations: each power of ten, and its thirds where there is room.
      for (let p = Math.ceil(logLow - 1e-9); p <= logHigh + 1e-9; p++) {
        const y = TOP + plotHeight - ((p - logLow) / (logHigh - logLow)) * plotHeight
        g.fillStyle = token('--grid')
        g.fillRect(LEFT, Math.round(y), plot, 1)
        g.fillStyle = faint
        g.textAlign = 'right'
        g.fillText(p >= 2 ? `${10 ** p} s` : duration(10 ** p), LEFT - 7, Math.min(Math.max(y, 7), HEIGHT - BOTTOM - 4))
      }
      const step = clockStep(to - from, marksIn(plot))
      g.textAlign = 'center'
      const zone = utc.value ? 0 : new Date(from * 1000).getTimezoneOffset() * 60
      for (let t = Math.ceil((from - zone) / step) * step + zone; t < to; t += step) {
        const x = LEFT + ((t - from) / (to - from)) * plot
        const parts = timeParts(t, utc.value, 0)
        g.fillStyle = faint
        if (x < size.width - 20) g.fillText(step >= 86_400 ? parts.date.slice(5) : step < 60 ? parts.time : parts.time.slice(0, 5), x, HEIGHT - 8)
        g.fillStyle = token('--grid')
        g.fillRect(Math.round(x), TOP, 1, plotHeight)
      }
      const shades = [1, 2, 3, 4, 5].map((k) => token(`--heat-${k}`))
      const fault = token('--fault')
      for (let y = 0; y < h.lines; y++) {
        for (let x = 0; x < columns; x++) {
          const n = h.counts[y * columns + x]!
          if (n === 0) continue
          const bad = h.failures[y * columns + x]! / n
          const shade = Math.min(4, Math.floor((Math.log1p(n) / Math.log1p(Math.max(4, h.most))) * 5))
          const px = LEFT + x * cellW
          const py = TOP + plotHeight - (y + 1) * cellH
          g.fillStyle = shades[shade]!
          g.fillRect(px + 0.5, py + 0.5, cellW - 1, cellH - 0.8)
          if (bad > 0) {
            // A failure must not drown in a crowd: a mark of its own, at least two pixels.
            g.fillStyle = fault
            const w = Math.max(2, (cellW - 1) * bad)
            g.fillRect(px + 0.5 + (cellW - 1 - w) / 2, py + 0.5, w, cellH - 0.8)
          }
        }
      }
      if (unknown && unknown.before > from) hatch(g, LEFT, Math.min(1, (unknown.before - from) / (to - from)) * plot, plotHeight, unknown.why)
      const framed = (x0: number, y0: number, x1: number, y1: number) => {
        g.fillStyle = token('--accent-soft')
        g.strokeStyle = token('--accent')
        const [x, y, w, h] = [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)]
        g.fillRect(x, y, w, h)
        g.strokeRect(x + 0.5, y + 0.5, w, h)
      }
      if (chosen) {
        const x = (t: number) => LEFT + Math.min(1, Math.max(0, (t - from) / (to - from))) * plot
        const y = (d: number | null, at: number) => (d === null ? at : TOP + plotHeight - Math.min(1, Math.max(0, (Math.log10(d) - logLow) / (logHigh - logLow))) * plotHeight)
        framed(x(chosen.from), y(chosen.high, TOP), x(chosen.to), y(chosen.low, TOP + plotHeight))
      }
      if (hv) {
        g.strokeStyle = token('--text')
        g.lineWidth = 1
        g.strokeRect(LEFT + hv.x * cellW, TOP + plotHeight - (hv.y + 1) * cellH, cellW, cellH)
      }
      if (b) framed(b.x0, b.y0, b.x1, b.y1)
      g.textAlign = 'left'
    })
  }, [h, size.width, chosen, unknown?.before, unknown?.why])

  const where = (event: PointerEvent) => {
    const r = canvas.current!.getBoundingClientRect()
    return { x: Math.min(size.width - 8, Math.max(LEFT, event.clientX - r.left)), y: Math.min(HEIGHT - BOTTOM, Math.max(TOP, event.clientY - r.top)) }
  }
  const cell = (p: { x: number; y: number }) => ({ x: Math.min(columns - 1, Math.floor((p.x - LEFT) / cellW)), y: Math.min(h.lines - 1, Math.max(0, Math.floor((TOP + plotHeight - p.y) / cellH))) })
  const valueAt = (y: number) => 10 ** (logLow + ((TOP + plotHeight - y) / plotHeight) * (logHigh - logLow))
  const timeAt = (x: number) => from + ((x - LEFT) / plot) * (to - from)

  const hv = hover.value
  const n = hv ? h.counts[hv.y * columns + hv.x]! : 0
  return (
    <>
    <div class="heatmap" ref={frame} role="img" aria-label={`${total} traces by time and duration; the table below has them${unknown ? `. Those before ${timeParts(unknown.before, utc.value, 0).time} are ${unknown.why}` : ''}`}>
      <canvas
        ref={canvas}
        style={{ width: `${size.width}px`, height: `${HEIGHT}px` }}
        onPointerDown={(e) => {
          if (e.button !== 0) return
          const p = where(e)
          brush.value = { x0: p.x, y0: p.y, x1: p.x, y1: p.y }
          e.currentTarget.setPointerCapture(e.pointerId)
        }}
        onPointerMove={(e) => {
          const p = where(e)
          hover.value = cell(p)
          if (brush.value) brush.value = { ...brush.value, x1: p.x, y1: p.y }
        }}
        onPointerLeave={() => (hover.value = null)}
        onPointerUp={() => {
          const b = brush.value
          brush.value = null
          if (!b) return
          const dx = Math.abs(b.x1 - b.x0)
          const dy = Math.abs(b.y1 - b.y0)
          if (dx < 5 && dy < 5) return
          // Nearly the whole height or width means: that side does not matter.
          const all = dx < 5
          const flat = dy < 8 || dy > plotHeight * 0.93
          onBrush(all ? from : timeAt(Math.min(b.x0, b.x1)), all ? to : timeAt(Math.max(b.x0, b.x1)), flat ? null : valueAt(Math.max(b.y0, b.y1)), flat ? null : valueAt(Math.min(b.y0, b.y1)))
        }}
      />
      {hv && n > 0 && (
        <div class="heatmap-tip num" style={{ left: `${Math.min(size.width - 190, Math.max(0, LEFT + hv.x * cellW + 14))}px` }}>
          <b>{exact(n)}</b> {n === 1 ? 'trace' : 'traces'}
          {h.failures[hv.y * columns + hv.x]! > 0 && <span class="text-fault"> · {exact(h.failures[hv.y * columns + hv.x]!)} failed</span>}
          <br />
          <span class="muted">
            {timeParts(from + ((hv.x + 0.5) / columns) * (h.to - h.from), utc.value, 0).time} · {duration(10 ** (logLow + (hv.y / h.lines) * (logHigh - logLow)))} – {duration(10 ** (logLow + ((hv.y + 1) / h.lines) * (logHigh - logLow)))}
          </span>
        </div>
      )}
    </div>
    {total > 0 && (
      <div class="heatmap-table">
        <ChartTable
          of="Traces by time and duration"
          head={['From', 'To', 'At least', 'At most', 'Traces', 'Failed', '']}
          names={['from_time', 'to_time', 'from_seconds', 'to_seconds', 'traces', 'failed']}
          rows={() =>
            heatCells(h).map((x) => {
              const begin = timeParts(x.from, utc.value)
              const until = Math.min(x.to, to)
              return {
                values: [new Date(x.from * 1000).toISOString(), new Date(until * 1000).toISOString(), x.low, x.high, x.count, x.failed],
                cells: [
                  <>
                    <span class="wide-only">{begin.date} </span>
                    {begin.time}
                  </>,
                  timeParts(until, utc.value).time,
                  duration(x.low),
                  duration(x.high),
                  exact(x.count),
                  exact(x.failed),
                  <button key="l" class="link" aria-label={`${verb[0]!.toUpperCase()}${verb.slice(1)} from ${begin.time} on that took ${duration(x.low)} to ${duration(x.high)}`} onClick={() => onBrush(x.from, until, x.low, x.high)}>
                    {verb}
                  </button>,
                ],
              }
            })
          }
        />
      </div>
    )}
    </>
  )
}
