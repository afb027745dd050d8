import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Celeriac, group } from 'celeriac'
import type { WorkerOptions } from 'celeriac/worker'
import { partsOf } from '../../src/app/parts.ts'
import type { EngineUnderTest } from '../engines.ts'
import { start } from '../fixtures/command-process.ts'
import { describeEngines } from '../fixtures/store.ts'

const program = fileURLToPath(new URL('../fixtures/blocking-process.ts', import.meta.url))

/** A store, and a way to start a process with a worker on it that is killed when the test is over. */
async function stage(engine: EngineUnderTest) {
  const place = await engine.place()
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-'))
  const app = new Celeriac({ url: place.url })
  const tasks = {
    spin: app.declare<() => void>('spin'),
    spinLater: app.declare<(file: string) => void>('spinLater'),
    spinForEver: app.declare<() => void>('spinForEver'),
    spinFor: app.declare<(ms: number) => void>('spinFor'),
    open: app.declare<(file: string) => void>('open'),
    stay: app.declare<() => void>('stay'),
    read: app.declare<() => boolean>('read'),
    quick: app.declare<() => string>('quick'),
  }
  onTestFinished(async () => {
    await app.close()
    await place.remove()
    rmSync(folder, { recursive: true, force: true })
  })
  const run = (options: WorkerOptions, flags: readonly string[] = []) => {
    const started = start([...flags, program, place.url, folder, JSON.stringify({ lease: '30s', ...options })])
    const exit = new Promise<NodeJS.Signals | number | null>((resolve) =>
      started.process.once('exit', (code, signal) => resolve(signal ?? code)),
    )
    onTestFinished(() => void started.process.kill('SIGKILL'))
    return { ...started, exit }
  }
  return { app, tasks, run, at: (name: string) => join(folder, name) }
}

describeEngines((engine) => {
  test('a job that blocks its process for ever is timed out by name, the others go back, and the process ends', async () => {
    const { app, tasks, run } = await stage(engine)
    const canvas = group(tasks.stay.s(), tasks.quick.s(), tasks.spin.s().with({ timeout: '1s' }), tasks.stay.s())
    const collection = await app.submit(canvas)
    const worker = run({ concurrency: 4, exitWhenBlocked: true })
    const [, id] = await worker.says(
      /Job spin \((\S+)\) blocks the event loop longer than its timeout allows, at .*blocking-process/,
    )
    // Not by the lease, which is longer than this test.
    expect(await worker.exit).toBe('SIGKILL')
    const [session] = await (await partsOf(app).connect()).engine.workers()
    expect(session).toMatchObject({ state: 'ended' })
    const { jobs } = await collection.snapshot()
    expect(jobs.map(({ task, state, attempt }) => [task, state, attempt])).toEqual([
      ['stay', 'queued', 1],
      ['quick', 'succeeded', 1],
      ['spin', 'failed', 1],
      ['stay', 'queued', 0],
    ])
    expect(jobs[2]).toMatchObject({ id, reason: 'timeout', failure: { name: 'JobTimedOut' } })
    expect(jobs[2]?.failure?.message).toContain('Its handler blocks the event loop.')
    const beside = await (await app.job(jobs[0]!.id)).snapshot()
    expect(beside.attempts.map(({ outcome }) => outcome)).toEqual(['released'])
  })
})

describeEngines(
  (engine) => {
    test('a process that may not end goes on when its loop turns again', async () => {
      const { app, tasks, run, at } = await stage(engine)
      const beside = await tasks.stay.delay()
      const blocking = await tasks.spinLater.with({ timeout: '1s' }).delay('go')
      const worker = run({ concurrency: 2 })
      await worker.says(/Job spinLater \(\S+\) blocks the event loop/)
      await expect(blocking.result()).rejects.toThrow('Its handler blocks the event loop.')
      expect((await beside.snapshot()).attempts[0]).toMatchObject({ outcome: 'released' })
      await beside.cancel()
      writeFileSync(at('go'), '')
      expect(await (await tasks.quick.delay()).result()).toBe('done')
      expect((await blocking.snapshot()).attempts).toMatchObject([{ attempt: 1, outcome: 'failed' }])
      worker.process.kill('SIGTERM')
      expect(await worker.exit).toBe(0)
      await app.close()
    })

    test('a signal ends a process whose loop is blocked', async () => {
      const { tasks, run } = await stage(engine)
      await tasks.spinForEver.delay()
      const worker = run({ grace: '500ms', exitWhenBlocked: true })
      await worker.says(/spinning/)
      const again = setInterval(() => worker.process.kill('SIGTERM'), 50)
      onTestFinished(() => clearInterval(again))
      expect(await worker.exit).toBe('SIGTERM')
    })

    test('a job that was ready while another one blocked the loop past its deadline is not timed out for it', async () => {
      const { tasks, run } = await stage(engine)
      const job = await tasks.read.with({ timeout: '1s' }).delay()
      await tasks.spinFor.delay(1_500)
      run({ concurrency: 2 })
      expect(await job.result()).toBe(true)
      expect((await job.snapshot()).attempts).toMatchObject([{ outcome: 'succeeded' }])
    })

    test('where a call outside JavaScript blocks the loop the store times out what is late, and the process ends', async () => {
      const { tasks, run, at } = await stage(engine)
      execFileSync('mkfifo', [at('pipe')])
      const job = await tasks.open.with({ timeout: '1s' }).delay('pipe')
      const worker = run({ exitWhenBlocked: true })
      await worker.says(/blocked by a call outside JavaScript/)
      expect(await worker.exit).toBe('SIGKILL')
      await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED' })
      expect(await job.snapshot()).toMatchObject({ reason: 'timeout' })
    })

    test('a process that is being debugged may stand still', async () => {
      const { tasks, run } = await stage(engine)
      await tasks.spinFor.with({ timeout: '1s' }).delay(3_000)
      const worker = run({ concurrency: 1 }, ['--inspect=127.0.0.1:0'])
      expect(await (await tasks.quick.delay()).result()).toBe('done')
      expect(worker.said.err).not.toContain('blocks the event loop')
    })
  },
  ['sqlite'],
)
