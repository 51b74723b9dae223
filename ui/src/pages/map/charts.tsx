// Response times of a node or edge, as a histogram to brush and as lines over time.

import { effect, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { SeriesPoint } from '../../lib/api'
import { duration, exact, rate, timeParts } from '../../lib/format'
import { bins, quantile, type Entry } from '../../lib/histogram'
import { FAILURES, figures } from '../../lib/graph'
import { ChartTable } from '../../ui/charttable'
import { prepare, themeVersion, token, useSize, utc } from '../../ui/parts'

const HEIGHT = 120

export function Histogram({ entries, onBrush }: { entries: readonly Entry[]; onBrush?: (low: number, high: number) => void }) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const brush = useSignal<[number, number] | null>(null)
  const hover = useSignal(-1)
  const list = useMemo(() => bins(entries, Math.max(12, Math.min(56, Math.floor((size.width || 320) / 7)))), [entries, size.width])
  const most = Math.max(1, ...list.map((b) => b.count))
  const marks = ([['p50', 0.5], ['p95', 0.95], ['p99', 0.99]] as const).map(([name, q]) => [name, quantile(entries, q)] as const)
  const low = list.length ? Math.log10(list[0]!.from) : 0
  const high = list.length ? Math.log10(list[list.length - 1]!.to) : 1
  const x = (value: number) => ((Math.log10(Math.max(1e-4, value)) - low) / (high - low)) * size.width
  useLayoutEffect(
    () =>
      effect(() => {
        void themeVersion.value
        const b = brush.value
        const hv = hover.value
        const e = canvas.current
        if (!e || size.width === 0 || list.length === 0) return
        const g = prepare(e, size.width, HEIGHT)
        const sans = getComputedStyle(document.body).fontFamily
        const w = size.width / list.length
        const floor = HEIGHT - 18
        g.font = `10.5px ${sans}`
        g.textBaseline = 'middle'
        list.forEach((bin, k) => {
          if (bin.count === 0) return
          // The root of the count: a few slow ones beside ten thousand fast ones stay visible.
          const h = Math.max(2, Math.sqrt(bin.count / most) * (floor - 16))
          g.fillStyle = token('--accent')
          g.globalAlpha = hv === k ? 1 : 0.72
          g.fillRect(k * w + 0.5, floor - h, Math.max(1, w - 1), h)
        })
        g.globalAlpha = 1
        g.fillStyle = token('--line')
        g.fillRect(0, floor, size.width, 1)
        // Labels that would lie on each other move to the right, and all of them back when the last has no room.
        const known = marks.flatMap(([name, value]) => (value === null ? [] : [{ name, value, width: g.measureText(name).width }]))
        const starts: number[] = []
        known.forEach((m, k) => starts.push(Math.max(2, x(m.value) - m.width / 2, k > 0 ? starts[k - 1]! + known[k - 1]!.width + 6 : 0)))
        for (let k = known.length - 1, end = size.width - 2; k >= 0; k--, end = starts[k + 1]! - 6) starts[k] = Math.min(starts[k]!, end - known[k]!.width)
        known.forEach(({ name, value }, k) => {
          const px = Math.min(size.width - 1, Math.max(0, x(value)))
          g.fillStyle = token('--text')
          g.globalAlpha = 0.55
          g.fillRect(Math.round(px), 12, 1, floor - 12)
          g.globalAlpha = 1
          g.fillStyle = token('--muted')
          g.fillText(name, starts[k]!, 6)
        })
        g.fillStyle = token('--faint')
        let last = -100
        for (let p = Math.ceil(low); p <= high; p++) {
          const px = ((p - low) / (high - low)) * size.width
          const label = duration(10 ** p)
          const tw = g.measureText(label).width
          const tx = Math.min(size.width - tw - 2, Math.max(2, px - tw / 2))
          if (tx > last + 8) g.fillText(label, tx, HEIGHT - 8)
          last = tx + tw
        }
        if (Math.ceil(low) > high) g.fillText(duration(list[0]!.from), 2, HEIGHT - 8)
        if (b) {
          g.fillStyle = token('--accent-soft')
          g.fillRect(Math.min(...b), 0, Math.abs(b[1] - b[0]), floor)
          g.fillStyle = token('--accent')
          for (const px of b) g.fillRect(px, 0, 1.5, floor)
        }
      }),
    [list, size.width],
  )
  const value = (px: number) => 10 ** (low + (Math.min(size.width, Math.max(0, px)) / size.width) * (high - low))
  const px = (e: PointerEvent) => e.clientX - canvas.current!.getBoundingClientRect().left
  const hv = hover.value >= 0 ? list[hover.value] : undefined
  if (entries.length === 0) return <p class="muted">No response times in this window.</p>
  return (
    <div ref={frame} class="histogram">
      <canvas
        ref={canvas}
        role="img"
        aria-label={`Response times: ${marks.map(([n, v]) => `${n} ${duration(v)}`).join(', ')}`}
        style={{ width: `${size.width}px`, height: `${HEIGHT}px` }}
        onPointerDown={(e) => {
          if (!onBrush) return
          brush.value = [px(e), px(e)]
          e.currentTarget.setPointerCapture(e.pointerId)
        }}
        onPointerMove={(e) => {
          hover.value = Math.max(0, Math.min(list.length - 1, Math.floor((px(e) / size.width) * list.length)))
          if (brush.value) brush.value = [brush.value[0], px(e)]
        }}
        onPointerLeave={() => (hover.value = -1)}
        onPointerUp={() => {
          const b = brush.value
          brush.value = null
          if (b && Math.abs(b[1] - b[0]) > 4) onBrush?.(value(Math.min(...b)), value(Math.max(...b)))
        }}
      />
      <div class="muted num histogram-note">{hv ? `${exact(hv.count)} between ${duration(hv.from)} and ${duration(hv.to)}` : onBrush ? 'Drag over a range to see its traces' : ' '}</div>
      <ChartTable
        of="Response times"
        head={['From', 'To', 'Calls', '']}
        names={['from_seconds', 'to_seconds', 'calls']}
        rows={() =>
          list
            .filter((b) => b.count > 0)
            .map((b) => ({
              values: [b.from, b.to, b.count],
              cells: [
                duration(b.from),
                duration(b.to),
                exact(b.count),
                onBrush && (
                  <button class="link" aria-label={`Traces between ${duration(b.from)} and ${duration(b.to)}`} onClick={() => onBrush(b.from, b.to)}>
                    traces
                  </button>
                ),
              ],
            }))
        }
      />
    </div>
  )
}

