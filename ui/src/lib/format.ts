// How times, durations and numbers are written. Digits are kept short: three that
// count are what an eye takes in at a glance.

/** Writes a duration in seconds as "1.25 s", "48 ms", "312 µs", "2 m 05 s". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return '–'
  const sign = seconds < 0 ? '−' : ''
  const s = Math.abs(seconds)
  if (s === 0) return '0 ms'
  if (s < 1e-6) return `${sign}${three(s * 1e9)} ns`
  if (s < 0.9995e-3) return `${sign}${three(s * 1e6)} µs`
  if (s < 0.9995) return `${sign}${three(s * 1e3)} ms`
  if (s < 59.95) return `${sign}${three(s)} s`
  if (s < 3599.5) {
    const whole = Math.round(s)
    return `${sign}${Math.floor(whole / 60)} m ${pad(whole % 60)} s`
  }
  const minutes = Math.round(s / 60)
  if (minutes < 48 * 60) return `${sign}${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`
  return `${sign}${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`
}

function three(x: number): string {
  if (x >= 99.95) return x.toFixed(0)
  if (x >= 9.995) return trim(x.toFixed(1))
  return trim(x.toFixed(2))
}

function trim(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

function pad(n: number): string {
  return n < 10 ? `0${n}` : `${n}`
}

/** Writes a count as "987", "12.3 k", "4 M". */
export function count(n: number | null | undefined): string {
  if (n === null || n === undefined || Number.isNaN(n)) return '–'
  if (n < 10_000) return exact(n)
  if (n < 999_500) return `${three(n / 1e3)} k`
  if (n < 999.5e6) return `${three(n / 1e6)} M`
  return `${three(n / 1e9)} G`
}

/** Writes a whole number in full, its thousands parted by a narrow space. */
export function exact(n: number): string {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f')
}

/** Writes a rate per second as "12.5/s", small ones per minute: "3/min". */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0/s'
  if (perSecond < 0.0995) return `${three(perSecond * 60)}/min`
  return `${perSecond < 1000 ? three(perSecond) : count(perSecond)}/s`
}

/** Writes a part of a whole as "12 %", "0.4 %", "< 0.1 %". */
export function percent(part: number): string {
  const p = part * 100
  if (p === 0) return '0 %'
  if (p < 0.1) return '< 0.1 %'
  if (p < 10) return `${trim(p.toFixed(1))} %`
  if (p > 99.5 && p < 100) return '> 99 %'
  return `${p.toFixed(0)} %`
}

/** Writes a size in bytes as "12.3 kB". */
export function bytes(n: number): string {
  if (n < 1000) return `${n} B`
  if (n < 999_500) return `${three(n / 1e3)} kB`
  if (n < 999.5e6) return `${three(n / 1e6)} MB`
  return `${three(n / 1e9)} GB`
}

export interface Parts {
  date: string
  time: string
  zone: string
}

/** Takes an epoch time apart into "2026-11-26", "14:03:09.250" and its zone. */
export function timeParts(epochSeconds: number, utc: boolean, digits = 3): Parts {
  const d = new Date(epochSeconds * 1000)
  if (Number.isNaN(d.getTime())) return { date: '–', time: '', zone: '' }
  const two = pad
  const fraction = digits > 0 ? `.${String(Math.floor((((epochSeconds % 1) + 1) % 1) * 10 ** digits + (digits > 3 ? 0.3 : 1e-3))).padStart(digits, '0')}` : ''
  if (utc) {
    return {
      date: `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`,
      time: `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}${fraction}`,
      zone: 'UTC',
    }
  }
  const offset = -d.getTimezoneOffset()
  const a = Math.abs(offset)
  return {
    date: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
    time: `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}${fraction}`,
    zone: `UTC${offset < 0 ? '−' : '+'}${two(Math.floor(a / 60))}:${two(a % 60)}`,
  }
}

/** Writes how long ago something was: "just now", "12 s ago", "3 h ago". */
export function ago(seconds: number): string {
  if (seconds < 1.5) return 'just now'
  if (seconds < 90) return `${Math.round(seconds)} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} d ago`
}

/** One word in singular or plural, with its count: "1 trace", "1 204 traces". */
export function many(n: number, one: string, more = `${one}s`): string {
  return `${exact(n)} ${n === 1 ? one : more}`
}

/** A length of time that somebody set, or that is left: without parts that are nought. */
export function span(seconds: number): string {
  return duration(seconds).replace(/^(.*\d\s\w+)\s0+\s\w+$/, '$1')
}
