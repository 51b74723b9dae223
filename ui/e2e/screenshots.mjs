// Takes pictures of every page, and of what pages can look like, in both themes at three
// widths, to be looked at.
//
//   node e2e/screenshots.mjs FOLDER [VIEW…] [SIZE…]
//
// Names of views, or of sizes, take only those. A page that is longer than the window is
// taken twice, the second time ("-all") as high as it is long.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { closeBrowser, findTrace, makeKeys, newID, openPage, segmentID, startServer } from './harness.mjs'

const SIZES = { wide: [1440, 900], middle: [900, 800], narrow: [380, 740], large: [2560, 1440], '4k': [3840, 2160] }
/** The others are for when somebody asks. */
const USUAL = ['wide', 'narrow', 'large']
/** Pictures beyond this height show nothing new. */
const HIGHEST = 6000

const folder = process.argv[2]
if (!folder) {
  console.error('usage: node e2e/screenshots.mjs FOLDER [VIEW…] [SIZE…]')
  process.exit(2)
}
mkdirSync(folder, { recursive: true })

/** Ten thousand traces, one that is as odd as can be, one that is still open, and many services. */
async function fillOdd(server) {
  const now = Date.now() / 1000
  const lines = []
  for (let k = 0; k < 10_000; k++) {
    const start = now - 30 - (k / 10_000) * 3000
    const took = 0.001 * 10 ** (((k * 7919) % 4000) / 1000)
    const bad = k % 50 === 0
    lines.push({ trace_id: `1-${Math.floor(start).toString(16)}-${k.toString(16).padStart(24, 'a')}`, id: segmentID(), name: `service-${k % 9}`, start_time: start, end_time: start + took, ...(bad ? { fault: true } : {}), http: { request: { method: 'GET', url: `https://a.example/things/${k}` }, response: { status: bad ? 500 : 200 } }, annotations: { tenant: `t-${k % 30}` } })
  }
  const odd = newID()
  const call = segmentID()
  const answer = segmentID()
  const lost = segmentID()
  const item = (k) => ({ id: segmentID(), name: 'orders@db', namespace: 'remote', start_time: now - 19.6 + k * 0.03, end_time: now - 19.58 + k * 0.03, ...(k === 3 ? { fault: true } : {}), sql: { sanitized_query: `SELECT id, name, price FROM items WHERE id = ${k}`, database_type: 'PostgreSQL', url: 'jdbc:postgresql://db.internal:5432/orders' } })
  lines.push(
    { trace_id: odd, id: segmentID(), name: `a-service-whose-name-is-longer-than-any-column-${'x'.repeat(120)}`, start_time: now - 20, end_time: now - 17, error: true, http: { request: { method: 'POST', url: `https://a-host-with-a-long-name.example/a/path/that/goes/on/${'and-on/'.repeat(20)}?with=a&query=too` }, response: { status: 404 } }, subsegments: [{ id: call, name: 'other-clock', namespace: 'remote', start_time: now - 19.9, end_time: now - 19.7 }, { id: segmentID(), name: 'load items', start_time: now - 19.6, end_time: now - 18.1, subsegments: Array.from({ length: 47 }, (_, k) => item(k)) }] },
    { trace_id: odd, id: answer, parent_id: call, name: 'other-clock', start_time: now - 24, end_time: now - 23.9 },
    { trace_id: odd, id: segmentID(), parent_id: lost, name: 'its-caller-is-lost', start_time: now - 18, end_time: now - 17.5 },
    { trace_id: odd, id: segmentID(), parent_id: segmentID(), type: 'subsegment', name: 'orphan', start_time: now - 17.9, end_time: now - 17.7 },
  )
  const deep = newID()
  let inside = []
  for (let k = 59; k > 0; k--) inside = [{ id: segmentID(), name: `step ${k}`, start_time: now - 40 + k * 0.01, end_time: now - 38 - k * 0.01, subsegments: inside }]
  lines.push({ trace_id: deep, id: segmentID(), name: 'deep', start_time: now - 40, end_time: now - 38, subsegments: inside })
  for (let k = 0; k < 150; k++) {
    const id = newID()
    const to = segmentID()
    const at = now - 100 - k
    lines.push({ trace_id: id, id: segmentID(), name: `team-${k % 12}-api-${k}`, start_time: at, end_time: at + 0.4, subsegments: [{ id: to, name: `team-${(k + 1) % 12}-store-${k % 40}`, namespace: 'remote', start_time: at + 0.1, end_time: at + 0.3, ...(k % 20 === 0 ? { fault: true } : {}) }] }, { trace_id: id, id: segmentID(), parent_id: to, name: `team-${(k + 1) % 12}-store-${k % 40}`, start_time: at + 0.1, end_time: at + 0.3, ...(k % 20 === 0 ? { fault: true } : {}) })
  }
  const sent = await fetch(`${server.url}/api/import`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: lines.map((d) => JSON.stringify(d)).join('\n') })
  if (!sent.ok) throw new Error(await sent.text())
  const open = newID()
  const root = segmentID()
  await server.put({ trace_id: open, id: root, name: 'long-report', start_time: now - 90, in_progress: true, http: { request: { method: 'POST', url: 'https://shop.example/reports' } } })
  await server.put({ trace_id: open, id: segmentID(), parent_id: root, type: 'subsegment', name: 'query', start_time: now - 80, end_time: now - 50 }, { trace_id: open, id: segmentID(), parent_id: root, type: 'subsegment', name: 'render', start_time: now - 49, in_progress: true })
  return { odd, deep, open }
}

