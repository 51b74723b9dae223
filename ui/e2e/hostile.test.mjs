// What nobody wishes for: hostile data, a server that is slow or gone, huge screens, no mouse,
// an hour of traffic.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startFaultyProxy, startProxy, startServer, until } from './harness.mjs'

const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
const names = [`long-${'x'.repeat(245)}`, 'שלום עולם שירות', '\u202eevil\u202c', '🎉 party 🦊', `"quoted\\" & 'apos'`, 'a:b/c%d&e#f=g+h-i@j', evil, '=cmd()', '𝕌𝕟𝕚 \u0301\u0301\u0301\u0301']

let server
let trace
let plain
before(async () => {
  server = await startServer()
  const now = Date.now() / 1000 - 5
  trace = newID()
  const root = segmentID()
  const calls = names.map((name) => ({ id: segmentID(), name }))
  const nasty = (name) => ({
    user: evil, error: true, fault: name.length % 2 === 0, origin: 'AWS::EC2::Instance',
    http: { request: { method: evil.slice(0, 20), url: `javascript:alert(1)//${evil}`, user_agent: evil, client_ip: evil }, response: { status: 400 } },
    annotations: { evil, rtl: names[1], long: 'v'.repeat(2000), emoji: '🎉', formula: '=1+1', __proto__x: 'p', constructor: 'c' },
    metadata: { [evil]: { [names[1]]: evil, nested: { toString: 'x', __proto__: null } } },
    aws: { operation: evil, table_name: evil, request_id: evil, region: evil, account_id: evil },
    sql: { sanitized_query: evil, url: evil, database_type: evil, user: evil },
    cause: { working_directory: evil, exceptions: [{ id: segmentID(), type: evil, message: `${evil} ${names[1]} ${'m'.repeat(500)}`, stack: [{ path: evil, line: 1, label: names[2] }] }] },
  })
  const answer = await server.put(
    { trace_id: trace, id: root, name: 'front', start_time: now, end_time: now + 2, ...nasty('front'), subsegments: calls.map((c) => ({ id: c.id, name: c.name, namespace: 'remote', start_time: now + 0.1, end_time: now + 1 })) },
    ...calls.map((c) => ({ trace_id: trace, id: segmentID(), parent_id: c.id, name: c.name, start_time: now + 0.2, end_time: now + 0.9, ...nasty(c.name) })),
  )
  // X-Ray allows only some letters in names: the others are refused, and are to be seen as dead letters.
  // OpenTelemetry allows all, and brings them anyway.
  const refused = new Set(answer.UnprocessedTraceSegments.map((u) => u.Id))
  assert.ok(refused.size >= 1 && refused.size < names.length)
  const nanos = (seconds) => String(BigInt(Math.round(seconds * 1e6)) * 1000n)
  const text = (value) => ({ stringValue: value })
  const hex = trace.slice(2).replace('-', '')
  const sent = await fetch(`${server.url}/v1/traces`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      resourceSpans: names.map((name, k) => ({
        resource: { attributes: [{ key: 'service.name', value: text(name) }, { key: evil, value: text(evil) }] },
        scopeSpans: [{ spans: [{ traceId: hex, spanId: segmentID(), parentSpanId: calls[k].id, name: evil, kind: 2, startTimeUnixNano: nanos(now + 0.2), endTimeUnixNano: nanos(now + 0.9), attributes: [{ key: evil, value: text(names[1]) }, { key: 'http.url', value: text(`javascript:alert(1)//${evil}`) }], events: [{ name: 'exception', timeUnixNano: nanos(now + 0.3), attributes: [{ key: 'exception.type', value: text(evil) }, { key: 'exception.message', value: text(evil) }, { key: 'exception.stacktrace', value: text(evil) }] }], status: { code: 2, message: evil } }] }],
      })),
    }),
  })
  assert.equal(sent.status, 200, await sent.clone().text())
  await server.put({ trace_id: newID(), id: segmentID(), name: evil, start_time: 'soon' }, evil, '{"' + '['.repeat(5000))
  plain = newID()
  await server.put({ trace_id: plain, id: segmentID(), name: 'plain', start_time: now, end_time: now + 1, annotations: { evil } })
  await fetch(`${server.url}/CreateGroup`, { method: 'POST', body: JSON.stringify({ GroupName: 'evil', FilterExpression: `annotation.evil = ${JSON.stringify(evil)}` }) })
  await until('it is indexed', async () => (await (await fetch(`${server.url}/api/traces?limit=5`)).json()).TraceSummaries.length >= 2)
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

