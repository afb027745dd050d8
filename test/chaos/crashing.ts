import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { Worker } from 'celeriac/worker'
import { expect } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import { chord, type CollectionHandle } from '../../src/index.ts'
import type { EngineUnderTest, Place } from '../engines.ts'
import { hurriedRuntime } from '../fixtures/hurried.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { createChaosApp } from './chaos-app.ts'
import type { Fault } from './faulty.ts'
import { startProcess } from './processes.ts'

const factor = 20

interface Played {
  readonly hasCrashed: boolean
  readonly broken: readonly string[]
  readonly result: unknown
}

/** A worker that kills itself at its n-th call runs a workflow; when it is dead, another one brings it to its end. */
async function play(engine: EngineUnderTest, place: Place, number: number, fault: Fault): Promise<Played> {
  const origin = systemRuntime.now()
  const runtime = hurriedRuntime(factor, origin)
  const observer = place.connect(runtime)
  const cursor = await observer.cursor()
  const { app, step, shaky, grow, total } = createChaosApp({ runtime, engine: place.connect })
  const canvas = chord([step.s(0), shaky.s(1)], total.s())
    .onSuccess(grow.s())
    .onError(total.si([1]))
  const handle = await app.submit(canvas)
  const child = startProcess('crashing-process.ts', engine.name, place.url, number, fault, factor, origin)
  const died = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const worker = new Worker(app, { lease: '6s', log: () => {} })
  try {
    const over = allFinal(handle).then(() => 'over')
    const hasCrashed = (await Promise.race([over, died])) !== 'over'
    if (hasCrashed) await worker.start()
    await over
    const result = await handle.result()
    return { hasCrashed, result, broken: brokenRules(await readHistory(observer, [handle.id], cursor)) }
  } finally {
    await endOf(child, died)
    await worker.stop({ grace: 0 })
    await app.close()
    await observer.close()
  }
}

async function allFinal(handle: CollectionHandle<unknown>): Promise<void> {
  for await (const _ of handle.events({ live: true })) {
    if ((await handle.snapshot()).jobs.every((job) => job.finishedAt !== undefined)) return
  }
}

async function endOf(child: ChildProcess, died: Promise<void>): Promise<void> {
  child.kill('SIGKILL')
  await died
}

/** A process that dies at each of its calls, or at each `stride`-th of them, begun anywhere. */
export async function dieAtEach(engine: EngineUnderTest, fault: Fault, stride = 1): Promise<void> {
  let number = randomInt(stride) + 1
  for (; ; number += stride) {
    const place = await engine.place()
    const { hasCrashed, broken, result } = await play(engine, place, number, fault)
    await place.remove()
    expect({ broken, result }, `died at call number ${number}, ${fault}`).toEqual({ broken: [], result: 3 })
    if (!hasCrashed) break
  }
  expect(number).toBeGreaterThan(6)
}
