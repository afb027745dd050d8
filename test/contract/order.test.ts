import { expect, test } from 'vitest'
import type { StoredOptions } from '../../src/core/job.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { graphOf, jobId, submission } from '../fixtures/graphs.ts'
import { goOn, hand, lease } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/** So many that their numbers have one digit and two: as texts, 10 comes before 9. */
const tasks = Array.from({ length: 12 }, (_, n) => `task-${n}`)
const groupWith = (options: StoredOptions) =>
  graphOf(Object.fromEntries(tasks.map((task) => [task, { feeds: 0, options }])), [{}])

const firstOf = async (engine: Engine, id: string) => (await engine.collection(id, { jobs: false }))?.failedJobId

// Of jobs that end at the same instant, the first in the graph counts as the cause, whatever order they were claimed in.
onEveryEngine((open) => {
  async function running(options: StoredOptions = {}) {
    const store = await open()
    const graph = groupWith(options)
    await store.engine.submit([submission(graph)])
    const worker = await hand(store.engine)
    for (let claimed = 0; claimed < tasks.length; claimed += 1) await worker.claim()
    return { ...store, graph, worker, first: jobId(graph, 'task-0') }
  }

  test('the first is the cause where a worker does not stop what was cancelled', async () => {
    const { engine, clock, graph, worker, first } = await running()
    await engine.cancel({ collectionId: graph.id })
    await goOn({ engine, clock }, 30_000, worker)
    expect(await firstOf(engine, graph.id)).toBe(first)
  })

  test('the first is the cause where all are cancelled and their worker is lost', async () => {
    const { engine, clock, graph, first } = await running()
    await engine.cancel({ collectionId: graph.id })
    await goOn({ engine, clock }, 2 * lease)
    expect(await firstOf(engine, graph.id)).toBe(first)
  })

  test('the first is the cause where all are past their deadline', async () => {
    const { engine, clock, graph, worker, first } = await running({ timeout: 2_000 })
    await goOn({ engine, clock }, 60_000, worker)
    expect(await firstOf(engine, graph.id)).toBe(first)
  })

  test('the first is the cause where all have expired', async () => {
    const { engine, clock } = await open()
    const graph = groupWith({ expires: 1_000 })
    await engine.submit([submission(graph)])
    await goOn({ engine, clock }, 10_000)
    expect(await firstOf(engine, graph.id)).toBe(jobId(graph, 'task-0'))
  })
})