/** Every page, and what shows that it is there. */
const pages = () => [
  ['/map?still=1', '.node'],
  ['/map?still=1&view=table', '.map-table td'],
  ['/traces', '.table-row'],
  [`/trace/${trace}`, '[role=listbox]'],
  [`/trace/${trace}?view=flame`, 'canvas'],
  [`/trace/${trace}?view=list`, '[role=row]'],
  [`/trace/${trace}?view=map`, '.node'],
  [`/trace/${trace}?view=raw`, 'main'],
  [`/compare?a=${trace}&b=${plain}`, 'main table'],
  ['/analytics?a=error&b=!error', '.durations canvas'],
  ['/groups', '.page-inner'],
  ['/sampling', 'main table'],
  ['/dead-letters', '.letter'],
  ['/settings', 'main table'],
  ['/start', '.way'],
]

test('whatever is sent is shown as text, on every page', async () => {
  for (const [path, there] of pages()) {
    const page = await openPage(server.url, path)
    await page.locator(there).first().waitFor()
    await page.waitForTimeout(400)
    assert.equal(await page.evaluate(() => window.hacked), undefined, path)
    assert.equal(await page.locator('main img, main script, main iframe').count(), 0, path)
    // Links lead to this server or are marked to lead elsewhere; none runs a script.
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('a[href]')].map((a) => a.href).filter((h) => !/^https?:/.test(h))), [], path)
    // Nothing makes the page wider than the screen.
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} is too wide`)
    assert.deepEqual(page.complaints, [], path)
    await page.context().close()
  }
})

test('hostile names can be chosen on the map, and lead to their traces', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await page.locator('.node').first().waitFor()
  const keys = await page.evaluate(() => [...document.querySelectorAll('[data-key]')].map((e) => e.dataset.key).filter((k) => !k.includes('|client|')))
  assert.ok(keys.length >= names.length + 1, `${keys.length} nodes`)
  for (const key of keys) {
    await page.goto(`${server.url}/map?still=1&node=${encodeURIComponent(key)}`)
    const panel = page.getByRole('complementary')
    await panel.waitFor()
    await panel.getByRole('link', { name: 'Traces', exact: true }).click()
    await page.locator('.table-row').first().waitFor() // the expression is understood, and finds it
  }
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('ten megabytes of metadata are shown without a halt', async () => {
  const id = newID()
  const now = Date.now() / 1000 - 3
  const rows = Array.from({ length: 20_000 }, (_, k) => ({ k, text: 'm'.repeat(480) }))
  const answer = await server.put({ trace_id: id, id: segmentID(), name: 'heavy', start_time: now, end_time: now + 1, metadata: { default: { rows, note: 'here it is' } } })
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
  const began = Date.now()
  const page = await openPage(server.url, `/trace/${id}`)
  await page.getByRole('heading', { name: 'heavy' }).waitFor()
  await page.keyboard.press('j')
  await page.getByRole('tab', { name: /Metadata/ }).click()
  await page.getByText('rows').first().waitFor()
  const shown = Date.now() - began
  const task = await page.evaluate(async () => {
    let longest = 0
    let last = performance.now()
    for (let k = 0; k < 40; k++) {
      await new Promise(requestAnimationFrame)
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }
    return longest
  })
  console.log(`# 10 MB of metadata: shown ${shown} ms after the address; the longest frame after it ${task.toFixed(0)} ms; ${await page.evaluate(() => document.querySelectorAll('*').length)} elements`)
  assert.ok((await page.evaluate(() => document.querySelectorAll('*').length)) < 20_000, 'what is not opened is not there')
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('axe finds nothing on any page, dark, light, and with hostile data', async () => {
  for (const colorScheme of ['dark', 'light'])
    for (const [path, there] of pages()) {
      const page = await openPage(server.url, path, { colorScheme })
      await page.locator(there).first().waitFor()
      await page.waitForTimeout(500)
      assert.deepEqual(await audit(page), [], `${path}, ${colorScheme}`)
      await page.context().close()
    }
})

