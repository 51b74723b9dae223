// The first minute: an empty server, and the first trace.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, newID, openPage, segmentID, startProxy, startServer, until } from './harness.mjs'

let server
before(async () => {
  server = await startServer()
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

test('an empty server shows how to send the first trace, and changes when it comes', async () => {
  const page = await openPage(server.url, '/')
  await page.getByRole('heading', { name: 'Waiting for the first trace' }).waitFor()
  await page.waitForURL(/\/start$/)
  const host = server.url.slice('http://'.length)
  await page.getByRole('tab', { name: 'Python' }).click()
  assert.match(await page.locator('.way pre').innerText(), new RegExp(`AWS_XRAY_DAEMON_ADDRESS=${host}`))
  await page.getByText('Listening.').waitFor()
  // The same, by keyboard: arrows go through the ways.
  await page.keyboard.press('ArrowDown')
  await page.getByRole('tab', { name: 'Java' }).and(page.locator('[aria-selected="true"]')).waitFor()
  await until('the address follows', () => /with=java/.test(page.url()))

  const id = newID()
  const now = Date.now() / 1000
  await server.put({ trace_id: id, id: segmentID(), name: 'first-service', start_time: now - 1, end_time: now, http: { request: { method: 'GET', url: 'https://a.example/first' }, response: { status: 200 } } })
  await page.getByRole('heading', { name: 'Traces are arriving' }).waitFor()
  await page.getByRole('link', { name: 'first-service' }).click()
  await page.getByRole('heading', { name: 'first-service' }).waitFor()
  await page.waitForURL(new RegExp(`/trace/${id}`))
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the command that is shown works as it stands', async () => {
  const page = await openPage(server.url, '/start')
  const command = await page.locator('.way pre').innerText()
  const { execFileSync } = await import('node:child_process')
  const answer = execFileSync('bash', ['-c', command], { encoding: 'utf8' })
  assert.deepEqual(JSON.parse(answer).UnprocessedTraceSegments, [])
  await page.getByRole('link', { name: 'hello', exact: true }).waitFor()
  await page.context().close()
})

test('refused documents are shown with the remedy', async () => {
  await server.put({ trace_id: newID(), name: 'no-id', start_time: 1, end_time: 2 })
  const page = await openPage(server.url, '/dead-letters')
  await page.getByText('Remedy:').first().waitFor()
  await page.getByRole('button', { name: 'Show document' }).first().click()
  await page.locator('.letter pre', { hasText: 'no-id' }).waitFor()
  assert.deepEqual(await audit(page), [])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('what a destination refused is shown with the reason, and how passing on goes', async () => {
  const strict = await startServer('serve', '--max-document', '1000')
  const first = await startServer('serve', '--forward', `central=${strict.url}`)
  try {
    const now = Date.now() / 1000
    const document = (rest) => ({ trace_id: newID(), id: segmentID(), name: 'shop', start_time: now - 1, end_time: now, ...rest })
    const large = document({ name: 'large', metadata: { text: '<b>x</b>'.repeat(300) } })
    assert.deepEqual((await first.put(document(), large, { name: 'no-id' })).UnprocessedTraceSegments.length, 1)
    const page = await openPage(first.url, '/settings')
    const row = page.getByRole('region', { name: 'Passed on' }).getByRole('row').filter({ hasText: 'central' })
    await row.getByRole('link', { name: '1', exact: true }).waitFor() // refused
    await row.getByText(/last delivered/).waitFor()
    assert.deepEqual(await audit(page), [])
    await row.getByRole('link', { name: '1', exact: true }).click()
    const letter = page.getByRole('listitem')
    await letter.getByText('by central').waitFor()
    await letter.getByText('Remedy:').waitFor()
    await letter.getByRole('button', { name: 'Show document' }).click()
    await letter.locator('pre', { hasText: '<b>x</b><b>x</b>' }).waitFor()
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme })
      assert.deepEqual(await audit(page), [], colorScheme)
    }
    // Beside it are those that were refused here.
    await page.getByRole('button', { name: 'Refused here' }).click()
    await page.locator('.letter', { hasText: 'by http' }).waitFor()
    assert.equal(await page.getByText('by central').count(), 0)
    await page.getByRole('button', { name: 'Not passed on' }).click()
    await page.getByText('by central').waitFor()
    assert.deepEqual(page.complaints, [])
    // A server that passes nothing on says nothing of it.
    await page.goto(`${strict.url}/dead-letters`)
    await page.getByText('Remedy:').first().waitFor()
    assert.equal(await page.getByRole('button', { name: 'Not passed on' }).count(), 0)
    await page.context().close()
  } finally {
    await first.stop()
    await strict.stop()
  }
})

test('groups are made, changed and deleted', async () => {
  const page = await openPage(server.url, '/groups')
  await page.getByRole('button', { name: 'New group' }).click()
  // The list of what may come next opens when it is asked for, and lies in front of the dialog.
  const filter = page.getByRole('combobox', { name: 'Filter expression' })
  await filter.focus()
  await page.waitForTimeout(300)
  assert.equal(await page.getByRole('listbox').count(), 0)
  await page.keyboard.press('ArrowDown')
  await page.getByRole('option').last().click()
  await page.getByRole('listbox').waitFor({ state: 'detached' })
  await page.getByLabel('Name').fill('slow-ones')
  await page.getByRole('combobox', { name: 'Filter expression' }).fill('responsetime >')
  await page.getByRole('button', { name: 'Make group' }).click()
  await page.getByRole('alert').first().waitFor() // the server's own words
  await page.getByRole('combobox', { name: 'Filter expression' }).fill('responsetime > 1')
  await page.getByRole('button', { name: 'Make group' }).click()
  await page.getByText('responsetime > 1').waitFor()
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('responsetime > 1').waitFor({ state: 'detached' })
  assert.deepEqual(await audit(page), [])
  await page.context().close()
})

test('all of it works under a path prefix', async () => {
  const proxy = await startProxy(server.url, '/deep/tracing/')
  try {
    const id = newID()
    const now = Date.now() / 1000
    await server.put({ trace_id: id, id: segmentID(), name: 'behind', start_time: now - 1, end_time: now })
    const page = await openPage(proxy.url, `/deep/tracing/trace/${id}`)
    await page.getByRole('heading', { name: 'behind' }).waitFor()
    await page.getByRole('link', { name: 'Traces', exact: true }).click()
    await page.getByRole('row').filter({ hasText: 'behind' }).first().waitFor()
    await page.waitForURL(/\/deep\/tracing\/traces$/)
    await page.reload()
    await page.getByRole('row').filter({ hasText: 'behind' }).first().waitFor()
    await page.getByRole('link', { name: 'Map' }).first().click()
    await page.locator('.node').first().waitFor()
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  } finally {
    await proxy.stop()
  }
})

test('errors of the server are shown in place', async () => {
  const page = await openPage(server.url, '/trace/nonsense')
  await page.getByText('is no trace id').waitFor()
  await page.goto(`${server.url}/trace/1-00000001-000000000000000000000001`)
  await page.getByRole('heading', { name: 'There is no such trace' }).waitFor()
  await page.goto(`${server.url}/traces?q=${encodeURIComponent('fault annd error')}`)
  // Below the bar, and in place of the traces.
  await page.getByRole('alert').getByText('“annd” does not fit at position 7').waitFor()
  await page.locator('.misread').getByText('“annd” does not fit at position 7').waitFor()
  await page.getByRole('button', { name: 'Write AND there' }).click()
  await page.waitForURL((u) => u.searchParams.get('q') === 'fault AND error')
  await page.context().close()
})
