// What a job costs while much else is queued or finished.
import { Worker } from 'celeriac/worker'
import type { Figures } from '../case.ts'
import { argumentPairs, drain, fill, refuseLeftovers, settled, withBench, type Bench } from './celeriac.ts'

/** Queues many, by parts, so that no more than one part of the handles is in memory. */
export async function queue({ add }: Bench, count: number): Promise<void> {
  for (let done = 0; done < count; done += part) await fill(add, Math.min(part, count - done))
}

/** Queues many and runs them. */
export async function finish(bench: Bench, count: number): Promise<void> {
  for (let done = 0; done < count; done += part) await drain(bench, part, await fill(bench.add, part))
}

const part = 50_000

/** Adds `count` jobs behind what is queued, and runs as many from its front: jobs a second until the handler has been called so often. */
export function drainedPart(url: string, count: number): Promise<Figures> {
  return withBench(url, async (bench) => {
    await fill(bench.add, count)
    return { rate: await rateOfPart(bench, count) }
  })
}

export async function rateOfPart({ app, called }: Bench, count: number): Promise<number> {
  const all = called(count)
  const worker = new Worker(app)
  const startedAt = performance.now()
  await worker.start()
  await all
  const took = performance.now() - startedAt
  await worker.stop()
  return (count / took) * 1000
}

/** Never more than a thousand are queued. From the order to go on until they are settled. */
export function drainedByThousands(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app, add, called }) => {
    const worker = new Worker(app)
    await worker.start()
    let took = 0
    for (let done = 0; done < count; done += 1000) {
      await app.queues.pause('default')
      const handles = await add.delayMany(argumentPairs(1000))
      const all = called(1000)
      const startedAt = performance.now()
      await app.queues.resume('default')
      await all
      await settled(handles)
      took += performance.now() - startedAt
    }
    await worker.stop()
    await refuseLeftovers(app)
    return { rate: (count / took) * 1000 }
  })
}
