import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { build } from 'vite'
import { Celeriac } from 'celeriac'
import { start, type StartOptions, type Started } from '../fixtures/command-process.ts'

const source = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const program = source('test/fixtures/blocking-process.ts')
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'celeriac-'))
  return () => rmSync(folder, { recursive: true, force: true })
})

/** Starts a worker by this command line, with a job that blocks its event loop for ever: only the thread can tell of it. */
async function startBlocked(args: readonly string[], options?: StartOptions): Promise<Started> {
  const url = `sqlite:${join(folder, 'store.db')}`
  const app = new Celeriac({ url })
  await app.declare<() => void>('spin').with({ timeout: '1s' }).delay()
  await app.close()
  const worker = start([...args, url, folder, JSON.stringify({ exitWhenBlocked: true })], options)
  onTestFinished(() => void worker.process.kill('SIGKILL'))
  return worker
}

/** Fails in every thread but the first: it listens where another one does. */
function writePreload(): string {
  const path = join(folder, 'preload.cjs')
  writeFileSync(path, `require('node:net').createServer().listen(${JSON.stringify(join(folder, 'socket'))}).unref()`)
  return path
}

test('what Node is told to load first is loaded by the program only', async () => {
  const worker = await startBlocked(['--require', writePreload(), program])
  await worker.says(/Job spin \S+ blocks the event loop/)
  await worker.ended
  expect(worker.said.err).not.toContain('heartbeat thread ended')
})

test('also where NODE_OPTIONS say so', async () => {
  const resolve = `--import=${new URL('../docs/resolve.mjs', import.meta.url).href}`
  const env = { NODE_OPTIONS: `${resolve} --require=${writePreload()}` }
  const worker = await startBlocked([program], { env })
  await worker.says(/Job spin \S+ blocks the event loop/)
  await worker.ended
  expect(worker.said.err).not.toContain('heartbeat thread ended')
})

test('where Node may not start threads a worker does not start, and says which permission it needs', async () => {
  const worker = await startBlocked(['--permission', '--allow-fs-read=*', '--allow-fs-write=*', program])
  await worker.says(/start Node with --allow-worker as well/)
  expect(await worker.ended).toBe(1)
  expect(worker.said.out).not.toContain('working')
})

/** Bundles the program with all that it imports. */
async function bundleProgram(input: Record<string, string>): Promise<string> {
  const outDir = join(folder, 'bundled')
  await build({
    configFile: false,
    logLevel: 'error',
    ssr: { noExternal: true },
    resolve: { alias: { 'celeriac/worker': source('src/worker/worker.ts'), celeriac: source('src/index.ts') } },
    build: {
      ssr: true,
      outDir,
      target: 'node22',
      rolldownOptions: { input, output: { entryFileNames: '[name].mjs' } },
    },
  })
  return join(outDir, 'main.mjs')
}

/** The package is nowhere to be found at run time: by default processes that tests start are shown its source. */
const withoutPackage = { env: { NODE_OPTIONS: '' } }

test('a bundled worker finds its thread beside it', async () => {
  const main = await bundleProgram({ main: program, 'heartbeat-thread': source('src/worker/heartbeat-thread.ts') })
  const worker = await startBlocked([main], withoutPackage)
  await worker.says(/Job spin \S+ blocks the event loop/)
  await worker.ended
})

test('or in the installed package', async () => {
  const worker = await startBlocked([await bundleProgram({ main: program })])
  await worker.says(/Job spin \S+ blocks the event loop/)
  await worker.ended
})

test('a bundled worker without its thread says what to do, and works', async () => {
  const worker = await startBlocked([await bundleProgram({ main: program })], withoutPackage)
  await worker.says(/give the bundler celeriac\/heartbeat-thread as another entry/)
  await worker.says(/working/)
})