/** Rate by outcome and latency over time, drawn with uPlot, which is loaded when it is needed. */
export function Series({ points, period }: { points: readonly SeriesPoint[]; period: number }) {
  const frame = useRef<HTMLDivElement>(null)
  const size = useSize(frame)
  const data = useMemo(() => {
    const sorted = [...points].filter((p) => p.ServiceSummaryStatistics || p.EdgeSummaryStatistics).sort((a, b) => a.Timestamp - b.Timestamp)
    return sorted.map((p) => {
      const f = figures(p.EdgeSummaryStatistics ?? p.ServiceSummaryStatistics)
      return { t: p.Timestamp, rate: f.total / period, fault: f.fault / period, throttle: f.throttle / period, error: f.error / period, p50: quantile(p.ResponseTimeHistogram, 0.5), p95: quantile(p.ResponseTimeHistogram, 0.95) }
    })
  }, [points, period])
  useEffect(() => {
    if (size.width === 0 || data.length < 2) return
    let gone = false
    let plots: { destroy(): void }[] = []
    const draw = async () => {
      const { default: UPlot } = await import('uplot')
      if (gone || !frame.current) return
      for (const p of plots) p.destroy()
      const axis = { stroke: token('--faint'), grid: { stroke: token('--grid'), width: 1 }, ticks: { show: false }, font: `10.5px ${getComputedStyle(document.body).fontFamily}` }
      const sync = { key: 'node' }
      const tz = utc.peek() ? { tzDate: (ts: number) => UPlot.tzDate(new Date(ts * 1000), 'Etc/UTC') } : {}
      const make = (target: HTMLElement, series: { label: string; values: (number | null)[]; stroke: string; fill?: string }[], format: (v: number) => string) =>
        new UPlot(
          {
            width: size.width,
            height: 104,
            ...tz,
            cursor: { sync, points: { size: 6 } },
            legend: { show: false },
            padding: [8, 14, 0, 0], // half of the last time stands beyond the end
            scales: { y: { range: (_u: unknown, _min: number, max: number) => [0, Math.max(max * 1.1, 1e-6)] as [number, number] } },
            axes: [
              { ...axis, size: 24, space: 56, values: (_u: unknown, ts: number[]) => ts.map((t) => (ts.length > 1 && ts[1]! - ts[0]! >= 86_400 ? timeParts(t, utc.peek(), 0).date.slice(5) : timeParts(t, utc.peek(), 0).time.slice(0, 5))) },
              { ...axis, size: 52, space: 26, values: (_u: unknown, vs: number[]) => vs.map(format) },
            ],
            series: [{}, ...series.map((s) => ({ label: s.label, stroke: s.stroke, fill: s.fill, width: 1.6, points: { show: false } }))],
          } as unknown as ConstructorParameters<typeof UPlot>[0],
          [data.map((d) => d.t), ...series.map((s) => s.values)] as unknown as ConstructorParameters<typeof UPlot>[1],
          target,
        )
      const [a, b] = [...frame.current.querySelectorAll<HTMLElement>('.plot')]
      plots = [
        make(
          a!,
          [
            { label: 'calls', values: data.map((d) => d.rate), stroke: token('--accent'), fill: token('--accent-soft') },
            ...FAILURES.filter(([key]) => data.some((d) => d[key] > 0)).map(([key, label]) => ({ label, values: data.map((d) => d[key]), stroke: token(`--${key}`), fill: `color-mix(in srgb, ${token(`--${key}`)} 20%, transparent)` })),
          ],
          (v) => rate(v),
        ),
        make(
          b!,
          [
            { label: 'p95', values: data.map((d) => d.p95), stroke: token('--s3') },
            { label: 'p50', values: data.map((d) => d.p50), stroke: token('--s0') },
          ],
          (v) => duration(v),
        ),
      ]
    }
    const stop = effect(() => {
      void themeVersion.value
      void draw()
    })
    return () => {
      gone = true
      stop()
      for (const p of plots) p.destroy()
    }
  }, [data, size.width])
  if (data.length < 2) return <p class="muted">Lines need two minutes with calls.</p>
  const latest = data[data.length - 1]!
  return (
    <div ref={frame} class="series">
      <div class="series-head">
        <span class="key key-accent" /> calls {rate(latest.rate)}
        {FAILURES.map(([key, word]) => data.some((d) => d[key] > 0) && (
          <span key={key}>
            <span class={`key key-${key}`} /> {word} {rate(latest[key])}
          </span>
        ))}
      </div>
      <div class="plot" role="img" aria-label={`Calls over time, ${data.length} points; the latest is ${rate(latest.rate)}`} />
      <div class="series-head">
        <span class="key key-p95" /> p95 {duration(latest.p95)} <span class="key key-p50" /> p50 {duration(latest.p50)}
      </div>
      <div class="plot" role="img" aria-label={`Response times over time; the latest p50 is ${duration(latest.p50)}, p95 ${duration(latest.p95)}`} />
      <ChartTable
        of="Figures over time"
        head={['Time', 'Calls', 'Faults', 'Throttled', 'Errors', 'p50', 'p95']}
        names={['time', 'calls_per_second', 'faults_per_second', 'throttles_per_second', 'errors_per_second', 'p50_seconds', 'p95_seconds']}
        rows={() =>
          data.map((d) => {
            const t = timeParts(d.t, utc.value, 0)
            return { values: [new Date(d.t * 1000).toISOString(), d.rate, d.fault, d.throttle, d.error, d.p50, d.p95], cells: [`${d.t - data[0]!.t >= 86_400 ? `${t.date} ` : ''}${t.time}`, rate(d.rate), rate(d.fault), rate(d.throttle), rate(d.error), duration(d.p50), duration(d.p95)] }
          })
        }
      />
    </div>
  )
}
