// A trace and its entries, copied as something; what is a command is run as it stands.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { dirname, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startServer, until } from './harness.mjs'

const binary = process.env.ROENTGEN_BINARY ?? resolve(import.meta.dirname, '../../bin/roentgen')
let server
const now = Math.floor(Date.now() / 1000) - 20
const id = newID()
const ids = { root: segmentID(), call: segmentID(), own: segmentID() }
const tenant = `o'neil "$(touch hacked)" \u202e | x`

before(async () => {
  server = await startServer()
  const done = await server.put({
    trace_id: id, id: ids.root, name: 'shop', start_time: now, end_time: now + 1, fault: true, origin: 'AWS::EC2::Instance', annotations: { tenant, items: 3 },
    http: { request: { method: 'POST', url: 'https://shop.example/orders' }, response: { status: 502 } },
    subsegments: [
      { id: ids.own, name: 'validate', start_time: now, end_time: now + 0.1, error: true, annotations: { step: 'one' } },
      { id: ids.call, name: 'payments', namespace: 'remote', start_time: now + 0.1, end_time: now + 0.9, fault: true, http: { request: { method: 'POST', url: 'http://payments/charges' }, response: { status: 500 } }, cause: { exceptions: [{ id: segmentID(), type: 'ChargeFailed', message: 'declined', stack: [{ path: 'charge.js', line: 12, label: 'charge' }] }] } },
    ],
  })
  assert.deepEqual(done.UnprocessedTraceSegments, [])
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

/** Runs a command as somebody who pastes it does. */
const run = (command) => execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8', cwd: server.data, env: { ...process.env, PATH: `${dirname(binary)}:${process.env.PATH}`, ROENTGEN_ENDPOINT: 'http://127.0.0.1:1' } })

async function copied(page, menu, item) {
  await page.evaluate(() => navigator.clipboard.writeText('nothing yet'))
  await page.getByRole('button', { name: menu }).click()
  await page.getByRole('menuitem', { name: item, exact: true }).click()
  let text = ''
  await until(`${item} is copied`, async () => (text = await page.evaluate(() => navigator.clipboard.readText())) !== 'nothing yet')
  return text
}
const OF_TRACE = 'More to do with this trace'
const OF_ENTRY = 'Copy the entry as…'

test('a trace is copied as commands that work, and as Markdown', async () => {
  const page = await openPage(server.url, `/trace/${id}`)
  await page.getByRole('heading', { name: 'shop' }).waitFor()
  assert.match(run(await copied(page, OF_TRACE, 'Copy command')), /payments/)
  assert.equal(await copied(page, OF_TRACE, 'Copy AWS command'), `aws xray batch-get-traces --trace-ids ${id} --endpoint-url ${server.url}`)
  assert.equal(await copied(page, OF_TRACE, 'Copy filter expression'), 'name = "shop" AND fault AND http.method = "POST" AND http.status = 502')
  run(await copied(page, OF_TRACE, 'Copy test assertion')) // throws unless the status is 0
  const markdown = await copied(page, OF_TRACE, 'Copy as Markdown')
  assert.match(markdown, /\| &nbsp;&nbsp;`payments` `POST \/charges · 500` \| `shop` \| 100 ms \| 800 ms \| \*\*fault\*\* \|/)
  await page.getByText('Markdown copied').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('an entry is copied as a filter and as a test that holds for it alone', async () => {
  const page = await openPage(server.url, `/trace/${id}?entry=${ids.call}`)
  await page.getByRole('button', { name: OF_ENTRY }).waitFor()
  assert.equal(await copied(page, OF_ENTRY, 'Copy filter expression'), 'edge(id(name: "shop", type: "AWS::EC2::Instance"), "payments") { fault AND http.status = 500 }')
  assert.match(await copied(page, OF_ENTRY, 'Copy as Markdown'), /ChargeFailed: declined\n {4}at charge \(charge\.js:12\)/)
  const assertion = await copied(page, OF_ENTRY, 'Copy test assertion')
  run(assertion)
  assert.throws(() => run(assertion.replace('= 500', '= 200')), (e) => e.status === 3)
  assert.match(run(await copied(page, OF_ENTRY, 'Copy search command')), new RegExp(id))
  for (const [entry, part] of [[ids.root, /annotation\.tenant = /], [ids.own, /annotation\.step = "one"/]]) {
    await page.goto(`${server.url}/trace/${id}?entry=${entry}`)
    await page.getByRole('button', { name: OF_ENTRY }).waitFor()
    const command = await copied(page, OF_ENTRY, 'Copy test assertion')
    assert.match(command, part)
    run(command)
  }
  assert.throws(() => run('test -e hacked'))
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the menu of an entry works by keyboard, on a telephone, and for axe', async () => {
  for (const options of [{ colorScheme: 'dark' }, { colorScheme: 'light', viewport: { width: 380, height: 800 } }]) {
    const page = await openPage(server.url, `/trace/${id}?entry=${ids.call}`, options)
    await page.getByRole('button', { name: OF_ENTRY }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menu', { name: OF_ENTRY }).waitFor()
    assert.deepEqual(await audit(page), [])
    const box = await page.getByRole('menu', { name: OF_ENTRY }).boundingBox()
    assert.ok(box.x >= 0 && box.x + box.width <= page.viewportSize().width, JSON.stringify(box))
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.getByText('Link copied').waitFor()
    await page.context().close()
  }
})
