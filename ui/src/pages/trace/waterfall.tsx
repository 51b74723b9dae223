// The waterfall and its minimap, painted on canvases. Only the rows in view are painted,
// so a hundred thousand of them scroll like ten.

import { effect, signal, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { duration, exact, span, timeParts } from '../../lib/format'
import { timeStep } from '../../lib/window'
import { gaps, idle, type Gap, type Pile } from '../../lib/siblings'
import { reveal } from '../../lib/reveal'
import { endOf, FLAG, pieceEnd, segmentDepths, type Columns } from '../../lib/trace'
import { change, param } from '../../lib/place'
import { localStorageGet, localStorageSet, prepare, PRINTED, printing, Status, themeVersion, token, useSize, utc } from '../../ui/parts'
import { useShortcuts } from '../../ui/keys'
import type { TraceState } from './state'

const ROW = 26
const RULER = 26
const INDENT = 13
/** On a slim screen, where names need the room more. */
const SLIM_INDENT = 7
/** Room that the name of a deep entry has at least. */
const LEAST_NAME = 130
const MINIMAP = 54
/** How much is left of the text of what does not match: enough to read it. */
const DIM_TEXT = 0.7
/** Browsers clip elements somewhere above 30 million pixels; so high may the list be. */
const TALLEST = 15_000_000

const share = signal(Math.min(0.7, Math.max(0.15, Number(localStorageGet('roentgen.names') ?? '') || 0.36)))

export function failureColour(flags: number): string | null {
  if (flags & FLAG.fault) return token('--fault')
  if (flags & FLAG.throttle) return token('--throttle')
  if (flags & FLAG.error) return token('--error')
  return null
}

/** One row in words, for people who do not see it. */
export function rowText(c: Columns, i: number, now: number, pile?: Pile | null): string {
  const f = c.flags[i]!
  if (pile) return `${pile.members.length} × ${[pile.name, pile.detail, `${duration(pile.seconds)} together`, pile.failed ? `${pile.failed} failed` : '', `level ${c.depth[i]! + 1}`].filter(Boolean).join(', ')}`
  const parts = [c.texts[c.name[i]!]!, c.texts[c.detail[i]!]!, Number.isNaN(c.end[i]!) ? 'in progress' : duration(endOf(c, i, now) - c.start[i]!), `starts at ${duration(c.start[i]!)}`, `level ${c.depth[i]! + 1}`]
  if (f & FLAG.fault) parts.push('fault')
  if (f & FLAG.throttle) parts.push('throttled')
  if (f & FLAG.error) parts.push('error')
  if (f & FLAG.orphan) parts.push('orphan')
  if (!Number.isNaN(c.wait[i]!)) parts.push(`waited ${duration(c.start[i]! - c.wait[i]!)} before it began`)
  if (c.trace[i]! > 0) parts.push('of a linked trace')
  return parts.filter(Boolean).join(', ')
}

export function fit(g: CanvasRenderingContext2D, text: string, width: number): string {
  if (width <= 8) return ''
  // Bidirectional controls and line breaks would spoil the row; a name stays a name.
  let t = text.length > 200 ? text.slice(0, 200) : text
  t = t.replace(/[\u0000-\u001f\u202a-\u202e\u2066-\u2069]/g, '·')
  if (g.measureText(t).width <= width) return t
  let low = 0
  let high = t.length
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (g.measureText(`${t.slice(0, middle)}…`).width <= width) low = middle
    else high = middle - 1
  }
  return low > 0 ? `${t.slice(0, low)}…` : ''
}

