import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { ClaimedJob, SettleAnswer } from '../../src/engine/work.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { chordOf, submission } from '../fixtures/graphs.ts'
import { collectionState, failed, hand, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine, type OpenStore } from '../fixtures/store.ts'

// What decides when two are last at the same instant is each engine's own, so each is tried: a server with connections
// that really run side by side ten times as often.
onEveryEngine((open) => races(open, 10_000), ['postgres'])
onEveryEngine((open) => races(open, 1_000), ['sqlite', 'redis'])

/** Barriers that are decided side by side, and how many of them in one call. */
const atOnce = 1_000
const perCall = 25

function races(open: OpenStore, count: number): void {
  const often = `two connections settle the last two inputs of a barrier at the same instant, ${count} times`
  test(often, { timeout: 60_000 }, async () => {
    const store = await open()
    const engines = [store.engine, store.second()] as const
    for (let done = 0; done < count; done += atOnce) await race(engines)
  })

  test('batches that share barriers in different orders decide each of them once', async () => {
    const store = await open()
    const engines = [store.engine, store.second(), store.second()]
    const graphs = Array.from({ length: 12 }, () => chordOf(Array.from({ length: 40 }, (_, at) => `t${at}`)))
    await store.engine.submit(graphs.map((graph) => submission(graph)))
    const worker = await hand(store.engine)
    const random = seededRandom(7)
    const jobs = [...(await worker.claim(1_000))].sort(() => random() - 0.5)
    const batches = Array.from({ length: 24 }, (_, at) => jobs.slice(at * 20, at * 20 + 20))
    const failing = new Set(graphs.slice(0, 4).map(({ id }) => id))
    const answers = await Promise.all(
      batches.map(async (batch, at) =>
        (engines[at % engines.length] as Engine).settle(
          batch.map(({ ref, token, collectionId }) => {
            const isFailing = failing.has(collectionId) && random() < 0.5
            return { ref, token, outcome: isFailing ? failed() : succeeded(1) }
          }),
        ),
      ),
    )
    expect(answers.flat().filter((answer) => answer !== 'accepted')).toEqual([])
    const bodies = await worker.claim(1_000)
    const opened = graphs.filter(({ id }) => !failing.has(id)).map(({ id }) => id)
    expect(bodies.map(({ collectionId }) => collectionId)).toEqual(opened)
    for (const body of bodies) expect(resultsIn(body)).toBe(40)
    for (const id of failing) expect(await collectionState(store.engine, { id })).toBe('failed')
  })
}

async function race(engines: readonly [Engine, Engine]): Promise<void> {
  const graphs = Array.from({ length: atOnce }, () => chordOf(['a', 'b']))
  for (let at = 0; at < atOnce; at += 200)
    await engines[0].submit(graphs.slice(at, at + 200).map((graph) => submission(graph)))
  const worker = await hand(engines[0])
  const claimed = await worker.claim(2 * atOnce)
  expect(claimed).toHaveLength(2 * atOnce)
  const settled: Promise<SettleAnswer[]>[] = []
  for (let at = 0; at < atOnce; at += perCall) {
    settled.push(succeed(engines[0], 'a', claimed.slice(2 * at, 2 * (at + perCall))))
    settled.push(succeed(engines[1], 'b', claimed.slice(2 * at, 2 * (at + perCall)).reverse()))
  }
  expect((await Promise.all(settled)).flat().filter((answer) => answer !== 'accepted')).toEqual([])
  const bodies = await worker.claim(2 * atOnce)
  expect(bodies.map(({ collectionId }) => collectionId)).toEqual(graphs.map(({ id }) => id))
  expect(bodies.filter((body) => resultsIn(body) !== 2)).toEqual([])
  await succeed(engines[1], 'body', bodies)
}

const succeed = (engine: Engine, task: string, jobs: readonly ClaimedJob[]): Promise<SettleAnswer[]> =>
  engine.settle(
    jobs.filter((job) => job.task === task).map(({ ref, token }) => ({ ref, token, outcome: succeeded(task) })),
  )

const resultsIn = ({ input }: ClaimedJob): number | undefined =>
  input.from === 'results' ? input.results?.length : undefined
