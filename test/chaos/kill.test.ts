import { afterEach, expect, test } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Place } from '../engines.ts'
import { describeEngines } from '../fixtures/store.ts'
import { createChaosApp } from './chaos-app.ts'
import { killWhileTheyRun } from './killing.ts'
import { end, startWorkerProcess, type WorkerProcess } from './processes.ts'

const lease = 2_000

describeEngines(({ place: makePlace }) => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const furnish = async (): Promise<{
    place: Place
    engine: Engine
    start: (count: number) => Promise<WorkerProcess[]>
  }> => {
    const place = await makePlace()
    closing.push(() => place.remove())
    const engine = place.connect(systemRuntime)
    closing.push(async () => engine.close())
    await engine.migrate()
    const start = async (count: number): Promise<WorkerProcess[]> => {
      const started = Array.from({ length: count }, () => startWorkerProcess(place.url, lease))
      for (const worker of started) closing.push(async () => end(worker))
      for (const worker of started) await worker.said('ready')
      return started
    }
    return { place, engine, start }
  }

  test('2,000 jobs in chains and chords, while the processes that run them are killed', async () => {
    const place = await makePlace()
    closing.push(() => place.remove())
    const { killed, jobs } = await killWhileTheyRun(place, { canvases: 120, processes: 4, lease, pause: [120, 300] })
    expect(killed).toBeGreaterThan(8)
    expect(jobs).toBeGreaterThan(60 * 12 + 60 * 17)
  })

  test('a process that was stopped past its lease is refused what it then has to say', async () => {
    const { place, engine, start } = await furnish()
    const { app, hold } = createChaosApp({ url: place.url })
    closing.push(async () => app.close())
    const [frozen] = (await start(1)) as [WorkerProcess]
    const job = await hold.delay(7)
    expect(await frozen.said('holding')).toMatchObject({ attempt: 1 })
    frozen.child.kill('SIGSTOP')
    const [next] = (await start(1)) as [WorkerProcess]
    expect(await next.said('holding')).toMatchObject({ attempt: 2 })
    frozen.child.kill('SIGCONT')
    frozen.child.send('go on')
    frozen.child.send('stop')
    await frozen.said('stopped')
    const meanwhile = await job.snapshot()
    expect(meanwhile).toMatchObject({
      state: 'running',
      attempt: 2,
      attempts: [
        { attempt: 1, outcome: 'lost' },
        { attempt: 2, outcome: 'running' },
      ],
    })
    next.child.send('go on')
    expect(await job.result()).toBe(7)
    const after = await job.snapshot()
    expect(after.attempts.map((attempt) => attempt.outcome)).toEqual(['lost', 'succeeded'])
    expect(after.attempts[1]?.worker).not.toBe(after.attempts[0]?.worker)
    expect((await engine.job(job.id))?.failures).toBe(0)
  })
})