test('every page goes without a mouse: Tab reaches what there is, and one sees where one is', async () => {
  for (const [path, there] of pages()) {
    const page = await openPage(server.url, path)
    await page.locator(there).first().waitFor()
    await page.waitForTimeout(300)
    const seen = new Set()
    let rounds = 0
    for (; rounds < 400; rounds++) {
      await page.keyboard.press('Tab')
      const at = await page.evaluate(() => {
        const e = document.activeElement
        if (!e || e === document.body) return null
        window.ids_ ??= new WeakMap()
        window.next_ ??= 1
        if (!window.ids_.has(e)) window.ids_.set(e, window.next_++)
        const s = getComputedStyle(e)
        const box = e.getBoundingClientRect()
        const around = e.closest('.find, .filter-box, .node, .segmented') ?? e
        const ring = (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none' || getComputedStyle(around).boxShadow !== 'none' || (around.classList?.contains('node') && getComputedStyle(around.querySelector('.node-box')).strokeWidth === '2.4px')
        return { id: window.ids_.get(e), what: `${e.tagName}.${e.getAttribute('class') ?? ''} ${e.getAttribute('aria-label') ?? e.textContent?.slice(0, 30)}`, ring: Boolean(ring), seen: box.width > 0 && box.height > 0 }
      })
      if (at === null || seen.has(at.id)) {
        if (at === null || seen.size > 5) break
        continue
      }
      seen.add(at.id)
      assert.ok(at.ring, `${path}: no ring around ${at.what}`)
      assert.ok(at.seen, `${path}: ${at.what} has no size`)
    }
    assert.ok(rounds < 400, `${path}: Tab does not come around`)
    assert.ok(seen.size >= 12, `${path}: only ${seen.size} stops`)
    // Escape and the skip link lead out of wherever one is.
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    assert.deepEqual(page.complaints, [], path)
    await page.context().close()
  }
})

test('a slow server is waited for in sight, and a gone one is said to be gone, on every page', async () => {
  const proxy = await startFaultyProxy(server.url, 5000)
  const shows = (page) => page.evaluate(() => document.querySelector('main').innerText.trim().length > 10 || document.querySelectorAll('main .skeleton').length > 0)
  try {
    for (const [path] of [...pages(), ['/']]) {
      proxy.mode = 'slow'
      const page = await openPage(proxy.url, path)
      await page.waitForTimeout(600)
      assert.ok(await shows(page), `${path} is blank while the server is slow`)
      if (!path.startsWith('/start')) await page.getByText('The server is taking long to answer').waitFor()
      assert.deepEqual(page.complaints.filter((c) => /exception/.test(c)), [], path)

      for (const mode of ['gone', 'wrong']) {
        proxy.mode = mode
        await page.goto(proxy.url + path)
        await page.waitForTimeout(300)
        await until(`${path} says something, ${mode}`, () => shows(page))
        if (!path.startsWith('/start')) {
          await page.getByRole('alert').first().waitFor()
          assert.doesNotMatch(await page.getByRole('alert').first().innerText(), /<html>|Failed to fetch/)
        }
        assert.deepEqual(page.complaints.filter((c) => /exception/.test(c)), [], path)
      }
      await page.context().close()
    }
  } finally {
    await proxy.stop()
  }
})

test('a list that is asked for again stays while the server is away', async () => {
  const proxy = await startFaultyProxy(server.url)
  try {
    const page = await openPage(proxy.url, '/traces')
    await page.locator('.table-row').first().waitFor()
    const rows = await page.locator('.table-row').count()
    proxy.mode = 'gone'
    await page.keyboard.press('r')
    await page.getByText(/as of \d/).waitFor()
    assert.equal(await page.locator('.table-row').count(), rows)
    proxy.mode = ''
    await until('it is as of now again', async () => (await page.getByText(/as of \d/).count()) === 0 && (await page.locator('.table-row').count()) > 0)
    await page.context().close()
  } finally {
    await proxy.stop()
  }
})

test('a page goes on by itself when the server is back', async () => {
  const proxy = await startFaultyProxy(server.url)
  try {
    for (const [path, there] of [['/map?still=1', '.node'], ['/traces', '.table-row'], ['/groups', '.page-inner td, .page-inner code'], ['/analytics?a=error&b=!error', '.durations-foot'], [`/trace/${trace}`, '[role=listbox]'], ['/', '.node']]) {
      proxy.mode = 'gone'
      const page = await openPage(proxy.url, path)
      await page.getByRole('alert').first().waitFor()
      proxy.mode = ''
      await page.locator(there).first().waitFor()
      await until(`${path}: the alert goes`, async () => (await page.getByRole('alert').count()) === 0)
      await page.context().close()
    }
  } finally {
    await proxy.stop()
  }
})

test('every page fits 4K and 380 px, and stands under a path prefix', async () => {
  const proxy = await startProxy(server.url, '/a/b/')
  try {
    for (const [path, there] of pages()) {
      for (const viewport of [{ width: 3840, height: 2160 }, { width: 380, height: 740 }]) {
        const page = await openPage(proxy.url, `/a/b${path}`, { viewport })
        await page.locator(there).first().waitFor({ state: 'attached' })
        await page.waitForTimeout(250)
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight), `${path} sticks out at ${viewport.width}`)
        // All that it asks for lies below the prefix.
        const outside = await page.evaluate(() => performance.getEntriesByType('resource').map((r) => new URL(r.name).pathname).filter((p) => !p.startsWith('/a/b/')))
        assert.deepEqual(outside, [], path)
        assert.deepEqual(page.complaints, [], path)
        await page.context().close()
      }
    }
  } finally {
    await proxy.stop()
  }
})

