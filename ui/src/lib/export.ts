// A trace as one HTML file: waterfall, figures and documents, that opens anywhere without
// a server, and without a script.

import { describe, FLAG, type Columns, type Entity } from './trace'
import { duration, timeParts } from './format'

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

const COLOURS = ['#3d7fdc', '#14948a', '#b8860b', '#7f5fd6', '#cc4f82', '#5b9624', '#1591c0', '#a56c3e', '#6b7890', '#a24bbd', '#2f4b9c', '#9aa81a', '#8f3f6a', '#4d7c74']

/** Entries that a file shows one by one; what a person scrolls through. */
const MOST = 5000

export function traceHTML(c: Columns, entityOf: (i: number) => Entity, link: string): string {
  const t = timeParts(c.t0, true)
  const span = Math.max(c.span, 1e-9)
  const rows: string[] = []
  for (let i = 0; i < c.n && rows.length < MOST; i++) {
    if (c.flags[i]! & FLAG.inferred && c.parent[i]! >= 0) continue
    const f = c.flags[i]!
    const end = Number.isNaN(c.end[i]!) ? c.span : c.end[i]!
    const { subsegments: _, ...own } = entityOf(i)
    const state = f & FLAG.fault ? 'fault' : f & FLAG.throttle ? 'throttled' : f & FLAG.error ? 'error' : f & FLAG.inProgress ? 'in progress' : ''
    const json = JSON.stringify(own, null, 2)
    rows.push(
      `<details><summary><span class="n" style="padding-left:${Math.min(c.depth[i]!, 30) * 14}px"><b>${escape(c.texts[c.name[i]!]!)}</b> <i>${escape(describe(own).slice(0, 120))}</i>${state ? ` <em class="${state.replace(' ', '-')}">${state}</em>` : ''}</span>` +
        `<span class="t"><span class="b" style="left:${((c.start[i]! / span) * 100).toFixed(3)}%;width:${Math.max(0.15, ((end - c.start[i]!) / span) * 100).toFixed(3)}%;background:${COLOURS[c.services[c.service[i]!]!.colour]}"></span></span>` +
        `<span class="d">${duration(end - c.start[i]!)}</span></summary><pre>${escape(json.length > 200_000 ? `${json.slice(0, 200_000)}\n…` : json)}</pre></details>`,
    )
  }
  const title = `${c.texts[c.name[0] ?? 0] ?? 'Trace'} ${c.id}`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-size:1.3rem;margin:0}
p{color:#777;margin:.2rem 0 1rem}
summary{display:grid;grid-template-columns:minmax(12rem,38%) 1fr 6rem;gap:1rem;align-items:center;padding:.15rem 0;cursor:pointer;list-style:none;border-bottom:1px solid #8883}
summary:hover{background:#8881}
.n{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.n i{font-style:normal;color:#888}
.t{position:relative;height:1rem}
.b{position:absolute;top:.15rem;height:.7rem;border-radius:3px;min-width:2px}
.d{text-align:right;font-variant-numeric:tabular-nums}
em{font-style:normal;font-size:.8em;border-radius:9px;padding:0 .5em;background:#8883}
em.fault{background:#d9293f;color:#fff} em.error{background:#d08300;color:#000} em.throttled{background:#7b4fd6;color:#fff}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;padding:.8rem;background:#8881;border-radius:6px;max-height:32rem;overflow:auto}
</style></head><body>
<h1>${escape(c.texts[c.name[0] ?? 0] ?? 'Trace')}</h1>
<p>${c.entry ? `${escape(c.entry.method)} ${escape(c.entry.url)} · ` : ''}${duration(c.duration ?? c.span)} · ${t.date} ${t.time} ${t.zone} · <code>${escape(c.id)}</code>${link ? ` · ${escape(link)}` : ''}</p>
${rows.join('\n')}
${c.n > MOST ? `<p>The first ${MOST} entries.</p>` : ''}
</body></html>
`
}
