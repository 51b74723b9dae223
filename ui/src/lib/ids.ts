// Finds the id of a trace in whatever somebody pastes: the id itself in X-Ray's or W3C's
// form, a trace header, a traceparent, a log line, a link.

const XRAY = /\b1-([0-9a-f]{8})-([0-9a-f]{24})\b/i
const TRACEPARENT = /\b[0-9a-f]{2}-([0-9a-f]{8})([0-9a-f]{24})-[0-9a-f]{16}-[0-9a-f]{2}\b/i
const W3C = /(?<![0-9a-f])([0-9a-f]{8})([0-9a-f]{24})(?![0-9a-f])/i

/** Returns the trace id in X-Ray's form, or null when there is none in the text. */
export function findTraceID(text: string): string | null {
  for (const form of [XRAY, TRACEPARENT, W3C]) {
    const match = form.exec(text)
    if (match && !/^0+$/.test(match[1]! + match[2]!)) return `1-${match[1]!.toLowerCase()}-${match[2]!.toLowerCase()}`
  }
  return null
}

/** The same id as W3C and OpenTelemetry write it. */
export function w3cID(id: string): string {
  return id.slice(2).replace('-', '')
}
