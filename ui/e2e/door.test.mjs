// Signing in, roles, keys, saved views, the server's own page.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, makeKeys, newID, openPage, segmentID, startProxy, startServer, until } from './harness.mjs'

let keys, server, admin, reader, writer, spare
before(async () => {
  keys = makeKeys(['boss', 'admin'], ['looker', 'read'], ['sender', 'write'], ['spare', 'read'])
  ;[admin, reader, writer, spare] = keys.keys
  server = await startServer('serve', '--keys', keys.file)
  server.bearer = writer.bearer
  const now = Date.now() / 1000
  for (let k = 0; k < 5; k++) await server.put({ trace_id: newID(), id: segmentID(), name: `shop-${k % 2}`, start_time: now - 5, end_time: now - 5 + k / 10, ...(k === 0 ? { fault: true } : {}), http: { request: { method: 'GET', url: `https://a.example/${k}` }, response: { status: k === 0 ? 500 : 200 } } })
})
after(async () => {
  await closeBrowser()
  await server?.stop()
  keys?.remove()
})

async function fill(page, key) {
  await page.getByLabel('Access key id').fill(key.id)
  await page.getByLabel('Secret access key').fill(key.secret)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}
async function openAs(key, path, options) {
  const page = await openPage(server.url, path, options)
  await fill(page, key)
  await page.getByRole('navigation', { name: 'Pages' }).waitFor()
  return page
}
/** Complaints but for the refusals, and the streams cut off, that a test is about. */
const others = (page, ...statuses) => page.complaints.filter((c) => !statuses.some((s) => c.includes(`status of ${s}`)) && !c.includes('ERR_INCOMPLETE_CHUNKED_ENCODING'))

test('a link leads to the sign-in page, and after it to where it pointed', async () => {
  const page = await openPage(server.url, '/traces?q=fault&range=1h')
  await page.getByRole('heading', { name: 'Sign in to Roentgen' }).waitFor()
  assert.equal(await page.getByRole('navigation', { name: 'Pages' }).count(), 0)
  assert.equal(await page.title(), 'Sign in · Roentgen')
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme })
    await page.getByText('I have no key').waitFor()
    assert.deepEqual(await audit(page), [], colorScheme)
  }
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByText('Both are needed').waitFor()
  await fill(page, { ...reader, secret: writer.secret })
  await page.getByText('There is no such key, or its secret is another, or it was revoked').waitFor()
  await fill(page, writer)
  await page.getByText('may send traces and not look at them').waitFor()
  await fill(page, reader)
  await page.getByText(/^1 trace/).first().waitFor()
  await page.waitForURL(/\/traces\?q=fault&range=1h$/)
  assert.deepEqual(others(page, 401, 403), [])

  // Nothing of the secret stays in the browser, and no script can read the cookie.
  const [cookie] = await page.context().cookies()
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/'])
  assert.ok(cookie.expires > Date.now() / 1000 + 6 * 86_400)
  const seen = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, document.documentElement.outerHTML]))
  assert.ok(!seen.includes(reader.secret) && !seen.includes(cookie.value), 'a secret stays in the page')

  // A link from another site: the browser keeps the cookie back, and the page still knows who it is.
  const other = await page.context().newPage()
  await other.goto(`data:text/html,<a href="${server.url}/traces?q=fault">here</a>`)
  await other.getByRole('link', { name: 'here' }).click()
  await other.getByText(/^1 trace/).first().waitFor()
  await page.context().close()
})

