// The map: what is moved stays, what is large is put together, fingers work; and
// analytics against other times.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startServer, until } from './harness.mjs'

let server
/** One trace: `from` calls each of `to`. */
function calls(from, to, more = {}) {
  const id = newID()
  const root = segmentID()
  const time = Date.now() / 1000 - 2
  const own = to.map((name) => ({ call: segmentID(), name }))
  return [
    { trace_id: id, id: root, name: from, start_time: time, end_time: time + 1, origin: 'AWS::EC2::Instance', ...more[from], subsegments: own.map((o) => ({ id: o.call, name: o.name, namespace: 'remote', start_time: time + 0.1, end_time: time + 0.5, ...(more[o.name]?.fault ? { fault: true } : {}) })) },
    ...own.filter((o) => more[o.name]).map((o) => ({ trace_id: id, id: segmentID(), parent_id: o.call, name: o.name, start_time: time + 0.15, end_time: time + 0.4, origin: 'AWS::EC2::Instance', ...more[o.name] })),
  ]
}
// Functions are the nodes that say whose they are.
const lambda = (account, more) => ({ origin: 'AWS::Lambda::Function', aws: { account_id: account }, ...more })
const accounts = { 'shop.web': {}, 'shop.cart': {}, 'pay.gate': lambda('222222222222', { fault: true }), 'pay.ledger': lambda('222222222222'), mail: lambda('333333333333') }