test('nothing outside of the server is asked for, in any page of the program', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await page.context().route('**', (route) => (route.request().url().startsWith(server.url) ? route.continue() : route.abort()))
  for (const [path, there] of pages()) {
    await page.goto(server.url + path)
    await page.locator(there).first().waitFor()
  }
  assert.deepEqual(page.complaints, []) // a request to elsewhere is one
  // Its fonts are those that it brings along.
  assert.ok(await page.evaluate(() => document.fonts.check('14px Inter')))
  await page.context().close()
})

test('paper gets the whole page, in light colours', async () => {
  const page = await openPage(server.url, '/map?still=1&view=table')
  await page.locator('.map-table td').first().waitFor()
  const pdf = await page.pdf()
  assert.ok(pdf.length > 5000)
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), undefined) // as it was
  await page.emulateMedia({ media: 'print' })
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')))
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)')
  assert.equal(await page.locator('.top').isVisible(), false)
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.map-table')).overflowY), 'visible')
  await page.context().close()
})

test('paper gets all rows of a trace, as waterfall, list and log, and those of a search', async () => {
  const id = newID()
  const root = segmentID()
  const begin = Math.floor(Date.now() / 1000) - 20
  await server.put({ trace_id: id, id: root, name: 'long', start_time: begin, end_time: begin + 10, subsegments: Array.from({ length: 120 }, (_, k) => ({ id: segmentID(), name: `step ${k}`, start_time: begin + k * 0.08, end_time: begin + k * 0.08 + 0.05, ...(k === 119 ? { fault: true } : {}) })) })
  const pages = async (page) => (await page.pdf({ format: 'A4' })).toString('latin1').match(/\/Type\s*\/Page\b/g).length
  for (const [path, ready, last] of [
    [`/trace/${id}`, '.waterfall-canvas', 'step 119'],
    [`/trace/${id}?view=list`, '.list .table-row', 'step 119'],
    [`/trace/${id}?view=log`, '.log .table-row', 'step 119'],
  ]) {
    const page = await openPage(server.url, path)
    await page.locator(ready).first().waitFor()
    assert.equal(await page.getByText(last).filter({ visible: true }).count(), 0, `${path}: it is below`)
    assert.ok((await pages(page)) >= 2, path)
    await page.emulateMedia({ media: 'print' })
    const row = page.getByText(last, { exact: true }).last()
    await row.waitFor()
    assert.equal(await page.getByRole('button').filter({ visible: true }).filter({ hasText: /CSV|Sampling|Matches/ }).count(), 0)
    // Back on the screen all is as it was.
    await page.emulateMedia({ media: 'screen' })
    await page.locator(ready).first().waitFor()
    await until('the rest is gone', async () => (await page.getByText(last).filter({ visible: true }).count()) === 0)
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  }
})

