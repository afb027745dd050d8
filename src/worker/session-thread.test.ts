import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { Worker } from './worker.ts'

const source = (path: string): string => JSON.stringify(new URL(`../${path}`, import.meta.url).href)

/** Sweeps at every beat it sees of the only session, and ends after the fifth: for longer than the lease. */
const observer = `
  import { engineFromUrl } from ${source('app/connect.ts')}
  import { systemRuntime } from ${source('core/runtime.ts')}
  const engine = (await engineFromUrl(process.argv[1]))(systemRuntime)
  const seen = new Set()
  const stop = engine.subscribe(async () => {
    seen.add((await engine.workers())[0]?.seenAt)
    await engine.sweep()
    if (seen.size < 5) return
    stop()
    clearInterval(alive)
    process.stdout.write('beating')
  })
  const alive = setInterval(() => {}, 1000)
  await engine.migrate()
`

test('a handler that blocks the event loop for longer than the lease keeps its job', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-'))
  const url = `sqlite:${join(folder, 'store.db')}?mode=fast`
  const app = new Celeriac({ url })
  const worker = new Worker(app, { lease: '2s' })
  onTestFinished(async () => {
    await worker.stop({ grace: 0 })
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const block = app.task('block', () =>
    execFileSync(process.execPath, ['--input-type=module', '-e', observer, url], { encoding: 'utf8', timeout: 9_000 }),
  )
  await worker.start()
  const job = await block.delay()
  expect(await job.result()).toBe('beating')
  expect((await job.snapshot()).attempts).toMatchObject([{ attempt: 1, outcome: 'succeeded' }])
})
