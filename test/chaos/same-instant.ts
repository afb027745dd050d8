import { expect } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { ClaimedJob } from '../../src/engine/work.ts'
import type { Place } from '../engines.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { chordOf, submission } from '../fixtures/graphs.ts'
import { hand, succeeded } from '../fixtures/hand.ts'

const settle = async (engine: Engine, jobs: readonly ClaimedJob[]): Promise<void> => {
  const answers = await engine.settle(
    jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(job.task) })),
  )
  expect(answers).toEqual(jobs.map(() => 'accepted'))
}

/** Several connections to one place, and all that was submitted to it claimed by one hand. */
async function furnish(place: Place, connections: number, graphs: readonly ReturnType<typeof chordOf>[]) {
  const engines = Array.from({ length: connections }, () => place.open(systemRuntime))
  const [first] = engines as [Engine]
  await first.migrate()
  for (let at = 0; at < graphs.length; at += 200)
    await first.submit(graphs.slice(at, at + 200).map((graph) => submission(graph)))
  const worker = await hand(first)
  const jobs: ClaimedJob[] = []
  for (let claimed = await worker.claim(500); claimed.length > 0; claimed = await worker.claim(500))
    jobs.push(...claimed)
  const close = async (): Promise<void> => void (await Promise.all(engines.map(async (engine) => engine.close())))
  return { engines, first, worker, jobs, close }
}

/** So many times two connections settle the last two jobs of a barrier at once: each time what stands behind it is let go. */
export async function finishTogether(place: Place, count: number): Promise<void> {
  const graphs = Array.from({ length: count }, () => chordOf(['a', 'b']))
  const { engines, worker, jobs, close } = await furnish(place, 2, graphs)
  try {
    const pairs = Map.groupBy(jobs, ({ collectionId }) => collectionId)
    expect(pairs.size).toBe(count)
    for (const pair of pairs.values())
      await Promise.all(pair.map(async (job, index) => settle(engines[index] as Engine, [job])))
    expect((await worker.drain()).length).toBe(count)
  } finally {
    await close()
  }
}

/** Connections settle batches whose jobs share barriers, each in an order of its own, all at once, again and again. */
export async function crossOver(place: Place, rounds: number, seed = 1): Promise<void> {
  const random = seededRandom(seed)
  const [width, wide] = [4, 25]
  const tasks = Array.from({ length: width }, (_, index) => `t${index}`)
  const graphs = Array.from({ length: rounds * wide }, () => chordOf(tasks))
  const { engines, worker, jobs, close } = await furnish(place, width, graphs)
  try {
    const collections = [...Map.groupBy(jobs, ({ collectionId }) => collectionId).values()]
    for (let round = 0; round < rounds; round++) {
      const shared = collections.slice(round * wide, (round + 1) * wide)
      await Promise.all(
        engines.map(async (engine, index) => {
          const batch = shared.map((members) => members[index] as ClaimedJob)
          return settle(
            engine,
            batch.toSorted(() => random() - 0.5),
          )
        }),
      )
    }
    expect((await worker.drain()).length).toBe(rounds * wide)
  } finally {
    await close()
  }
}