test('whoever may only read is not offered what he cannot do, and signs out', async () => {
  const page = await openAs(reader, '/groups')
  await page.getByText('Changing groups takes a key with the role admin.').waitFor()
  assert.ok(await page.getByRole('button', { name: 'New group' }).isDisabled())
  const nav = page.getByRole('navigation', { name: 'Pages' })
  assert.equal(await nav.getByRole('link', { name: 'Dead letters' }).count(), 0)
  assert.equal(await nav.getByRole('link', { name: 'Keys' }).count(), 0)
  await nav.getByRole('link', { name: 'Sampling' }).click()
  await page.getByText('Changing rules takes a key with the role admin.').waitFor()
  assert.ok(await page.getByRole('button', { name: 'New rule' }).isDisabled())
  assert.equal(await page.getByRole('button', { name: 'Delete' }).count(), 0)
  for (const [path, text] of [['/dead-letters', 'looking at them takes a key with the role admin'], ['/keys', 'Seeing and making keys takes a key with the role admin'], ['/settings', 'Seeing what is set takes a key with the role admin']]) {
    await page.goto(server.url + path)
    await page.getByText(text).waitFor()
  }
  await page.getByText('It is well.').waitFor()
  await page.keyboard.press('Control+k')
  await page.getByRole('option', { name: 'Sign out' }).waitFor()
  assert.equal(await page.getByRole('option', { name: 'Keys' }).count(), 0)
  await page.keyboard.press('Escape')
  assert.deepEqual(page.complaints, [])
  await page.getByRole('button', { name: 'Signed in as looker' }).click()
  await page.getByText('look at traces', { exact: true }).waitFor()
  assert.deepEqual(await audit(page), [])
  const [{ value, name }] = await page.context().cookies()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in to Roentgen' }).waitFor()
  assert.deepEqual(await page.context().cookies(), [])
  assert.equal((await fetch(`${server.url}/api/traces`, { headers: { Cookie: `${name}=${value}` } })).status, 401)
  await page.context().close()
})

