import { randomInt } from 'node:crypto'
import { expect } from 'vitest'
import type { CollectionHandle } from '../../src/core/handle.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Place } from '../engines.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { createChaosApp } from './chaos-app.ts'
import { followUntilSettled } from './follow-until-settled.ts'
import { end, startWorkerProcess, type WorkerProcess } from './processes.ts'

export interface Killing {
  /** How many chains and chords, of about seventeen jobs each. */
  readonly canvases: number
  readonly processes: number
  readonly lease: number
  /** After at least how many changes the next process is killed, and up to how many more. */
  readonly pause: readonly [atLeast: number, upTo: number]
}

/**
 * Chains and chords on worker processes that are killed by SIGKILL at random moments and replaced. In the end no rule of
 * history may be broken, and what did not succeed must have had a job whose workers died again and again.
 */
export async function killWhileTheyRun(place: Place, { canvases, processes, lease, pause }: Killing) {
  const seed = Number(process.env['CELERIAC_SEED'] ?? randomInt(1_000_000))
  const random = seededRandom(seed)
  const engine = place.open(systemRuntime)
  await engine.migrate()
  const { app, chainOfTwelve, chordOfSixteen } = createChaosApp({ url: place.url })
  const workers: WorkerProcess[] = Array.from({ length: processes }, () => startWorkerProcess(place.url, lease))
  try {
    for (const worker of workers) await worker.said('ready')
    const cursor = await engine.cursor()
    const handles = await app.submitMany(
      Array.from({ length: canvases }, (_, index) => (index % 2 === 0 ? chainOfTwelve() : chordOfSixteen())),
    )
    let killed = 0
    await followUntilSettled(engine, cursor, handles.length, {
      pause: () => pause[0] + random() * pause[1],
      async act() {
        const index = Math.floor(random() * workers.length)
        await end(workers[index] as WorkerProcess)
        killed++
        const next = startWorkerProcess(place.url, lease)
        workers[index] = next
        await next.said('ready')
      },
    })
    const ids = handles.map((handle) => handle.id)
    const history = await readHistory(engine, ids, cursor)
    expect(brokenRules(history), `seed ${seed}`).toEqual([])
    const attempts = [...history.jobs.values()].flatMap((job) => job.attempts)
    expect(attempts.filter((attempt) => attempt.outcome === 'lost').length, `seed ${seed}`).toBeGreaterThan(0)
    for (const [index, handle] of handles.entries())
      await expectItsEnd(handle, index % 2 === 0 ? 12 : 16, `seed ${seed}`)
    return { killed, jobs: history.jobs.size }
  } finally {
    await Promise.all(workers.map(end))
    await app.close()
    await engine.close()
  }
}

async function expectItsEnd(handle: CollectionHandle<number>, result: number, label: string): Promise<void> {
  const snapshot = await handle.snapshot()
  if (snapshot.state === 'succeeded') return void expect(await handle.result(), label).toBe(result)
  const isPoisoned = snapshot.jobs.some((job) => job.reason === 'poisoned')
  expect(isPoisoned, `${label}: ${snapshot.state}`).toBe(true)
}
