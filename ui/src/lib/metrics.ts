// The server's metrics, as far as the page shows them.

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** Reads the text form that Prometheus reads. */
export function parseMetrics(text: string): Sample[] {
  const out: Sample[] = []
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line)
    if (!match || line.startsWith('#')) continue
    const labels: Record<string, string> = {}
    for (const l of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[l[1]!] = l[2]!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
    out.push({ name: match[1]!, labels, value: Number(match[3] === '+Inf' ? Infinity : match[3]) })
  }
  return out
}

/** What each metric is, in the server's own words. */
export function parseHelp(text: string): Map<string, string> {
  const out = new Map<string, string>()
  for (const match of text.matchAll(/^# HELP (\S+) (.*)$/gm)) out.set(match[1]!, match[2]!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)))
  return out
}
