import { describe, expect, test } from 'vitest'
import { contrast, durations } from './contrast'
import { curl } from './curl'
import { and, andNot, annotation, edge, quote, service, tokens } from './expression'
import { ago, bytes, count, duration, exact, many, percent, rate, span, timeParts } from './format'
import { failing, health, kindOf, neighbours, shortName, toMap } from './graph'
import type { GraphService, Statistics } from './api'
import { bins, merge, quantile, seconds } from './histogram'
import { findTraceID, w3cID } from './ids'
import { parseHelp, parseMetrics } from './metrics'
import { prettySQL } from './sql'
import { compact, facets, heat, heatCells, ROW, type TraceRow } from './summary'
import { clockStep, niceStep, parseRange, readWindow, timeStep, windowText, zoomOut } from './window'

test('durations keep three digits that count', () => {
  const cases: [number | null, string][] = [
    [null, '–'], [0, '0 ms'], [2.5e-7, '250 ns'], [0.000312, '312 µs'], [0.0048, '4.8 ms'], [0.04812, '48.1 ms'], [0.9994, '999 ms'], [0.99962, '1 s'], [1.254, '1.25 s'],
    [12.34, '12.3 s'], [59.96, '1 m 00 s'], [125, '2 m 05 s'], [3700, '1 h 02 m'], [200_000, '2 d 7 h'], [-0.5, '−500 ms'],
  ]
  for (const [value, want] of cases) expect(duration(value), String(value)).toBe(want)
})

test('numbers are short', () => {
  expect([count(987), count(12_345), count(4_000_000), exact(1_234_567)]).toEqual(['987', '12.3 k', '4 M', '1\u202f234\u202f567'])
  expect([rate(0), rate(0.05), rate(12.51), rate(40_000)]).toEqual(['0/s', '3/min', '12.5/s', '40 k/s'])
  expect([percent(0), percent(0.0004), percent(0.054), percent(0.5), percent(0.9999)]).toEqual(['0 %', '< 0.1 %', '5.4 %', '50 %', '> 99 %'])
  expect([bytes(12), bytes(12_300), bytes(5e6)]).toEqual(['12 B', '12.3 kB', '5 MB'])
  expect([many(1, 'trace'), many(2, 'trace'), many(0, 'box', 'boxes')]).toEqual(['1 trace', '2 traces', '0 boxes'])
  expect([ago(0.4), ago(12), ago(600), ago(7200), ago(3e5)]).toEqual(['just now', '12 s ago', '10 min ago', '2 h ago', '3 d ago'])
})

test('times keep their digits', () => {
  expect(timeParts(1795657505.32699, true)).toEqual({ date: '2026-11-26', time: '01:45:05.326', zone: 'UTC' })
  expect(timeParts(1795657505.32699, true, 6).time).toBe('01:45:05.326990')
  expect(timeParts(NaN, true).date).toBe('–')
})

describe('windows', () => {
  test('are read from the address', () => {
    expect(readWindow(new URLSearchParams('range=1h'), 10_000)).toEqual({ from: 6400, to: 10_000, relative: 3600 })
    expect(readWindow(new URLSearchParams('from=5&to=9'), 10_000)).toEqual({ from: 5, to: 9, relative: 0 })
    expect(readWindow(new URLSearchParams('from=9&to=5'), 10_000)).toEqual({ from: 9100, to: 10_000, relative: 900 })
    expect(readWindow(new URLSearchParams('range=nonsense'), 1000)).toMatchObject({ relative: 900 })
  })
  test('have lengths that people write', () => {
    expect(['90s', '45m', '1.5h', ' 2D ', '0m', 'x', '-5m', '99999999d'].map(parseRange)).toEqual([90, 2700, 5400, 172_800, null, null, null, null])
    expect(windowText(new URLSearchParams('range=1h'))).toBe('Last hour')
    expect(windowText(new URLSearchParams('range=45m'))).toBe('Last 45m')
    expect(windowText(new URLSearchParams('from=1&to=2'))).toBeNull()
  })
  test('grow around their middle, but not beyond now', () => {
    expect(zoomOut({ from: 100, to: 200, relative: 0 }, 1000)).toEqual({ from: 50, to: 250 })
    expect(zoomOut({ from: 900, to: 1000, relative: 100 }, 1000)).toEqual({ from: 800, to: 1000 })
  })
  test('have round marks', () => {
    expect([niceStep(1, 10), niceStep(0.7, 5), niceStep(93, 9)]).toEqual([0.1, 0.2, 20])
    expect([timeStep(0.7, 5), timeStep(93, 9), timeStep(663, 8), timeStep(5 * 3600, 8)]).toEqual([0.2, 20, 120, 3600])
    expect([clockStep(900, 8), clockStep(3600, 8), clockStep(86_400 * 7, 7)]).toEqual([120, 600, 86_400])
  })
})