before(async () => {
  server = await startServer()
  // A group has what arrives from its creation on.
  await fetch(`${server.url}/CreateGroup`, { method: 'POST', body: JSON.stringify({ GroupName: 'money', FilterExpression: 'service("pay.gate")' }) })
  const answer = await server.put(...Array.from({ length: 5 }, () => calls('shop.web', ['shop.cart', 'pay.gate', 'pay.ledger', 'mail', 'zip-codes'], accounts)).flat())
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

const node = (page, name) => page.locator('.node', { has: page.locator(`[data-key^="${name}|"]`) })
/** Where nodes stand on the map, whatever the zoom. */
const places = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.graph .node')].map((n) => [n.querySelector('[data-key]').dataset.key, n.getAttribute('transform')])))
const pinsOf = (page) => new URL(page.url()).searchParams.get('pin')

test('a node that is dragged stays there, in the address and in this browser, until it is let go', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const was = await places(page)
  const box = await node(page, 'mail').boundingBox()
  await page.mouse.move(box.x + 60, box.y + 15)
  await page.mouse.down()
  await page.mouse.move(box.x + 20, box.y + 130, { steps: 6 })
  await page.mouse.up()
  await until('the address follows', () => /^[0-9a-z]+:-?\d+,-?\d+$/.test(pinsOf(page) ?? ''))
  const key = Object.keys(was).find((k) => k.startsWith('mail|'))
  const now = await places(page)
  assert.notEqual(now[key], was[key])
  for (const other of Object.keys(was)) if (other !== key) assert.equal(now[other], was[other], `${other} moved, too`)
  await node(page, 'mail').locator('.node-pin').waitFor()
  assert.equal(await page.locator('.details').count(), 0, 'dragging does not choose')

  // Loaded anew, and in another browser that has only the address, it is where it was.
  await page.reload()
  await node(page, 'mail').waitFor()
  await until('the same place', async () => (await places(page))[key] === now[key])
  const elsewhere = await openPage(server.url, new URL(page.url()).pathname + new URL(page.url()).search)
  await until('the same place', async () => (await places(elsewhere))[key] === now[key])
  await elsewhere.context().close()

  // This browser keeps it without the address, too.
  await page.goto(`${server.url}/map?still=1`)
  await until('the address has it again', () => pinsOf(page) !== null)
  await until('the same place', async () => (await places(page))[key] === now[key])
  await page.getByRole('button', { name: 'Let all pinned nodes go' }).click()
  await until('as it was', async () => (await places(page))[key] === was[key])
  await until('the address, too', () => pinsOf(page) === null)
  await page.goto(`${server.url}/map?still=1`)
  await until('as it was', async () => (await places(page))[key] === was[key])
  assert.equal(pinsOf(page), null)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a key that comes right after a choice means what was chosen', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await node(page, 'mail').waitFor()
  // Both within one turn of the page, so that nothing is painted in between.
  await page.evaluate(() => {
    document.querySelector('.node:has([data-key^="mail|"])').dispatchEvent(new MouseEvent('click', { bubbles: true }))
    return Promise.resolve().then(() => dispatchEvent(new KeyboardEvent('keydown', { key: 'f', bubbles: true })))
  })
  await until('the focus is in the address', () => new URL(page.url()).searchParams.get('focus')?.startsWith('mail|'))
  await page.getByText('near mail').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('nodes are moved and let go by keys', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const was = await places(page)
  await node(page, 'mail').locator('[data-key]').focus()
  await page.keyboard.press('Shift+J')
  await page.keyboard.press('Shift+J')
  await until('it is moved', async () => pinsOf(page) !== null)
  const key = Object.keys(was).find((k) => k.startsWith('mail|'))
  const y = (text) => Number(/ (-?[\d.]+)\)/.exec(text)[1])
  await until('48 further down', async () => Math.abs(y((await places(page))[key]) - y(was[key]) - 48) < 1.5)
  await page.keyboard.press('p')
  await until('as it was', async () => (await places(page))[key] === was[key])
  await until('the address, too', () => pinsOf(page) === null)
  await page.context().close()
})

test('what arrives moves nothing that is there', async () => {
  const page = await openPage(server.url, '/map')
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const was = await places(page)
  await server.put(...calls('shop.web', ['brand-new'], { 'brand-new': {} }), ...calls('brand-new', ['newer-still'], {}))
  await node(page, 'newer-still').waitFor()
  const now = await places(page)
  for (const key of Object.keys(was)) assert.equal(now[key], was[key], `${key} moved`)
  const at = (name) => /translate\((-?[\d.]+) (-?[\d.]+)/.exec(now[Object.keys(now).find((k) => k.startsWith(`${name}|`))]).slice(1).map(Number)
  assert.ok(at('brand-new')[0] > at('shop.web')[0] && at('newer-still')[0] > at('brand-new')[0], 'callees stand right of callers')
  await page.context().close()
})

test('nodes are put together by account, type, name and group, opened and closed', async () => {
  const page = await openPage(server.url, '/map?still=1&by=account')
  const cluster = (name) => page.locator('.node', { has: page.locator(`[data-key="${name}"]`) })
  await cluster('account|222222222222').waitFor()
  assert.equal(await node(page, 'pay.gate').count(), 0)
  await cluster('account|222222222222').click()
  const panel = page.getByRole('complementary', { name: 'The chosen cluster' })
  await panel.getByText('2 nodes').waitFor()
  await panel.getByRole('button', { name: 'pay.ledger' }).waitFor()
  await panel.getByRole('button', { name: 'Open the cluster' }).click()
  await node(page, 'pay.gate').waitFor()
  await page.waitForURL((u) => u.searchParams.get('open') === 'account|222222222222')
  await node(page, 'shop.cart').waitFor()
  await page.getByRole('group', { name: 'Open clusters' }).getByRole('button', { name: '222222222222' }).click()
  await cluster('account|222222222222').waitFor()
  await page.goBack()
  await node(page, 'pay.gate').waitFor()
  // By keyboard: Enter chooses, o opens.
  await page.getByTitle('Put nodes together').click()
  await page.getByRole('menuitemradio', { name: 'By the first part of the name' }).click()
  await cluster('name|shop').waitFor()
  await cluster('name|shop').locator('[data-key]').focus()
  await page.keyboard.press('Enter')
  await panel.getByText('2 nodes').waitFor()
  await page.keyboard.press('o')
  await node(page, 'shop.cart').waitFor()
  await page.keyboard.press('Shift+O')
  await cluster('name|shop').waitFor()
  await page.goto(`${server.url}/map?still=1&by=type`)
  await cluster('type|AWS::EC2::Instance').waitFor()
  await page.goto(`${server.url}/map?still=1&by=group`)
  await cluster('group|money').waitFor()
  assert.deepEqual(await audit(page), [])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('two fingers zoom, one moves the map', async () => {
  const page = await openPage(server.url, '/map?still=1', { hasTouch: true, viewport: { width: 900, height: 700 } })
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const scene = () => page.evaluate(() => document.querySelector('.graph > svg > g').getAttribute('transform').match(/-?[\d.]+/g).map(Number))
  const cdp = await page.context().newCDPSession(page)
  const touch = (type, ...points) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) })
  const [x0, y0, k0] = await scene()
  await touch('touchStart', [400, 400], [500, 400])
  for (let d = 10; d <= 100; d += 10) await touch('touchMove', [400 - d, 400], [500 + d, 400])
  await touch('touchEnd')
  const [x1, y1, k1] = await scene()
  assert.ok(Math.abs(k1 / k0 - 3) < 0.15, `zoomed by ${k1 / k0}, not by 3`)
  // What was between the fingers still is.
  assert.ok(Math.abs((450 - x0) / k0 - (450 - x1) / k1) < 4)
  await touch('touchStart', [450, 600])
  for (let d = 10; d <= 80; d += 10) await touch('touchMove', [450 + d, 600 - d])
  await touch('touchEnd')
  const [x2, y2, k2] = await scene()
  assert.equal(k2, k1)
  assert.ok(Math.abs(x2 - x1 - 80) < 6 && Math.abs(y2 - y1 + 80) < 6, `moved by ${x2 - x1}, ${y2 - y1}`)
  assert.equal(pinsOf(page), null, 'no node was moved')
  await page.context().close()
})

test('labels of edges lie on no node, and the chosen row of the table is marked', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await page.locator('.edge-label').first().waitFor()
  const over = await page.evaluate(() => {
    const boxes = (of) => [...document.querySelectorAll(of)].map((e) => e.getBoundingClientRect())
    const nodes = boxes('.node-cover')
    return boxes('.edge-label-box').filter((a) => nodes.some((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length
  })
  assert.equal(over, 0)
  await page.goto(`${server.url}/map?still=1&view=table`)
  await page.getByRole('button', { name: 'pay.gate', exact: true }).click()
  await page.locator('.map-table tr[aria-current=true]', { hasText: 'pay.gate' }).getByTitle('faults').waitFor()
  await page.context().close()
})

test('another window of time leaves nodes where they are', async () => {
  const page = await openPage(server.url, '/map?still=1&range=15m')
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const was = await places(page)
  await page.evaluate(() => {
    const link = document.createElement('a')
    link.href = new URL('map?still=1&range=1h', document.baseURI).href
    document.body.append(link)
    link.click()
  })
  await page.waitForURL(/range=1h/)
  await page.waitForTimeout(800)
  assert.deepEqual(await places(page), was)
  await page.context().close()
})

test('on a phone the map goes from top to bottom, can be read, and shows what is chosen above its panel', async () => {
  const page = await openPage(server.url, '/map?still=1', { viewport: { width: 380, height: 740 } })
  await node(page, 'mail').waitFor()
  await page.waitForTimeout(300)
  const box = (name) => page.locator('.node', { has: page.locator(`[data-key^="${name}|"]:not([data-key*="|client|"])`) }).boundingBox()
  assert.ok((await box('shop.web')).y < (await box('mail')).y, 'callers stand above callees')
  const frame = await page.locator('.graph').boundingBox()
  const letters = await page.locator('.node-name').evaluateAll((list) => list.map((e) => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a))
  assert.ok(Math.min(...letters) > 7.5, `letters of ${Math.min(...letters)} px`)
  for (const name of ['shop.web', 'mail', 'pay.gate']) assert.ok((await box(name)).x >= frame.x && (await box(name)).x + (await box(name)).width <= frame.x + frame.width + 8, `${name} is seen`)
  await node(page, 'mail').dispatchEvent('click')
  await page.getByRole('heading', { name: 'mail', exact: true }).waitFor()
  await until('it is above the panel', async () => (await box('mail')).y + (await box('mail')).height <= (await page.locator('.details').boundingBox()).y)
  await page.locator('.map-legend').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('an edge shows its figures over time below the pointer', async () => {
  const page = await openPage(server.url, '/map?still=1')
  const edge = page.getByRole('button', { name: /^shop\.web calls pay\.gate/ })
  await edge.waitFor()
  const at = await edge.evaluate((e) => {
    const p = e.getPointAtLength(e.getTotalLength() * 0.8).matrixTransform(e.getScreenCTM())
    return [p.x, p.y]
  })
  await page.mouse.move(at[0], at[1])
  const tip = page.locator('.graph-tip')
  await tip.getByText('100 % failed').waitFor()
  await tip.getByText(/p99 /).waitFor()
  await page.context().close()
})

test('a node leads to its edges, and an edge to its traces, without pointing at lines', async () => {
  const page = await openPage(server.url, '/map?still=1')
  await node(page, 'shop.web').locator('[data-key$="|"]').first().focus()
  await page.keyboard.press('Enter')
  await page.getByRole('complementary').getByRole('button', { name: 'pay.gate' }).press('Enter')
  await page.getByRole('heading', { name: 'shop.web → pay.gate' }).waitFor()
  await page.context().close()
})

test('the table sorts, and is copied as CSV; so is a chart', async () => {
  const page = await openPage(server.url, '/map?still=1&view=table')
  await page.getByRole('columnheader', { name: 'Service' }).getByRole('button').click()
  await until('address', () => new URL(page.url()).searchParams.get('sort') === 'name')
  const names = await page.locator('.map-table .cell-name').allInnerTexts()
  assert.deepEqual(names, [...names].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)))
  await page.getByRole('button', { name: 'Copy as CSV' }).click()
  await until('the clipboard', async () => /^name,type,account,calls,/.test(await page.evaluate(() => navigator.clipboard.readText())))
  const text = await page.evaluate(() => navigator.clipboard.readText())
  assert.match(text, /pay\.gate,AWS::Lambda::Function,222222222222,5,/)

  await page.goto(`${server.url}/map?still=1`)
  await node(page, 'shop.cart').click()
  await page.getByRole('button', { name: 'Response times as a table' }).click()
  await page.getByRole('region', { name: 'Response times' }).getByRole('row').nth(1).waitFor()
  await page.getByRole('button', { name: 'Copy response times as CSV' }).click()
  await until('the clipboard', async () => /^from_seconds,to_seconds,calls\r\n[\d.e-]+,[\d.e-]+,5\r\n$/.test(await page.evaluate(() => navigator.clipboard.readText())))
  // The table can do what the brush does.
  await page.getByRole('button', { name: /^Traces between/ }).first().click()
  await until('address', () => /responsetime >= /.test(new URL(page.url()).searchParams.get('q') ?? ''))
  await page.context().close()
})

test('analytics looks at other times, and at a range of durations', async () => {
  const now = Date.now() / 1000
  const past = now - 3600
  const documents = (count, time, version, took) => Array.from({ length: count }, (_, k) => ({ trace_id: `1-${Math.floor(time - k).toString(16)}-${segmentID()}00000000`.slice(0, 35), id: segmentID(), name: 'billing', start_time: time - k, end_time: time - k + took, annotations: { version }, http: { request: { method: 'GET', url: 'https://a.example/bill' }, response: { status: 200 } } }))
  const answer = await server.put(...documents(60, now - 5, 'v2', 1.5), ...documents(60, past - 5, 'v1', 0.2))
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
  const page = await openPage(server.url, `/analytics?range=15m&a=${encodeURIComponent('service("billing")')}`)
  await page.getByRole('button', { name: 'Another time' }).click()
  await page.getByText('B has no traces').waitFor()
  await page.getByRole('button', { name: 'The other window' }).or(page.getByTitle('The other window')).first().click()
  await page.getByRole('menuitemradio', { name: 'An hour earlier' }).click()
  await until('address', () => new URL(page.url()).searchParams.get('with') === '1h')
  const table = page.getByRole('region', { name: 'Attributes by how much they differ' })
  await table.getByRole('row').filter({ hasText: 'v2' }).filter({ hasText: 'only in A' }).waitFor()
  await table.getByRole('row').filter({ hasText: 'v1' }).filter({ hasText: 'only in B' }).waitFor()
  await page.getByRole('region', { name: 'Set B' }).getByText('×7.5 in A').first().waitFor()

  // Two times of one's own: the picker takes them, and the address has them.
  await page.getByTitle('The other window').first().click()
  const iso = (t) => new Date((t + 3600) * 1000).toISOString().slice(0, 19) // the page is in Berlin, in winter
  await page.getByLabel('From', { exact: true }).fill(iso(past - 1800))
  await page.getByLabel('To', { exact: true }).fill(iso(past + 60))
  await page.getByRole('button', { name: 'Set', exact: true }).click()
  await until('address', () => new URL(page.url()).searchParams.get('with') === 'times')
  await page.waitForURL((u) => Math.abs(Number(u.searchParams.get('bfrom')) - (past - 1800)) < 2)
  await table.getByRole('row').filter({ hasText: 'v1' }).waitFor()
  assert.deepEqual(await audit(page), [])

  // A brush over the slow ones: those against the rest.
  await page.goto(`${server.url}/analytics?range=3h&a=${encodeURIComponent('service("billing")')}&b=fault`)
  await page.getByRole('region', { name: 'Set A' }).getByText('120').first().waitFor()
  const box = await page.locator('.durations canvas').boundingBox()
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width - 1, box.y + 40, { steps: 4 })
  await page.mouse.up()
  await until('address', () => /^service\("billing"\) AND duration >= [\d.]+ AND duration <= [\d.]+$/.test(new URL(page.url()).searchParams.get('a') ?? ''))
  await page.waitForURL((u) => (u.searchParams.get('b') ?? '').startsWith('service("billing") AND !(duration >= '))
  await table.getByRole('row').filter({ hasText: 'v2' }).filter({ hasText: 'only in A' }).waitFor()
  await page.getByRole('button', { name: 'Durations as a table' }).click()
  await page.getByRole('region', { name: 'Durations', exact: true }).getByRole('button', { name: /^Compare traces between/ }).first().waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('analytics holds a part of the picture against the others', async () => {
  const now = Date.now() / 1000
  const documents = (count, version, took) => Array.from({ length: count }, (_, k) => ({ trace_id: newID(), id: segmentID(), name: 'invoices', start_time: now - 20 - k, end_time: now - 20 - k + took, annotations: { version } }))
  const answer = await server.put(...documents(60, 'v1', 0.1), ...documents(8, 'v2', 3))
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
  // From a search it is one step to what tells its traces from the rest.
  const page = await openPage(server.url, `/traces?q=${encodeURIComponent('service("invoices")')}`)
  await page.getByRole('link', { name: 'Against the rest' }).click()
  await page.waitForURL((u) => u.searchParams.get('a') === 'service("invoices")' && u.searchParams.get('b') === '!(service("invoices"))')
  const [setA, setB] = ['A', 'B'].map((name) => page.getByRole('region', { name: `Set ${name}` }))
  const traces = (set) => set.locator('dd').first()
  await until('all of A', async () => (await traces(setA).innerText()) === '68')
  const box = await page.locator('.heatmap canvas').boundingBox()
  await page.mouse.move(box.x + 60, box.y + 2)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width - 12, box.y + 40, { steps: 4 })
  await page.mouse.up()
  await until('the slow ones', async () => (await traces(setA).innerText()) === '8' && (await traces(setB).innerText()) === '60')
  const table = page.getByRole('region', { name: 'Attributes by how much they differ' })
  await table.getByRole('row').filter({ hasText: 'v2' }).filter({ hasText: 'only in A' }).waitFor()
  await table.getByRole('row').filter({ hasText: 'v1' }).filter({ hasText: 'only in B' }).waitFor()
  assert.deepEqual(await audit(page), [])
  // The address has it all, for whoever opens it later: the window stands still.
  assert.ok(['from', 'to', 'box'].every((p) => new URL(page.url()).searchParams.has(p)))
  await page.reload()
  await until('the same', async () => (await traces(setA).innerText()) === '8' && (await traces(setB).innerText()) === '60')
  await setA.getByRole('link', { name: 'all of them' }).click()
  await page.waitForURL(/\/traces\?/)
  await page.getByText(/^8 traces/).first().waitFor()
  await page.goBack()
  await page.getByRole('button', { name: 'Without the box' }).click()
  await until('all of A', async () => (await traces(setA).innerText()) === '68')
  // Whoever does not see the picture chooses in its table.
  await page.getByRole('button', { name: 'Traces by time and duration as a table' }).click()
  await page.getByRole('button', { name: /^Compare from .* that took [23]/ }).first().click()
  await until('some of the slow ones', async () => Number(await traces(setA).innerText()) > 0 && Number(await traces(setA).innerText()) <= 8)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

/** Frames while the map is moved about, in milliseconds, shortest first. */
async function framesWhileMoving(page) {
  const box = await page.locator('.graph').boundingBox()
  await page.evaluate(() => {
    window.frames_ = []
    let last = performance.now()
    window.stop_ = false
    const step = (t) => {
      window.frames_.push(t - last)
      last = t
      if (!window.stop_) requestAnimationFrame(step)
    }
    requestAnimationFrame(step)
  })
  await page.mouse.move(box.x + 20, box.y + 20)
  await page.mouse.down()
  for (let k = 0; k < 60; k++) await page.mouse.move(box.x + 20 + k * 8, box.y + 20 + k * 4)
  await page.mouse.up()
  return page.evaluate(() => {
    window.stop_ = true
    return window.frames_.slice(3).sort((a, b) => a - b)
  })
}
const frameText = (f) => `a frame while moving took ${f[Math.floor(f.length / 2)].toFixed(1)} ms, 95 of 100 at most ${f[Math.floor(f.length * 0.95)].toFixed(1)} ms`

/** A tree of services that each call four more, in one trace for each. */
async function putTree(to, count, shown = count) {
  const time = Date.now() / 1000 - 5
  for (let from = 0; from * 4 + 1 < count; from += 250) {
    const documents = []
    for (let k = from; k < from + 250 && k * 4 + 1 < count; k++) {
      const id = newID()
      const next = [1, 2, 3, 4].map((n) => k * 4 + n).filter((n) => n < count)
      const ids = next.map(() => segmentID())
      documents.push({ trace_id: id, id: segmentID(), name: `service-${k}`, start_time: time, end_time: time + 1, origin: 'AWS::EC2::Instance', subsegments: next.map((n, j) => ({ id: ids[j], name: `service-${n}`, namespace: 'remote', start_time: time + 0.1, end_time: time + 0.9 })) })
      next.forEach((n, j) => documents.push({ trace_id: id, id: segmentID(), parent_id: ids[j], name: `service-${n}`, start_time: time + 0.2, end_time: time + 0.8, origin: 'AWS::EC2::Instance', ...(n % 97 === 0 ? { fault: true } : {}) }))
    }
    const answer = await to.put(...documents)
    assert.deepEqual(answer.UnprocessedTraceSegments, [])
  }
  await until('the graph has them all', async () => {
    const answer = await fetch(`${to.url}/ServiceGraph`, { method: 'POST', body: JSON.stringify({ StartTime: Math.floor(time) - 60, EndTime: Math.ceil(Date.now() / 1000) + 1 }) })
    return (await answer.json()).Services.filter((s) => s.Type === 'AWS::EC2::Instance').length >= shown
  }, 120_000)
}

for (const [count, wait] of [[1000, 60_000], [10_000, 180_000]])
  test(`a map of ${count} services can be used`, async () => {
    const own = await startServer('serve', '--max-graph-nodes', '20000') // each caller has a node of clients, too
    try {
      await putTree(own, count)
      let began = Date.now()
      const page = await openPage(own.url, '/map?still=1&range=1h')
      await page.locator('.node').first().waitFor({ timeout: wait })
      const shown = Date.now() - began
      // What is behind the first ones is put together; all are counted.
      const nodes = await page.locator('.node').count()
      assert.ok(nodes > 100 && nodes < 420, `${nodes} nodes are shown`)
      await page.getByText(/in clusters\)/).waitFor()
      console.log(`# ${count} services: ${nodes} nodes and clusters shown after ${shown} ms; ${frameText(await framesWhileMoving(page))}`)

      // Those who call from outside are marks, which can be chosen by keyboard.
      await page.locator('.client-mark [data-key]').first().focus()
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: /^Clients of service-/ }).waitFor()
      await page.locator('.client-mark.picked').waitFor()

      // A search finds what is inside of a cluster, and shows the way to it.
      const last = `service-${count - 1}`
      await page.getByLabel('Find a service').fill(last)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: last, exact: true }).waitFor()
      await page.locator('.node.picked', { hasText: last }).waitFor()
      await page.getByRole('button', { name: 'Focus' }).click()
      await until('few nodes', async () => (await page.locator('.node').count()) < 60)

      // A cluster opens to what is in it.
      await page.goto(`${own.url}/map?still=1&range=1h`)
      await page.locator('[data-key^="behind|"]').first().focus({ timeout: wait })
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Open the cluster' }).click()
      await page.getByRole('group', { name: 'Open clusters' }).waitFor()

      // Every node for itself: as plain shapes that can be chosen, cards when near.
      began = Date.now()
      await page.goto(`${own.url}/map?still=1&range=1h&by=none`)
      await page.locator('.graph > canvas').waitFor({ timeout: wait })
      const all = Date.now() - began
      const frames = await framesWhileMoving(page)
      console.log(`# ${count} services, none put together: shown after ${all} ms; ${frameText(frames)}`)
      assert.ok(frames[Math.floor(frames.length / 2)] < 250)
      await page.getByLabel('Find a service').fill('service-777')
      await page.keyboard.press('Enter')
      await page.locator('.node.picked', { hasText: 'service-777' }).waitFor() // near enough to be a card
      assert.ok((await page.locator('.node').count()) <= 400)
      await page.goto(`${own.url}/map?still=1&range=1h&view=table`)
      await page.getByRole('button', { name: /^Show all/ }).waitFor()
      assert.deepEqual(page.complaints, [])
      await page.context().close()
    } finally {
      await own.stop()
    }
  })

