import { randomInt } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Place } from '../engines.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { describeEngines } from '../fixtures/store.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { createChaosApp } from './chaos-app.ts'
import { followUntilSettled } from './follow-until-settled.ts'
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
    const seed = Number(process.env['CELERIAC_SEED'] ?? randomInt(1_000_000))
    const random = seededRandom(seed)
    const { place, engine, start } = await furnish()
    const { app, chainOfTwelve, chordOfSixteen } = createChaosApp({ url: place.url })
    closing.push(async () => app.close())
    const workers = await start(3)
    const cursor = await engine.cursor()
    const handles = await app.submitMany(
      Array.from({ length: 120 }, (_, index) => (index % 2 === 0 ? chainOfTwelve() : chordOfSixteen())),
    )
    let killed = 0
    await followUntilSettled(engine, cursor, handles.length, {
      pause: () => 120 + random() * 300,
      async act() {
        const index = Math.floor(random() * workers.length)
        await end(workers[index] as WorkerProcess)
        killed++
        const [next] = await start(1)
        workers[index] = next as WorkerProcess
      },
    })
    expect(killed, `seed ${seed}`).toBeGreaterThan(8)
    const history = await readHistory(
      engine,
      handles.map((handle) => handle.id),
      cursor,
    )
    expect(history.jobs.size, `seed ${seed}`).toBeGreaterThan(60 * 12 + 60 * 17)
    expect(brokenRules(history), `seed ${seed}`).toEqual([])
    const attempts = [...history.jobs.values()].flatMap((job) => job.attempts)
    expect(attempts.filter((attempt) => attempt.outcome === 'lost').length, `seed ${seed}`).toBeGreaterThan(0)
    for (const [index, handle] of handles.entries()) {
      const snapshot = await handle.snapshot()
      if (snapshot.state === 'succeeded') expect(await handle.result(), `seed ${seed}`).toBe(index % 2 === 0 ? 12 : 16)
      else
        expect(
          snapshot.jobs.some((job) => job.reason === 'poisoned'),
          `seed ${seed}: ${snapshot.state}`,
        ).toBe(true)
    }
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