test('trace ids are found in what people paste', () => {
  const id = '1-58406520-a006649127e371903a2de979'
  for (const text of [id, 'Root=1-58406520-a006649127e371903a2de979;Parent=1234;Sampled=1', '58406520a006649127e371903a2de979', '00-58406520a006649127e371903a2de979-00f067aa0ba902b7-01', `https://x/trace/${id}?entry=1`, 'ERROR [1-58406520-A006649127E371903A2DE979] boom'])
    expect(findTraceID(text), text).toBe(id)
  for (const text of ['', 'fault', '1-58406520-a006', `a${id.slice(2).replace('-', '')}f`, '0'.repeat(32)]) expect(findTraceID(text), text).toBeNull()
  expect(w3cID(id)).toBe('58406520a006649127e371903a2de979')
})

describe('expressions', () => {
  test('quote what is in them', () => {
    expect(quote('a"b\\c\n\u0001')).toBe('"a\\"b\\\\c\\n\\u0001"')
    expect(annotation('tenant', 'acme')).toBe('annotation.tenant = "acme"')
    expect(annotation('aws.local.service', 5)).toBe('annotation["aws.local.service"] = 5')
    expect(annotation('on', true)).toBe('annotation.on = true')
    expect(service('a', 'AWS::Lambda')).toBe('service(id(name: "a", type: "AWS::Lambda"))')
    expect(edge({ name: 'a', type: 'client' }, { name: 'b' })).toBe('edge(id(name: "a", type: "client"), "b")')
  })
  test('grow without changing their meaning', () => {
    expect(and('', 'fault')).toBe('fault')
    expect(and('error OR fault', 'duration > 1')).toBe('(error OR fault) AND duration > 1')
    expect(and('service("a OR b")', 'fault')).toBe('service("a OR b") AND fault')
    expect(and('service("a") { fault OR error }', 'x')).toBe('service("a") { fault OR error } AND x')
    expect(and('fault AND ok', 'ok')).toBe('fault AND ok')
    expect(and('user = "floor"', 'a')).toBe('user = "floor" AND a')
    expect(andNot('fault', 'http.status = 500')).toBe('fault AND !(http.status = 500)')
    expect(andNot('', 'fault')).toBe('!fault')
  })
  test('are taken apart without loss', () => {
    for (const text of ['service("a\\"b") { fault } AND responsetime > 0.5', 'annotation[x] = "unterminated', '!!(((', 'ünïcode 🎉 "🎉"']) expect(tokens(text).map((t) => t.text).join('')).toBe(text)
    expect(tokens('duration >= 500ms').map((t) => t.kind)).toEqual(['keyword', 'space', 'operator', 'space', 'number'])
  })
})

describe('histograms', () => {
  const entries = [{ Value: 0.1, Count: 50 }, { Value: 0.01, Count: 45 }, { Value: 2, Count: 5 }]
  test('have quantiles', () => {
    expect([0.45, 0.5, 0.95, 0.99].map((q) => quantile(entries, q))).toEqual([0.01, 0.1, 0.1, 2])
    expect([quantile([], 0.5), quantile(null, 0.5)]).toEqual([null, null])
  })
  test('fall into bins, none is lost', () => {
    const list = bins(entries, 30)
    expect(list.reduce((n, b) => n + b.count, 0)).toBe(100)
    expect(list[0]!.count).toBe(45)
    expect(list[29]!.count).toBe(5)
    expect(bins([{ Value: 0, Count: 3 }], 10).reduce((n, b) => n + b.count, 0)).toBe(3)
    expect(bins([], 10)).toEqual([])
  })
  test('add up', () => {
    expect(merge([[{ Value: 1, Count: 2 }], null, [{ Value: 1, Count: 3 }, { Value: 0.5, Count: 1 }]])).toEqual([{ Value: 0.5, Count: 1 }, { Value: 1, Count: 5 }])
    expect([seconds(0.123456), seconds(12.3456), seconds(0.00001234)]).toEqual(['0.123', '12.3', '0.0000123'])
  })
})

test('SQL is broken at its clauses, and nowhere in quotes or parentheses', () => {
  expect(prettySQL('select a, b from t where x = \'from where\' and y in (select z from u) order by a limit 5')).toBe("SELECT a, b\nFROM t\nWHERE x = 'from where'\n  AND y in (select z from u)\nORDER BY a\nLIMIT 5")
  expect(prettySQL('INSERT INTO t (a) VALUES (?) RETURNING id')).toBe('INSERT INTO t (a)\nVALUES (?)\nRETURNING id')
})