test('a graph that the server cuts says so', async () => {
  const own = await startServer('serve', '--max-graph-nodes', '30')
  try {
    await putTree(own, 100, 20)
    const page = await openPage(own.url, '/map?still=1&range=1h')
    await page.getByText('the busiest of more; the setting max-graph-nodes, 30').waitFor()
    assert.ok((await page.locator('.node').count()) <= 30)
    await page.context().close()
  } finally {
    await own.stop()
  }
})

test('a map of a hundred services, from its address to what can be used', async () => {
  const own = await startServer()
  try {
    await putTree(own, 100)
    const times = []
    for (let k = 0; k < 5; k++) {
      const began = Date.now()
      const page = await openPage(own.url, '/map?still=1&range=1h')
      await page.locator('.node').nth(99).waitFor()
      const shown = Date.now() - began
      await page.locator('.node', { has: page.locator('[data-key^="service-42|"]') }).click()
      await page.getByRole('heading', { name: 'service-42', exact: true }).waitFor()
      const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)
      times.push({ shown, chosen: Date.now() - began, paint })
      await page.context().close()
    }
    const middle = (key) => times.map((t) => t[key]).sort((a, b) => a - b)[2].toFixed(0)
    console.log(`# 100 services: first paint after ${middle('paint')} ms, map after ${middle('shown')} ms, a node chosen after ${middle('chosen')} ms`)
  } finally {
    await own.stop()
  }
})
