import { expect, test } from 'vitest'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { argumentsPerClaim } from '../../src/engine/limits.ts'
import { comesInParts, partsOf } from '../../src/engine/parts.ts'
import type { ClaimAnswer, ClaimedJob } from '../../src/engine/work.ts'
import { graphOf, groupOf, submission } from '../fixtures/graphs.ts'
import { freshToken, goOn, hand, type Hand, lease, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/** As large as the arguments of one job may be. */
const large = JSON.stringify(['x'.repeat(256 * 1024 - 4)])
/** One claim brings 32 of them. */
const count = 80

const named = (at: number): string => `t${String(at).padStart(2, '0')}`
const names = Array.from({ length: count }, (_, at) => named(at))
const alone = (task: string, job: Partial<GraphJob> = {}): Graph => graphOf({ [task]: { args: large, ...job } })

async function submitAll(engine: Engine, graphs: readonly Graph[]): Promise<void> {
  for (const graph of graphs.filter((each) => comesInParts(each, engine.partSize)))
    for (const part of partsOf(graph, engine.partSize).keys()) await engine.upload(graph, part, null)
  for (let at = 0; at < graphs.length; at += 20)
    await engine.submit(graphs.slice(at, at + 20).map((graph) => submission(graph)))
}

const bytesOf = (jobs: readonly ClaimedJob[]): number => jobs.reduce((sum, { args }) => sum + args.length, 0)
const claim = (engine: Engine, { session }: Hand, limit = 500, token = freshToken()): Promise<ClaimAnswer> =>
  engine.claim({ session: session.id, token, limit, queues: null })

/** Claims until nothing is in line: each claim bounded, the order kept, and the next one announced at once. */
async function claimAll(engine: Engine, worker: Hand, now: number, before = 0): Promise<string[]> {
  const tasks: string[] = []
  for (;;) {
    const { jobs, nextAt } = await claim(engine, worker)
    if (jobs.length === 0) return tasks
    expect(bytesOf(jobs)).toBeLessThanOrEqual(argumentsPerClaim)
    for (const { args } of jobs) expect(args.length).toBe(large.length)
    tasks.push(...jobs.map(({ task }) => task))
    expect(nextAt).toBe(before + tasks.length < count ? now : null)
  }
}

const kinds: Record<string, () => Graph[]> = {
  'jobs alone': () => names.map((name) => alone(name)),
  'jobs of several queues': () => names.map((name, at) => alone(name, { options: { queue: `q${at % 3}` } })),
  'jobs of one collection': () => [
    graphOf(Object.fromEntries(names.map((name) => [name, { args: large, feeds: 0 }])), [{}]),
  ],
}

onEveryEngine((open) => {
  test.each(Object.keys(kinds))(
    'brings no more arguments than one answer may hold, and the others in their turn: %s',
    async (kind) => {
      const { engine, clock } = await open()
      await submitAll(engine, kinds[kind]!())
      const worker = await hand(engine)
      expect(await claimAll(engine, worker, clock.now())).toEqual(names)
    },
  )

  test('what did not fit is taken by others', async () => {
    const { engine, second } = await open()
    await submitAll(engine, kinds['jobs alone']!())
    const other = second()
    const [one, two] = [await hand(engine), await hand(other)]
    const tasks: string[] = []
    for (let at = 0; tasks.length < count; at++) {
      const { jobs } = at % 2 === 0 ? await claim(engine, one) : await claim(other, two)
      expect(jobs.length).toBeGreaterThan(0)
      tasks.push(...jobs.map(({ task }) => task))
    }
    expect(tasks).toEqual(names)
    expect((await engine.counts({})).jobs).toMatchObject({ queued: 0, running: count })
  })

  test('what outcomes let go is bounded as well where it is claimed along with them', async () => {
    const { engine, clock } = await open()
    const links = names.map((name) =>
      graphOf(
        { first: { feeds: 0 }, [name]: { args: large, behind: 0, feeds: 1, input: { from: 'results', shape: 'one' } } },
        [{}, {}],
      ),
    )
    await submitAll(engine, links)
    const worker = await hand(engine)
    const firsts = await worker.claim(500)
    expect(firsts.length).toBe(count)
    const [, { jobs }] = await Promise.all([
      engine.settle(firsts.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) }))),
      claim(engine, worker),
    ])
    expect(jobs.length).toBeGreaterThan(0)
    expect(bytesOf(jobs)).toBeLessThanOrEqual(argumentsPerClaim)
    const before = jobs.map(({ task }) => task)
    expect([...before, ...(await claimAll(engine, worker, clock.now(), before.length))]).toEqual(names)
  })

  test('a repeat with a lower limit brings the first of them, and the others are given back after a lease', async () => {
    const store = await open()
    const { engine } = store
    await engine.submit([submission(groupOf('a', 'b', 'c', 'd'))])
    const worker = await hand(engine)
    const token = freshToken()
    expect((await claim(engine, worker, 4, token)).jobs.map(({ task }) => task)).toEqual(['a', 'b', 'c', 'd'])
    // The answer did not come.
    const jobs = await worker.claim(2, token)
    expect(jobs.map(({ task }) => task)).toEqual(['a', 'b'])
    await goOn(store, lease + 3_000, worker)
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['c', 'd'])
  })
})