test('curl commands are safe to paste', () => {
  expect(curl({ method: 'GET', url: 'https://a.example/b' })).toBe('curl https://a.example/b')
  expect(curl({ method: 'post', url: "https://a/?q='; rm -rf /", user_agent: 'a b' })).toBe("curl -X POST -A 'a b' 'https://a/?q='\\''; rm -rf /'")
})

function statistics(ok: number, error = 0, fault = 0, throttle = 0): Statistics {
  return { OkCount: ok, ErrorStatistics: { OtherCount: error, ThrottleCount: throttle, TotalCount: error + throttle }, FaultStatistics: { OtherCount: fault, TotalCount: fault }, TotalCount: ok + error + fault + throttle, TotalResponseTime: 1 }
}

function node(ref: number, name: string, type: string | null, state: string, to: number[], s: Statistics | null = statistics(10)): GraphService {
  return { ReferenceId: ref, Name: name, Type: type, State: state, Root: null, AccountId: null, SummaryStatistics: s, ResponseTimeHistogram: [], DurationHistogram: [], Edges: to.map((t) => ({ ReferenceId: t, Aliases: [], SummaryStatistics: statistics(8, 0, 2), ResponseTimeHistogram: [] })) }
}

describe('graphs', () => {
  const tables = Array.from({ length: 5 }, (_, k) => node(k + 2, `table-${k}`, 'AWS::DynamoDB::Table', 'unknown', []))
  const { nodes, edges } = toMap({ Services: [node(0, 'web', 'client', 'unknown', [1], null), node(1, 'web', 'AWS::EC2::Instance', 'active', [2, 3, 4, 5, 6]), ...tables] })
  test('have a client with the numbers of its calls', () => {
    expect(nodes[0]).toMatchObject({ kind: 'client', statistics: { total: 10, fault: 2 } })
    expect(edges).toHaveLength(6)
  })
  test('have healths', () => {
    const f = (ok: number, error: number, fault: number, throttle: number) => ({ total: ok + error + fault + throttle, ok, error, fault, throttle, seconds: 0 })
    expect([health(f(0, 0, 0, 0)), health(f(999, 0, 1, 0)), health(f(90, 10, 0, 0)), health(f(90, 10, 5, 0)), health(f(90, 0, 0, 9))]).toEqual(['none', 'ok', 'error', 'fault', 'throttle'])
    expect(failing(f(50, 10, 20, 20))).toBe(0.5)
  })
  test('know their neighbourhoods', () => {
    const key = nodes[2]!.key
    expect(neighbours(edges, key, 1).size).toBe(2)
    expect(neighbours(edges, key, 2).size).toBe(7)
  })
  test('show short names', () => {
    expect([shortName('https://sqs.eu-west-1.amazonaws.com/1/orders'), shortName('arn:aws:sns:eu-west-1:1:ready'), shortName('cart')]).toEqual(['orders', 'ready', 'cart'])
    expect([kindOf('AWS::Lambda::Function', 'active'), kindOf('remote', 'passive'), kindOf(null, 'active'), kindOf('Database::SQL', 'unknown')]).toEqual(['function', 'remote', 'service', 'database'])
  })
})

function row(id: string, start: number, took: number, more: Partial<TraceRow> = {}): TraceRow {
  return { id, start, duration: took, response: took, flags: 0, status: 200, method: 'GET', url: '', agent: '', client: '', entry: 'web', entryType: '', services: ['web'], users: [], annotations: {}, revision: 1, bars: null, ...more }
}

describe('summaries', () => {
  test('become small', () => {
    const r = compact({
      Id: 'x', StartTime: 5, Duration: null, ResponseTime: null, HasError: true, HasFault: false, HasThrottle: false, IsPartial: true, InProgress: true, OrphanOnly: false, Revision: 3,
      Http: { HttpURL: null, HttpStatus: 404, HttpMethod: 'GET', UserAgent: null, ClientIp: null }, EntryPoint: null, ServiceIds: [{ Name: 'a', Type: 'client' }, { Name: 'a', Type: null }, { Name: 'b', Type: null }], Users: [{ UserName: 'u' }],
      Annotations: { k: [{ AnnotationValue: { StringValue: null, NumberValue: 0, BooleanValue: null } }, { AnnotationValue: { StringValue: null, NumberValue: null, BooleanValue: false } }] },
    })
    expect(r).toMatchObject({ services: ['a', 'b'], users: ['u'], flags: ROW.error | ROW.partial | ROW.inProgress, status: 404, annotations: { k: [0, false] } })
    expect(r.duration).toBeNaN()
  })
  test('are counted by what they have', () => {
    const f = facets([row('a', 1, 1, { flags: ROW.fault, annotations: { tenant: ['x', 'x'] } }), row('b', 2, 1, { annotations: { tenant: ['y'] } }), row('c', 3, 1, { annotations: { tenant: ['x'] } })])
    expect(f[0]).toMatchObject({ key: 'outcome', values: [{ text: 'ok', count: 2, condition: 'ok' }, { text: 'fault', count: 1, condition: 'fault' }] })
    expect(f.find((x) => x.title === 'tenant')!.values).toEqual([{ text: 'x', count: 2, condition: 'annotation.tenant = "x"' }, { text: 'y', count: 1, condition: 'annotation.tenant = "y"' }])
  })
  test('make a heatmap that loses none', () => {
    const rows = [row('a', 10, 0.001), row('b', 19.99, 1, { flags: ROW.fault }), row('c', 15, 0.05), row('d', 25, 1), row('e', 12, NaN)]
    const h = heat(rows, 10, 20, 10, 8)
    expect(h.counts.reduce((a, b) => a + b, 0)).toBe(3)
    expect(h.failures.reduce((a, b) => a + b, 0)).toBe(1)
    expect(h.counts[0]).toBe(1)
  })
})

