import { randomInt } from 'node:crypto'
import { expect } from 'vitest'
import type { CollectionHandle } from '../../src/core/handle.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Place } from '../engines.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { type ChaosApp, createChaosApp } from './chaos-app.ts'
import { followUntilSettled, inEpochOf } from './follow-until-settled.ts'
import { untilStored } from './until-stored.ts'
import { end, startWorkerProcess, type WorkerProcess } from './processes.ts'

export interface Fire {
  /** Where the test looks on from, undisturbed if it can be. */
  readonly place: Place
  /** How the app and the workers reach the store, if not as the test does. */
  readonly url?: string
  /** How many chains and chords, of about fifteen jobs each. */
  readonly canvases?: number
  readonly workers?: number
  readonly lease?: number
  /** After about how many changes to strike again. */
  readonly pause?: number
  /** Is done again and again while the jobs run; counted from 0. */
  readonly strike: (count: number, random: () => number) => Promise<void> | void
}

/**
 * Chains and chords, run by workers in processes of their own while the network or the store is struck at. In the end
 * every one of them must have its result, no rule of history be broken, and no process have died. Says how many strikes
 * it took.
 */
export async function underFire({ place, strike, ...fire }: Fire): Promise<number> {
  const { url = place.url, canvases = 30, workers: workerCount = 2, lease = 15_000, pause = 100 } = fire
  const seed = Number(process.env['CELERIAC_SEED'] ?? randomInt(1_000_000))
  const random = seededRandom(seed)
  const engine = place.open(systemRuntime)
  await engine.migrate()
  const cursor = await engine.cursor()
  const chaos = createChaosApp({ url })
  const workers = Array.from({ length: workerCount }, () => startWorkerProcess(url, lease))
  try {
    for (const worker of workers) await worker.said('ready')
    let strikes = 0
    const handles = await sendAll(chaos, canvases)
    await followUntilSettled(engine, cursor, handles.length, {
      pause: () => pause * (0.5 + random()),
      act: async () => strike(strikes++, random),
    })
    await stopAll(workers)
    await expectAllWell(engine, handles, cursor, `seed ${seed}`)
    return strikes
  } finally {
    await Promise.all(workers.map(end))
    await chaos.app.close()
    await engine.close()
  }
}

async function sendAll({ app, chainOfTwelve, chordOfSixteen }: ChaosApp, count: number) {
  const canvases = Array.from({ length: count }, (_, index) => (index % 2 === 0 ? chainOfTwelve() : chordOfSixteen()))
  return Promise.all(
    canvases.map(async (canvas, index) => untilStored(() => app.submit(canvas, { idempotencyKey: `canvas-${index}` }))),
  )
}

/** Workers that live stop when they are told to. */
async function stopAll(workers: readonly WorkerProcess[]): Promise<void> {
  for (const { child } of workers) child.send('stop')
  for (const worker of workers) await worker.said('stopped')
}

async function expectAllWell(
  engine: Engine,
  handles: readonly CollectionHandle<number>[],
  cursor: string,
  label: string,
): Promise<void> {
  const ids = handles.map((handle) => handle.id)
  expect(new Set(ids).size, label).toBe(handles.length)
  const history = await readHistory(engine, ids, inEpochOf(await engine.cursor(), cursor))
  expect(brokenRules(history), label).toEqual([])
  const results = await Promise.all(handles.map(async (handle) => handle.result()))
  expect(results, label).toEqual(handles.map((_, index) => (index % 2 === 0 ? 12 : 16)))
}
