// A trace as a log: every line in the order of time, one selection with the other views.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startServer, until } from './harness.mjs'

let server
const now = Math.floor(Date.now() / 1000) - 20
const shop = newID()
const mixed = newID()
const ids = { root: segmentID(), call: segmentID(), payments: segmentID(), span: segmentID() }

before(async () => {
  server = await startServer()
  const done = await server.put(
    {
      trace_id: shop, id: ids.root, name: 'shop', start_time: now, end_time: now + 1, fault: true, http: { request: { method: 'POST', url: 'https://shop.example/orders' }, response: { status: 502 } },
      subsegments: [{ id: ids.call, name: 'payments', namespace: 'remote', start_time: now + 0.1, end_time: now + 0.9, fault: true }],
    },
    {
      trace_id: shop, id: ids.payments, name: 'payments', parent_id: ids.call, start_time: now + 0.125, end_time: now + 0.875, fault: true, metadata: { default: { note: 'needle' } },
      cause: { exceptions: [{ id: segmentID(), type: 'ChargeFailed', message: 'card was declined' }, { id: segmentID(), type: 'TimeoutError', message: 'no answer in 700 ms' }] },
    },
    { trace_id: mixed, id: ids.root, name: 'gate', start_time: now, end_time: now + 4 },
  )
  assert.deepEqual(done.UnprocessedTraceSegments, [])
  const nano = (seconds) => String(BigInt(now) * 1_000_000_000n + BigInt(Math.round(seconds * 1e9)))
  const text = (key, value) => ({ key, value: { stringValue: value } })
  const response = await fetch(`${server.url}/v1/traces`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ resource: { attributes: [text('service.name', 'carts')] }, scopeSpans: [{ spans: [{
      traceId: mixed.slice(2).replace('-', ''), spanId: ids.span, parentSpanId: ids.root, name: 'GET /cart', kind: 2, startTimeUnixNano: nano(1), endTimeUnixNano: nano(3),
      events: [
        { timeUnixNano: nano(1.5), name: 'cache miss', attributes: [text('key', 'cart:7')] },
        { timeUnixNano: nano(2), name: 'exception', attributes: [text('exception.type', 'Retried'), text('exception.message', 'connection reset')] },
      ],
    }] }] }] }),
  })
  assert.equal(response.status, 200)
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

/** What each line says: offset, kind, service and text. */
async function linesOf(page) {
  await page.getByRole('table', { name: 'Log of the trace' }).waitFor()
  return page.locator('.log .table-row').evaluateAll((rows) => rows.map((r) => ['.log-at', '.log-kind', '.log-service', '.log-text'].map((cell) => r.querySelector(cell).innerText.replace(/\s+/g, ' ').trim()).join(' | ')))
}
const settledLines = async (page, n) => {
  await until(`${n} lines`, async () => (await linesOf(page)).length === n)
  return linesOf(page)
}

