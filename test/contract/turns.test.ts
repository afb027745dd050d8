import { expect, test } from 'vitest'
import { jobsPerTurn } from '../../src/core/by-pages.ts'
import { partsOf } from '../../src/engine/parts.ts'
import { graphOf, groupOf, plainJob, submission } from '../fixtures/graphs.ts'
import { hand, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const pages = 6
const count = pages * jobsPerTurn

/** Side by side. */
const many = () => ({
  ...groupOf('first'),
  jobs: Array.from({ length: count }, () => ({ ...plainJob('member'), feeds: 0 })),
  barriers: [{ inputs: count, feeds: null, gate: null }],
})

/** Counts how often the engine leaves the event loop to others. */
function watched({ clock }: Store) {
  const { soon } = clock
  let turns = 0
  clock.soon = (call) => {
    turns++
    soon(call)
  }
  return () => turns
}

onEveryEngine(
  (open) => {
    test('of many jobs some are read in each turn of the event loop, however many read at once', async () => {
      const store = await open()
      const { engine } = store
      const graph = many()
      for (let part = 0; part < partsOf(graph, engine.partSize).length; part++) await engine.upload(graph, part, null)
      await engine.submit([submission(graph)])
      await sweepAll(engine, store.clock.now())
      const turns = watched(store)
      const found = await Promise.all([1, 2, 3].map(() => engine.collection(graph.id)))
      expect(turns()).toBeGreaterThanOrEqual(3 * (pages - 1))
      for (const each of found) {
        expect(each?.jobs.map(({ id }) => id)).toEqual(graph.jobs.map(({ id }) => id))
        expect(each?.counts).toMatchObject({ queued: count })
        expect(each?.progress).toEqual({ done: 0, total: count })
      }
    })
  },
  ['sqlite', 'postgres'],
)

onEveryEngine(
  (open) => {
    test('the parts of a large canvas are stored in turns of their own', async () => {
      const store = await open()
      const graph = many()
      const parts = partsOf(graph, store.engine.partSize).length
      expect(parts).toBe(3)
      const turns = watched(store)
      for (let part = 0; part < parts; part++) await store.engine.upload(graph, part, null)
      expect(turns()).toBe(parts - 1)
    })

    test('what changes while the jobs are read is told again behind the cursor', async () => {
      const { engine, clock } = await open()
      const graph = many()
      for (let part = 0; part < partsOf(graph, engine.partSize).length; part++) await engine.upload(graph, part, null)
      await engine.submit([submission(graph)])
      await sweepAll(engine, clock.now())
      const worker = await hand(engine)
      const reading = engine.collection(graph.id)
      const [job] = await worker.claim(1)
      const found = await reading
      const told = found?.jobs.find(({ id }) => id === job?.id)
      const { changes } = await engine.events({ after: found!.cursor, collections: [graph.id], limit: 10 })
      expect(changes.map((change) => 'jobId' in change && change.jobId)).toContain(job?.id)
      expect([1, 2, 3]).toContain(told?.version)
      expect(found?.counts.queued).toBe(found?.jobs.filter(({ state }) => state === 'queued').length)
    })
  },
  ['sqlite'],
)

onEveryEngine(
  (open) => {
    test('a search looks through some letters in each turn of the event loop, however large the arguments', async () => {
      const store = await open()
      const { engine } = store
      const args = JSON.stringify(['a'.repeat(250 * 1024)])
      for (let n = 0; n < 3; n++)
        await engine.submit(Array.from({ length: 20 }, () => submission(graphOf({ large: { args } }))))
      const turns = watched(store)
      expect((await engine.jobs({ limit: 10, text: 'b' })).items).toEqual([])
      expect(turns()).toBeGreaterThanOrEqual(12)
    })
  },
  ['sqlite'],
)
