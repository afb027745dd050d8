import { expect, test } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { UniqueClaim } from '../../src/engine/intake.ts'
import type { ClaimedJob, Settlement } from '../../src/engine/work.ts'
import { alone, chainOf, chordOf, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, freshToken, goOn, hand, type Hand, retried, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'
import { renamer } from '../model/same-history.ts'

/** What is settled, and then claimed by the same worker. */
interface Scene {
  readonly worker: Hand
  readonly settled: readonly (readonly [job: ClaimedJob, outcome: Outcome])[]
  readonly limit: number
}
type Prepare = (store: Store) => Promise<Scene>

const scenes: Record<string, Prepare> = {
  'the next link of a chain, with its input': begun([chainOf('a', 'b', 'c')]),
  'a link that wants no input': begun([graphOf({ a: { feeds: 0 }, b: { behind: 0, feeds: 1 } }, [{}, {}])]),
  'a link behind nothing at all': begun([chainOf('a', 'b')], () => succeeded(undefined)),
  'a link behind a result that is long': begun([chainOf('a', 'b')], () => succeeded('x'.repeat(5_000))),
  'a link behind a result too long to come along': begun([chainOf('a', 'b')], () => succeeded('x'.repeat(2_000_000))),
  'a link with long arguments': begun([withNext({ args: JSON.stringify(['y'.repeat(5_000)]) })]),
  'a link with a time-out': begun([withNext({ options: { timeout: 5_000 } })]),
  'links with a time-out and without': begun([
    chainOf('a', 'b'),
    withNext({ options: { timeout: 5_000 } }),
    chainOf('c', 'd'),
  ]),
  'a link that may expire': begun([withNext({ options: { expires: 5_000 } })]),
  'a link that starts later': begun([withNext({ options: { startIn: 5_000 } }), chainOf('c', 'd')]),
  'a link in another queue': begun([withNext({ options: { queue: 'shop' } }), chainOf('c', 'd')]),
  'a link of another priority': begun([withNext({ options: { priority: 2 } }), chainOf('c', 'd')]),
  'a job on behalf of somebody': async (store) => {
    await store.engine.submit([submission(chainOf('a', 'b'), { actor: { id: 'user-7' } })])
    return all(await hand(store.engine))
  },
  'chains that were settled in another order': async (store) => {
    const scene = await begun(many(12))(store)
    return { ...scene, settled: [...scene.settled].reverse() }
  },
  'fewer than come free': async (store) => ({ ...(await begun(many(12))(store)), limit: 5 }),
  'more than come free': async (store) => {
    await store.engine.submit(many(4).map((graph) => submission(graph)))
    const worker = await hand(store.engine)
    const jobs = await worker.claim(3)
    return { worker, settled: jobs.map((job) => [job, succeeded(job.task)]), limit: 5 }
  },
  'links of one collection beside each other': begun([
    graphOf(
      {
        a: { feeds: 0 },
        b: { feeds: 1 },
        c: { feeds: 2 },
        a2: { behind: 0, feeds: 3, input: { from: 'results', shape: 'one' } },
        b2: { behind: 1, feeds: 3, input: { from: 'results', shape: 'one' } },
        c2: { behind: 2, feeds: 3 },
      },
      [{}, {}, {}, {}],
    ),
  ]),
  'while an older collection is in line': async (store) => {
    await store.engine.submit([
      submission(groupOf('old-1', 'old-2')),
      submission(withFirst({ options: { priority: 1 } })),
    ])
    const worker = await hand(store.engine)
    const first = await worker.take('a')
    return { worker, settled: [[first, succeeded('a')]], limit: 2 }
  },
  'while something more urgent is in line': async (store) => {
    const scene = await begun(many(3))(store)
    await store.engine.submit([submission(alone('urgent', { priority: 3 }))])
    return { ...scene, limit: 3 }
  },
  'while jobs submitted in bulk are in line': async (store) => {
    await store.engine.submit(Array.from({ length: 20 }, () => submission(alone('bulk'))))
    const worker = await hand(store.engine)
    await worker.claim(4)
    await store.engine.submit(many(3).map((graph) => submission(graph)))
    const jobs = (await worker.claim(30)).filter(({ task }) => task === 'a')
    await store.engine.submit(Array.from({ length: 20 }, () => submission(alone('later'))))
    return { worker, settled: jobs.map((job) => [job, succeeded(job.task)]), limit: 8 }
  },
  'while a job whose worker died is in line': async (store) => {
    const dead = await hand(store.engine)
    await store.engine.submit([submission(alone('suspect'))])
    await dead.take('suspect')
    const worker = await hand(store.engine)
    await goOn(store, 60_000, worker)
    await store.engine.submit([submission(chainOf('a', 'b'))])
    const jobs = (await worker.claim(2)).filter(({ task }) => task === 'a')
    return { worker, settled: jobs.map((job) => [job, succeeded(job.task)]), limit: 4 }
  },
  'while what is due comes into line': async (store) => {
    await store.engine.submit([submission(alone('due', { startIn: 50, priority: 1 }))])
    const scene = await begun(many(3))(store)
    store.clock.pass(60)
    return { ...scene, limit: 3 }
  },
  'a queue that is paused': async (store) => {
    const scene = await begun(many(2))(store)
    await store.engine.putQueues([{ name: 'default', paused: true }])
    return scene
  },
  'a queue that this worker does not serve': async (store) => {
    const shop = (graph: Graph): Graph => ({
      ...graph,
      jobs: graph.jobs.map((job) => ({ ...job, options: { queue: 'shop' } })),
    })
    await store.engine.submit([submission(shop(chainOf('a', 'b'))), submission(alone('c'))])
    const [server, other] = [
      await hand(store.engine, { queues: ['shop'] }),
      await hand(store.engine, { queues: ['default'] }),
    ]
    const jobs = await server.claim(1)
    return { worker: other, settled: jobs.map((job) => [job, succeeded(job.task)]), limit: 5 }
  },
  'a body behind a header': begun([chordOf(['a', 'b', 'c'])]),
  'what runs only when it fails': begun(
    [graphOf({ a: { feeds: 0 }, e: sideJob('failure', 0, { from: 'failure' }) }, [{}])],
    () => failed(),
  ),
  'what continues': begun([chainOf('a', 'b')], () => continued(chainOf('x', 'y'))),
  'what is tried again at once': begun([chainOf('a', 'b'), chainOf('c', 'd')], (job) =>
    job.task === 'a' ? retried(0) : succeeded(1),
  ),
  'what is handed back': begun([chainOf('a', 'b')], () => ({ type: 'released', started: false, delay: 0 })),
  'what was cancelled meanwhile': async (store) => {
    const graph = chainOf('a', 'b')
    const scene = await begun([graph, chainOf('c', 'd')])(store)
    await store.engine.cancel({ collectionId: graph.id })
    return scene
  },
  'what holds a key until it starts': async (store) => {
    const unique: UniqueClaim = { key: 'k', until: 'started', onConflict: 'existing' }
    const graph = chainOf('a', 'b')
    await store.engine.submit([submission(graph, { unique })])
    return all(await hand(store.engine))
  },
  'nothing, by a session that is over': async (store) => {
    const scene = await begun(many(2))(store)
    await scene.worker.beat({ ended: true })
    return scene
  },
  'no job at all': async (store) => ({ ...(await begun(many(2))(store)), limit: 0 }),
}

function withNext(next: Partial<Graph['jobs'][number]>): Graph {
  return graphOf({ a: { feeds: 0 }, b: { behind: 0, feeds: 1, input: { from: 'results', shape: 'one' }, ...next } }, [
    {},
    {},
  ])
}
function withFirst(first: Partial<Graph['jobs'][number]>): Graph {
  const graph = chainOf('a', 'b')
  return { ...graph, jobs: graph.jobs.map((job, at) => (at === 0 ? { ...job, ...first } : job)) }
}
const many = (count: number): Graph[] => Array.from({ length: count }, () => chainOf('a', 'b', 'c'))

function begun(graphs: readonly Graph[], outcome?: (job: ClaimedJob) => Outcome): Prepare {
  return async ({ engine }) => {
    await engine.submit(graphs.map((graph) => submission(graph)))
    return all(await hand(engine), outcome)
  }
}

async function all(worker: Hand, outcome = (job: ClaimedJob): Outcome => succeeded(job.task)): Promise<Scene> {
  const jobs = await worker.claim(50)
  return { worker, settled: jobs.map((job) => [job, outcome(job)]), limit: 50 }
}

type Way = (store: Store, settlements: readonly Settlement[], scene: Scene) => Promise<unknown>

const apart: Way = async ({ engine }, settlements, { worker, limit }) => {
  const answers = await engine.settle(settlements)
  return [answers, await worker.claim(limit)]
}
/** Both calls are made before either is under way. */
const together: Way = ({ engine }, settlements, { worker, limit }) =>
  Promise.all([engine.settle(settlements), worker.claim(limit)])

/** Everything that can be seen of it, and of what comes after. */
async function seen(store: Store, prepare: Prepare, way: Way): Promise<unknown> {
  const { engine } = store
  const start = await engine.cursor()
  const scene = await prepare(store)
  const settlements = scene.settled.map(([{ ref, token }, outcome]) => ({ ref, token, outcome }))
  const known = renamer()
  const came = known(await way(store, settlements, scene))
  const again = known(await engine.settle(settlements))
  const queues = known(await engine.queues())
  await engine.putQueues([{ name: 'default', paused: false }])
  const rest = await (await hand(engine)).drain()
  const { items } = await engine.jobs({ limit: 100 })
  const { changes } = await engine.events({ after: start, limit: 1_000, collections: null })
  return { came, again, queues, rest, items: known(items), changes: byJob(known(changes) as readonly Change[]) }
}

interface Change {
  readonly jobId?: string
  readonly collectionId: string
}
/** Order is promised for each job. */
const byJob = (changes: readonly Change[]): unknown =>
  Object.groupBy(changes, ({ jobId, collectionId }) => jobId ?? collectionId)

onEveryEngine((open) => {
  test.each(Object.entries(scenes))(
    'a claim right behind settlements finds what it would after them: %s',
    async (_, prepare) => {
      expect(await seen(await open(), prepare, together)).toEqual(await seen(await open(), prepare, apart))
    },
  )

  test('both under the same token again: the same answer', async () => {
    const { engine } = await open()
    await engine.submit(many(3).map((graph) => submission(graph)))
    const worker = await hand(engine)
    const settlements = (await worker.claim(3)).map(({ ref, token, task }) => ({
      ref,
      token,
      outcome: succeeded(task),
    }))
    const token = freshToken()
    const once = await Promise.all([engine.settle(settlements), worker.claim(3, token)])
    expect(once[1].map(({ task }) => task)).toEqual(['b', 'b', 'b'])
    expect(await Promise.all([engine.settle(settlements), worker.claim(3, token)])).toEqual(once)
    expect(await worker.claim(3, token)).toEqual(once[1])
  })

  test('a chain is moved on by one call after the other to its end', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c', 'd')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    let job: ClaimedJob | undefined = await worker.take('a')
    const inputs: unknown[] = []
    while (job) {
      const settlement: Settlement = { ref: job.ref, token: job.token, outcome: succeeded(job.task) }
      const [, claimed] = await Promise.all([engine.settle([settlement]), worker.claim(1)])
      const next: ClaimedJob | undefined = claimed[0]
      if (next) inputs.push([next.task, next.input])
      job = next
    }
    expect(inputs).toMatchObject([
      ['b', { from: 'results', results: [{ json: '"a"' }] }],
      ['c', { from: 'results', results: [{ json: '"b"' }] }],
      ['d', { from: 'results', results: [{ json: '"c"' }] }],
    ])
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'succeeded', counts: { succeeded: 4 } })
  })
})
