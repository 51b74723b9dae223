// What the server passes on to others.

import { get } from './api'

/** A destination, as /-/forward tells of it. */
export interface Destination {
  name: string
  type: string
  endpoint: string
  waiting: number
  sent: number
  refused: number
  /** Documents that were given up before they were sent. */
  lost: number
  failures_in_a_row: number
  /** Seconds from arrival to delivery. */
  lag_seconds: number
  last_sent: string
  last_error?: string
  last_error_at: string
}

export interface Forwarding {
  destinations: Destination[]
  spool: { bytes: number; limit_bytes: number; failure?: string }
  dead_letters: number
}

export const forwarding = () => get<Forwarding>('-/forward', {})

export async function destinations(): Promise<Destination[]> {
  return (await forwarding()).destinations
}