export function Waterfall({ trace }: { trace: TraceState }) {
  const frame = useRef<HTMLDivElement>(null)
  const scroller = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSize(frame)
  const top = useSignal(0)
  const brush = useSignal<[number, number] | null>(null)
  const cursor = useSignal<number | null>(null)
  const criticalOn = param('critical')
  const c = trace.columns.value!
  const rows = trace.rows.value
  const height = rows.length * ROW + 12
  const scale = height > TALLEST ? height / TALLEST : 1
  const viewHeight = Math.max(0, size.height - RULER)
  const slim = size.width < 560
  const names = Math.round(size.width * (slim ? 0.46 : share.value))
  const indent = slim ? SLIM_INDENT : INDENT
  /** How far from the left an entry of a depth stands; those that are very deep stand below each other, and say how deep they are. */
  const deepest = Math.max(0, Math.floor((names - LEAST_NAME) / indent))
  const leftOf = (depth: number) => 12 + Math.min(depth, deepest) * indent

  const rowOf = useMemo(() => {
    const map = new Int32Array(c.n).fill(-1)
    for (let r = 0; r < rows.length; r++) map[rows[r]!] = r
    return map
  }, [rows, c])

  /** Pieces of the critical path by entity. */
  const pieces = useMemo(() => {
    const map = new Map<number, [number, number][]>()
    for (let k = 0; k < c.critical.who.length; k++) {
      const i = c.critical.who[k]!
      const list = map.get(i)
      const piece: [number, number] = [c.critical.from[k]!, c.critical.to[k]!]
      if (list) list.push(piece)
      else map.set(i, [piece])
    }
    return map
  }, [c])

  const marks = param('gaps').value !== '0'
  const depths = useMemo(() => (param('segments').value === '1' ? segmentDepths(c) : c.depth), [c, param('segments').value])
  const gapsOf = useMemo(() => {
    const known = new Map<number, Gap[]>()
    return (i: number): Gap[] => {
      let list = known.get(i)
      if (!list || c.counts.inProgress > 0) {
        const least = (endOf(c, i) - c.start[i]!) * 0.02
        known.set(i, (list = gaps(c, i, trace.now.peek()).filter((g) => g.to - g.from > least)))
      }
      return list
    }
  }, [c])
  const idleTimes = useMemo(() => idle(c).filter((g) => g.to - g.from > c.span * 0.01), [c])
  const closedPile = (i: number): Pile | null => {
    const pile = trace.pileOf(i)
    return pile && !trace.openPiles.peek().has(pile.members[0]!) ? pile : null
  }

  function scrollToRow(i: number) {
    const r = rowOf[i]!
    const e = scroller.current
    if (!e || r === undefined || r < 0) return
    const at = e.scrollTop * scale
    const to = reveal(r * ROW, ROW, at, viewHeight)
    if (to !== at) e.scrollTop = to / scale
  }

  useEffect(() => {
    if (trace.selected.value >= 0) scrollToRow(trace.selected.value)
  }, [trace.selected.value, rowOf, viewHeight])

  useLayoutEffect(() => {
    let wanted = 0
    const stop = effect(() => {
      // Everything that a picture depends on is read here, and painted in the next frame.
      void [top.value, brush.value, cursor.value, trace.hover.value, trace.selected.value, trace.zoom.value, trace.matches.value, trace.now.value, trace.collapsed.value, trace.openPiles.value, themeVersion.value, share.value, criticalOn.value]
      if (!wanted)
        wanted = requestAnimationFrame(() => {
          wanted = 0
          paint()
        })
    })
    void document.fonts?.ready.then(() => paint())
    return () => {
      stop()
      cancelAnimationFrame(wanted)
    }
  }, [rows, c, size.width, size.height, names, marks])

  function paint() {
    const e = canvas.current
    if (!e || size.width === 0) return
    const g = prepare(e, size.width, size.height)
    const now = trace.now.peek()
    const [z0, z1] = trace.zoom.peek()
    const plot = size.width - names
    const x = (t: number) => names + ((t - z0) / (z1 - z0)) * (plot - 14) + 6
    const sans = `${getComputedStyle(document.body).fontFamily}`
    const matches = trace.matches.peek()
    const selected = trace.selected.peek()
    const hover = trace.hover.peek()
    const muted = token('--muted')
    const faint = token('--faint')
    const text = token('--text')
    const line = token('--line')

    // Grid and ruler.
    const step = timeStep(z1 - z0, Math.max(2, plot / 110))
    g.font = `11px ${sans}`
    g.textBaseline = 'middle'
    g.fillStyle = token('--surface')
    g.fillRect(0, 0, size.width, RULER)
    const idles = marks ? idleMarks() : []
    for (let t = Math.ceil(z0 / step - 1e-9) * step; t <= z1 + step * 1e-6; t += step) {
      const px = Math.round(x(t)) + 0.5
      g.fillStyle = token('--grid')
      g.fillRect(px - 0.5, RULER, 1, size.height)
      g.fillStyle = faint
      const label = t < step / 2 ? '0' : span(t)
      const w = g.measureText(label).width
      const covered = idles.some((m) => m.w > 0 && px + 4 < m.x + m.w + 8 && px + 4 + w > m.x - 8)
      if (px + 4 + w < size.width && !covered) g.fillText(label, px + 4, RULER / 2 + 0.5)
      g.fillStyle = line
      g.fillRect(px - 0.5, RULER - 6, 1, 6)
    }

    // Times in which nothing at all was under way.
    for (const m of idles) {
      g.save()
      g.globalAlpha = 0.5
      hatch(g, m.from, RULER, m.to - m.from, Math.min(size.height, rows.length * ROW + 12), token('--grid'))
      g.restore()
      g.fillStyle = muted
      if (m.w > 0) g.fillText(m.label, m.x, RULER / 2 + 0.5)
    }

    g.save()
    g.beginPath()
    g.rect(0, RULER, size.width, size.height - RULER)
    g.clip()
    const offset = top.peek() * scale
    const first = Math.max(0, Math.floor(offset / ROW))
    const last = Math.min(rows.length, Math.ceil((offset + viewHeight) / ROW) + 1)
    for (let r = first; r < last; r++) {
      const i = rows[r]!
      const y = RULER + r * ROW - offset
      const flags = c.flags[i]!
      const start = c.start[i]!
      const end = endOf(c, i, now)
      const running = Number.isNaN(c.end[i]!)
      const dim = matches !== null && !matches[i]
      const service = c.services[c.service[i]!]!
      const colour = token(`--s${service.colour}`)
      const bad = failureColour(flags)
      if (i === selected) {
        g.fillStyle = token('--select')
        g.fillRect(0, y, size.width, ROW)
        g.fillStyle = token('--accent')
        g.fillRect(0, y, 3, ROW)
      } else if (i === hover) {
        g.fillStyle = token('--hover')
        g.fillRect(0, y, size.width, ROW)
      }
      if (matches && matches[i] && i !== selected) {
        g.fillStyle = token('--accent-soft')
        g.fillRect(0, y, size.width, ROW)
      }
      g.globalAlpha = dim ? DIM_TEXT : 1

      // Names, with lines that tie children to their parents.
      const left = leftOf(depths[i]!)
      const pile = trace.pileOf(i)
      const folded = pile !== null && closedPile(i) !== null
      const heads = pile !== null && (folded || pile.members[0] === i)
      g.save()
      g.beginPath()
      g.rect(0, y, names - 6, ROW)
      g.clip()
      g.strokeStyle = line
      g.lineWidth = 1
      for (let gx = 17.5; gx < left; gx += indent) {
        g.beginPath()
        g.moveTo(gx, y)
        g.lineTo(gx, y + ROW)
        g.stroke()
      }
      if (folded || (c.last[i]! > i + 1 && hasRowBelow(i))) {
        const closed = folded || trace.collapsed.peek().has(i)
        g.fillStyle = muted
        g.beginPath()
        if (closed) {
          g.moveTo(left + 3, y + ROW / 2 - 4)
          g.lineTo(left + 8, y + ROW / 2)
          g.lineTo(left + 3, y + ROW / 2 + 4)
        } else {
          g.moveTo(left + 1, y + ROW / 2 - 2)
          g.lineTo(left + 9, y + ROW / 2 - 2)
          g.lineTo(left + 5, y + ROW / 2 + 3)
        }
        g.fill()
      }
      let tx = left + 15
      g.fillStyle = colour
      round(g, tx, y + ROW / 2 - 4.5, 9, 9, flags & FLAG.segment ? 3 : 4.5)
      if (flags & FLAG.segment) g.fill()
      else {
        g.lineWidth = 1.6
        g.strokeStyle = colour
        g.stroke()
      }
      tx += 15
      if (heads) {
        // How many there are, to be clicked.
        g.font = `600 11px ${sans}`
        const label = `${pile.members.length} ×`
        const w = g.measureText(label).width + 10
        g.fillStyle = token('--accent-soft')
        round(g, tx, y + 5, w, ROW - 10, 8)
        g.fill()
        g.fillStyle = token('--accent')
        g.fillText(label, tx + 5, y + ROW / 2 + 0.5)
        tx += w + 6
      }
      if (depths[i]! > deepest) {
        g.font = `500 10px ${sans}`
        g.fillStyle = faint
        const label = String(depths[i]! + 1)
        g.fillText(label, tx, y + ROW / 2 + 0.5)
        tx += g.measureText(label).width + 6
      }
      if (c.trace[i]! > 0 && (c.parent[i]! < 0 || c.trace[c.parent[i]!] !== c.trace[i])) {
        chain(g, tx, y + ROW / 2, token('--accent'))
        tx += 18
      }
      if (bad) {
        glyph(g, flags, tx + 5, y + ROW / 2, bad)
        tx += 16
      }
      g.font = `${flags & FLAG.segment ? 600 : 450} 12.5px ${sans}`
      g.fillStyle = bad && flags & FLAG.fault ? token('--fault-text') : text
      let name = c.texts[c.name[i]!]!
      if (flags & FLAG.inferred) name = service.name
      const room = names - 14 - tx
      const shown = fit(g, name, room)
      g.fillText(shown, tx, y + ROW / 2 + 0.5)
      const used = g.measureText(shown).width
      const detail = c.texts[c.detail[i]!]!
      if (detail && room - used > 30) {
        g.font = `400 12px ${sans}`
        g.fillStyle = faint
        g.fillText(fit(g, detail, room - used - 8), tx + used + 8, y + ROW / 2 + 0.5)
      }
      g.restore()

      // Waiting between the call and what answers it.
      if (marks && c.wait[i]! < start && !folded) {
        const a = Math.max(names, x(c.wait[i]!))
        const b = Math.min(size.width, x(start))
        if (b - a > 2) {
          const middle = Math.round(y + ROW / 2) - 0.5
          g.strokeStyle = muted
          g.lineWidth = 1.5
          g.setLineDash([2, 3])
          g.beginPath()
          g.moveTo(a, middle)
          g.lineTo(b, middle)
          g.stroke()
          g.setLineDash([])
          g.beginPath()
          g.moveTo(a, middle - 4)
          g.lineTo(a, middle + 4)
          g.stroke()
          g.font = `450 11px ${sans}`
          const label = `waited ${duration(start - c.wait[i]!)}`
          const w = g.measureText(label).width
          if (w + 16 < b - a) {
            g.fillStyle = token('--bg')
            g.fillRect((a + b - w) / 2 - 4, y + 4, w + 8, ROW - 8)
            g.fillStyle = muted
            g.fillText(label, (a + b - w) / 2, y + ROW / 2 + 0.5)
          }
        }
      }

      // The bar.
      if (folded) pileBars(pile, y, dim)
      else if (end >= z0 && start <= z1) {
        const a = Math.max(names, x(Math.max(start, z0 - (z1 - z0))))
        const b = Math.min(size.width + 4, x(Math.min(end, z1 + (z1 - z0))))
        const w = Math.max(2, b - a)
        const h = flags & FLAG.segment ? 12 : 8
        const by = y + (ROW - h) / 2
        g.save()
        g.beginPath()
        g.rect(names, y, plot, ROW)
        g.clip()
        g.fillStyle = colour
        g.globalAlpha = (dim ? 0.3 : 1) * (flags & FLAG.inferred ? 0.5 : 1)
        round(g, a, by, w, h, Math.min(3, w / 2))
        if (running) {
          const fade = g.createLinearGradient(a, 0, b, 0)
          fade.addColorStop(0, colour)
          fade.addColorStop(1, token('--busy'))
          g.fillStyle = fade
        }
        g.fill()
        if (marks && c.last[i]! > i + 1) {
          // Where no child was under way the bar is hollow.
          g.globalAlpha = dim ? 0.3 : 0.68
          g.fillStyle = token('--bg')
          for (const gap of gapsOf(i)) {
            const ga = Math.max(a + 1, x(gap.from) + (gap.from > start ? 0 : 1))
            const gb = Math.min(b - 1, x(gap.to))
            if (gb - ga >= 3) g.fillRect(ga, by + 2, gb - ga, h - 4)
          }
          g.globalAlpha = dim ? 0.3 : 1
        }
        if (flags & FLAG.orphan) hatch(g, a, by, w, h, token('--bg'))
        if (bad) {
          g.fillStyle = bad
          g.fillRect(a, by + h + 1, w, 2.5)
        }
        if (running) {
          g.fillStyle = token('--busy')
          g.beginPath()
          g.arc(b, by + h / 2, 3.5 + 1.2 * Math.sin(now * 5), 0, 7)
          g.fill()
        }
        const path = pieces.get(i)
        if (path && !dim) {
          g.globalAlpha = 1
          g.fillStyle = token('--critical')
          for (const [from, to] of path) {
            const pa = x(Math.max(from, z0))
            const pb = x(Math.min(pieceEnd(c, i, to, now), z1))
            if (pb > pa) g.fillRect(pa, by - 3, Math.max(1, pb - pa), 2)
          }
        }
        g.globalAlpha = dim ? DIM_TEXT : 1
        g.font = `450 11px ${sans}`
        g.fillStyle = muted
        const label = running ? `${duration(end - start)}…` : duration(end - start)
        const lw = g.measureText(label).width
        if (b + 7 + lw < size.width - 4) g.fillText(label, Math.max(b + 7, names + 4), y + ROW / 2 + 0.5)
        else if (a - 7 - lw > names + 4) {
          if (marks && c.wait[i]! < start) {
            g.fillStyle = token('--bg')
            g.fillRect(a - 10 - lw, y + 4, lw + 6, ROW - 8) // the line of the waiting is there
            g.fillStyle = muted
          }
          g.fillText(label, a - 7 - lw, y + ROW / 2 + 0.5)
        }
        else if (w > lw + 20) {
          // Neither side has room: on the bar, in the colour of the page, or on a piece of the page.
          const lx = Math.min(b, size.width) - lw - (h >= 11 ? 6 : 14)
          if (dim || h < 11) {
            g.globalAlpha = 1
            g.fillStyle = token('--bg')
            round(g, lx - 4, y + 5, lw + 8, ROW - 10, 4)
            g.fill()
            g.globalAlpha = dim ? DIM_TEXT : 1
            g.fillStyle = muted
          } else {
            g.fillStyle = running ? token('--busy') : colour
            g.fillRect(lx - 3, by + 1, lw + 6, h - 2) // a gap may be hollow there
            g.fillStyle = token('--bg')
          }
          g.fillText(label, lx, y + ROW / 2 + 0.5)
        }
        g.restore()
      } else {
        // It lies outside of the part that is shown: an arrow says on which side.
        g.fillStyle = faint
        g.beginPath()
        const px = end < z0 ? names + 6 : size.width - 8
        const d = end < z0 ? -1 : 1
        g.moveTo(px, y + ROW / 2 - 4)
        g.lineTo(px + 4 * d, y + ROW / 2)
        g.lineTo(px, y + ROW / 2 + 4)
        g.fill()
      }
      g.globalAlpha = 1
    }
    g.restore()

    /** Where nothing is under way, and where the ruler says it: there are no figures of its own there. */
    function idleMarks() {
      return idleTimes.flatMap((gap) => {
        const from = Math.max(names, x(gap.from))
        const to = Math.min(size.width, x(gap.to))
        if (to - from < 4) return []
        const label = `nothing for ${duration(gap.to - gap.from)}`
        const w = g.measureText(label).width
        return [{ from, to, label, x: (from + to - w) / 2, w: w + 34 < to - from ? w : 0 }]
      })
    }

    /** The bars of all members on one line, and how long they took together. */
    function pileBars(pile: Pile, y: number, dim: boolean) {
      const members = pile.members
      const step = Math.max(1, Math.floor(members.length / 2000))
      const by = y + ROW / 2 - 4
      let far = names
      g.save()
      g.beginPath()
      g.rect(names, y, plot, ROW)
      g.clip()
      g.globalAlpha = dim ? 0.3 : 0.8
      for (let m = 0; m < members.length; m += step) {
        const k = members[m]!
        const a = x(c.start[k]!)
        const b = Math.max(a + 1.5, x(endOf(c, k, now)) - 0.5)
        if (b < names || a > size.width) continue
        g.fillStyle = failureColour(c.flags[k]!) ?? token(`--s${c.services[c.service[k]!]!.colour}`)
        g.fillRect(a, by, b - a, 8)
        far = Math.max(far, b)
      }
      g.globalAlpha = dim ? DIM_TEXT : 1
      g.font = `450 11px ${sans}`
      g.fillStyle = muted
      const label = `${duration(pile.seconds)} together`
      const w = g.measureText(label).width
      if (far + 7 + w < size.width - 4) g.fillText(label, far + 7, y + ROW / 2 + 0.5)
      g.restore()
    }

    g.fillStyle = line
    g.fillRect(names - 1, 0, 1, size.height)
    g.fillRect(0, RULER - 1, size.width, 1)
    const b = brush.peek()
    if (b) {
      g.fillStyle = token('--accent-soft')
      g.fillRect(Math.min(b[0], b[1]), 0, Math.abs(b[1] - b[0]), size.height)
    }
    const cx = cursor.peek()
    if (cx !== null && cx > names) {
      g.fillStyle = token('--accent')
      g.globalAlpha = 0.5
      g.fillRect(Math.round(cx), 0, 1, size.height)
      g.globalAlpha = 1
      const label = duration(z0 + ((cx - names - 6) / (plot - 14)) * (z1 - z0))
      g.font = `600 11px ${sans}`
      const w = g.measureText(label).width + 10
      const lx = Math.min(cx + 1, size.width - w)
      g.fillStyle = token('--accent')
      round(g, lx, 4, w, 17, 4)
      g.fill()
      g.fillStyle = token('--on-accent')
      g.fillText(label, lx + 5, 13)
    }
  }

  function hasRowBelow(i: number): boolean {
    if (closedPile(i)) return false
    const r = rowOf[i]!
    if (trace.collapsed.peek().has(i)) return true
    return r + 1 < rows.length && rows[r + 1]! < c.last[i]!
  }

  const timeAt = (px: number) => {
    const [z0, z1] = trace.zoom.peek()
    return z0 + ((px - names - 6) / (size.width - names - 14)) * (z1 - z0)
  }
  const rowAt = (clientY: number): number => {
    const box = frame.current!.getBoundingClientRect()
    const y = clientY - box.top - RULER
    if (y < 0) return -1
    return rows[Math.floor((y + (scroller.current?.scrollTop ?? 0) * scale) / ROW)] ?? -1
  }

  const drag = useRef<{ kind: 'brush' | 'split'; from: number; moved: boolean } | null>(null)
  function onPointerDown(event: PointerEvent) {
    if (event.button !== 0) return
    const box = frame.current!.getBoundingClientRect()
    const x = event.clientX - box.left
    if (x > scroller.current!.clientWidth) return // the scroll bar
    if (Math.abs(x - names) < 5) drag.current = { kind: 'split', from: x, moved: false }
    else if (x > names && event.pointerType === 'mouse') drag.current = { kind: 'brush', from: x, moved: false }
    if (drag.current) frame.current!.setPointerCapture(event.pointerId)
  }
  function onPointerMove(event: PointerEvent) {
    const box = frame.current!.getBoundingClientRect()
    const x = event.clientX - box.left
    const d = drag.current
    if (d?.kind === 'split') {
      share.value = Math.min(0.7, Math.max(0.15, x / size.width))
      d.moved = true
    } else if (d?.kind === 'brush') {
      if (Math.abs(x - d.from) > 4) d.moved = true
      if (d.moved) brush.value = [Math.max(names, d.from), Math.max(names, x)]
    }
    trace.hover.value = rowAt(event.clientY)
    cursor.value = x > names ? x : null
    frame.current!.style.cursor = Math.abs(x - names) < 5 ? 'col-resize' : x > names && event.clientY - box.top < RULER ? 'ew-resize' : trace.hover.value >= 0 ? 'pointer' : 'default'
  }
  function onPointerUp(event: PointerEvent) {
    const d = drag.current
    drag.current = null
    if (d?.kind === 'split') localStorageSet('roentgen.names', share.value.toFixed(3))
    if (d?.kind === 'brush' && d.moved && brush.value) {
      trace.setZoom(timeAt(brush.value[0]), timeAt(brush.value[1]))
      brush.value = null
      return
    }
    brush.value = null
    if (d?.moved) return
    const i = rowAt(event.clientY)
    if (i < 0) return
    const box = frame.current!.getBoundingClientRect()
    const x = event.clientX - box.left
    const left = leftOf(depths[i]!)
    const pile = trace.pileOf(i)
    const onChevron = x >= left - 3 && x < left + 14
    if (pile && (closedPile(i) ? onChevron || (x > left + 28 && x < left + 76) : pile.members[0] === i && x > left + 28 && x < left + 76)) trace.togglePile(pile.members[0]!)
    else if (onChevron && c.last[i]! > i + 1) trace.toggle(i)
    else if (closedPile(i)) change({ entry: c.ids[i]! }, { replace: true }) // not opened by being looked at
    else trace.select(i)
    scroller.current?.focus({ preventScroll: true })
  }
  function onWheel(event: WheelEvent) {
    if (!(event.ctrlKey || event.metaKey)) {
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) * 1.5) {
        const [a, b] = trace.zoom.peek()
        const shift = ((b - a) * event.deltaX) / 600
        const s = Math.max(-a, Math.min(trace.span.peek() - b, shift))
        if (s !== 0) trace.setZoom(a + s, b + s)
        event.preventDefault()
      }
      return
    }
    event.preventDefault()
    const box = frame.current!.getBoundingClientRect()
    zoomBy(Math.exp(event.deltaY * 0.002), timeAt(Math.max(names, event.clientX - box.left)))
  }
  function zoomBy(factor: number, around?: number) {
    const [a, b] = trace.zoom.peek()
    const t = around ?? (a + b) / 2
    trace.setZoom(t - (t - a) * factor, t + (b - t) * factor)
  }
  function pan(part: number) {
    const [a, b] = trace.zoom.peek()
    const shift = Math.max(-a, Math.min(trace.span.peek() - b, (b - a) * part))
    if (shift !== 0) trace.setZoom(a + shift, b + shift)
  }
  useEffect(() => {
    const e = frame.current!
    e.addEventListener('wheel', onWheel, { passive: false })
    return () => e.removeEventListener('wheel', onWheel)
  }, [names, size.width])

  const goTo = (r: number) => change({ entry: c.ids[rows[r]!]! }, { replace: true }) // it has a row: nothing needs to be opened
  const move = (by: number) => {
    if (rows.length === 0) return
    const at = trace.selected.peek() >= 0 ? rowOf[trace.selected.peek()]! : -1
    goTo(at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by)))
  }
  useShortcuts(
    () => ({
      title: 'Waterfall',
      shortcuts: [
        { keys: ['j', 'ArrowDown'], what: 'Next entry', run: () => move(1) },
        { keys: ['k', 'ArrowUp'], what: 'Previous entry', run: () => move(-1) },
        { keys: ['PageDown'], what: 'A page down', run: () => move(Math.max(1, Math.floor(viewHeight / ROW) - 1)) },
        { keys: ['PageUp'], what: 'A page up', run: () => move(-Math.max(1, Math.floor(viewHeight / ROW) - 1)) },
        { keys: ['Home'], what: 'First entry', run: () => rows.length > 0 && goTo(0) },
        { keys: ['End'], what: 'Last entry', run: () => rows.length > 0 && goTo(rows.length - 1) },
        {
          keys: ['l', 'ArrowRight'],
          what: 'Open the entry, or go into it',
          run: () => {
            const i = trace.selected.peek()
            if (i < 0) return move(1)
            if (closedPile(i)) trace.togglePile(i, true)
            else if (trace.collapsed.peek().has(i)) trace.toggle(i, false)
            else if (hasRowBelow(i)) move(1)
          },
        },
        {
          keys: ['h', 'ArrowLeft'],
          what: 'Close the entry, or go to what called it',
          run: () => {
            const i = trace.selected.peek()
            if (i < 0) return
            if (c.last[i]! > i + 1 && !trace.collapsed.peek().has(i) && hasRowBelow(i)) trace.toggle(i, true)
            else if (trace.pileOf(i) && !closedPile(i)) {
              const first = trace.pileOf(i)!.members[0]!
              trace.togglePile(i, false)
              change({ entry: c.ids[first]! }, { replace: true })
            } else if (c.parent[i]! >= 0) trace.select(c.parent[i]!)
          },
        },
        {
          keys: ['f'],
          what: 'Zoom to the entry',
          run: () => {
            const i = trace.selected.peek()
            if (i < 0) return
            const a = c.start[i]!
            const b = endOf(c, i, trace.now.peek())
            const margin = (b - a) * 0.08
            trace.setZoom(a - margin, b + margin)
          },
        },
        { keys: ['+', '='], what: 'Zoom in', run: () => zoomBy(0.6) },
        { keys: ['-'], what: 'Zoom out', run: () => zoomBy(1 / 0.6) },
        { keys: ['0'], what: 'Show all of it', run: () => trace.setZoom(0, trace.span.peek()) },
        { keys: ['Shift+ArrowRight', '>'], what: 'Later', run: () => pan(0.25) },
        { keys: ['Shift+ArrowLeft', '<'], what: 'Earlier', run: () => pan(-0.25) },
        { keys: ['1', '2', '3', '4', '5'], what: 'Open so many levels', run: (e) => trace.collapseTo(Number(e.key)) },
        { keys: ['9'], what: 'Open all levels', run: () => trace.collapseTo(0) },
        { keys: ['p'], what: 'Pile up what repeats, or not', run: () => change({ piles: param('piles').peek() !== '1' }, { replace: true }) },
        { keys: ['s'], what: 'Only segments, or all', run: () => change({ segments: param('segments').peek() !== '1' }, { replace: true }) },
        { keys: ['c'], what: 'Only the critical path', run: () => change({ critical: !criticalOn.peek() }) },
        { keys: [']'], what: 'Next failure', run: () => trace.nextFailure(1) },
        { keys: ['['], what: 'Previous failure', run: () => trace.nextFailure(-1) },
      ],
    }),
    [rows, rowOf, viewHeight, c],
  )

  const at = trace.selected.value
  return (
    <div class="waterfall">
      {printing.value && <Printed trace={trace} pile={closedPile} />}
      <Minimap trace={trace} left={names} />
      <div class="waterfall-frame" ref={frame} onPointerDown={onPointerDown} onPointerMove={onPointerMove} onPointerUp={onPointerUp} onPointerLeave={() => ((trace.hover.value = -1), (cursor.value = null))} onDblClick={() => trace.setZoom(0, trace.span.peek())}>
        <canvas ref={canvas} class="waterfall-canvas" style={{ width: `${size.width}px`, height: `${size.height}px` }} aria-hidden="true" />
        <div
          class="waterfall-scroll"
          data-scroll
          ref={scroller}
          tabIndex={0}
          role="listbox"
          aria-label={`Waterfall of ${rows.length} entries. The list view has the same as a table.`}
          aria-activedescendant={at >= 0 ? 'waterfall-active' : undefined}
          style={{ top: `${RULER}px` }}
          onScroll={(e) => (top.value = e.currentTarget.scrollTop)}
        >
          <div style={{ height: `${height / scale}px` }}>
            {at >= 0 && (
              <div id="waterfall-active" class="hidden-visually" role="option" aria-selected="true" aria-setsize={rows.length} aria-posinset={rowOf[at]! + 1}>
                {rowText(c, at, trace.now.peek(), closedPile(at))}
              </div>
            )}
            {at < 0 && rows.length > 0 && (
              <div class="hidden-visually" role="option" aria-selected="false" aria-setsize={rows.length} aria-posinset={1}>
                {rowText(c, rows[0]!, 0, closedPile(rows[0]!))}
              </div>
            )}
          </div>
        </div>
      </div>
    </div>
  )
}