test('a refusal by the server is shown in place', async () => {
  const page = await openAs(admin, '/groups?edit=%2B')
  await page.getByLabel('Name').fill('late')
  // Another tab of this browser signs in with a key that may less.
  await page.evaluate((body) => fetch('api/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }), JSON.stringify({ AccessKeyId: reader.id, SecretAccessKey: reader.secret, Path: '/' }))
  await page.getByRole('button', { name: 'Make group' }).click()
  await page.getByText(/is not authorized to perform: xray:CreateGroup/).waitFor()
  assert.equal(await page.getByLabel('Name').inputValue(), 'late')
  assert.deepEqual(others(page, 403), [])
  await page.context().close()
})

test('a session that ends in the middle of work is begun again in place', async () => {
  const page = await openAs(admin, '/groups?edit=%2B')
  await page.getByLabel('Name').fill('in-the-middle')
  await page.getByRole('combobox', { name: 'Filter expression' }).fill('responsetime > 7')
  await page.waitForTimeout(1000) // the bar asks what it means
  const [cookie] = await page.context().cookies()
  await fetch(`${server.url}/api/session?path=/`, { method: 'DELETE', headers: { Cookie: `${cookie.name}=${cookie.value}`, Origin: server.url } })
  await page.getByRole('button', { name: 'Make group' }).click()
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' })
  await dialog.waitFor()
  assert.equal(await dialog.getByLabel('Access key id').inputValue(), admin.id)
  assert.deepEqual(await audit(page), [])
  // Put off, what is there can still be read.
  await page.keyboard.press('Escape')
  await page.getByText('What you see is from before').waitFor()
  await page.getByRole('button', { name: 'Sign in again' }).click()
  await dialog.getByLabel('Secret access key').fill('wrong')
  await page.keyboard.press('Enter')
  await dialog.getByText('There is no such key').waitFor()
  await dialog.getByLabel('Secret access key').fill(admin.secret)
  await page.keyboard.press('Enter')
  // What was under way goes on by itself.
  await page.getByText('responsetime > 7').first().waitFor()
  await page.getByText('in-the-middle').waitFor()
  assert.equal(await page.getByText('What you see is from before').count(), 0)
  await page.waitForURL(/\/groups$/)
  assert.deepEqual(others(page, 401), [])
  await page.context().close()
})

test('a key that is revoked ends its sessions: lists, live traces and all', async () => {
  const page = await openAs(spare, '/traces?live=1')
  await page.getByText('live', { exact: true }).waitFor()
  keys.revoke(spare.id)
  const now = Date.now() / 1000
  await until('the stream notices', async () => {
    await server.put({ trace_id: newID(), id: segmentID(), name: 'late', start_time: now - 1, end_time: now })
    return (await page.getByRole('dialog', { name: 'Your session has ended' }).count()) === 1
  }, 40_000)
  await page.getByLabel('Access key id').fill(reader.id)
  await page.getByLabel('Secret access key').fill(reader.secret)
  await page.keyboard.press('Enter')
  await page.getByText('live', { exact: true }).waitFor()
  await until('a live trace', async () => {
    await server.put({ trace_id: newID(), id: segmentID(), name: 'live-again', start_time: Date.now() / 1000 - 1, end_time: Date.now() / 1000 })
    return (await page.getByText('live-again').count()) > 0
  })
  await page.getByRole('button', { name: 'Signed in as looker' }).waitFor()
  assert.deepEqual(others(page, 401), [])
  await page.context().close()
})

test('sessions end when they rest, and the page asks for the key at once', async () => {
  const short = await startServer('serve', '--keys', keys.file, '--session-idle', '2s', '--session-max', '1h')
  try {
    const page = await openPage(short.url, '/groups')
    await fill(page, admin)
    await page.getByRole('button', { name: 'New group' }).waitFor()
    await page.waitForTimeout(2500)
    await page.getByRole('link', { name: 'Sampling' }).click()
    await page.getByRole('dialog', { name: 'Your session has ended' }).waitFor()
    await page.getByLabel('Secret access key').fill(admin.secret)
    await page.keyboard.press('Enter')
    await page.getByRole('cell', { name: 'Default', exact: true }).waitFor()
    await page.context().close()
  } finally {
    await short.stop()
  }
})

test('guessing is slowed down, and says so', async () => {
  const apart = await startServer('serve', '--keys', keys.file)
  try {
    const page = await openPage(apart.url, '/')
    for (let k = 0; k < 12; k++) {
      await fill(page, { ...reader, secret: `guess-number-${k}-of-many` })
      await page.locator('.sign-in-form[aria-busy="false"]').waitFor()
    }
    await page.getByText(/Too many attempts to sign in from this address failed; try again in \d+ seconds/).waitFor()
    await fill(page, reader)
    await page.getByText(/Too many attempts/).waitFor()
    assert.deepEqual(others(page, 401, 429), [])
    await page.context().close()
  } finally {
    await apart.stop()
  }
})

test('signing in works under a path prefix, for that prefix', async () => {
  const proxy = await startProxy(server.url, '/deep/tracing/')
  try {
    const page = await openPage(proxy.url, '/deep/tracing/traces')
    await fill(page, reader)
    await page.locator('.table-row').first().waitFor()
    assert.equal((await page.context().cookies())[0].path, '/deep/tracing/')
    await page.reload()
    await page.locator('.table-row').first().waitFor()
    await page.getByRole('button', { name: 'Signed in as looker' }).click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in to Roentgen' }).waitFor()
    assert.deepEqual(await page.context().cookies(), [])
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  } finally {
    await proxy.stop()
  }
})

test('without JavaScript the page says so, and a policy keeps the form from being sent', async () => {
  const page = await openPage(server.url, '/traces', { javaScriptEnabled: false })
  const told = page.locator('noscript')
  assert.match(await told.innerText(), /This page needs JavaScript/)
  assert.ok((await told.boundingBox()).y < 200, 'it is out of sight')
  await page.context().close()
  const policy = (await fetch(`${server.url}/`, { headers: { Accept: 'text/html' } })).headers.get('content-security-policy')
  assert.ok(!policy.includes('unsafe') && policy.includes("form-action 'none'"), policy)
})

test('keys are made, shown once, used and revoked', async () => {
  const page = await openAs(admin, '/keys')
  const table = page.getByRole('region', { name: 'Access keys' })
  await table.getByText('you').waitFor()
  await page.getByRole('button', { name: 'New key' }).click()
  await page.getByLabel('Name').fill('build server')
  await page.getByRole('checkbox', { name: /^read/ }).uncheck()
  assert.ok(await page.getByRole('button', { name: 'Make key' }).isDisabled())
  await page.getByRole('checkbox', { name: /^write/ }).check()
  await page.getByLabel('Ends').selectOption('90d')
  await page.getByLabel('Documents a second').fill('2000')
  await page.getByLabel('Megabytes a second').fill('4')
  assert.deepEqual(await audit(page), [])
  await page.getByRole('button', { name: 'Make key' }).click()
  const dialog = page.getByRole('dialog', { name: 'Key for build server' })
  await dialog.locator('.secret-row').first().waitFor()
  const [id, secret, bearer] = await dialog.locator('.secret-row code').allInnerTexts()
  assert.deepEqual(await audit(page), [])
  await page.keyboard.press('Escape')
  await page.getByText('close once more to leave it').waitFor()
  await dialog.getByRole('button', { name: 'Copy secret access key' }).click()
  await page.getByText('Secret copied').waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret)
  await dialog.getByRole('button', { name: 'Done' }).click()
  const row = table.getByRole('row').filter({ hasText: 'build server' })
  await row.getByText('2\u202f000 documents, 4').waitFor()
  await row.getByText('never', { exact: true }).waitFor()
  assert.ok(!(await page.content()).includes(secret), 'the secret is still in the page')
  assert.ok(JSON.parse(readFileSync(keys.file, 'utf8')).keys.some((k) => k.access_key_id === id && k.secret_access_key === secret))
  const send = () => fetch(`${server.url}/TraceSegments`, { method: 'POST', headers: { Authorization: `Bearer ${bearer}` }, body: '{"TraceSegmentDocuments":[]}' })
  assert.notEqual((await send()).status, 403)
  await page.reload()
  await row.getByText(/ago|now/).waitFor()
  await row.getByRole('button', { name: 'Revoke build server' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await row.waitFor({ state: 'detached' })
  assert.equal((await send()).status, 403)
  const all = page.getByRole('button', { name: /^All: \d+/ })
  assert.equal(await all.getAttribute('aria-pressed'), 'false')
  await all.click()
  assert.equal(await all.getAttribute('aria-pressed'), 'true')
  assert.equal(await page.getByRole('button', { name: /^Valid: \d+/ }).getAttribute('aria-pressed'), 'false')
  await row.getByText('revoked').waitFor()
  await page.waitForURL(/old=1/)
  // The last admin's key stays.
  await table.getByRole('button', { name: 'Revoke boss' }).click()
  await page.getByText('the key that you are signed in with').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  // The refusal is said where it was asked, and leaves the choice.
  await page.getByRole('dialog').getByText('is the last one with the role admin').waitFor()
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    assert.deepEqual(await audit(page), [], colorScheme)
  }
  await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await table.getByRole('button', { name: 'Revoke boss' }).waitFor()
  assert.deepEqual(others(page, 400), [])
  await page.context().close()
})

test('views are saved, found, shared, renamed, replaced and deleted', async () => {
  const page = await openAs(reader, '/traces?q=fault&range=1h')
  await page.getByText(/^1 trace/).first().waitFor()
  await page.getByRole('button', { name: 'Saved views' }).click()
  await page.getByRole('menuitem', { name: 'Save this view…' }).click()
  await page.getByText('Your key and those of admins can change it.').waitFor()
  await page.getByLabel('Name').fill('Shop faults 🛒')
  assert.deepEqual(await audit(page), [])
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('View saved').waitFor()
  // By the palette, from elsewhere.
  await page.goto(`${server.url}/groups`)
  await page.getByRole('heading', { name: 'Groups' }).waitFor()
  await page.keyboard.press('Control+k')
  await page.keyboard.type('shop fau')
  await page.getByRole('option', { name: /Shop faults/ }).waitFor()
  await page.keyboard.press('Enter')
  await until('the view', () => /\/traces\?q=fault&range=1h$/.test(page.url()))
  // The list, and a link for others.
  await page.goto(`${server.url}/views`)
  const item = page.getByRole('listitem').filter({ hasText: 'Shop faults' })
  await item.getByText('Traces: fault · last 1h').waitFor()
  await item.getByText('saved by looker').waitFor()
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    assert.deepEqual(await audit(page), [], colorScheme)
  }
  await item.getByRole('button', { name: 'Share' }).click()
  const link = await page.evaluate(() => navigator.clipboard.readText())
  await item.getByRole('button', { name: 'Rename' }).click()
  await page.getByRole('dialog').getByLabel('Name').fill('Faults')
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click()
  await page.getByRole('link', { name: 'Faults', exact: true }).waitFor()

  const boss = await openAs(admin, new URL(link).pathname)
  await until('the shared view', () => /\/traces\?q=fault&range=1h$/.test(boss.url()))
  // An admin's view: the reader may look, and no more.
  await boss.goto(`${server.url}/map`)
  await boss.locator('.node').first().waitFor()
  await boss.keyboard.press('g')
  await boss.keyboard.press('V')
  await boss.getByLabel('Name').fill('The whole shop')
  await boss.getByRole('button', { name: 'Save', exact: true }).click()
  await boss.getByText('View saved').waitFor()
  await page.reload()
  const foreign = page.getByRole('listitem').filter({ hasText: 'The whole shop' })
  await foreign.getByText('its key and admins may change it').waitFor()
  assert.equal(await foreign.getByRole('button', { name: 'Delete' }).count(), 0)
  // Replaced under its name, from another place.
  await page.goto(`${server.url}/map?range=6h`)
  await page.getByRole('button', { name: 'Saved views' }).click()
  await page.getByRole('menuitem', { name: 'Save this view…' }).click()
  await page.getByLabel('Name').fill('The whole shop')
  await page.getByText('saved with another key').waitFor()
  assert.ok(await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).isDisabled())
  await page.getByLabel('Name').fill('Faults')
  await page.getByRole('button', { name: 'Replace it' }).click()
  await page.getByText('View replaced').waitFor()
  await boss.goto(link)
  await until('the shared view, as it is now', () => /\/map\?range=6h$/.test(boss.url()))
  // They outlive the server: they are part of what it keeps and exports.
  const file = await (await fetch(`${server.url}/api/control`, { headers: { Authorization: `Bearer ${admin.bearer}` } })).json()
  assert.deepEqual(file.state.views.map((v) => v.name), ['Faults', 'The whole shop'])
  await page.goto(`${server.url}/views`)
  await page.getByRole('listitem').filter({ hasText: 'Faults' }).getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('link', { name: 'Faults', exact: true }).waitFor({ state: 'detached' })
  await boss.goto(link)
  await boss.getByText('The view that you were given a link to is no more').waitFor()
  assert.deepEqual(page.complaints, [])
  assert.deepEqual(boss.complaints, [])
  await page.context().close()
  await boss.context().close()
})

