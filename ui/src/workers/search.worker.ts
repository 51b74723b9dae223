// Fetches pages of summaries and makes small rows of them, away from the page.

import type { TraceSummaries } from '../lib/api'
import { fetchJSON } from '../lib/fetch'
import { compact } from '../lib/summary'

self.onmessage = (event: MessageEvent<{ id: number; question: { url: string } }>) => {
  const { id, question } = event.data
  fetchJSON<TraceSummaries>(question.url).then(
    (page) => self.postMessage({ id, value: { rows: page.TraceSummaries.map(compact), next: page.NextToken } }),
    (error: Error & { status?: number }) => self.postMessage({ id, error: { message: error.message, status: error.status ?? 0 } }),
  )
}
