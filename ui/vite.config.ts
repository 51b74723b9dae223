import { existsSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vite'

/** Puts the licences of what is built in beside it. */
function licences() {
  return {
    name: 'licences',
    generateBundle(this: { emitFile(file: object): void }) {
      const own = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
      const names = [...Object.keys(own.dependencies), '@preact/signals-core'].sort()
      const texts = names.map((name) => {
        const folder = `node_modules/${name}`
        const about = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { version: string; license: string }
        const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].map((f) => `${folder}/${f}`).find((f) => existsSync(f))
        return `${name} ${about.version} (${about.license})\n\n${file ? readFileSync(file, 'utf8').trim() : 'no text comes with it'}\n`
      })
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: texts.join(`\n${'-'.repeat(72)}\n\n`) })
    },
  }
}

// Asset paths are relative, so that one build serves under any path prefix. `npm run dev`
// passes everything else on to a running server.
const server = process.env.ROENTGEN_ENDPOINT ?? 'http://127.0.0.1:2000'
const operations = ['ServiceGraph', 'TraceGraph', 'Traces', 'TraceSummaries', 'TimeSeriesServiceStatistics', 'Groups', 'GetGroup', 'CreateGroup', 'UpdateGroup', 'DeleteGroup', 'TraceSegments']

export default defineConfig({
  base: './',
  plugins: [licences()],
  build: {
    target: 'es2022',
    outDir: 'dist',
    assetsDir: 'assets',
    assetsInlineLimit: 0, // a strict content security policy takes no data: urls
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 400,
  },
  worker: { format: 'es' },
  server: {
    proxy: Object.fromEntries(['/api', '/-', ...operations.map((o) => `/${o}`)].map((path) => [path, { target: server, changeOrigin: true, headers: { origin: server } }])),
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node', css: true },
} as Parameters<typeof defineConfig>[0])