describe('contrast', () => {
  const many = (n: number, more: (k: number) => Partial<TraceRow>) => Array.from({ length: n }, (_, k) => row(`t${k}`, k, 0.1 + k / 1000, more(k)))
  test('ranks what tells two sets apart', () => {
    const bad = many(200, (k) => ({ annotations: { version: [k < 190 ? '2.0' : '1.9'], region: [k % 2 ? 'eu' : 'us'] }, flags: ROW.fault }))
    const good = many(800, (k) => ({ annotations: { version: [k < 40 ? '2.0' : '1.9'], region: [k % 2 ? 'eu' : 'us'] } }))
    const list = contrast(bad, good)
    expect(list.slice(0, 4).map((c) => `${c.title} ${c.text}`).sort()).toEqual(['Outcome fault', 'Outcome ok', 'version 1.9', 'version 2.0'])
    expect(list.find((c) => c.text === '2.0')).toMatchObject({ countA: 190, countB: 40, shareA: 0.95, shareB: 0.05, condition: 'annotation.version = "2.0"' })
    expect(list.some((c) => c.title === 'region')).toBe(false) // as often in both
  })
  test('leaves out what one or two traces have', () => {
    const some = many(12, (k) => ({ annotations: { order: [`o-${k}`], kind: [k < 3 ? 'gift' : 'own'] } }))
    const titles = contrast(some, many(6000, () => ({ annotations: { kind: ['own'] } }))).map((c) => c.title)
    expect(titles).toContain('kind')
    expect(titles).not.toContain('order')
  })
  test('says nothing about nothing', () => {
    expect(contrast([], many(5, () => ({})))).toEqual([])
    expect(durations([], [], 10)).toEqual([])
  })
  test('counts durations of both in the same bins', () => {
    const bins = durations(many(100, () => ({})), many(50, () => ({ duration: 5 })), 20)
    expect(bins.reduce((n, b) => n + b.a, 0)).toBe(100)
    expect(bins[19]).toMatchObject({ b: 50 })
  })
})

test('metrics are read as Prometheus reads them', () => {
  expect(parseMetrics('# HELP a b\na 1\nb{x="q\\"},{",y="2"} 3.5e2 1700\nc +Inf\nnonsense\n')).toEqual([
    { name: 'a', labels: {}, value: 1 },
    { name: 'b', labels: { x: 'q"},{', y: '2' }, value: 350 },
    { name: 'c', labels: {}, value: Infinity },
  ])
})

describe('lengths of time', () => {
  test.each([
    [30 * 86_400, '30 d'],
    [86_400 * 2.5, '2 d 12 h'],
    [8 * 3600, '8 h'],
    [90 * 60, '1 h 30 m'],
    [120, '2 m'],
    [30, '30 s'],
  ])('%d s', (seconds, want) => expect(span(seconds).replaceAll('\u202f', ' ')).toBe(want))
})

test('what metrics are is read from their help', () => {
  const help = parseHelp('# HELP a_total Things\\nof two lines.\n# TYPE a_total counter\na_total{x="y"} 1\n# HELP b Other things.\n')
  expect([...help]).toEqual([
    ['a_total', 'Things\nof two lines.'],
    ['b', 'Other things.'],
  ])
})

test('the cells of a heatmap are rows', () => {
  const h = { columns: 2, lines: 2, from: 100, to: 200, low: 0.01, high: 1, counts: Uint32Array.of(0, 3, 1, 0), failures: Uint32Array.of(0, 2, 0, 0), most: 3 }
  expect(heatCells(h).map((c) => [c.from, c.to, Number(c.low.toFixed(6)), Number(c.high.toFixed(6)), c.count, c.failed])).toEqual([
    [100, 150, 0.1, 1, 1, 0],
    [150, 200, 0.01, 0.1, 3, 2],
  ])
})