test('the log has starts, exceptions and ends in the order of time', async () => {
  const page = await openPage(server.url, `/trace/${shop}?view=log`)
  assert.deepEqual(await settledLines(page, 8), [
    '0.000000 s | start | shop | shop POST /orders · 502',
    '0.100000 s | start | shop | payments',
    '0.125000 s | start | payments | payments',
    '≤ 0.875000 s | exception | payments | ChargeFailed card was declined in payments',
    '≤ 0.875000 s | exception | payments | TimeoutError no answer in 700 ms in payments',
    '0.875000 s | end | payments | payments after 750 ms fault',
    '0.900000 s | end | shop | payments after 800 ms fault',
    '1.000000 s | end | shop | shop after 1 s fault',
  ])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('events of spans, and their exceptions, have their own times', async () => {
  const page = await openPage(server.url, `/trace/${mixed}?view=log`)
  assert.deepEqual(await settledLines(page, 6), [
    '0.000000 s | start | gate | gate',
    '1.000000 s | start | carts | carts',
    '1.500000 s | event | carts | cache miss key=cart:7 in carts',
    '2.000000 s | exception | carts | Retried connection reset in carts',
    '3.000000 s | end | carts | carts after 2 s',
    '4.000000 s | end | gate | gate after 4 s',
  ])
  // The time of day is that of the toggle.
  const clock = () => page.locator('.log-clock').nth(1).innerText()
  const two = (n) => String(n).padStart(2, '0')
  const start = new Date(now * 1000)
  const rest = `:${two(start.getUTCMinutes())}:${two(start.getUTCSeconds())}.000`
  const berlin = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: '2-digit', hourCycle: 'h23' }).format(start)
  assert.equal(await clock(), berlin + rest)
  await page.evaluate(() => localStorage.setItem('roentgen.utc', '1'))
  await page.reload()
  await settledLines(page, 6)
  assert.equal(await clock(), two(start.getUTCHours()) + rest)
  await page.getByRole('columnheader', { name: 'Time, UTC' }).waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a line chooses its entry, and an entry its lines', async () => {
  const page = await openPage(server.url, `/trace/${shop}?view=log&entry=${ids.payments}`)
  const marked = () => page.locator('.log .table-row.selected').evaluateAll((rows) => rows.map((r) => r.querySelector('.log-kind').innerText).join(' '))
  const current = () => page.locator('.log .table-row[aria-current]').evaluateAll((rows) => rows.map((r) => `${r.querySelector('.log-kind').innerText} ${r.querySelector('.log-text').innerText.split('\n')[0]}`).join())
  await until('the lines of the entry', async () => (await marked()) === 'start exception exception end')
  assert.equal(await current(), 'start payments')
  await page.keyboard.press('j')
  await page.keyboard.press('ArrowDown')
  await until('the second exception', async () => (await current()) === 'exception TimeoutError')
  assert.equal(await marked(), 'start exception exception end') // still the same entry
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  await until('the address', () => page.url().includes(`entry=${ids.call}`))
  assert.equal(await current(), 'end payments')
  assert.equal(await marked(), 'start end')
  await page.keyboard.press('End')
  await until('the last line', async () => (await current()) === 'end shop')
  await page.keyboard.press('k')
  await page.locator('.log .table-row', { hasText: 'ChargeFailed' }).click()
  await page.getByText('no answer in 700 ms').nth(1).waitFor() // the details follow
  // The other views have the same selection.
  await page.keyboard.press('v')
  await page.keyboard.press('w')
  await page.getByRole('option', { selected: true, name: /^payments/ }).waitFor()
  await page.keyboard.press('Home')
  await page.keyboard.press('v')
  await page.keyboard.press('g')
  await until('the root', async () => (await current()) === 'start shop')
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('boxes leave kinds out, and find marks or leaves alone', async () => {
  const page = await openPage(server.url, `/trace/${shop}?view=log`)
  await settledLines(page, 8)
  const box = (name) => page.getByRole('checkbox', { name })
  assert.match(await page.getByRole('group', { name: 'Lines that are shown' }).innerText(), /Starts\s+3\s+Events\s+0\s+Exceptions\s+2\s+Ends\s+3/)
  await box(/^Starts/).uncheck()
  await box(/^Ends/).uncheck()
  await settledLines(page, 2)
  await until('the address', () => new URL(page.url()).searchParams.get('lines') === 'event,exception')
  await page.reload()
  assert.match((await settledLines(page, 2))[0], /ChargeFailed/)
  await box(/^Exceptions/).uncheck()
  await page.getByRole('heading', { name: 'No lines' }).waitFor()
  await page.getByRole('button', { name: 'Show all lines' }).click()
  await settledLines(page, 8)
  await until('the address is clean', () => !new URL(page.url()).searchParams.has('lines'))
  await page.keyboard.press('/')
  await page.keyboard.type('needle')
  await until('those that do not match are dim', async () => (await page.locator('.log .table-row.dim').count()) === 4)
  assert.deepEqual(await page.locator('.log .table-row:not(.dim) .log-kind').allInnerTexts(), ['start', 'exception', 'exception', 'end'])
  await page.keyboard.press('Enter')
  await until('the match is chosen', () => page.url().includes(`entry=${ids.payments}`))
  await page.keyboard.press('Escape')
  // Only matches, and what leads to them.
  await page.goto(`${server.url}/trace/${mixed}?view=log&find=gate&only=1`)
  assert.deepEqual((await settledLines(page, 2)).map((l) => l.split(' | ')[1]), ['start', 'end'])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('linked traces are one log, and corrected clocks take events along', async () => {
  const worker = newID()
  const [root, remote] = [segmentID(), segmentID()]
  await server.put(
    { trace_id: worker, id: root, name: 'worker', start_time: now + 5, end_time: now + 7, links: [{ trace_id: shop, id: ids.call }], subsegments: [{ id: remote, name: 'mailer', namespace: 'remote', start_time: now + 5.5, end_time: now + 6.5 }] },
    // Its clock is ten seconds late; the event says when by that clock.
    { trace_id: worker, id: segmentID(), name: 'mailer', parent_id: remote, start_time: now + 15.5, end_time: now + 16.5, metadata: { otel: { events: [{ time: now + 16, name: 'sent <b>it</b>', attributes: { to: '\u202eada' } }] } } },
  )
  const page = await openPage(server.url, `/trace/${worker}?view=log&lines=event,exception`)
  assert.deepEqual(await settledLines(page, 1), ['11.000000 s | event | mailer | sent <b>it</b> to=\u202eada in mailer'])
  await page.getByRole('button', { name: 'Correct them' }).click()
  await until('the event moves', async () => (await linesOf(page))[0].startsWith('1.000000 s'))
  await page.keyboard.press('L')
  const lines = await settledLines(page, 3)
  assert.match(lines[0], /^≤ 0.875000 s .* ChargeFailed/)
  assert.match(lines[2], /^6.000000 s .* sent/)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('work in progress has no end until it ends', async () => {
  const id = newID()
  const [root, step] = [segmentID(), segmentID()]
  const begin = Date.now() / 1000
  const rootOf = (rest) => ({ trace_id: id, id: root, name: 'report', start_time: begin - 2, ...rest })
  await server.put(rootOf({ in_progress: true }))
  const page = await openPage(server.url, `/trace/${id}?view=log&entry=${root}`)
  assert.equal((await settledLines(page, 1))[0].split(' | ')[1], 'start')
  await server.put({ trace_id: id, id: step, type: 'subsegment', parent_id: root, name: 'step', start_time: begin - 1, end_time: begin - 0.5, error: true, cause: { exceptions: [{ id: segmentID(), type: 'Slow', message: 'm' }] } })
  assert.deepEqual((await settledLines(page, 4)).map((l) => l.split(' | ')[1]), ['start', 'start', 'exception', 'end'])
  await page.locator('.log .table-row.selected', { hasText: 'report' }).waitFor()
  await server.put(rootOf({ end_time: begin + 1.5 }))
  assert.match((await settledLines(page, 5))[4], /end \| report \| report after 3.5 s/)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the log is taken along as CSV, as it is shown', async () => {
  const page = await openPage(server.url, `/trace/${mixed}?view=log`)
  await settledLines(page, 6)
  const iso = (seconds) => new Date((now + seconds) * 1000).toISOString()
  const head = 'offset_seconds,time,service,kind,name,message,entry,seconds,outcome,entry_id,trace_id'
  const event = (at, kind, name, message) => `${at},${iso(at)},carts,${kind},${name},${message},carts,,,${ids.span},${mixed}`
  await page.getByRole('button', { name: 'Copy the log as CSV' }).click()
  await page.getByText('6 rows copied').waitFor()
  const copied = await page.evaluate(() => navigator.clipboard.readText())
  assert.deepEqual(copied.split('\r\n'), [
    head,
    `0,${iso(0)},gate,start,gate,,gate,,,${ids.root},${mixed}`,
    `1,${iso(1)},carts,start,carts,,carts,,,${ids.span},${mixed}`,
    event(1.5, 'event', 'cache miss', 'key=cart:7'),
    event(2, 'exception', 'Retried', 'connection reset'),
    `3,${iso(3)},carts,end,carts,,carts,2,ok,${ids.span},${mixed}`,
    `4,${iso(4)},gate,end,gate,,gate,4,ok,${ids.root},${mixed}`,
    '',
  ])
  // A file has the same; what is hidden is not in it.
  await page.getByRole('checkbox', { name: /^Starts/ }).uncheck()
  await page.getByRole('checkbox', { name: /^Ends/ }).uncheck()
  await settledLines(page, 2)
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download the log as CSV' }).click()])
  assert.equal(file.suggestedFilename(), `log-${mixed}.csv`)
  assert.deepEqual((await readFile(await file.path(), 'utf8')).split('\r\n'), [head, event(1.5, 'event', 'cache miss', 'key=cart:7'), event(2, 'exception', 'Retried', 'connection reset'), ''])
  // An exception whose time is not said has none here either.
  await page.goto(`${server.url}/trace/${shop}?view=log&lines=exception`)
  await settledLines(page, 2)
  await page.getByRole('button', { name: 'Copy the log as CSV' }).click()
  await page.getByText('2 rows copied').waitFor()
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /\r\n,,payments,exception,ChargeFailed,card was declined,payments,/)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the newest lines of a trace that grows are followed', async () => {
  const id = newID()
  const root = segmentID()
  const begin = Date.now() / 1000 - 60
  const doc = (rest) => ({ trace_id: id, id: root, name: 'import', start_time: begin, ...rest })
  let sent = 0
  const more = (n) => server.put(...Array.from({ length: n }, () => ({ trace_id: id, id: segmentID(), type: 'subsegment', parent_id: root, name: `row ${++sent}`, start_time: begin + sent * 0.1, end_time: begin + sent * 0.1 + 0.05 })))
  await server.put(doc({ in_progress: true }))
  await more(60)
  const page = await openPage(server.url, `/trace/${id}?view=log`)
  const list = page.locator('.log .virtual')
  await page.locator('.log .table-row', { hasText: 'row 1' }).first().waitFor()
  const last = (k) => page.locator('.log .table-row', { hasText: `row ${k}` }).last()
  const inSight = async (k) => {
    const row = last(k)
    if ((await row.count()) === 0) return false
    const [a, b] = [await row.boundingBox(), await list.boundingBox()]
    return a && b && a.y >= b.y - 1 && a.y + a.height <= b.y + b.height + 1
  }
  // Nobody asked for it: what is read stays where it is.
  await more(20)
  await until('they are there', async () => /Ends\s+80/.test(await page.getByRole('group', { name: 'Lines that are shown' }).innerText()))
  assert.equal(await list.evaluate((e) => e.scrollTop), 0)
  await page.keyboard.press('F')
  await until('the end', () => inSight(80))
  await until('the address', () => new URL(page.url()).searchParams.get('follow') === '1')
  assert.equal(await page.getByRole('button', { name: 'Follow' }).getAttribute('aria-pressed'), 'true')
  await more(20)
  await until('the new end', () => inSight(100))
  assert.deepEqual(await audit(page), [])
  // Scrolling up stops it, and what comes moves nothing.
  await list.hover()
  await page.mouse.wheel(0, -900)
  await until('it stopped', async () => (await page.getByRole('button', { name: 'Follow' }).getAttribute('aria-pressed')) === 'false')
  const top = await list.evaluate((e) => e.scrollTop)
  await more(20)
  await until('they are there', async () => /Ends\s+120/.test(await page.getByRole('group', { name: 'Lines that are shown' }).innerText()))
  assert.equal(await list.evaluate((e) => e.scrollTop), top)
  // So does choosing a line; the button goes on. A link to it follows, too.
  await page.getByRole('button', { name: 'Follow' }).click()
  await until('the end again', () => inSight(120))
  await until('the address again', () => new URL(page.url()).searchParams.get('follow') === '1')
  await page.reload()
  await until('the end after a reload', () => inSight(120))
  await last(120).click()
  await until('it stopped', async () => (await page.getByRole('button', { name: 'Follow' }).getAttribute('aria-pressed')) === 'false')
  // What is over grows no more.
  await server.put(doc({ end_time: begin + 60 }))
  await page.getByRole('button', { name: 'Follow' }).waitFor({ state: 'detached' })
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a server that cannot tell the events says so, and is asked again', async () => {
  const page = await openPage(server.url, '/traces')
  let broken = true
  await page.route(/\/events$/, (route) => (broken ? route.fulfill({ status: 503, body: '{"Message":"too busy just now"}' }) : route.continue()))
  await page.goto(`${server.url}/trace/${shop}?view=log`)
  await page.getByText('too busy just now').waitFor()
  assert.equal((await linesOf(page)).length, 6) // what the columns tell is there
  broken = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await settledLines(page, 8)
  await page.context().close()
})

test('two hundred thousand lines scroll smoothly', async () => {
  const id = newID()
  const root = segmentID()
  await server.put({ trace_id: id, id: root, name: 'huge', start_time: now, end_time: now + 100 })
  let failed = ''
  for (let s = 0; s < 10; s++) {
    const answer = await server.put({
      trace_id: id, id: segmentID(), name: `batch-${s}`, parent_id: root, start_time: now + s * 10, end_time: now + s * 10 + 9.9,
      subsegments: Array.from({ length: 10_000 }, (_, k) => ({ id: s === 5 && k === 5000 ? (failed = segmentID()) : segmentID(), name: `step ${k % 50}`, start_time: now + s * 10 + k / 1020, end_time: now + s * 10 + k / 1020 + 0.02, ...(k % 100 === 0 ? { fault: true, cause: { exceptions: [{ id: segmentID(), type: 'Failed', message: `step ${k}` }] } } : {}) })),
    })
    assert.deepEqual(answer.UnprocessedTraceSegments, [])
  }
  const page = await openPage(server.url, `/trace/${id}?view=log&entry=${failed}`)
  const begin = Date.now()
  // The lines of the chosen entry are scrolled to.
  await page.locator('.log .table-row.selected', { hasText: 'start' }).waitFor({ timeout: 60_000 })
  const shown = Date.now() - begin
  await page.getByRole('checkbox', { name: 'Exceptions 1\u202f000' }).waitFor()
  // Exceptions came in between, above it: it is still in view.
  const place = await page.locator('.log .table-row[aria-current]').boundingBox()
  assert.ok(place && place.y > 100 && place.y < 870, JSON.stringify(place))
  assert.equal(await page.getByRole('table', { name: 'Log of the trace' }).getAttribute('aria-rowcount'), String(2 * 100_011 + 1000 + 1))
  const frames = await page.evaluate(async () => {
    const list = document.querySelector('.log .virtual')
    const times = []
    let last = performance.now()
    for (let k = 0; k < 90; k++) {
      list.scrollTop = (k * 57_917) % (list.scrollHeight - list.clientHeight)
      await new Promise(requestAnimationFrame)
      const t = performance.now()
      times.push(t - last)
      last = t
    }
    return times.sort((a, b) => a - b)
  })
  const step = await page.evaluate(async () => {
    const begin = performance.now()
    for (let k = 0; k < 20; k++) {
      document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }))
      await new Promise(requestAnimationFrame)
    }
    return (performance.now() - begin) / 20
  })
  console.log(`# 201,022 lines: shown after ${shown} ms; a frame while scrolling took ${frames[45].toFixed(1)} ms, 95 of 100 took at most ${frames[85].toFixed(1)} ms; a step by keyboard ${step.toFixed(1)} ms`)
  assert.ok(frames[45] < 200, `a frame took ${frames[45]} ms`) // far above what it takes on a machine that has nothing else to do
  assert.ok((await page.locator('.log .table-row').count()) < 200, 'only what is in view is there')
  await page.keyboard.press('End')
  await page.locator('.log .table-row[aria-current]', { hasText: 'huge' }).waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('axe finds nothing, dark, light and on a telephone', async () => {
  for (const options of [{ colorScheme: 'dark' }, { colorScheme: 'light' }, { colorScheme: 'light', viewport: { width: 380, height: 800 } }])
    for (const [id, query] of [[shop, `&entry=${ids.payments}`], [mixed, ''], [shop, '&lines=none']]) {
      const page = await openPage(server.url, `/trace/${id}?view=log${query}`, options)
      if (query === '&lines=none') await page.getByRole('heading', { name: 'No lines' }).waitFor()
      else await page.getByRole('table', { name: 'Log of the trace' }).waitFor()
      await page.waitForTimeout(400)
      assert.deepEqual(await audit(page), [], `${query}, ${JSON.stringify(options)}`)
      if (options.viewport && !query) {
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 380, 'nothing sticks out')
        const out = await page.locator('.log .table-row').evaluateAll((rows) => rows.filter((r) => [...r.querySelectorAll('.log-text > *')].some((e) => e.getBoundingClientRect().right > 371)).length)
        assert.equal(out, 0, 'texts end where their lines do')
        const [first] = await linesOf(page)
        assert.match(first, /start.*gate/)
        const text = await page.locator('.log-text').first().boundingBox()
        assert.ok(text.width > 120 && text.x + text.width <= 380, `the text has ${text.width} pixels`)
      }
      await page.context().close()
    }
})
