// The basket: traces put aside on several pages, and what three to six of them have beside each other.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, makeKeys, newID, openPage, segmentID, startServer, until } from './harness.mjs'

let server
const now = Math.floor(Date.now() / 1000) - 120
/** From the newest to the oldest, as the list has them. */
const ids = Array.from({ length: 7 }, () => newID())
const gone = newID()
const evil = '<img src=x onerror="window.hacked=1"> \u202e'

/** An order: so many carts, and payments that take so long. */
function order(k, carts, pay, more = {}) {
  const call = segmentID()
  const t = now - k
  return [
    {
      trace_id: ids[k], id: segmentID(), name: 'shop', start_time: t, end_time: t + 0.5 + pay, fault: more.fault, http: { request: { method: 'POST', url: `https://shop.example/orders/${k}` }, response: { status: more.fault ? 502 : 200 } },
      subsegments: [
        ...Array.from({ length: carts }, (_, i) => ({ id: segmentID(), name: 'cart', namespace: 'remote', start_time: t + i * 0.1, end_time: t + i * 0.1 + 0.05 })),
        { id: call, name: 'payments', namespace: 'remote', start_time: t + 0.4, end_time: t + 0.4 + pay, fault: more.fault },
        ...(more.extra ? [{ id: segmentID(), name: 'audit', namespace: 'remote', start_time: t + 0.45, end_time: t + 0.48, http: { request: { method: 'GET', url: more.extra } } }] : []),
      ],
    },
    { trace_id: ids[k], id: segmentID(), parent_id: call, name: 'payments', start_time: t + 0.4, end_time: t + 0.4 + pay, fault: more.fault },
  ]
}