test('a short link opened elsewhere shows the same, under a prefix and with keys, too', async () => {
  const proxy = await startProxy(server.url, '/deep/tracing/')
  const copied = (page) => page.evaluate(() => navigator.clipboard.readText())
  try {
    const page = await openPage(proxy.url, '/deep/tracing/traces?range=1h&q=fault%20AND%20service(%22shop-0%22)')
    await fill(page, reader)
    await page.getByText(/^1 trace/).first().waitFor()
    const state = async (of) => [await of.getByRole('combobox', { name: 'Filter expression' }).inputValue(), await of.locator('.table-row').count(), [...new URL(of.url()).searchParams].sort().join(' ')]
    await page.getByRole('button', { name: 'Saved views' }).click()
    await page.getByRole('menuitem', { name: 'Copy short link' }).waitFor()
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme })
      await page.waitForTimeout(300)
      assert.deepEqual(await audit(page), [], colorScheme)
    }
    await page.getByRole('menuitem', { name: 'Copy short link' }).click()
    await page.getByText('Short link copied').waitFor()
    const link = await copied(page)
    assert.match(link, new RegExp(`^${proxy.url}/deep/tracing/l/[a-z2-7]{10}$`))
    const tab = await page.context().newPage()
    await tab.goto(link)
    await tab.getByText(/^1 trace/).first().waitFor()
    await until('the whole address', () => /\/deep\/tracing\/traces\?/.test(tab.url()))
    assert.deepEqual(await state(tab), await state(page))
    assert.equal(await tab.evaluate(() => history.length), 2, 'the link stays in the history') // the empty tab, and the state
    // The same state is the same link, by whatever way one came to it and copies it.
    await tab.keyboard.press('Control+k')
    await tab.keyboard.type('short link')
    await tab.getByRole('option', { name: 'Copy short link' }).waitFor()
    await tab.keyboard.press('Enter')
    await tab.getByText('Short link copied').waitFor()
    assert.equal(await copied(tab), link)

    // One entry of a trace, its tab and zoom; by keys. Whoever has no key is asked for one first.
    await page.locator('.table-row').first().click()
    const id = await (async () => (await until('the trace', () => /\/trace\/1-/.test(page.url())), new URL(page.url()).pathname.split('/').pop()))()
    await page.goto(`${proxy.url}/deep/tracing/trace/${id}?view=flame&zoom=0-1`)
    await page.getByRole('button', { name: 'Flame', pressed: true }).waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('L')
    await page.getByText('Short link copied').waitFor()
    const second = await copied(page)
    assert.notEqual(second, link)
    const boss = await openPage(proxy.url, new URL(second).pathname)
    await fill(boss, admin)
    await boss.getByRole('button', { name: 'Flame', pressed: true }).waitFor()
    await until('the state of the trace', () => new URL(boss.url()).pathname === `/deep/tracing/trace/${id}` && new URL(boss.url()).search === '?view=flame&zoom=0-1')

    // What is none says so, and a link is not made of it.
    for (const path of ['l', 'l/', 'l/a/b', 'l/%2e%2e%2fkeys', 'l/<b>x']) {
      await boss.goto(`${proxy.url}/deep/tracing/${path}`)
      await boss.getByRole('heading', { name: 'This link leads nowhere' }).waitFor()
    }
    await boss.goto(`${proxy.url}/deep/tracing/l/aaaaaaaaaa`)
    await boss.getByRole('heading', { name: 'This link leads nowhere' }).waitFor()
    assert.deepEqual(await audit(boss), [])
    await boss.getByRole('button', { name: 'Saved views' }).click()
    assert.equal(await boss.getByRole('menuitem', { name: 'Copy short link' }).count(), 0)
    await boss.keyboard.press('Escape')
    await boss.getByRole('link', { name: 'To the map' }).click()
    await boss.waitForURL(/\/deep\/tracing\/map/)
    await boss.locator('.node').first().waitFor()
    // What cannot be kept is told, rather than that it was copied.
    await boss.goto(`${proxy.url}/deep/tracing/map?q=${'x'.repeat(8200)}`)
    await boss.getByRole('navigation', { name: 'Pages' }).waitFor()
    await boss.keyboard.press('g')
    await boss.keyboard.press('L')
    await boss.getByText(/No link: the address of the link has more than 8192 bytes/).waitFor()
    assert.deepEqual(others(page, 401), [])
    assert.deepEqual(others(boss, 401, 404, 400), [])
    await page.context().close()
    await boss.context().close()
  } finally {
    await proxy.stop()
  }
})

