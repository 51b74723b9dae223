// Starts real servers and a real browser for the tests of the page.
import { execFileSync, spawn } from 'node:child_process'
import { createServer, request } from 'node:http'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { chromium } from 'playwright-core'

const here = import.meta.dirname
const binary = process.env.ROENTGEN_BINARY ?? resolve(here, '../../bin/roentgen')
const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** Runs the real program until `stop`, and finds out where it listens. */
export async function startServer(command = 'serve', ...flags) {
  if (!existsSync(binary)) throw new Error(`there is no ${binary}; run make binary`)
  const data = mkdtempSync(join(tmpdir(), 'roentgen-page-'))
  const child = spawn(binary, [command, '--listen', '127.0.0.1:0', '--data-dir', data, '--otlp-grpc', 'off', '--otlp-http', 'off', ...flags], { stdio: ['ignore', 'pipe', 'pipe'], cwd: data })
  let output = ''
  const url = await new Promise((done, fail) => {
    const take = (chunk) => {
      output += chunk
      const match = /ready on (http:\/\/\S+)/.exec(output)
      if (match) done(match[1])
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('exit', (code) => fail(new Error(`the server ended with ${code}:\n${output}`)))
    setTimeout(() => fail(new Error(`the server is not ready after 60 s:\n${output}`)), 60_000).unref()
  })
  return {
    url,
    data,
    /** The token that `put` sends, when the server asks for keys. */
    bearer: '',
    async put(...documents) {
      const response = await fetch(`${url}/TraceSegments`, { method: 'POST', headers: this.bearer ? { Authorization: `Bearer ${this.bearer}` } : {}, body: JSON.stringify({ TraceSegmentDocuments: documents.map((d) => (typeof d === 'string' ? d : JSON.stringify(d))) }) })
      return response.json()
    },
    async stop() {
      const gone = new Promise((done) => child.on('exit', done))
      child.kill('SIGTERM')
      await gone
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** Makes access keys in a file of their own, one for each list of roles. */
export function makeKeys(...keys) {
  const folder = mkdtempSync(join(tmpdir(), 'roentgen-keys-'))
  const file = join(folder, 'keys.json')
  const made = keys.map(([name, role, ...flags]) => JSON.parse(execFileSync(binary, ['key', 'create', '--keys', file, '--name', name, '--role', role, '--json', ...flags], { encoding: 'utf8' })))
  return {
    file,
    keys: made.map((k) => ({ id: k.access_key_id, secret: k.secret_access_key, bearer: k.bearer_token, name: k.name })),
    revoke: (id) => execFileSync(binary, ['key', 'revoke', '--keys', file, id]),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

let counter = 0
/** A fresh trace id, and segment ids to go with it. */
export function newID() {
  counter++
  return `1-${Math.floor(Date.now() / 1000).toString(16)}-${(process.pid * 100_000 + counter).toString(16).padStart(24, '0')}`
}
export function segmentID() {
  counter++
  return (process.pid * 1_000_000 + counter).toString(16).padStart(16, '0')
}

/** A proxy that serves all of a server under a path prefix. */
export async function startProxy(target, prefix) {
  const to = new URL(target)
  const server = createServer((req, res) => {
    if (!req.url.startsWith(prefix)) {
      res.writeHead(404).end('not below the prefix')
      return
    }
    const out = request({ host: to.hostname, port: to.port, method: req.method, path: req.url.slice(prefix.length - 1), headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers)
      answer.pipe(res)
    })
    out.on('error', () => res.destroy())
    res.on('close', () => out.destroy())
    req.pipe(out)
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => (server.closeAllConnections(), new Promise((done) => server.close(done))) }
}

/**
 * A proxy whose answers to questions (not the page itself) can be made late, be refused, or be those of
 * another proxy that has no server: set `mode` to "slow", "gone" or "wrong"; "" passes all.
 */
export async function startFaultyProxy(target, delay = 4000) {
  const to = new URL(target)
  const own = { mode: '' }
  const server = createServer((req, res) => {
    const pass = () => {
      const out = request({ host: to.hostname, port: to.port, method: req.method, path: req.url, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers)
        answer.pipe(res)
      })
      out.on('error', () => res.destroy())
      res.on('close', () => out.destroy())
      req.pipe(out)
    }
    const page = req.method === 'GET' && !/^\/(api|metrics|-)/.test(req.url)
    if (page || own.mode === '') pass()
    else if (own.mode === 'slow') setTimeout(pass, delay)
    else if (own.mode === 'gone') req.socket.destroy()
    else res.writeHead(502, { 'Content-Type': 'text/html' }).end('<html><body><h1>502 Bad Gateway</h1></body></html>')
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  own.url = `http://127.0.0.1:${server.address().port}`
  own.stop = () => (server.closeAllConnections(), new Promise((done) => server.close(done)))
  return own
}

let browser
export async function openBrowser() {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  return browser
}
export async function closeBrowser() {
  await browser?.close()
  browser = undefined
}

/**
 * Opens a page. Whatever the browser complains about is collected in `complaints`:
 * refused by policy, failed requests, exceptions. Requests to elsewhere count, too.
 */
export async function openPage(base, path, options = {}) {
  const b = await openBrowser()
  const context = await b.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', permissions: ['clipboard-read', 'clipboard-write'], timezoneId: 'Europe/Berlin', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  page.complaints = []
  page.on('console', (m) => {
    if (m.type() === 'error' || (m.type() === 'warning' && /Content.Security/i.test(m.text()))) page.complaints.push(m.text())
  })
  page.on('pageerror', (e) => page.complaints.push(`exception: ${e.stack ?? e.message}`))
  page.on('request', (r) => {
    if (!r.url().startsWith(base.split('/').slice(0, 3).join('/')) && !r.url().startsWith('data:')) page.complaints.push(`asked ${r.url()}`)
  })
  await page.goto(base + path)
  return page
}

const axe = readFileSync(axePath, 'utf8')

/** What axe finds wrong with a page, for WCAG 2.2 A and AA. */
export async function audit(page) {
  // The policy lets no foreign script in by a tag; the debugger's door is another.
  await page.evaluate(axe)
  return page.evaluate(async () => {
    // Colours that fade are measured when they have come to rest.
    await Promise.allSettled(document.getAnimations().filter((a) => a.effect?.getComputedTiming().endTime < 5000).map((a) => a.finished))
    const result = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
    return result.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} (${n.failureSummary?.split('\n')[1]?.trim() ?? ''})`).join('; ')}`)
  })
}

/** Waits until a function of the test is true. */
export async function until(what, check, timeout = 30_000) {
  const end = Date.now() + timeout
  for (;;) {
    if (await check()) return
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
    await new Promise((done) => setTimeout(done, 100))
  }
}

/** The id of the newest trace of the last hour that a filter holds for, waited for. */
export async function findTrace(base, filter) {
  let id
  await until(`a trace with ${filter}`, async () => {
    const q = new URLSearchParams({ limit: '1', start: String(Math.floor(Date.now() / 1000) - 3600), filter })
    id = (await (await fetch(`${base}/api/traces?${q}`)).json()).TraceSummaries[0]?.Id
    return id
  }, 120_000)
  return id
}
