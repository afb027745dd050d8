import { expect, test } from 'vitest'
import { snapshotOfCollection } from '../../src/app/snapshots.ts'
import { type Outline, outlineOf } from '../../src/core/outline.ts'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { pageBytes } from '../../src/engine/listing.ts'
import { afterLimit, namesPerSnapshot } from '../../src/engine/members.ts'
import { partsOf } from '../../src/engine/parts.ts'
import { groupOf, plainJob, submission } from '../fixtures/graphs.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/** Groups of this size behind each other, and a side branch behind the last but one. */
function groups(sizes: readonly number[]): Graph {
  const jobs = sizes.flatMap((size, at) =>
    Array.from({ length: size }, (): GraphJob => ({
      ...plainJob(`g${at}`),
      feeds: at,
      ...(at > 0 && { behind: at - 1 }),
    })),
  )
  const side: GraphJob = { ...plainJob('side'), role: 'side', behind: sizes.length - 2 }
  const barriers = sizes.map((inputs) => ({ inputs, feeds: null, gate: null }))
  return { ...groupOf(), jobs: [...jobs, side], barriers, exit: sizes.length - 1 }
}

async function store(engine: Engine, graph: Graph): Promise<void> {
  const parts = partsOf(graph, engine.partSize)
  for (let part = 0; parts.length > 1 && part < parts.length; part++) await engine.upload(graph, part, null)
  await engine.submit([submission(graph)])
}

/** `group of 3, group of 4` */
const shapeOf = (outline: Outline | null): string =>
  outline?.kind === 'chain'
    ? outline.parts.map(shapeOf).join(', ')
    : outline?.kind === 'group'
      ? `group of ${outline.parts.length}${outline.branches.map(() => ' with a branch').join('')}`
      : 'job'

onEveryEngine((open) => {
  test('a thousand jobs behind a thousand name them once, and their shape can still be told', async () => {
    const { engine } = await open()
    const graph = groups([1_000, 1_000, 1_500])
    await store(engine, graph)
    const snapshot = await snapshotOfCollection(
      { engine, runtime: systemRuntime },
      (await engine.collection(graph.id))!,
    )
    const ids = graph.jobs.map(({ id }) => id)
    const jobs = new Map(snapshot.jobs.map((job) => [job.id, job]))
    const told = (at: number) => jobs.get(ids[at]!)!
    expect(told(0).after).toEqual([])
    expect(told(1_000).after).toEqual(ids.slice(0, 1_000))
    expect(told(1_000).afterCount).toBeUndefined()
    expect(told(2_000).after).toEqual(ids.slice(1_000, 2_000))
    for (const [at, first] of [
      [1_999, 0],
      [3_499, 1_000],
      [3_500, 1_000],
    ] as const)
      expect(told(at)).toMatchObject({ after: [ids[first]], afterCount: 1_000 })
    const names = snapshot.jobs.reduce((sum, { after }) => sum + after.length, 0)
    expect(names).toBeLessThanOrEqual(2 * namesPerSnapshot + snapshot.jobs.length)
    expect(shapeOf(outlineOf(snapshot.jobs))).toBe('group of 1000, group of 1000 with a branch, group of 1500')
  })

  test('few jobs name all that they wait for', async () => {
    const { engine } = await open()
    const graph = groups([20, 30, 40])
    await store(engine, graph)
    const { jobs } = (await engine.collection(graph.id))!
    const ids = graph.jobs.map(({ id }) => id)
    for (const job of jobs.filter(({ task }) => task === 'g2' || task === 'side')) {
      expect(job.after).toEqual(ids.slice(20, 50))
      expect(job.afterCount).toBeUndefined()
    }
  })

  test('a job behind more than a thousand says how many', async () => {
    const { engine } = await open()
    const graph = groups([1_200, 1])
    await store(engine, graph)
    const last = (await engine.collection(graph.id))!.jobs.find(({ task }) => task === 'g1')!
    expect(last.after).toHaveLength(afterLimit)
    expect(last.afterCount).toBe(1_200)
  })

  test('a page of a list ends early where its jobs wait for very many', async () => {
    const { engine } = await open()
    const graph = groups([1_000, 300])
    await store(engine, graph)
    const found: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await engine.jobs({ limit: 200, ...(cursor !== undefined && { cursor }) })
      expect(JSON.stringify(page.items).length).toBeLessThan(1.1 * pageBytes)
      found.push(...page.items.map(({ id }) => id))
      if (page.next === null) break
      cursor = page.next
    }
    expect(found.toSorted()).toEqual(graph.jobs.map(({ id }) => id).toSorted())
  })
})