test('without a key in the way a short link works at once, and where the clipboard is closed, too', async () => {
  const open = await startServer()
  try {
    const page = await openPage(open.url, '/settings?settings=all')
    await page.getByRole('region', { name: 'Settings in force' }).waitFor()
    await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }))
    await page.keyboard.press('g')
    await page.keyboard.press('L')
    await page.getByText('Short link copied').waitFor()
    const tab = await page.context().newPage()
    await tab.goto(`${open.url}/start`)
    const link = await tab.evaluate(() => navigator.clipboard.readText())
    await tab.goto(link)
    await tab.waitForURL(`${open.url}/settings?settings=all`)
    await tab.getByRole('region', { name: 'Settings in force' }).waitFor()
    await page.evaluate(() => (document.execCommand = () => false))
    await page.keyboard.press('g')
    await page.keyboard.press('L')
    await page.getByText(`Not copied: ${link}`).waitFor()
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  } finally {
    await open.stop()
  }
})

test('the server says how it is, what it keeps, and what is set', async () => {
  await fetch(`${server.url}/TraceSegments`, { method: 'POST', headers: { Authorization: `Bearer ${writer.bearer}` }, body: JSON.stringify({ TraceSegmentDocuments: ['{"name":"no id"}'] }) })
  const page = await openAs(admin, '/settings')
  await page.getByText('It is well.').waitFor()
  await page.getByRole('status').getByText(/refused, which is up to/).waitFor()
  await page.getByRole('cell', { name: 'Set aside for when the disk is full' }).waitFor()
  await page.getByText(/^Traces go 30.d after they arrived$/).waitFor()
  await page.getByText('documents are refused below').waitFor()
  await page.getByText('Everything can be searched for').waitFor()
  await page.getByRole('region', { name: 'What was received' }).getByText('accepted').first().waitFor()
  await page.getByRole('region', { name: 'What went wrong' }).getByText('Refused documents', { exact: false }).first().waitFor()
  const settings = page.getByRole('region', { name: 'Settings in force' })
  await settings.getByRole('row').filter({ hasText: 'keys' }).getByText('--keys').waitFor()
  assert.equal(await settings.getByText('retention', { exact: true }).count(), 0)
  await page.getByRole('button', { name: /^All: \d+/ }).click()
  await settings.getByText('retention', { exact: true }).waitFor()
  await page.getByRole('heading', { name: 'Version' }).waitFor()
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    assert.deepEqual(await audit(page), [], colorScheme)
  }
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('without keys the page asks nobody, and says what that means', async () => {
  const open = await startServer()
  try {
    const page = await openPage(open.url, '/keys')
    await page.getByText('This server asks nobody for a key.').waitFor()
    await page.getByText('roentgen serve --keys keys.json').waitFor()
    assert.equal(await page.getByRole('button', { name: /Signed in/ }).count(), 0)
    assert.deepEqual(await audit(page), [])
    await page.goto(`${open.url}/views`)
    await page.getByRole('heading', { name: 'None yet' }).waitFor()
    await page.getByText('Everybody may change them').waitFor()
    assert.deepEqual(page.complaints, [])
    await page.context().close()
  } finally {
    await open.stop()
  }
})

test('a rule says what it asks for and nobody knows of the request', async () => {
  const rule = { RuleName: 'no-health-checks', Priority: 1, FixedRate: 0, ReservoirSize: 0, ServiceName: '*', ServiceType: '*', Host: '*', HTTPMethod: '*', URLPath: '/health*', ResourceARN: '*', Version: 1 }
  const made = await fetch(`${server.url}/CreateSamplingRule`, { method: 'POST', headers: { Authorization: `Bearer ${admin.bearer}` }, body: JSON.stringify({ SamplingRule: rule }) })
  assert.equal(made.status, 200)
  const page = await openAs(reader, '/sampling')
  const ask = page.getByRole('region', { name: 'Which rule decides' })
  await ask.getByText('A field that is left empty is not known').waitFor()
  await ask.getByLabel('Service').fill('checkout')
  await ask.getByRole('button', { name: 'Tell' }).click()
  await ask.getByText('no-health-checks decides.').waitFor()
  await ask.getByText('It is meant for requests with path /health*, which was not held against this one').waitFor()
  // The explanation is about what was asked, not about what stands in the fields by now.
  await ask.getByLabel('Path').fill('/orders')
  assert.equal(await ask.getByText('It is meant for requests').count(), 1)
  await ask.getByRole('button', { name: 'Tell' }).click()
  await ask.getByText('Default decides.').waitFor()
  assert.equal(await ask.getByText('It is meant for requests').count(), 0)
  await ask.getByText('no-health-checks does not match: URLPath is "/orders", not /health*').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('at 380 pixels everything is reached without scrolling sideways', async () => {
  const page = await openAs(admin, '/traces', { viewport: { width: 380, height: 740 } })
  const sideways = () => page.evaluate(() => [document.documentElement.scrollWidth, document.querySelector('.top nav').scrollWidth - document.querySelector('.top nav').clientWidth, document.querySelector('.top').scrollWidth])
  assert.deepEqual(await sideways(), [380, 0, 380])
  await page.getByRole('button', { name: /^Pages/ }).click()
  await page.getByRole('menuitem', { name: /^Server/ }).click()
  await page.getByText('It is well.').waitFor()
  assert.deepEqual(await sideways(), [380, 0, 380])
  const post = (path, body) => fetch(server.url + path, { method: 'POST', headers: { Authorization: `Bearer ${admin.bearer}` }, body: JSON.stringify(body) })
  await post('/CreateGroup', { GroupName: 'narrow', FilterExpression: 'responsetime > 1' })
  await post('/TraceSegments', { TraceSegmentDocuments: ['{"name":"no id"}'] })
  await post('/api/views', { Name: 'Narrow', Page: 'traces', Query: 'q=fault' })
  for (const [path, row] of [['/keys?old=1', 'boss'], ['/settings?settings=all', 'retention'], ['/sampling', 'Default'], ['/views', 'Narrow'], ['/groups', 'narrow'], ['/dead-letters', 'id is missing']]) {
    await page.goto(server.url + path)
    await page.getByText(row, { exact: true }).first().waitFor()
    assert.deepEqual(await sideways(), [380, 0, 380], path)
    // Nor is anything in tables out of sight, or without its name.
    const tables = await page.locator('.compare-table').evaluateAll((list) => list.map((e) => [e.getAttribute('aria-label'), e.scrollWidth - e.clientWidth]))
    assert.deepEqual(tables.filter(([, beyond]) => beyond > 0), [], path)
    const cells = await page.locator('.paragraphs td').evaluateAll((list) => list.filter((e) => e.innerText.trim() !== '' && !e.matches('.title') && !e.querySelector('button') && getComputedStyle(e, '::before').content === 'none').length)
    if (path !== '/settings?settings=all') assert.equal(cells, 0, path) // what a setting means needs no name
    // Buttons stand behind what they are for.
    const order = await page.locator('.managed').evaluateAll((list) => list.map((e) => e.querySelector('.managed-actions').getBoundingClientRect().top >= Math.max(...[...e.children].filter((c) => !c.matches('.managed-actions')).map((c) => c.getBoundingClientRect().bottom))))
    assert.ok(order.every(Boolean), path)
  }
  // Where there is just room for a table, all of it is there.
  await page.setViewportSize({ width: 900, height: 740 })
  await page.goto(`${server.url}/keys?old=1`)
  const table = page.getByRole('region', { name: 'Access keys' })
  await table.getByText('boss').waitFor()
  assert.ok((await table.evaluate((e) => e.scrollWidth - e.clientWidth)) <= 0, 'keys are cut off at 900 pixels')
  await page.setViewportSize({ width: 380, height: 740 })
  await page.goto(`${server.url}/dead-letters`)
  await page.locator('h1').waitFor()
  // By keyboard alone, too.
  await page.getByRole('button', { name: /^Pages/ }).focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await until('the next page', () => !page.url().endsWith('/dead-letters'))
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})