before(async () => {
  server = await startServer()
  const answer = await server.put(...order(0, 1, 0.1), ...order(1, 3, 0.4, { fault: true }), ...order(2, 0, 2.1, { extra: evil }), ...[3, 4, 5, 6].flatMap((k) => order(k, 1, 0.1)))
  assert.deepEqual(answer.UnprocessedTraceSegments, [])
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

const param = (page, name) => new URL(page.url()).searchParams.get(name)
const basket = (page) => page.getByRole('button', { name: /^Basket: / })
const several = (...list) => `/compare?t=${list.map((k) => ids[k]).join(',')}`
/** The cells of the row whose first cell has a text, as they are read. */
const cells = async (page, step) => (await page.getByRole('region', { name: 'Steps of the traces' }).locator('tbody tr', { has: page.locator('td:first-child', { hasText: step }) }).first().locator('td').allInnerTexts()).map((t) => t.replace(/\s+/g, ' ').trim())
const steps = async (page) => (await page.locator('.many tbody td:first-child').allInnerTexts()).map((t) => t.replace(/\s+/g, ' ').trim())

test('three traces are put into the basket by keyboard, on two pages, and compared', async () => {
  const page = await openPage(server.url, '/traces?range=1h')
  await page.locator('.table-row').nth(6).waitFor()
  assert.equal(await basket(page).count(), 0)
  for (const key of ['j', 'x', 'j', 'x']) await page.keyboard.press(key)
  await page.getByText('2 of 6 in the basket; g c compares them').waitFor()
  await page.getByRole('button', { name: 'Basket: 2 traces to compare' }).waitFor()
  // The third from its own page, by a command.
  await page.keyboard.press('j')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'shop' }).waitFor()
  await page.keyboard.press('Control+k')
  await page.keyboard.type('into the basket')
  await page.getByRole('option', { name: 'Put this trace into the basket' }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Basket: 3 traces to compare' }).waitFor()
  // It outlives a reload, and goes to other pages.
  await page.goto(`${server.url}/map`)
  await basket(page).click()
  const box = page.getByRole('group', { name: 'Basket: 3 traces to compare' })
  assert.deepEqual((await box.getByRole('listitem').allInnerTexts()).map((t) => t.replace(/\s+/g, ' ').trim()), [`shop POST /orders/0 600 ms ${ids[0]}`, `shop POST /orders/1 900 ms ${ids[1]}`, `shop POST /orders/2 2.6 s ${ids[2]}`])
  assert.deepEqual(await audit(page), [])
  await page.keyboard.press('Escape')
  await page.keyboard.press('g')
  await page.keyboard.press('c')
  await page.getByRole('heading', { name: 'Compare 3 traces' }).waitFor()
  assert.equal(param(page, 't'), ids.slice(0, 3).join(','))
  await page.getByText('3 took longest, 2.6 s; 1 was the quickest with 600 ms. Most of the spread is in payments: 100 ms to 2.1 s of its own work.').waitFor()
  assert.deepEqual(await cells(page, /^shop$/), ['shop', '600 ms', 'fault 900 ms +300 ms', '2.6 s +2 s', '2 s'])
  assert.deepEqual(await cells(page, 'cart'), ['shop › cart', '1 × 50 ms', '3 × 150 ms +100 ms', 'missing', '150 ms'])
  assert.deepEqual(await cells(page, /^payments$/), ['payments', '100 ms', 'fault 400 ms +300 ms', '2.1 s +2 s', '2 s'])
  assert.deepEqual((await cells(page, 'audit')).slice(1), ['missing', 'missing', '30 ms not in 1', '30 ms'])
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  const heads = (await page.locator('.many-head').allInnerTexts()).map((t) => t.replace(/\s+/g, ' '))
  assert.match(heads[0], /^1 shop POST \/orders\/0 600 ms 200 .*baseline$/)
  assert.match(heads[1], /^2 shop POST \/orders\/1 900 ms 502 .*\+300 ms beside 1$/)
  assert.match(heads[2], /^3 shop POST \/orders\/2 2\.6 s 200 \d\d:\d\d:\d\d\.\d{3} \d{4}-\d\d-\d\d \+2 s beside 1$/)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the baseline, the order, what is shown and by what it is sorted are in the address', async () => {
  const page = await openPage(server.url, several(0, 1, 2))
  await page.getByRole('heading', { name: 'Compare 3 traces' }).waitFor()
  await until('five steps', async () => (await steps(page)).length === 5)
  await page.keyboard.press('3')
  await until('the third is the baseline', () => param(page, 't') === [ids[2], ids[0], ids[1]].join(','))
  assert.deepEqual(await cells(page, /^payments$/), ['payments', '2.1 s', '100 ms −2 s', 'fault 400 ms −1.7 s', '2 s'])
  assert.deepEqual((await cells(page, 'cart')).slice(1), ['missing', '1 × 50 ms not in 1', '3 × 150 ms not in 1', '150 ms'])
  await page.keyboard.press('s')
  await until('sorted', async () => (await steps(page)).at(-1)?.includes('onerror') && param(page, 'sort') === '-spread')
  assert.equal((await steps(page))[3], 'shop › cart in shop')
  await page.getByRole('button', { name: /^Spread/ }).click()
  await until('the other way', async () => (await steps(page))[0]?.includes('onerror') && param(page, 'sort') === 'spread')
  assert.equal(await page.getByRole('columnheader', { name: /^Spread/ }).getAttribute('aria-sort'), 'ascending')
  await page.getByRole('button', { name: 'As a tree' }).click()
  await page.getByRole('button', { name: 'Own work' }).click()
  await until('own work', () => param(page, 'of') === 'self')
  assert.deepEqual(await cells(page, /^shop$/), ['shop', '500 ms', '450 ms −50 ms', 'fault 350 ms −150 ms', '150 ms'])
  // What is the same everywhere goes.
  await page.goto(server.url + several(0, 3, 4))
  await page.getByText('All took as long.').waitFor()
  assert.deepEqual(await cells(page, 'cart'), ['shop › cart', '50 ms', '50 ms the same', '50 ms the same', 'none'])
  await page.keyboard.press('d')
  await page.getByText('Nothing differs by more than a twentieth.').waitFor()
  await until('only is in the address', () => param(page, 'only') === '1')
  // By menu: to the left, two of them alone, one taken out.
  await page.goto(server.url + several(0, 1, 2))
  const menu = async (k, item) => {
    await page.getByRole('button', { name: `More to do with trace ${k}` }).click()
    await page.getByRole('menuitem', { name: item }).click()
  }
  await menu(3, 'Move to the left')
  await until('moved', () => param(page, 't') === [ids[0], ids[2], ids[1]].join(','))
  await page.getByRole('button', { name: 'Copy as CSV' }).click()
  await page.getByText('5 rows copied').waitFor()
  const lines = (await page.evaluate(() => navigator.clipboard.readText())).trim().split('\r\n')
  assert.match(lines[0], new RegExp(`^service,step,within,${ids[0]} count,.*,spread_seconds,spread_own_seconds$`))
  assert.match(lines[1], /^shop,shop,,1,0\.6,0\.45,ok,1,2\.6,0\.5,ok,1,0\.9,0\.35,fault,2,0\.15$/)
  await menu(3, /^Beside 2, shop/)
  await page.getByRole('heading', { name: 'Compare two traces' }).waitFor()
  await page.getByText(/^B took 1\.7 s less than A/).waitFor()
  assert.deepEqual([param(page, 'a'), param(page, 'b')], [ids[2], ids[1]])
  await page.goBack()
  await page.getByRole('heading', { name: 'Compare 3 traces' }).waitFor()
  await menu(1, 'Take it out')
  await page.getByRole('heading', { name: 'Compare two traces' }).waitFor()
  assert.deepEqual([param(page, 'a'), param(page, 'b'), param(page, 't')], [ids[2], ids[1], null])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('two traces are taken along as CSV, and different requests are said to be', async () => {
  const other = newID()
  await server.put({ trace_id: other, id: segmentID(), name: 'mailer', start_time: now - 7200, end_time: now - 7199 })
  const page = await openPage(server.url, `/compare?a=${ids[0]}&b=${ids[1]}`)
  await page.getByRole('button', { name: 'Copy the comparison as CSV' }).click()
  await page.getByText('4 rows copied').waitFor()
  const lines = (await page.evaluate(() => navigator.clipboard.readText())).trim().split('\r\n')
  assert.equal(lines[0], 'entry,level,a_calls,b_calls,a_seconds,b_seconds,difference_seconds,a_own_seconds,b_own_seconds,a_failed,b_failed')
  assert.match(lines[1], /^shop,1,1,1,0\.[56]\d*,0\.[89]\d*,/)
  const notice = page.getByText('These are different requests:')
  assert.equal(await notice.count(), 0) // two orders
  await page.goto(`${server.url}/compare?a=${ids[0]}&b=${other}`)
  await notice.waitFor()
  await page.getByText('only in A').first().waitFor()
  await page.getByText('only in B').first().waitFor()
  await page.goto(`${server.url}/compare?t=${ids[0]},${ids[1]},${other}`)
  await notice.waitFor()
  // A trace that is gone: there is a way on.
  await page.goto(`${server.url}/compare?a=${ids[0]}&b=${gone}`)
  await page.getByRole('heading', { name: 'Choose another trace' }).waitFor()
  await page.getByRole('link', { name: 'To the traces' }).click()
  await page.locator('.table-row').first().waitFor()
  await page.context().close()
})

test('the basket holds six; one is taken out, all are', async () => {
  const page = await openPage(server.url, '/traces?range=1h')
  await page.locator('.table-row').nth(6).waitFor()
  for (let k = 0; k < 7; k++) {
    await page.keyboard.press('j')
    await page.keyboard.press('x')
  }
  await page.getByText('The basket is full: 6 traces are compared at once').waitFor()
  await page.getByRole('button', { name: 'Basket: 6 traces to compare' }).focus()
  await page.keyboard.press('Enter')
  const takeOut = page.getByRole('button', { name: /^Take out shop/ })
  await takeOut.nth(1).focus()
  await page.keyboard.press('Enter')
  await until('five', async () => (await takeOut.count()) === 5)
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), `Take out shop POST /orders/2 ${ids[2]}`)
  await page.keyboard.press('Escape')
  // A row has a button for those who have no keyboard.
  const row = page.locator('.table-row').nth(6)
  await row.hover()
  await row.getByRole('button', { name: 'In the basket' }).click()
  await page.getByRole('button', { name: 'Basket: 6 traces to compare' }).click()
  assert.match(page.url(), /\/traces\?/)
  await page.getByRole('link', { name: 'Compare', exact: true }).click()
  await page.getByRole('heading', { name: 'Compare 6 traces' }).waitFor()
  assert.equal(param(page, 't'), [0, 2, 3, 4, 5, 6].map((k) => ids[k]).join(','))
  await until('six have come', async () => (await page.locator('.many-head').count()) === 6)
  await basket(page).click()
  await page.getByRole('button', { name: 'Clear' }).click()
  await until('it is gone', async () => (await basket(page).count()) === 0)
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'MAIN')
  await page.reload()
  await page.getByRole('heading', { name: 'Compare 6 traces' }).waitFor()
  assert.equal(await basket(page).count(), 0)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('lists with mistakes in them: said, and the rest is compared', async () => {
  const page = await openPage(server.url, `/compare?t=${ids[0]},${gone},nonsense,${ids[1]},${ids[1]}`)
  await page.getByText('There is no trace id in nonsense; left out.').waitFor()
  await page.getByText(/1 took|3 took longest, 900 ms/).waitFor()
  assert.deepEqual(await cells(page, /^payments$/), ['payments', '100 ms', 'fault 400 ms +300 ms', '300 ms'])
  await page.getByRole('alert').filter({ hasText: /trace/i }).nth(1).waitFor()
  await page.getByRole('button', { name: 'Take it out' }).click()
  await page.getByRole('heading', { name: 'Compare two traces' }).waitFor()
  assert.deepEqual([param(page, 'a'), param(page, 'b')], [ids[0], ids[1]])
  await page.goto(`${server.url}/compare?t=${ids.join(',')}`)
  await page.getByText('6 traces are compared at once; the last 1 of 7 are left out.').waitFor()
  await page.goto(`${server.url}/compare?t=${ids[4]},${ids[5]}`)
  await page.getByText('Both took as long.').waitFor()
  await until('two have their own address', () => param(page, 't') === null && param(page, 'b') === ids[5])
  await page.goto(`${server.url}/compare?t=,%20,`)
  await page.getByRole('heading', { name: 'Compare two traces' }).waitFor()
  assert.deepEqual(page.complaints.filter((c) => !/404/.test(c)), [])
  await page.context().close()
})

test('whoever signs out leaves no basket behind', async () => {
  const keys = makeKeys(['laptop', 'admin'])
  const locked = await startServer('serve', '--keys', keys.file)
  try {
    const page = await openPage(locked.url, '/groups')
    await page.getByLabel('Access key id').fill(keys.keys[0].id)
    await page.getByLabel('Secret access key').fill(keys.keys[0].secret)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByRole('navigation', { name: 'Pages' }).waitFor()
    await page.evaluate((id) => sessionStorage.setItem('roentgen.basket', JSON.stringify([{ id, entry: 'shop', seconds: 1 }])), ids[0])
    await page.reload()
    await page.getByRole('button', { name: 'Basket: 1 trace to compare' }).waitFor()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('sign out')
    await page.getByRole('option', { name: 'Sign out' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByLabel('Access key id').waitFor()
    assert.equal(await page.evaluate(() => sessionStorage.getItem('roentgen.basket')), null)
    await page.context().close()
  } finally {
    await locked.stop()
    keys.remove()
  }
})

test('axe finds nothing, dark and light, wide and on a telephone, where only the table scrolls sideways', async () => {
  for (const colorScheme of ['dark', 'light']) {
    for (const width of [1440, 380]) {
      const page = await openPage(server.url, `${several(0, 1, 2, 3)}&sort=-spread`, { colorScheme, viewport: { width, height: 800 } })
      await page.getByText(/^3 took longest/).waitFor()
      for (const id of ids.slice(0, 6)) await page.evaluate((id) => sessionStorage.setItem('roentgen.basket', JSON.stringify([...JSON.parse(sessionStorage.getItem('roentgen.basket') ?? '[]'), { id, entry: 'shop POST /orders', seconds: 1 }])), id)
      await page.reload()
      await page.getByText(/^3 took longest/).waitFor()
      assert.deepEqual(await audit(page), [], `${colorScheme}, ${width}`)
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} pixels`)
      assert.ok(await page.evaluate(() => [...document.querySelectorAll('.page, .top')].every((e) => e.scrollWidth <= e.clientWidth)), 'the page scrolls sideways')
      assert.ok(width > 380 || (await page.locator('.many').evaluate((e) => e.scrollWidth > e.clientWidth)))
      await basket(page).click()
      await page.getByText('6 of 6 traces').waitFor()
      assert.deepEqual(await audit(page), [], `basket, ${colorScheme}, ${width}`)
      const box = await page.getByRole('group', { name: 'Basket: 6 traces to compare' }).boundingBox()
      assert.ok(box.x >= 0 && box.x + box.width <= width, JSON.stringify(box))
      if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/basket-${colorScheme}-${width}.png` })
      await page.keyboard.press('Escape')
      if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/many-${colorScheme}-${width}.png` })
      assert.deepEqual(page.complaints, [])
      await page.context().close()
    }
  }
})
