// What lies behind a trace and a search: waiting, piles, links, the usual, and what the
// server counts.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startServer, until } from './harness.mjs'

let server
const now = Math.floor(Date.now() / 1000) - 600
const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
const rtl = `\u202eevil\u202c שלום 🎉 ${'x'.repeat(180)}`
/** The longest name that there may be, from right to left. */
const name = 'שלום '.repeat(60).slice(0, 199)

async function put(...documents) {
  const answer = await server.put(...documents)
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
}

async function importLines(documents) {
  const response = await fetch(`${server.url}/api/import`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: documents.map((d) => JSON.stringify(d)).join('\n') })
  const answer = await response.json()
  assert.equal(answer.Refused, 0, JSON.stringify(answer).slice(0, 500))
}
const traceID = (start, k) => `1-${Math.floor(start).toString(16)}-${(process.pid * 10_000_000 + k).toString(16).padStart(24, '0')}`

before(async () => {
  server = await startServer()
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

const option = (page, name) => page.getByRole('option', { selected: true, name })
const listbox = (page, n) => page.getByRole('listbox', { name: new RegExp(`^Waterfall of ${n} entries`) })

test('waiting and gaps are shown, and said', async () => {
  const id = newID()
  const send = segmentID()
  await put(
    { trace_id: id, id: segmentID(), name: 'shop', start_time: now, end_time: now + 1, subsegments: [{ id: send, name: 'SQS', namespace: 'aws', start_time: now + 0.2, end_time: now + 0.3, aws: { operation: 'SendMessage' } }, { id: segmentID(), name: 'render', start_time: now + 0.8, end_time: now + 0.9 }] },
    { trace_id: id, id: segmentID(), name: 'worker', parent_id: send, start_time: now + 4.3, end_time: now + 5 },
  )
  const page = await openPage(server.url, `/trace/${id}`)
  await listbox(page, 4).waitFor()
  await page.keyboard.press('j')
  await page.getByText('500 ms with nothing recorded below, from 300 ms on; 800 ms in 3 gaps').waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  await option(page, /^worker, .*waited 4 s before it began/).waitFor()
  await page.getByText('4 s between the call and its start').waitFor()
  // They are on the canvas, and go when they are switched off.
  const picture = () => page.locator('.waterfall-canvas').evaluate((c) => c.toDataURL())
  const before = await picture()
  await page.getByRole('button', { name: 'What is shown' }).or(page.getByRole('button', { name: 'Show', exact: true })).first().click()
  await page.getByRole('menuitemcheckbox', { name: 'Gaps and waiting' }).click()
  await until('the address', () => new URL(page.url()).searchParams.get('gaps') === '0')
  await until('another picture', async () => (await picture()) !== before)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('siblings of one kind are piled up and opened', async () => {
  const id = newID()
  await put({
    trace_id: id, id: segmentID(), name: 'report', start_time: now, end_time: now + 5,
    subsegments: Array.from({ length: 47 }, (_, k) => ({ id: segmentID(), name: 'orders@db', namespace: 'remote', start_time: now + k * 0.1, end_time: now + k * 0.1 + 0.02, ...(k === 3 ? { fault: true } : {}), sql: { sanitized_query: `SELECT * FROM orders WHERE id = ${k}` } })),
  })
  const page = await openPage(server.url, `/trace/${id}`)
  await listbox(page, 48).waitFor()
  await page.getByText('47 × orders@db').waitFor()
  await page.getByRole('button', { name: 'Pile them up' }).click()
  await listbox(page, 2).waitFor()
  await page.keyboard.press('End')
  await option(page, /^47 × orders@db, SELECT \* FROM orders WHERE id = …, 940 ms together, 1 failed/).waitFor()
  await page.keyboard.press('l') // open it
  await listbox(page, 48).waitFor()
  await page.keyboard.press('h') // and close it
  await listbox(page, 2).waitFor()
  await page.keyboard.press(']') // the failure inside opens it
  await option(page, /^orders@db, SELECT \* FROM orders WHERE id = 3/).waitFor()
  await listbox(page, 48).waitFor()
  // The list has the same piles.
  await page.keyboard.press('v')
  await page.keyboard.press('l')
  await page.getByRole('button', { name: '47 ×' }).click()
  await page.getByRole('row', { name: /orders@db.*940 ms/ }).waitFor()
  assert.equal(await page.getByRole('row').count(), 3)
  await page.getByRole('button', { name: '47 ×' }).click()
  await until('all of them', async () => (await page.getByRole('row').count()) > 20)
  await page.keyboard.press('v')
  await page.keyboard.press('w')
  await listbox(page, 48).waitFor()
  await page.keyboard.press('p')
  await until('the address', () => new URL(page.url()).searchParams.get('piles') === null)
  await page.keyboard.press('s')
  await listbox(page, 1).waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('why a trace matches a filter, and why it does not', async () => {
  const id = newID()
  await put({ trace_id: id, id: segmentID(), name: 'shop', start_time: now, end_time: now + 1, fault: true, http: { request: { method: 'GET', url: 'https://shop.example/' }, response: { status: 502 } } })
  const page = await openPage(server.url, `/trace/${id}`)
  await page.getByRole('button', { name: 'Matches?' }).click()
  await page.getByLabel('Filter expression').fill('service("shop") AND http.status < 500')
  await page.keyboard.press('Enter')
  await page.getByText('It does not match.').waitFor()
  const blamed = page.locator('.why-line.blamed')
  assert.equal(await blamed.count(), 1)
  assert.match(await blamed.innerText(), /http\.status < 500[\s\S]*502/)
  await page.getByLabel('Filter expression').fill('service("shop") { fault }')
  await page.keyboard.press('Enter')
  await page.getByText('It matches.').waitFor()
  await page.getByLabel('Filter expression').fill('faullt')
  await page.keyboard.press('Enter')
  await page.getByText('Did you mean fault?').waitFor()
  assert.deepEqual(await audit(page), [])
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Matches?' }).waitFor()

  // From the list: the trace that somebody misses.
  await page.goto(`${server.url}/traces?q=throttle&range=1h`)
  await page.getByRole('button', { name: 'Why not…?' }).first().click()
  await page.getByRole('textbox', { name: 'Trace id' }).fill('no id at all')
  await page.keyboard.press('Enter')
  await page.getByText('That holds no trace id').waitFor()
  await page.getByRole('textbox', { name: 'Trace id' }).fill(`log line Root=${id};Sampled=1`)
  await page.keyboard.press('Enter')
  await page.getByText('It does not match.').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('linked traces are shown together, whichever side has the link', async () => {
  const [shop, worker, mailer] = [newID(), newID(), newID()]
  const [send, publish] = [segmentID(), segmentID()]
  await put(
    { trace_id: shop, id: segmentID(), name: 'shop', start_time: now, end_time: now + 1, subsegments: [{ id: send, name: 'SQS', namespace: 'aws', start_time: now + 0.4, end_time: now + 0.5, aws: { operation: 'SendMessage' } }] },
    // The consumer says where it came from, and what it sent on to.
    { trace_id: worker, id: segmentID(), name: `worker ${name}`.slice(0, 200), user: evil, annotations: { note: evil, rtl }, start_time: now + 3.5, end_time: now + 4, links: [{ trace_id: shop, id: send, attributes: { 'aws.xray.reserved.reference_type': 'parent', 'aws.xray.reserved.received_event_end_time': now + 0.5, 'aws.xray.reserved.dwell_end_time': now + 3.5 } }], subsegments: [{ id: publish, name: 'SNS', namespace: 'aws', start_time: now + 3.6, end_time: now + 3.7, links: [{ trace_id: mailer, attributes: { 'aws.xray.reserved.reference_type': 'child' } }] }] },
    { trace_id: mailer, id: segmentID(), name: 'mailer', start_time: now + 5, end_time: now + 6 },
  )
  const page = await openPage(server.url, `/trace/${shop}`)
  await page.getByRole('button', { name: /^Linked/ }).waitFor() // found from the other side
  await listbox(page, 2).waitFor()
  await page.keyboard.press('L')
  await listbox(page, 5).waitFor()
  await page.getByText('3 traces', { exact: true }).waitFor()
  await page.keyboard.press('End')
  await option(page, /^mailer, .*waited 1\.3 s before it began, of a linked trace/).waitFor()
  await page.getByRole('tabpanel').getByText('Of a linked trace.').waitFor()
  // Documents and finds reach into the others.
  await page.keyboard.press('/')
  await page.keyboard.type('sns')
  await page.getByText('1 found').waitFor()
  await page.keyboard.press('Enter')
  await option(page, /^SNS/).waitFor()
  await page.getByRole('tab', { name: 'Raw' }).click()
  await page.locator('.json-string', { hasText: publish }).first().waitFor()
  await page.getByRole('tab', { name: 'Overview' }).click()
  await page.getByRole('link', { name: 'Open it alone' }).click()
  await page.getByRole('heading', { name: /^worker/ }).waitFor()
  await page.getByText('waited 3 s in a queue before').waitFor()
  await page.getByRole('button', { name: 'Show it together with what sent it' }).click()
  await listbox(page, 5).waitFor()
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.deepEqual(await audit(page), [])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a trace is held against the usual ones', async () => {
  const entry = `shop ${name}`.slice(0, 190)
  const make = (k, start, took, calls, more = []) => ({
    trace_id: traceID(start, k), id: segmentID(), name: entry, start_time: start, end_time: start + took,
    http: { request: { method: 'GET', url: `https://shop.example/orders/${k}` }, response: { status: 200 } },
    subsegments: [...Array.from({ length: calls }, (_, n) => ({ id: segmentID(), name: 'query', namespace: 'remote', start_time: start + 0.01 + n * 0.02, end_time: start + 0.02 + n * 0.02 })), ...more],
  })
  const usual = Array.from({ length: 12 }, (_, k) => make(k, now - 100 + k, 0.1 + (k % 6) / 1000, 2, [{ id: segmentID(), name: 'audit', start_time: now - 100 + k + 0.06, end_time: now - 100 + k + 0.07 }]))
  const odd = make(99, now, 0.9, 9, [{ id: segmentID(), name: `fallback ${name}`.slice(0, 200), namespace: 'remote', sql: { sanitized_query: evil }, start_time: now + 0.3, end_time: now + 0.85 }])
  await importLines([...usual, odd])
  const page = await openPage(server.url, `/trace/${odd.trace_id}`)
  await page.getByRole('button', { name: 'Usual', exact: true }).click()
  await page.getByText('Slower than all of the others.').waitFor()
  await page.getByText(/Held against 12 others of .* GET \/orders\/…/).waitFor()
  assert.equal(await page.locator('.usual-figures div', { hasText: 'This trace' }).locator('dd').textContent(), '900 ms')
  assert.match(await page.locator('.usual-figures div', { hasText: 'Median of the 12' }).locator('dd').textContent(), /^10\d(\.\d)? ms$/)
  const line = (name) => page.getByRole('row').filter({ hasText: name })
  await line('query').getByText('more often').waitFor()
  assert.match(await line('query').innerText(), /9\s*\/ 2/)
  await line('fallback').getByText('not in the others').waitFor()
  await line('audit').getByText('missing here').waitFor()
  await page.getByText(/Most of what is longer is in fallback/).waitFor()
  assert.deepEqual(await audit(page), [])
  // A click selects the entry, here and in the waterfall.
  await line('fallback').getByRole('button').click()
  await page.getByRole('tab', { name: 'Overview' }).waitFor()
  await page.keyboard.press('v')
  await page.keyboard.press('w')
  await option(page, /^fallback/).waitFor()
  await page.goto(`${server.url}/trace/${usual[5].trace_id}?view=usual&odd=1`)
  await page.getByText('It took as long as usual.').waitFor()
  await page.getByText('Nothing is odd about this trace.').waitFor()
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('heatmap, counts and totals are of the whole window, and group', async () => {
  const begin = now - 2000
  const documents = Array.from({ length: 3000 }, (_, k) => {
    const start = begin + k / 10
    return { trace_id: traceID(start, 1000 + k), id: segmentID(), name: 'api', start_time: start, end_time: start + (k % 3 === 0 ? 0.5 : 0.05), ...(k % 30 === 0 ? { fault: true } : {}), annotations: { tenant: k % 3 === 0 ? 'slow' : k === 1 ? evil : 'quick', plan: k % 2 } , subsegments: [{ id: segmentID(), name: 'db', namespace: 'remote', start_time: start, end_time: start + 0.02, sql: {} }] }
  })
  await importLines(documents)
  const page = await openPage(server.url, `/traces?from=${begin}&to=${begin + 300}`)
  await page.getByText('3\u202f000 traces · 3.3 % failed · 2\u202f200 loaded').waitFor()
  await page.getByRole('img', { name: '3000 traces by time and duration; the table below has them' }).waitFor()
  const facet = page.locator('.facets section').filter({ hasText: 'tenant' })
  await facet.locator('.facet', { hasText: 'quick' }).getByText('1\u202f999').waitFor()
  assert.ok((await facet.locator('.sparkline rect').count()) > 24)
  // Each row has its trace in small: the segment and the call below it.
  await until('shapes', async () => (await page.locator('.table-row svg.shape').first().locator('rect').count()) === 2)
  await facet.getByRole('button', { name: 'Group by tenant' }).click()
  const group = (name) => page.getByRole('region', { name: 'Traces by tenant' }).getByRole('row').filter({ hasText: name })
  await group('slow').waitFor()
  const slow = await group('slow').innerText()
  assert.match(slow, /1\u202f000/)
  assert.match(slow, /10 %/) // of the slow ones fail
  assert.match(slow, /(4|5)\d\d? ms/)
  assert.match(await group('quick').innerText(), /0 %/)
  assert.deepEqual(await audit(page), [])
  await group('slow').getByRole('button').click()
  await until('the filter', () => new URL(page.url()).searchParams.get('q') === 'annotation.tenant = "slow"')
  await page.getByText('1\u202f000 traces · 10 % failed · 3\u202f000 examined').waitFor()
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('stacks lead to the source, tables to the console, queries to their plan', async () => {
  const id = newID()
  await put({
    trace_id: id, id: segmentID(), name: 'shop', start_time: now, end_time: now + 1, fault: true,
    cause: { exceptions: [{ id: segmentID(), type: 'Oops', message: 'no', stack: [{ path: 'src/pay.js', line: 12, label: 'pay' }, { path: '../../x?y', line: 1, label: evil }] }] },
    aws: { operation: 'GetItem', table_name: 'carts', region: 'eu-west-1' },
    sql: { sanitized_query: 'SELECT * FROM t WHERE id = ?' },
  })
  const page = await openPage(server.url, `/trace/${id}`)
  await listbox(page, 1).waitFor()
  await page.keyboard.press('j')
  await page.getByText('Oops').waitFor()
  await page.getByRole('button', { name: 'Link to the source…' }).click()
  await page.getByLabel('Address of a line of source').fill('javascript:alert("{path}")')
  await page.getByText('It has to begin with https://').waitFor()
  assert.ok(await page.getByRole('button', { name: 'Keep' }).isDisabled())
  await page.getByLabel('Address of a line of source').fill('vscode://file/srv/{path}:{line}')
  await page.getByRole('button', { name: 'Keep' }).click()
  assert.equal(await page.getByRole('link', { name: 'src/pay.js:12' }).getAttribute('href'), 'vscode://file/srv/src/pay.js:12')
  await page.keyboard.press('Escape')
  await page.getByRole('tab', { name: 'AWS' }).click()
  assert.match(await page.getByRole('link', { name: 'Open in the AWS console' }).getAttribute('href'), /^https:\/\/eu-west-1\.console\.aws\.amazon\.com\/dynamodbv2\//)
  await page.getByRole('tab', { name: 'SQL' }).click()
  await page.getByRole('button', { name: 'Copy with EXPLAIN' }).click()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'EXPLAIN SELECT * FROM t WHERE id = ?')
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the colours of the filter bar lie on its text', async () => {
  const page = await openPage(server.url, '/traces')
  const bar = page.getByRole('combobox', { name: 'Filter expression or trace id' })
  for (const text of ['service("שלום עולם") AND annotation.note = "abc שלום 12 def"', 'user = "🎉👩‍👩‍👧 é 漢字 مرحبا" OR fault', `name = "${'long '.repeat(60)}"`]) {
    await bar.fill(text)
    await page.keyboard.press('End')
    const measure = () =>
      page.evaluate(() => {
        const i = document.querySelector('#filter')
        const o = document.querySelector('.filter-colours')
        return { input: [i.scrollWidth, i.scrollLeft], overlay: [o.scrollWidth, o.scrollLeft] }
      })
    await until('both are scrolled alike', async () => {
      const { input, overlay } = await measure() // scrolling is told a frame later
      return input.join() === overlay.join()
    })
    assert.equal(await page.locator('.filter-colours').evaluate((e) => e.textContent), text)
  }
  await page.context().close()
})

test('a step back leads to where the page was left', async () => {
  const page = await openPage(server.url, '/start', { viewport: { width: 1440, height: 420 } })
  const place = () => page.locator('[data-scroll]').first().evaluate((e) => e.scrollTop)
  await page.getByRole('heading').first().waitFor()
  await page.locator('[data-scroll]').first().evaluate((e) => (e.scrollTop = 150))
  const left = await place()
  assert.ok(left > 60, `only ${left} to scroll`)
  await page.getByRole('link', { name: 'Groups' }).click()
  await page.getByRole('heading', { name: 'Groups' }).waitFor()
  await page.goBack()
  await until('the place', async () => Math.abs((await place()) - left) < 3)
  await page.context().close()
})

test('nothing sticks out at 380 px', async () => {
  const id = newID()
  await put({ trace_id: id, id: segmentID(), name, start_time: now, end_time: now + 1, fault: true, http: { request: { method: 'GET', url: `https://x/${'long'.repeat(60)}` }, response: { status: 500 } }, subsegments: Array.from({ length: 9 }, () => ({ id: segmentID(), name: `call ${name}`.slice(0, 200), http: { request: { url: evil } }, namespace: 'remote', start_time: now, end_time: now + 0.5 })) })
  const unbroken = newID()
  await put({ trace_id: unbroken, id: segmentID(), name: 'n'.repeat(200), start_time: now, end_time: now + 1, subsegments: Array.from({ length: 9 }, () => ({ id: segmentID(), name: 'm'.repeat(200), namespace: 'remote', start_time: now, end_time: now + 0.5 })) })
  for (const path of [`/trace/${unbroken}`, `/trace/${unbroken}?view=list&piles=1`, '/traces?q=throttle&range=1h', `/trace/${id}?piles=1`, `/trace/${id}?view=usual&usual=7d`, '/traces?by=service&range=1h', '/traces?range=1h']) {
    const page = await openPage(server.url, path, { viewport: { width: 380, height: 740 } })
    await page.waitForTimeout(900)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(wide <= 380, `${path} is ${wide} wide`)
    assert.deepEqual(page.complaints, [], path)
    await page.context().close()
  }
})
