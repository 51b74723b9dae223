// The server, as this page sees it: the X-Ray API and the endpoints below /api/.

import { url } from './place'
import { AnswerError, askServer } from './ask'
import { track } from './waiting'

export { AnswerError }

async function answer<T>(response: Response): Promise<T> {
  const body = await response.text()
  if (!response.ok) {
    let message = ''
    try {
      const parsed = JSON.parse(body) as { Message?: string; message?: string }
      message = parsed.Message ?? parsed.message ?? ''
    } catch {
      // not ours: a proxy's, say
    }
    throw new AnswerError(message || `${response.status} ${response.statusText}`, response.status)
  }
  try {
    return JSON.parse(body) as T
  } catch {
    throw new AnswerError('the answer was cut off, or is not from Roentgen', response.status)
  }
}

function failed(error: unknown): never {
  if (error instanceof DOMException && error.name === 'AbortError') throw error
  if (error instanceof AnswerError) throw error
  throw new AnswerError('the server cannot be reached', 0)
}

export function get<T>(path: string, params: Record<string, string | number | undefined>, signal?: AbortSignal): Promise<T> {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) if (value !== undefined && value !== '') query.set(key, String(value))
  return askServer(() => track(fetch(url(`${path}?${query}`), { signal, headers: { Accept: 'application/json' } })), signal)
    .then((r) => track(answer<T>(r)))
    .catch(failed)
}

/** `seen` is given the answer's headers, where what they say is wanted, too. */
export function send<T>(method: string, path: string, body: unknown, signal?: AbortSignal, seen?: (headers: Headers) => void): Promise<T> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return askServer(() => track(fetch(url(path), { method, body: text, signal, headers: { 'Content-Type': 'application/json', Accept: 'application/json' } })), signal)
    .then((r) => {
      seen?.(r.headers)
      return track(answer<T>(r))
    })
    .catch(failed)
}

export function post<T>(path: string, body: unknown, signal?: AbortSignal, seen?: (headers: Headers) => void): Promise<T> {
  return send<T>('POST', path, body, signal, seen)
}

export type { TraceAnswer } from './trace'

export interface HistogramEntry {
  Value: number
  Count: number
}

export interface Statistics {
  OkCount: number
  ErrorStatistics: { ThrottleCount: number; OtherCount: number; TotalCount: number }
  FaultStatistics: { OtherCount: number; TotalCount: number }
  TotalCount: number
  TotalResponseTime: number
}

export interface GraphEdge {
  ReferenceId: number
  Aliases: { Name: string; Names: string[]; Type: string | null }[]
  SummaryStatistics: Statistics | null
  ResponseTimeHistogram: HistogramEntry[] | null
}

export interface GraphService {
  ReferenceId: number
  Name: string
  Type: string | null
  State: string
  Root: boolean | null
  AccountId: string | null
  Edges: GraphEdge[]
  SummaryStatistics: Statistics | null
  ResponseTimeHistogram: HistogramEntry[] | null
  DurationHistogram: HistogramEntry[] | null
}

export interface ServiceGraph {
  Services: GraphService[]
  StartTime?: number | null
  EndTime?: number | null
  ContainsOldGroupVersions?: boolean
}

export interface SeriesPoint {
  Timestamp: number
  EdgeSummaryStatistics: Statistics | null
  ServiceSummaryStatistics: Statistics | null
  ResponseTimeHistogram: HistogramEntry[] | null
}

export interface AnnotationValue {
  AnnotationValue: { BooleanValue: boolean | null; NumberValue: number | null; StringValue: string | null }
}

export interface TraceSummary {
  Id: string
  StartTime: number | null
  Duration: number | null
  ResponseTime: number | null
  HasError: boolean
  HasFault: boolean
  HasThrottle: boolean
  IsPartial: boolean
  InProgress: boolean
  OrphanOnly: boolean
  Revision: number
  Http: { HttpURL: string | null; HttpStatus: number | null; HttpMethod: string | null; UserAgent: string | null; ClientIp: string | null }
  EntryPoint: { Name: string; Type: string | null } | null
  ServiceIds: { Name: string; Type: string | null }[]
  Users: { UserName: string }[]
  Annotations: Record<string, AnnotationValue[]>
  /** With shape=true: service, start, length and marks of its longest parts. */
  Shape?: [number, number, number, number][]
}

export interface TraceSummaries {
  TraceSummaries: TraceSummary[]
  NextToken: string | null
  ApproximateTime: number
}

export interface Completion {
  Kind: string
  Start: number
  End: number
  Items: { Text: string; Detail?: string; Count: number | null }[]
  Traces: number
  Partial: boolean
}

export interface Explanation {
  Text: string
  Meaning: string
  Truth?: string
  Found?: string
  Parts?: Explanation[]
}

export interface ExplainAnswer {
  Valid: boolean
  Error?: { Line: number; Position: number; Offset: number; Message: string; Found: string; Expected: string[]; Suggestion: string }
  Expression?: string
  Matches: boolean | null
  Explanation?: Explanation
}

export interface Group {
  GroupName: string
  GroupARN: string
  FilterExpression: string | null
}