const demo = await startServer('demo', '--history', '30m', '--rate', '12')
const empty = await startServer()
const strange = await startServer()
const keys = makeKeys(['laptop of Ann', 'admin'], ['dashboards', 'read'], ['shop', 'write', '--expires', '90d', '--documents-per-second', '2000'], ['somebody who left', 'read'], ['a day of work', 'read', '--expires', '1s'])
keys.revoke(keys.keys[3].id)
const locked = await startServer('serve', '--keys', keys.file, '--retention', '14d', '--disk-budget', '20GB')
const failures = []
try {
  const { odd, deep, open: unfinished } = await fillOdd(strange)
  await new Promise((done) => setTimeout(done, 4000))
  const find = (filter) => findTrace(demo.url, filter)
  const failed = await find('service("checkout") { fault } AND service("payments") { fault }')
  const order = await find('service("checkout") AND ok AND service("orders")')
  // Something to manage.
  const post = (path, body) => fetch(`${demo.url}/${path}`, { method: 'POST', body: JSON.stringify(body) })
  await post('CreateGroup', { GroupName: 'slow-checkouts', FilterExpression: 'service("checkout") { responsetime > 0.5 }' })
  await post('CreateGroup', { GroupName: 'acme', FilterExpression: 'annotation.tenant = "acme"' })
  const any = { Version: 1, Priority: 10, FixedRate: 0.2, ReservoirSize: 5, ServiceName: '*', ServiceType: '*', Host: '*', HTTPMethod: '*', URLPath: '*', ResourceARN: '*' }
  await post('CreateSamplingRule', { SamplingRule: { ...any, RuleName: 'checkouts', ServiceName: 'checkout', HTTPMethod: 'POST', FixedRate: 1 } })
  await post('CreateSamplingRule', { SamplingRule: { ...any, RuleName: 'no-health-checks', Priority: 1, URLPath: '/health*', FixedRate: 0, ReservoirSize: 0 } })
  await demo.put({ trace_id: '1-58406520-a006649127e371903a2de979', name: 'till', start_time: 1, end_time: 2 }, { trace_id: 'x', id: '1', name: 'till' }, 'not JSON')
  const enter = (k, more) => async (page) => {
    await page.getByLabel('Access key id').fill(keys.keys[k].id)
    await page.getByLabel('Secret access key').fill(keys.keys[k].secret)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByRole('navigation', { name: 'Pages' }).waitFor()
    await page.waitForTimeout(1000)
    await more?.(page)
  }
  for (const [name, page, query] of [['Checkout is slow', 'traces', 'q=service("checkout") AND responsetime > 1&range=1h'], ['Faults of the last six hours', 'analytics', 'a=fault&b=ok&range=6h'], ['Everything', 'map', '']]) {
    for (const [at, bearer] of [[demo.url, ''], [locked.url, keys.keys[0].bearer]])
      await fetch(`${at}/api/views`, { method: 'POST', headers: bearer ? { Authorization: `Bearer ${bearer}` } : {}, body: JSON.stringify({ Name: name, Page: page, Query: new URLSearchParams(query).toString() }) })
  }
  const firstFailure = async (page) => {
    for (let k = 0; k < 20; k++) await page.keyboard.press(']')
  }
  const press = (...list) => async (page) => {
    for (const key of list) {
      await page.keyboard.press(key)
      await page.waitForTimeout(120)
    }
  }
  const click = (name, more) => async (page) => {
    await page.getByRole('button', { name }).first().click()
    await more?.(page)
  }
  /** Chooses an entry of a trace by what is found, and one of its tabs. */
  const entry = (text, tab) => async (page) => {
    await page.locator('#find').fill(text)
    await page.locator('.find span', { hasText: 'found' }).waitFor()
    await page.locator('#find').press('Enter')
    const wanted = page.getByRole('tab', { name: tab })
    await wanted.waitFor()
    await page.locator('#find').press('Escape')
    await wanted.click()
  }
  /** From now on the server does not answer, or answers late. */
  const away = (path) => async (page) => {
    await page.context().route(/\/(api|metrics|ServiceGraph|Groups|-)/, (route) => route.abort())
    await page.goto(page.url().replace(/\/[^/]*$/, path))
  }
  const late = (path) => async (page) => {
    await page.context().route(/\/(api\/(traces|counts|counting)|ServiceGraph)/, () => {})
    await page.goto(page.url().replace(/\/[^/]*$/, path))
    await page.locator('.late').waitFor()
  }
  /** Tries rules on what is stored, and waits for the answer. */
  const simulate = async (page, button) => {
    const answer = page.waitForResponse(/api\/sampling\/simulate/)
    await button.click()
    const status = (await answer).status()
    if (status !== 200) throw new Error(`the simulation was answered with ${status}`)
  }
  /** These ask for so much that the server answers few of them at a time: their sizes are taken one after the other. */
  const HEAVY = ['sampling-tried', 'sampling-edit', 'analytics-before', 'analytics-times']
  const compared = (page) => page.locator('.skeleton, .progress').first().waitFor({ state: 'detached' })

  /** Name, server, path, and what to do before the picture is taken. */
  const views = [
    ['start', empty, '/start'],
    ['start-python', empty, '/start?with=python'],
    ['start-arrived', demo, '/start'],
    ['map', demo, '/map'],
    ['map-node', demo, '/map', (page) => page.locator('.node', { hasText: 'checkout' }).first().dispatchEvent('click')],
    ['map-edge', demo, '/map', (page) => page.getByRole('button', { name: /^checkout calls payments:/ }).dispatchEvent('click')],
    ['map-focus', demo, '/map', async (page) => {
      await page.locator('.node', { hasText: 'checkout' }).first().dispatchEvent('click')
      await page.keyboard.press('f')
      await page.getByText('near checkout').waitFor()
    }],
    ['map-failing', demo, '/map?bad=1'],
    ['map-clusters', demo, '/map?by=type', (page) => page.locator('.node', { hasText: 'DynamoDB' }).first().dispatchEvent('click')],
    ['map-many', strange, '/map?range=1h'],
    ['map-table', demo, '/map?view=table'],
    ['map-table-node', demo, '/map?view=table', (page) => page.getByRole('button', { name: 'checkout', exact: true }).first().click()],
    ['map-range', demo, '/map', click(/^Last 15 minutes|Window of time/)],
    ['map-empty', empty, '/map'],
    ['traces', demo, '/traces'],
    ['traces-completion', demo, '/traces', async (page) => {
      await page.locator('#filter').click()
      await page.keyboard.type('service("pay')
    }],
    ['traces-mistake', demo, '/traces?q=fault%20annd%20error'],
    ['traces-none', demo, '/traces?q=service(%22nobody%22)'],
    ['traces-why', demo, '/traces?q=fault%20AND%20http.status%20%3C%20500', async (page) => {
      await page.getByRole('button', { name: 'Why not…?' }).first().click()
      await page.getByPlaceholder('Id of the trace that you miss').fill(failed)
      await page.keyboard.press('Enter')
    }],
    ['traces-empty', empty, '/traces'],
    ['traces-live', demo, '/traces?live=1'],
    ['traces-counts', demo, '/traces', async (page) => {
      if (page.viewportSize().width < 860) await page.getByRole('button', { name: 'Counts' }).click()
      await page.getByLabel('Find in counts').fill('t')
    }],
    ['traces-columns', demo, '/traces?cols=time,status,duration,request,response,user,client,agent,a.tenant,id', click('Columns')],
    ['traces-heatmap-table', demo, '/traces', click('Traces by time and duration as a table')],
    ['traces-basket', demo, '/traces', async (page) => {
      await press('j', 'x', 'j', 'x', 'j', 'j', 'x')(page)
      await page.getByRole('button', { name: /^Basket/ }).click()
    }],
    ['traces-10000', strange, '/traces?range=1h', press('k')],
    ['traces-grouped', demo, '/traces?by=entry'],
    ['trace', demo, `/trace/${failed}`, firstFailure],
    ['trace-critical', demo, `/trace/${order}?critical=1`],
    ['trace-flame', demo, `/trace/${order}?view=flame`],
    ['trace-list', demo, `/trace/${order}?view=list&sort=-self`],
    ['trace-log', demo, `/trace/${failed}?view=log`],
    ['trace-map', demo, `/trace/${order}?view=map`],
    ['trace-usual', demo, `/trace/${failed}?view=usual`],
    ['trace-linked', demo, `/trace/${order}?linked=1&piles=1`],
    ['trace-raw', demo, `/trace/${order}?view=raw`],
    ['trace-why', demo, `/trace/${failed}`, async (page) => {
      await page.getByRole('button', { name: 'Matches?' }).click()
      await page.getByLabel('Filter expression').fill('service("payments") { fault } AND http.status < 500')
      await page.keyboard.press('Enter')
    }],
    ['trace-overview', demo, `/trace/${order}`, press('j')],
    ['trace-http', demo, `/trace/${order}`, entry('payments.shop.internal', 'HTTP')],
    ['trace-sql', strange, `/trace/${odd}`, entry('orders@db', 'SQL')],
    ['trace-aws', demo, `/trace/${order}`, entry('DynamoDB', 'AWS')],
    ['trace-annotations', demo, `/trace/${order}`, async (page) => {
      await page.keyboard.press('j')
      await page.getByRole('tab', { name: /Annotations|Metadata/ }).first().click()
    }],
    ['trace-entry-raw', demo, `/trace/${order}`, async (page) => {
      await page.keyboard.press('j')
      await page.getByRole('tab', { name: 'Raw' }).click()
    }],
    ['trace-find', demo, `/trace/${order}?find=dynamo&only=1`],
    ['trace-show', demo, `/trace/${order}`, click(/^Show$|^What is shown$/)],
    ['trace-menu', demo, `/trace/${order}`, click('More to do with this trace')],
    ['trace-sampling', demo, `/trace/${order}`, (page) => page.locator('.sampled').click()],
    ['trace-odd', strange, `/trace/${odd}`],
    ['trace-piles', strange, `/trace/${odd}?piles=1&view=list`],
    ['trace-deep', strange, `/trace/${deep}`, press('End')],
    ['trace-unfinished', strange, `/trace/${unfinished}`],
    ['trace-none', demo, '/trace/1-58406520-a006649127e371903a2de979'],
    ['trace-print', demo, `/trace/${failed}`, async (page) => {
      await firstFailure(page)
      await page.evaluate(() => dispatchEvent(new Event('beforeprint')))
      await page.emulateMedia({ media: 'print' })
    }],
    ['compare', demo, `/compare?a=${order}&b=${failed}`],
    ['compare-many', demo, `/compare?t=${order},${failed},${await find('service("mobile-api")')}`],
    ['compare-empty', demo, '/compare'],
    ['compare-none', demo, `/compare?a=${order}&b=1-58406520-a006649127e371903a2de979`],
    ['analytics', demo, '/analytics?a=fault&b=ok'],
    ['analytics-before', demo, '/analytics?range=5m&with=before', compared],
    ['analytics-times', demo, '/analytics?range=5m&with=before', click(/^The window before|The other window/)],
    ['analytics-table', demo, '/analytics?a=fault&b=ok', click('Durations as a table')],
    ['analytics-empty', demo, '/analytics'],
    ['analytics-none', empty, '/analytics?a=fault&b=ok'],
    ['sampling', demo, '/sampling'],
    ['sampling-tried', demo, '/sampling', async (page) => {
      await simulate(page, page.getByRole('button', { name: 'Try on the last day' }))
      await page.getByPlaceholder('checkout').fill('checkout')
      await page.getByPlaceholder('GET').fill('GET')
      await page.getByRole('button', { name: 'Tell' }).click()
    }],
    ['sampling-edit', demo, '/sampling?edit=checkouts', (page) => simulate(page, page.locator('.dialog').getByRole('button', { name: 'Try on the last day' }))],
    ['sampling-delete', demo, '/sampling', click('Delete')],
    ['groups', demo, '/groups'],
    ['groups-edit', demo, '/groups?edit=acme'],
    ['dead-letters', demo, '/dead-letters', click('Show document')],
    ['dead-letters-empty', empty, '/dead-letters'],
    ['server', demo, '/settings'],
    ['server-all', demo, '/settings?settings=all'],
    ['server-empty', empty, '/settings'],
    ['views', demo, '/views'],
    ['views-empty', empty, '/views'],
    ['views-menu', demo, '/traces', click('Saved views')],
    ['views-save', demo, '/traces?q=fault', press('g', 'V')],
    ['keys-off', demo, '/keys'],
    ['sign-in', locked, '/traces'],
    ['sign-in-refused', locked, '/traces', async (page) => {
      await page.getByLabel('Access key id').fill('RGENWRONG')
      await page.getByLabel('Secret access key').fill('wrong')
      await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    }],
    ['session-over', locked, '/groups', enter(0, async (page) => {
      await page.context().clearCookies()
      await page.keyboard.press('g')
      await page.keyboard.press('t')
    })],
    ['access-keys', locked, '/keys?old=1', enter(0)],
    ['access-keys-valid', locked, '/keys', enter(0)],
    ['access-keys-new', locked, '/keys?edit=%2B', enter(0)],
    ['access-keys-made', locked, '/keys?edit=%2B', enter(0, async (page) => {
      await page.getByLabel('Name').fill('a picture')
      await page.getByRole('button', { name: 'Make key' }).click()
    })],
    ['views-reader', locked, '/views', enter(1)],
    ['dead-letters-reader', locked, '/dead-letters', enter(1)],
    ['server-reader', locked, '/settings', enter(1)],
    ['account', locked, '/groups', enter(1, (page) => page.getByRole('button', { name: /^Signed in/ }).click())],
    ['pages-menu', demo, '/groups', async (page) => {
      const menu = page.getByRole('button', { name: /^(Pages|More)/ })
      if (await menu.count()) await menu.click()
    }],
    ['keys', demo, '/map', (page) => page.keyboard.press('?')],
    ['palette', demo, '/map', (page) => page.keyboard.press('Control+k')],
    ['palette-typed', demo, '/map', async (page) => {
      await page.keyboard.press('Control+k')
      await page.keyboard.type('check')
    }],
    ['away', demo, '/start', away('/traces')],
    ['late-traces', demo, '/start', late('/traces')],
    ['late-trace', demo, '/start', late(`/trace/${order}`)],
    ['nowhere', demo, '/trace'],
    ['link-none', demo, '/l/abcdefg'],
  ]
  const asked = process.argv.slice(3)
  for (const a of asked) if (!(a in SIZES) && !views.some(([name]) => name === a)) throw new Error(`there is no view or size ${a}; views: ${views.map(([name]) => name).join(' ')}; sizes: ${Object.keys(SIZES).join(' ')}`)
  const sizes = asked.some((a) => a in SIZES) ? asked.filter((a) => a in SIZES) : USUAL
  const only = asked.filter((a) => !(a in SIZES))
  const take = async (name, server, path, act, size) => {
    const [width, height] = SIZES[size]
    const page = await openPage(server.url, path, { colorScheme: 'dark', viewport: { width, height } })
    page.setDefaultTimeout(15_000)
    await page.waitForTimeout(1800)
    try {
      await act?.(page)
    } catch (e) {
      failures.push(`${name}, ${size}: ${e.message.split('\n')[0]}`)
    }
    await page.waitForTimeout(1000)
    const both = async (ending) => {
      for (const colorScheme of ['dark', 'light']) {
        await page.emulateMedia({ colorScheme })
        await page.waitForTimeout(200)
        await page.screenshot({ path: join(folder, `${name}-${colorScheme}-${size}${ending}.png`), animations: 'disabled' })
      }
    }
    await both('')
    const more = await page.evaluate(() => {
      const e = document.querySelector('.page[data-scroll]')
      return e && !document.querySelector('.dialog, .popover') ? e.scrollHeight - e.clientHeight : 0
    })
    if (more > 0) {
      await page.setViewportSize({ width, height: Math.min(HIGHEST, height + more) })
      await both('-all')
    }
    await page.context().close()
  }
  for (const [name, server, path, act] of views) {
    if (only.length > 0 && !only.includes(name)) continue
    if (HEAVY.includes(name)) for (const size of sizes) await take(name, server, path, act, size)
    else await Promise.all(sizes.map((size) => take(name, server, path, act, size)))
    console.log(name)
  }
} finally {
  await closeBrowser()
  await demo.stop()
  await empty.stop()
  await strange.stop()
  await locked.stop()
  keys.remove()
}
for (const f of failures) console.error(f)
process.exit(failures.length > 0 ? 1 : 0)