/** The waterfall for paper: as a table, which goes on over pages where a canvas ends. */
function Printed({ trace, pile }: { trace: TraceState; pile: (i: number) => Pile | null }) {
  const c = trace.columns.value!
  const rows = trace.rows.value
  const [from, to] = trace.zoom.value
  const x = (t: number) => Math.min(1000, Math.max(0, ((t - from) / (to - from)) * 1000))
  const now = trace.now.peek()
  const began = timeParts(c.t0, utc.value)
  return (
    <table class="printed">
      <caption>
        <code>{c.id}</code> · {began.date} {began.time} {began.zone}
        {rows.length > PRINTED && ` · the first ${exact(PRINTED)} of ${exact(rows.length)} entries`}
      </caption>
      <thead>
        <tr>
          <th>Entry</th>
          <th class="printed-bars">
            {duration(from)} to {duration(to)}
          </th>
          <th class="right">Duration</th>
          <th>Status</th>
        </tr>
      </thead>
      <tbody>
        {Array.from(rows.subarray(0, PRINTED), (i) => {
          const f = c.flags[i]!
          const p = pile(i)
          const [a, b] = [x(c.start[i]!), x(endOf(c, i, now))]
          return (
            <tr key={i}>
              <td>
                <div style={{ paddingLeft: `min(${Math.min(c.depth[i]!, 24) * 10}px, 30%)` }}>
                  {p && `${p.members.length} × `}
                  {f & FLAG.segment ? <b><bdi>{c.texts[c.name[i]!]}</bdi></b> : <bdi>{c.texts[c.name[i]!]}</bdi>} <bdi class="muted">{c.texts[c.detail[i]!]}</bdi>
                </div>
              </td>
              <td class="printed-bars">
                <svg width="100%" height="10" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
                  {(p ? p.members.slice(0, 500) : [i]).map((m) => (
                    <rect key={m} x={Math.min(997, x(c.start[m]!))} width={Math.max(3, x(endOf(c, m, now)) - x(c.start[m]!))} height="10" style={{ fill: `var(--s${c.services[c.service[m]!]!.colour})` }} />
                  ))}
                  {!p && b > a && <rect x={a} y="8" width={b - a} height="2" style={{ fill: failureColour(f) ?? 'none' }} />}
                </svg>
              </td>
              <td class="right num">{duration(p ? p.seconds : endOf(c, i, now) - c.start[i]!)}</td>
              <td>{f & (FLAG.fault | FLAG.error | FLAG.throttle | FLAG.inProgress) ? <Status fault={(f & FLAG.fault) !== 0} error={(f & FLAG.error) !== 0} throttle={(f & FLAG.throttle) !== 0} busy={(f & FLAG.inProgress) !== 0} /> : null}</td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

/** The whole trace in small, with the part that is shown. Drag to choose another. */
function Minimap({ trace, left }: { trace: TraceState; left: number }) {
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const picture = useRef<OffscreenCanvas | HTMLCanvasElement | null>(null)
  const size = useSize(frame)
  const c = trace.columns.value!
  const rows = trace.rows.value
  const drag = useRef<{ kind: 'new' | 'move' | 'from' | 'to'; at: number; zoom: [number, number] } | null>(null)

  // The bars are painted once per trace and size; the window above them moves.
  useLayoutEffect(() => {
    picture.current = null
  }, [c, rows, size.width])

  useLayoutEffect(() => {
    let wanted = 0
    const stop = effect(() => {
      void [trace.zoom.value, trace.now.value, themeVersion.value, trace.selected.value, trace.matches.value]
      if (trace.columns.value!.counts.inProgress > 0) picture.current = null
      if (!wanted)
        wanted = requestAnimationFrame(() => {
          wanted = 0
          paint()
        })
    })
    return () => {
      stop()
      cancelAnimationFrame(wanted)
    }
  }, [c, rows, size.width])

  const version = useRef(-1)
  function paint() {
    const e = canvas.current
    if (!e || size.width === 0) return
    if (version.current !== themeVersion.peek()) {
      version.current = themeVersion.peek()
      picture.current = null
    }
    const g = prepare(e, size.width, MINIMAP)
    const span = trace.span.peek()
    const x = (t: number) => 6 + (t / span) * (size.width - 14)
    if (!picture.current) {
      const p = document.createElement('canvas')
      const pg = prepare(p, size.width, MINIMAP)
      const visibleRows = Math.max(1, rows.length)
      const rowHeight = Math.min(4, (MINIMAP - 10) / visibleRows)
      const now = trace.now.peek()
      // Many rows fall on one line of pixels; failures are painted last so that they show.
      for (const failures of [false, true]) {
        for (let r = 0; r < rows.length; r++) {
          const i = rows[r]!
          const bad = failureColour(c.flags[i]!)
          if ((bad !== null) !== failures) continue
          const y = 5 + r * rowHeight
          pg.fillStyle = bad ?? token(`--s${c.services[c.service[i]!]!.colour}`)
          pg.globalAlpha = failures ? 1 : 0.85
          pg.fillRect(x(c.start[i]!), y, Math.max(1, x(endOf(c, i, now)) - x(c.start[i]!)), Math.max(1, rowHeight - (rowHeight > 2 ? 1 : 0)))
        }
      }
      picture.current = p
    }
    g.drawImage(picture.current, 0, 0, size.width, MINIMAP)
    const [a, b] = trace.zoom.peek()
    if (a > 0 || b < span) {
      g.fillStyle = token('--bg')
      g.globalAlpha = 0.66
      g.fillRect(0, 0, x(a), MINIMAP)
      g.fillRect(x(b), 0, size.width - x(b), MINIMAP)
      g.globalAlpha = 1
      g.fillStyle = token('--accent')
      for (const t of [a, b]) {
        g.fillRect(Math.round(x(t)) - 0.5, 0, 1.5, MINIMAP)
        round(g, x(t) - 3, MINIMAP / 2 - 9, 6, 18, 3)
        g.fill()
      }
    }
  }

  const time = (event: PointerEvent) => {
    const box = frame.current!.getBoundingClientRect()
    return ((event.clientX - box.left - 6) / (size.width - 14)) * trace.span.peek()
  }
  return (
    <div class="minimap-line">
      <div class="minimap-left ellipsis" style={{ width: `${left}px` }}>
        <span class="muted">{rows.length === c.n ? `${c.n} entries` : `${rows.length} of ${c.n} entries`}</span>
      </div>
      <div
        class="minimap"
        ref={frame}
        role="img"
        aria-label="The whole trace in small; drag to zoom, double-click to see all"
        onPointerDown={(event) => {
          const t = time(event)
          const zoom = trace.zoom.peek()
          const px = trace.span.peek() / size.width
          const zoomed = zoom[0] > 0 || zoom[1] < trace.span.peek()
          const kind = zoomed && Math.abs(t - zoom[0]) < px * 7 ? 'from' : zoomed && Math.abs(t - zoom[1]) < px * 7 ? 'to' : zoomed && t > zoom[0] && t < zoom[1] ? 'move' : 'new'
          drag.current = { kind, at: t, zoom }
          frame.current!.setPointerCapture(event.pointerId)
        }}
        onPointerMove={(event) => {
          const d = drag.current
          if (!d) return
          const t = time(event)
          if (d.kind === 'from') trace.setZoom(Math.min(t, d.zoom[1]), d.zoom[1])
          else if (d.kind === 'to') trace.setZoom(d.zoom[0], Math.max(t, d.zoom[0]))
          else if (d.kind === 'move') {
            const shift = Math.max(-d.zoom[0], Math.min(trace.span.peek() - d.zoom[1], t - d.at))
            trace.setZoom(d.zoom[0] + shift, d.zoom[1] + shift)
          } else if (Math.abs(t - d.at) > (trace.span.peek() / size.width) * 4) trace.setZoom(d.at, t)
        }}
        onPointerUp={() => (drag.current = null)}
        onDblClick={() => trace.setZoom(0, trace.span.peek())}
      >
        <canvas ref={canvas} style={{ width: `${size.width}px`, height: `${MINIMAP}px` }} />
      </div>
    </div>
  )
}

export function round(g: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, r: number) {
  g.beginPath()
  g.roundRect(x, y, w, h, r)
}

/** The shape of a failure: octagon, hourglass or triangle, so that colour is not all there is. */
export function glyph(g: CanvasRenderingContext2D, flags: number, x: number, y: number, colour: string) {
  g.fillStyle = colour
  g.beginPath()
  if (flags & FLAG.fault) {
    for (let k = 0; k < 8; k++) {
      const a = (Math.PI / 4) * k + Math.PI / 8
      g.lineTo(x + 5.6 * Math.cos(a), y + 5.6 * Math.sin(a))
    }
  } else if (flags & FLAG.throttle) {
    g.moveTo(x - 5, y - 5)
    g.lineTo(x + 5, y - 5)
    g.lineTo(x - 5, y + 5)
    g.lineTo(x + 5, y + 5)
  } else {
    g.moveTo(x, y - 5.5)
    g.lineTo(x + 6, y + 5)
    g.lineTo(x - 6, y + 5)
  }
  g.fill()
  if (flags & FLAG.throttle) return
  g.fillStyle = token('--surface')
  g.fillRect(x - 0.8, y - 2.8, 1.6, 3.6)
  g.fillRect(x - 0.8, y + 1.8, 1.6, 1.6)
}

/** Two links of a chain: from here on it is another trace. */
function chain(g: CanvasRenderingContext2D, x: number, y: number, colour: string) {
  g.strokeStyle = colour
  g.lineWidth = 1.5
  round(g, x, y - 2.5, 8, 5, 2.5)
  g.stroke()
  round(g, x + 5, y - 2.5, 8, 5, 2.5)
  g.stroke()
}

function hatch(g: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, colour: string) {
  g.save()
  g.beginPath()
  g.rect(x, y, w, h)
  g.clip()
  g.strokeStyle = colour
  g.globalAlpha = 0.55
  g.lineWidth = 2
  for (let k = x - h; k < x + w; k += 6) {
    g.beginPath()
    g.moveTo(k, y + h)
    g.lineTo(k + h, y)
    g.stroke()
  }
  g.restore()
}

