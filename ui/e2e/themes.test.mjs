// Every page in both themes, on the traffic of the demo, before axe.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { audit, closeBrowser, findTrace, openPage, startServer } from './harness.mjs'

let server, traces
before(async () => {
  server = await startServer('demo', '--history', '10m', '--rate', '10')
  await fetch(`${server.url}/TraceSegments`, { method: 'POST', body: JSON.stringify({ TraceSegmentDocuments: ['{"name":"no id"}', 'no JSON at all'] }) })
  await fetch(`${server.url}/api/views`, { method: 'POST', body: JSON.stringify({ Name: 'Faults', Page: 'traces', Query: 'q=fault' }) })
  await fetch(`${server.url}/CreateGroup`, { method: 'POST', body: JSON.stringify({ GroupName: 'slow', FilterExpression: 'responsetime > 1' }) })
  traces = [await findTrace(server.url, 'service("checkout") AND ok'), await findTrace(server.url, 'fault')]
})
after(async () => {
  await closeBrowser()
  await server?.stop()
})

const PAGES = [
  ['analytics', () => '/analytics?a=fault&b=ok', (page) => page.getByRole('heading', { name: 'Analytics' }).or(page.locator('.set').first()).first().waitFor()],
  ['sampling', () => '/sampling', (page) => page.getByRole('cell', { name: 'Default', exact: true }).waitFor()],
  ['server', () => '/settings?settings=all', (page) => page.getByRole('region', { name: 'Settings in force' }).waitFor()],
  ['compare', () => `/compare?a=${traces[0]}&b=${traces[1]}`, (page) => page.getByText(/^[AB] took|^Both took/).waitFor()],
  ['dead letters', () => '/dead-letters', (page) => page.getByText('Remedy:').first().waitFor()],
  ['groups', () => '/groups', (page) => page.getByText('responsetime > 1').first().waitFor()],
  ['views', () => '/views', (page) => page.getByRole('link', { name: 'Faults', exact: true }).waitFor()],
  ['keys', () => '/keys', (page) => page.getByText('This server asks nobody for a key.').waitFor()],
  ['traces', () => '/traces', (page) => page.locator('.table-row').first().waitFor()],
  ['the heatmap as a table', () => '/traces?q=error', async (page) => {
    await page.getByRole('button', { name: 'Traces by time and duration as a table' }).click()
    await page.getByRole('region', { name: 'Traces by time and duration' }).getByRole('button', { name: /^Traces from/ }).first().waitFor()
  }],
  ['map', () => '/map', (page) => page.locator('.node').first().waitFor()],
  ['trace', () => `/trace/${traces[0]}`, (page) => page.getByRole('listbox', { name: /^Waterfall/ }).waitFor()],
  ['send traces', () => '/start', (page) => page.locator('.way pre').waitFor()],
]

for (const [name, path, ready] of PAGES) {
  test(`${name}: axe finds nothing, dark, light and narrow`, async () => {
    for (const colorScheme of ['dark', 'light']) {
      for (const width of [1440, 380]) {
        const page = await openPage(server.url, path(), { colorScheme, viewport: { width, height: 800 } })
        await ready(page)
        await page.waitForTimeout(500)
        assert.deepEqual(await audit(page), [], `${colorScheme}, ${width} pixels`)
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `wider than ${width} pixels`)
        assert.deepEqual(page.complaints, [])
        await page.context().close()
      }
    }
  })
}
