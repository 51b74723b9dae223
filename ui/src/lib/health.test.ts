import { expect, test } from 'vitest'
import type { Forwarding } from './forward'
import { healthOf, isWrong, type Told } from './health'
import type { Sample } from './metrics'

const told = (more: Partial<Told> = {}, storage: Partial<Told['Storage']> = {}): Told => ({ Missing: [], Degraded: null, Storage: { Unavailable: null, FreeBytes: 70e9, MinFreeBytes: 268e6, DiskBytes: 1e9, DiskBudget: null, ...storage }, ...more })
const came = (result: string, value: number, source = 'http'): Sample => ({ name: 'roentgen_ingest_documents_total', labels: { source, result }, value })
const dropped: Sample = { name: 'roentgen_udp_segments_dropped_total', labels: {}, value: 7 }
const to = (more: Partial<Forwarding['destinations'][0]>, failure?: string): Forwarding => ({ destinations: [{ name: 'aws', type: 'xray', endpoint: '', waiting: 0, sent: 1, refused: 0, lost: 0, failures_in_a_row: 0, lag_seconds: 0, last_sent: '', last_error_at: '', ...more }], spool: { bytes: 0, limit_bytes: 1, failure }, dead_letters: 0 })

const judge = (t: Told, samples: Sample[] = [], rate: number | null = 0, passing: Forwarding | null = null) => healthOf(t, samples, () => rate, () => 'Segments that were dropped.', passing)

test.each<[string, ReturnType<typeof judge>, string, string]>([
  ['all is well', judge(told(), [came('accepted', 9)]), 'well', ''],
  ['what senders did wrong is not its fault', judge(told(), [came('refused', 2), came('malformed', 1)], 3), 'well', ''],
  ['not ready', judge(told({ Missing: ['store: being opened'] })), 'bad', 'store: being opened'],
  ['stores nothing, which is why it is degraded', judge(told({ Degraded: 'documents are refused: disk full' }, { Unavailable: 'disk full' })), 'bad', 'documents are refused: disk full'],
  ['degraded', judge(told({ Degraded: 'aws fails' }), [], 0, to({ failures_in_a_row: 2 })), 'warn', 'aws fails'],
  ['little is left on the disk', judge(told({}, { FreeBytes: 300e6 })), 'warn', '300 MB are left on the disk; below 268 MB documents are refused'],
  ['more than the budget', judge(told({}, { DiskBudget: 9e8 })), 'warn', 'the store takes more than its budget of 900 MB'],
  ['about its budget', judge(told({}, { DiskBudget: 0.95e9 })), 'well', ''],
  ['a destination that fails', judge(told(), [], 0, to({ failures_in_a_row: 1 })), 'warn', '1 call to aws failed in a row'],
  ['a spool that cannot be written', judge(told(), [], 0, to({}, 'no space')), 'warn', 'no space'],
  ['turned away at the moment', judge(told(), [came('overloaded', 5)], 0.2), 'warn', '5 documents by http were told to come again, for lack of room'],
  ['turned away earlier', judge(told(), [came('overloaded', 1)]), 'past', '1 document by http was told to come again, for lack of room'],
  ['an import that was slowed down', judge(told(), [came('overloaded', 5, 'import')], 0.2), 'well', ''],
  ['not known when', judge(told(), [dropped], null), 'past', '7 × segments that were dropped'],
  ['lost on the way on', judge(told(), [], 0, to({ lost: 3 })), 'past', '3 documents for aws got lost'],
  ['the worst leads', judge(told({}, { FreeBytes: 1 }), [dropped]), 'warn', '1 B are left on the disk; below 268 MB documents are refused | 7 × segments that were dropped'],
])('%s', (_, health, level, reasons) => {
  expect([health.level, health.reasons.join(' | ').replace(/[\u00a0\u202f]/g, ' ')]).toEqual([level, reasons])
})

test('documents that were refused are counted once', () => {
  const list = [came('refused', 2), came('malformed', 1), came('overloaded', 4), { name: 'roentgen_ingest_refused_total', labels: { source: 'http', code: 'ParseError' }, value: 2 }, dropped, { ...dropped, value: 0 }]
  expect(judge(told(), list).refused).toBe(3)
  expect(list.filter(isWrong).map((s) => s.value)).toEqual([4, 2, 7])
})
