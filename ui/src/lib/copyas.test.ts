import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { assertion, code, entryMarkdown, expression, listed, MOST_LISTED, searchCommand, settle, shellWord, traceCommand, traceMarkdown, traitsOfEntry, traitsOfTrace } from './copyas'
import { build, type Entity } from './trace'

const entity = (e: Entity & { id: string; name: string }): Entity => ({ start_time: 100, end_time: 101, ...e })
const made = (...documents: Entity[]) => build({ Id: '1-58406520-a006649127e371903a2de979', Duration: 1, Revision: 1, Segments: documents.map((d) => ({ Id: d.id!, Document: d })), Orphans: [] })
const shop = made(
  entity({
    id: 'a', name: 'shop', fault: true, origin: 'AWS::EC2::Instance', annotations: { tenant: "o'neil", items: 3, list: [1] as unknown as string }, http: { request: { method: 'POST', url: 'http://x/orders' }, response: { status: 502 } },
    subsegments: [
      entity({ id: 'b', name: 'validate', error: true, annotations: { step: 'one' } }),
      entity({ id: 'c', name: 'payments', namespace: 'remote', fault: true, http: { response: { status: 500 } } }),
    ],
  }),
  entity({ id: 'd', name: 'payments', parent_id: 'c', fault: true }),
)
const traits = (id: string) => {
  const i = shop.columns.ids.indexOf(id)
  return traitsOfEntry(shop.columns, i, shop.entities[i]!)
}

test('a shell takes each word as it is', () => {
  for (const text of ['plain', "it's", '$(reboot) `x` "y" \\ !', 'a\nb', 'ش 🎉'])
    expect(execFileSync('/bin/sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' })).toBe(text)
  expect(traceCommand('1-a', 'http://h/p')).toBe('roentgen trace 1-a --endpoint http://h/p')
  expect(assertion('name = "x"', '1-a', 'http://h')).toBe(`roentgen explain 'name = "x"' 1-a --endpoint http://h`)
  expect(searchCommand('fault', 1795657505.9, 'http://h')).toBe('roentgen traces fault --since 2026-11-26T01:45:05Z --endpoint http://h')
})

test('entries are told by service, call or root cause', () => {
  expect(expression(traits('a'))).toBe(`service(id(name: "shop", type: "AWS::EC2::Instance")) { fault AND http.status = 502 AND annotation.tenant = "o'neil" AND annotation.items = 3 }`)
  expect(expression(traits('c'))).toBe('edge(id(name: "shop", type: "AWS::EC2::Instance"), "payments") { fault AND http.status = 500 }')
  expect(expression(traits('b'))).toBe('service(id(name: "shop", type: "AWS::EC2::Instance")) AND rootcause.error.entity { name = "validate" } AND annotation.step = "one"')
  expect(expression(traitsOfTrace(shop.columns))).toBe('name = "shop" AND fault AND http.method = "POST" AND http.status = 502')
  expect(expression({ element: 'service("a\u202eb")', inside: [], outside: [] })).toBe('service("a\\u202eb")')
})

test('only what holds is kept', async () => {
  const asked: string[] = []
  const refusing = (...wrong: string[]) => async (x: string) => (asked.push(x), !wrong.some((w) => x.includes(w)))
  expect(await settle(traits('c'), refusing())).toBe(expression(traits('c')))
  expect(asked).toHaveLength(1)
  expect(await settle(traits('a'), refusing('tenant', 'http.status'))).toBe('service(id(name: "shop", type: "AWS::EC2::Instance")) { fault AND annotation.items = 3 }')
  expect(await settle(traits('b'), refusing('service('))).toBe('rootcause.error.entity { name = "validate" } AND annotation.step = "one"')
  expect(await settle(traits('c'), async () => false)).toBe(null)
})

test('Markdown says what happened, and takes nothing for markup', () => {
  const text = traceMarkdown(shop.columns, 'http://h/trace/1-a?x=a b')
  expect(text).toContain('[open](<http://h/trace/1-a?x=a%20b>)')
  expect(text).toContain('- `shop` `POST http://x/orders` 502')
  expect(text).toContain('| &nbsp;&nbsp;`payments` `500` | `shop` | 0 ms | 1 s | **fault** |')
  expect(text.split('\n').filter((l) => l.startsWith('|'))).toHaveLength(2 + 4)
  expect(code('a|b `c`\n<img>\u202e')).toBe('`a\\|b ˋcˋ <img>`')
  const evil = made(entity({ id: 'a', name: 'x', sql: { sanitized_query: 'a ``` b' }, cause: { exceptions: [{ type: 'T', message: 'm', stack: [{ label: 'f', path: 'p.js', line: 3 }] }] } }))
  const entry = entryMarkdown(evil.columns, 0, evil.entities[0]!, 'http://h')
  expect(entry).toContain('````sql\na ``` b\n````')
  expect(entry).toContain('T: m\n    at f (p.js:3)')
})

test('of a long trace what matters is listed', () => {
  const long = made(entity({ id: 'r', name: 'r', subsegments: Array.from({ length: 200 }, (_, k) => entity({ id: `k${k}`, name: `s${k}`, start_time: 100, end_time: 100 + k / 1000, ...(k === 3 ? { fault: true } : {}) })) }))
  const ids = listed(long.columns).map((i) => long.columns.ids[i])
  expect(ids).toHaveLength(MOST_LISTED)
  expect(ids).toContain('k3')
  expect(ids).toContain('k199')
  expect(ids).not.toContain('k10')
  expect(traceMarkdown(long.columns, 'http://h')).toContain('161 more entries.')
})
