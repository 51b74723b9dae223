import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { arrange, build, FLAG, flatten, mainRoot, read, stitch, type Columns, type Entity, type Flat, type TraceAnswer } from './trace'

// What the server's tests keep: a trace as documents, and as columns.
const folder = new URL('../../../internal/webapi/testdata/', import.meta.url)
const documents = JSON.parse(readFileSync(new URL('columns.json', folder), 'utf8')) as TraceAnswer
const bytes = readFileSync(new URL('columns.bin', folder))
const columns = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer

describe('columns', () => {
  const fromColumns = arrange(read(columns))
  const fromDocuments = build(documents).columns
  const text = (c: Columns) =>
    Array.from({ length: c.n }, (_, i) => [c.ids[i], c.texts[c.name[i]!], c.texts[c.detail[i]!], c.services[c.service[i]!]!.name, c.services[c.service[i]!]!.colour, c.flags[i], c.depth[i], c.start[i], c.end[i], c.self[i]])
  test('say the same as documents', () => {
    expect(text(fromColumns)).toEqual(text(fromDocuments))
    for (const key of ['id', 'revision', 'duration', 't0', 'span', 'counts', 'entry', 'maxDepth'] as const) expect(fromColumns[key]).toEqual(fromDocuments[key])
    expect([...fromColumns.critical.who]).toEqual([...fromDocuments.critical.who])
    expect(fromColumns.n).toBeGreaterThan(5)
  })
  test('have the links that can be followed', () => {
    expect(fromColumns.links).toEqual([{ entry: fromColumns.ids.indexOf('00000000000000a1'), trace: '1-6ab38001-00000000000000000000bbbb', id: '00000000000000b1', reference: 'parent', received: 1795354990.5, dwelt: 1795355000 }])
    expect(fromColumns.flags[fromColumns.links[0]!.entry]! & FLAG.linked).toBeTruthy()
  })
})

describe('linked traces', () => {
  const ID = (k: number) => `1-00000001-${String(k).padStart(24, '0')}`
  const trace = (k: number, ...segments: Entity[]): Flat => flatten({ Id: ID(k), Duration: 1, Revision: k, Segments: segments.map((d) => ({ Id: d.id ?? '', Document: d })), Orphans: [] }).flat
  const link = (k: number, id: string, reference = '') => [{ trace_id: ID(k), id, attributes: reference ? { 'aws.xray.reserved.reference_type': reference } : {} }]
  // Two producers, of which the second calls the first's queue; one consumer of both; and what that sends on.
  const producer = trace(1, { id: 'p', name: 'shop', start_time: 100, end_time: 101, subsegments: [{ id: 'send', name: 'SQS', namespace: 'aws', start_time: 100.5, end_time: 100.6 }] })
  const other = trace(2, { id: 'p', name: 'mobile', start_time: 90, end_time: 90.5 })
  const consumer = trace(3, { id: 'w', name: 'worker', start_time: 104.6, end_time: 106, links: [...link(1, 'send', 'parent'), ...link(2, 'p')], subsegments: [{ id: 'next', name: 'SNS', namespace: 'aws', start_time: 105, end_time: 105.1, links: link(4, '', 'child') }] })
  const last = trace(4, { id: 'm', name: 'mailer', start_time: 107, end_time: 108 })
  const together = arrange(stitch([producer, other, consumer, last]))
  const parent = (id: string, t: number) => {
    const i = together.ids.findIndex((x, k) => x === id && together.traces[together.trace[k]!] === ID(t))
    const p = together.parent[i]!
    return p < 0 ? null : [together.ids[p], together.traces[together.trace[p]!]]
  }
  test('hang under what sent them, whichever side says so', () => {
    expect(together.traces).toEqual([1, 2, 3, 4].map(ID))
    expect(parent('w', 3)).toEqual(['send', ID(1)]) // the first of two producers
    expect(parent('m', 4)).toEqual(['next', ID(3)])
    expect(parent('p', 1)).toBeNull()
    expect(parent('p', 2)).toBeNull() // ids are of one trace: the other's p is another
    expect(together.n).toBe(6)
  })
  test('tell how long was waited in between', () => {
    const at = together.ids.indexOf('w')
    expect(together.start[at]! - together.wait[at]!).toBeCloseTo(4)
    expect(together.counts.waits).toBe(2)
    expect(together.t0).toBe(90)
  })
  test('begin with the earliest root, and keep the trace that was asked for first', () => {
    expect(together.ids[mainRoot(together)]).toBe('p')
    const from = arrange(stitch([consumer, producer]))
    expect(from.id).toBe(ID(3))
    expect(from.ids).toEqual(['p', 'send', 'w', 'next'])
    expect([...from.trace]).toEqual([1, 1, 0, 0])
  })
  test('that lead in a circle are shown all the same', () => {
    const a = trace(1, { id: 'a', name: 'a', start_time: 1, end_time: 2, links: link(2, 'b') })
    const b = trace(2, { id: 'b', name: 'b', start_time: 1, end_time: 2, links: link(1, 'a') })
    expect(arrange(stitch([a, b])).n).toBe(2)
  })
  test('are moved by no correction of clocks', () => {
    const c = arrange(stitch([producer, consumer]), { skew: true })
    expect(c.counts.skewed).toBe(0)
  })
})