test('an hour of live traces leaves memory as it was', async () => {
  // What three hours bring at 12 traces a second comes in two minutes. The list keeps the newest
  // 20,000, and each text of up to 50,000 once: the third hour has to add nothing.
  const own = await startServer()
  const HOUR = 12 * 3600
  try {
    const page = await openPage(own.url, '/traces?live=1')
    await page.getByText('live', { exact: true }).waitFor()
    const cdp = await page.context().newCDPSession(page)
    const heap = async () => {
      await cdp.send('HeapProfiler.collectGarbage')
      return (await cdp.send('Runtime.getHeapUsage')).usedSize / 1e6
    }
    const at = [await heap()]
    let sent = 0
    const began = Date.now()
    while (sent < 3 * HOUR) {
      const now = Date.now() / 1000
      const documents = Array.from({ length: 200 }, (_, k) => ({ trace_id: newID(), id: segmentID(), name: `service-${(sent + k) % 9}`, start_time: now - 0.5, end_time: now - 0.1 * ((k % 4) + 1), http: { request: { method: 'GET', url: `https://a.example/things/${sent + k}` }, response: { status: 200 } }, annotations: { tenant: `t-${k % 30}` } }))
      await own.put(...documents)
      sent += documents.length
      await page.waitForTimeout(150) // a tail that is too fast to be followed leaves traces out, and says so
      if (sent % 10_800 === 0) {
        // It keeps up: what is on top is of the last ones.
        await until('the last ones', async () => Number(/things\/(\d+)/.exec(await page.locator('.table-row').first().innerText())?.[1] ?? 0) >= sent - 200, 120_000)
        at.push(await heap())
      }
    }
    console.log(`# ${3 * HOUR} live traces (three hours at 12/s) in ${((Date.now() - began) / 1000).toFixed(0)} s: ${at.map((m) => m.toFixed(0)).join(', ')} MB of heap, at the start and after each quarter`)
    assert.ok(at[12] < at[8] * 1.15 + 3, `${at}`)
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  } finally {
    await own.stop()
  }
})

test('an hour of a live map leaves memory as it was', async () => {
  // 900 refreshes: one every four seconds for an hour, by a clock that is turned on.
  const page = await openPage(server.url, '/map?still=1')
  await page.locator('.node').first().waitFor()
  const cdp = await page.context().newCDPSession(page)
  const heap = async () => {
    await cdp.send('HeapProfiler.collectGarbage')
    return (await cdp.send('Runtime.getHeapUsage')).usedSize / 1e6
  }
  await page.clock.install()
  await page.goto(`${server.url}/map`)
  await page.locator('.node').first().waitFor()
  const graphs = []
  page.on('response', (r) => r.url().endsWith('/ServiceGraph') && graphs.push(r.status()))
  const at = [await heap()]
  for (let k = 1; k <= 900; k++) {
    const before = graphs.length
    await page.clock.runFor(4100)
    for (let wait = 0; graphs.length === before && wait < 100; wait++) await new Promise((done) => setTimeout(done, 10))
    if (k % 300 === 0) at.push(await heap())
  }
  console.log(`# ${graphs.length} refreshes of a live map: ${at.map((m) => m.toFixed(1)).join(', ')} MB of heap`)
  assert.ok(graphs.length >= 850, `${graphs.length} refreshes`)
  assert.ok(at[3] < at[1] * 1.2 + 2, `${at}`)
  await page.context().close()
})
