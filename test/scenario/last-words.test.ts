import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Celeriac, type JobHandle } from 'celeriac'
import type { Attempt } from '../../src/core/handle.ts'
import type { EngineUnderTest } from '../engines.ts'
import { start } from '../fixtures/command-process.ts'
import { describeEngines } from '../fixtures/store.ts'

// Several processes start and die, one after the other.
vi.setConfig({ testTimeout: 120_000 })

const program = fileURLToPath(new URL('../fixtures/dying-process.ts', import.meta.url))

async function stage(engine: EngineUnderTest) {
  const place = await engine.place()
  const app = new Celeriac({ url: place.url })
  onTestFinished(async () => {
    await app.close()
    await place.remove()
  })
  /** A worker until its process ends. */
  const run = async (concurrency: number): Promise<number | null> => {
    const worker = start([program, place.url, JSON.stringify({ lease: '2s', concurrency })])
    onTestFinished(() => void worker.process.kill('SIGKILL'))
    return worker.ended
  }
  return { app, run }
}

/** Waits until somebody has found the worker of it dead. */
async function firstAttempt(job: JobHandle<void>): Promise<Attempt | undefined> {
  for await (const _ of job.events()) {
    const [first] = (await job.snapshot()).attempts
    if (first?.outcome === 'lost' || first?.outcome === 'released') return first
  }
  return undefined
}

describeEngines((engine) => {
  test('a job that its workers die of says what they died of, and the jobs beside it are not suspected', async () => {
    const { app, run } = await stage(engine)
    const beside = await app.declare<() => void>('stay').delay()
    const poison = await app.declare<() => void>('forget').delay()
    for (let death = 1; death <= 3; death++) expect(await run(2)).toBe(1)
    // Whoever comes next finds the last one dead.
    void run(1)
    await expect(poison.result()).rejects.toThrow('It ended with TypeError: Nobody awaits this.')
    const { failure, attempts } = await poison.snapshot()
    expect(failure).toMatchObject({ name: 'JobPoisoned', cause: { name: 'TypeError', attempt: 3 } })
    expect(failure?.cause?.stack).toContain('dying-process.ts')
    const words = { name: 'TypeError', message: 'Nobody awaits this.' }
    expect(attempts).toMatchObject([
      { outcome: 'lost', failure: { ...words, attempt: 1 } },
      { outcome: 'lost', failure: { ...words, attempt: 2 } },
      { outcome: 'failed' },
    ])
    const others = (await beside.snapshot()).attempts.map(({ outcome }) => outcome)
    expect(others.filter((outcome) => outcome === 'lost')).toEqual([])
    await beside.cancel()
  })
})

describeEngines(
  (engine) => {
    test('also where its handler ends the process', async () => {
      const { app, run } = await stage(engine)
      const job = await app.declare<() => void>('exit').delay()
      expect(await run(1)).toBe(7)
      void run(1)
      for await (const event of job.events()) if (event.type === 'state' && event.state === 'queued') break
      const [first] = (await job.snapshot()).attempts
      expect(first).toMatchObject({
        outcome: 'lost',
        failure: { name: 'ProcessExit', message: /* it says the code */ 'The process ended with exit code 7.' },
      })
      expect(first?.failure?.stack).toContain('dying-process.ts')
    })

    test('what ends the process outside of any job is put down to the only job there is', async () => {
      const { app, run } = await stage(engine)
      const job = await app.declare<(isBeside: boolean) => void>('leave').delay(false)
      expect(await run(1)).toBe(8)
      void run(1)
      expect(await firstAttempt(job)).toMatchObject({ outcome: 'lost', failure: { name: 'ProcessExit' } })
    })

    test('and to none of several, each of which may have been it', async () => {
      const { app, run } = await stage(engine)
      const beside = await app.declare<() => void>('stay').delay()
      const leaving = await app.declare<(isBeside: boolean) => void>('leave').delay(true)
      expect(await run(2)).toBe(8)
      void run(1)
      for (const job of [beside, leaving]) {
        const first = await firstAttempt(job)
        expect(first).toMatchObject({ outcome: 'lost' })
        expect(first).not.toHaveProperty('failure')
      }
    })
  },
  ['sqlite'],
)
