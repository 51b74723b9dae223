// Takes pictures of every page in both themes at three widths, to be looked at.
//
//   node e2e/screenshots.mjs FOLDER
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { closeBrowser, findTrace, makeKeys, openPage, startServer } from './harness.mjs'

const folder = process.argv[2]
if (!folder) {
  console.error('usage: node e2e/screenshots.mjs FOLDER')
  process.exit(2)
}
mkdirSync(folder, { recursive: true })
const demo = await startServer('demo', '--history', '30m', '--rate', '12')
const empty = await startServer()
const keys = makeKeys(['laptop of Ann', 'admin'], ['dashboards', 'read'], ['shop', 'write', '--expires', '90d', '--documents-per-second', '2000'], ['somebody who left', 'read'])
keys.revoke(keys.keys[3].id)
const locked = await startServer('serve', '--keys', keys.file, '--retention', '14d', '--disk-budget', '20GB')
try {
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
  const open = async (page) => {
    for (let k = 0; k < 20; k++) await page.keyboard.press(']')
  }
  const views = [
    ['start', empty, '/start'],
    ['map', demo, '/map'],
    ['map-node', demo, '/map', (page) => page.locator('.node', { hasText: 'checkout' }).first().dispatchEvent('click')],
    ['map-edge', demo, '/map', (page) => page.getByRole('button', { name: /^checkout calls payments:/ }).dispatchEvent('click')],
    ['map-clusters', demo, '/map?by=type', (page) => page.locator('.node', { hasText: 'DynamoDB' }).first().dispatchEvent('click')],
    ['map-table', demo, '/map?view=table'],
    ['map-empty', empty, '/map'],
    ['traces', demo, '/traces'],
    ['traces-completion', demo, '/traces', async (page) => {
      await page.locator('#filter').click()
      await page.keyboard.type('service("pay')
    }],
    ['traces-mistake', demo, '/traces?q=fault%20annd%20error'],
    ['trace', demo, `/trace/${failed}`, open],
    ['trace-critical', demo, `/trace/${order}?critical=1`],
    ['trace-flame', demo, `/trace/${order}?view=flame`],
    ['trace-list', demo, `/trace/${order}?view=list&sort=-self`],
    ['trace-log', demo, `/trace/${failed}?view=log`],
    ['trace-map', demo, `/trace/${order}?view=map`],
    ['trace-usual', demo, `/trace/${failed}?view=usual`],
    ['trace-linked', demo, `/trace/${order}?linked=1&piles=1`],
    ['trace-why', demo, `/trace/${failed}`, async (page) => {
      await page.getByRole('button', { name: 'Matches?' }).click()
      await page.getByLabel('Filter expression').fill('service("payments") { fault } AND http.status < 500')
      await page.keyboard.press('Enter')
    }],
    ['traces-grouped', demo, '/traces?by=entry'],
    ['trace-raw', demo, `/trace/${order}?view=raw`],
    ['compare-many', demo, `/compare?t=${order},${failed},${await find('service("mobile-api")')}`],
    ['compare', demo, `/compare?a=${order}&b=${failed}`],
    ['analytics', demo, '/analytics?a=fault&b=ok'],
    ['analytics-before', demo, '/analytics?range=5m&with=before'],
    ['analytics-empty', demo, '/analytics'],
    ['sampling', demo, '/sampling'],
    ['groups', demo, '/groups'],
    ['dead-letters', demo, '/dead-letters'],
    ['server', demo, '/settings'],
    ['views', demo, '/views'],
    ['keys-off', demo, '/keys'],
    ['sign-in', locked, '/traces'],
    ['access-keys', locked, '/keys?old=1', enter(0)],
    ['access-keys-new', locked, '/keys?edit=%2B', enter(0)],
    ['views-reader', locked, '/views', enter(1)],
    ['account', locked, '/groups', enter(1, (page) => page.getByRole('button', { name: /^Signed in/ }).click())],
    ['pages-menu', demo, '/groups', async (page) => {
      const menu = page.getByRole('button', { name: /^(Pages|More)/ })
      if (await menu.count()) await menu.click()
    }],
    ['keys', demo, '/map', (page) => page.keyboard.press('?')],
    ['palette', demo, '/map', (page) => page.keyboard.press('Control+k')],
  ]
  const only = process.argv.slice(3)
  for (const [name, server, path, act] of views) {
    if (only.length > 0 && !only.includes(name)) continue
    for (const colorScheme of ['dark', 'light']) {
      for (const [size, width, height] of [['wide', 1440, 900], ['narrow', 380, 740], ['large', 2560, 1440]]) {
        const page = await openPage(server.url, path, { colorScheme, viewport: { width, height } })
        await page.waitForTimeout(1800)
        await act?.(page)
        await page.waitForTimeout(1000)
        await page.screenshot({ path: join(folder, `${name}-${colorScheme}-${size}.png`) })
        await page.context().close()
      }
    }
    console.log(name)
  }
} finally {
  await closeBrowser()
  await demo.stop()
  await empty.stop()
  await locked.stop()
  keys.remove()
}
