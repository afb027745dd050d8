import { randomInt } from 'node:crypto'
import { type Canvas, chain, chord, type CollectionHandle, each, group } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { expect } from 'vitest'
import { Celeriac } from '../../src/app/celeriac.ts'
import type { CollectionSnapshot } from '../../src/core/handle.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { EngineUnderTest, Place } from '../engines.ts'
import { hurriedRuntime } from '../fixtures/hurried.ts'
import { createStage, defineTasks, type Stage } from '../fixtures/system.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { type Fault, type Faults, faulty, persist } from './faulty.ts'

/** What a whole scenario works with. Whatever it asks for, it asks again when the store is away. */
interface Cast {
  readonly app: Celeriac
  readonly tasks: ReturnType<typeof defineTasks>
  readonly stage: Stage
  send(canvas: Canvas<unknown>): Promise<CollectionHandle<unknown>>
  allFinal(handle: CollectionHandle<unknown>): Promise<CollectionSnapshot>
  retry(handle: CollectionHandle<unknown>): Promise<void>
}

/** Each plays to its end and says what it expects of it. */
export const scenarios: Record<string, (cast: Cast) => Promise<void>> = {
  async 'a chord that fails, is mended and retried'({ tasks, stage, send, allFinal, retry }) {
    const word = stage.word()
    stage.broken.add(word)
    const canvas = chord([tasks.id.s(1), chain(tasks.failOnce.s(2), tasks.flaky.s(word))], tasks.sum.s())
    const handle = await send(
      canvas.onError(tasks.onFailure.s(word)).onSuccess(tasks.log.s(word)).finally(tasks.onSettled.s(word)),
    )
    expect(await allFinal(handle)).toMatchObject({
      state: 'failed',
      round: 1,
      counts: { succeeded: 4, failed: 1, skipped: 1 },
    })
    stage.broken.delete(word)
    await retry(handle)
    expect(await allFinal(handle)).toMatchObject({ state: 'succeeded', round: 2 })
    expect(await persist(async () => handle.result())).toBe(3)
  },
  async 'continuations, and one job for each element'({ tasks, send, allFinal }) {
    const canvas = chain(
      tasks.mother.s(1),
      group(tasks.become.s(), tasks.id.s()),
      each(tasks.add1, { chunk: 2 }),
      tasks.sum.s(),
    )
    const handle = await send(canvas)
    expect(await allFinal(handle)).toMatchObject({ state: 'succeeded', round: 1 })
    expect(await persist(async () => handle.result())).toBe(4)
  },
  async 'a cancel while a handler runs'({ tasks, stage, send, allFinal }) {
    const gate = stage.word()
    const handle = await send(chain(tasks.id.s(1), tasks.slow.s(gate), tasks.id.s()).onError(tasks.onFailure.s(gate)))
    await stage.arrived(gate)
    await persist(async () => handle.cancel())
    expect(await allFinal(handle)).toMatchObject({ state: 'cancelled', counts: { succeeded: 2, cancelled: 2 } })
    expect(stage.notes(gate).length).toBeGreaterThan(0)
  },
  async 'delays, time-outs and fail-fast'({ tasks, stage, send, allFinal }) {
    const gate = stage.word()
    const late = tasks.id.with({ startIn: 100, retry: { limit: 1 } })
    const stuck = tasks.slow.with({ timeout: 200, retry: { limit: 1, ...tasks.quick } })
    const handle = await send(
      chain(late.s(1), group(stuck.s(gate), tasks.slow.s(gate), chain(tasks.id.s(), tasks.id.s())).failFast()),
    )
    expect(await allFinal(handle)).toMatchObject({ state: 'failed', failure: { name: 'JobTimedOut' } })
  },
}

async function play(place: Place, scenario: (cast: Cast) => Promise<void>, faults: Faults): Promise<string[]> {
  const runtime = hurriedRuntime(20, systemRuntime.now())
  const app = new Celeriac({ engine: (own) => faulty(place.connect(own), own, faults), runtime, sendTimeout: '10m' })
  const observer = place.connect(runtime)
  const cursor = await observer.cursor()
  const stage = createStage()
  const worker = new Worker(app, { lease: 20_000, log: () => {} })
  const sent: string[] = []
  await persist(async () => worker.start())
  const allFinal = async (handle: CollectionHandle<unknown>): Promise<CollectionSnapshot> => {
    for await (const _ of handle.events({ live: true })) {
      const snapshot = await handle.snapshot()
      if (snapshot.state !== 'running' && snapshot.jobs.every((job) => job.finishedAt !== undefined)) return snapshot
    }
    throw new Error('The events ended before the jobs did.')
  }
  try {
    await scenario({
      app,
      tasks: defineTasks(app, stage),
      stage,
      async send(canvas) {
        const handle = await persist(async () => app.submit(canvas, { idempotencyKey: `key-${sent.length}` }))
        sent.push(handle.id)
        return handle
      },
      allFinal: async (handle) => persist(async () => allFinal(handle)),
      async retry(handle) {
        const { round } = await persist(async () => handle.snapshot())
        await persist(async () => {
          if ((await handle.snapshot()).round === round) await handle.retry()
        })
      },
    })
    return brokenRules(await readHistory(observer, sent, cursor))
  } finally {
    stage.openAll()
    await worker.stop({ grace: 0 })
    await app.close()
    await observer.close()
  }
}

/**
 * Plays a scenario once for every call that it makes, or for each `stride`-th of them, begun anywhere: that call goes
 * wrong.
 */
export async function failAtEach(engine: EngineUnderTest, name: string, fault: Fault, stride = 1): Promise<void> {
  let number = randomInt(stride) + 1
  for (; ; number += stride) {
    const place = await engine.place()
    const faults: Faults = { number, fault, count: 0 }
    const broken = await play(place, scenarios[name]!, faults).catch((error: unknown) => [String(error)])
    await place.remove()
    expect(broken, `call number ${number} failed ${fault}`).toEqual([])
    if (faults.count < number) break
  }
  expect(number).toBeGreaterThan(10)
}
