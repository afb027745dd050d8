import { expect, test } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { alone, chainOf, graphOf, submission } from '../fixtures/graphs.ts'
import { hand, jobsOf, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const hour = 3_600_000

/** A queue for each of many customers. */
const many = 10_000
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `customer-${n}`)

/** One job for each queue; sent by the thousand, as a user would. */
async function submitToEach(engine: Engine, queues: readonly string[], task = 'task'): Promise<void> {
  for (let from = 0; from < queues.length; from += 1_000)
    await engine.submit(queues.slice(from, from + 1_000).map((queue) => submission(alone(task, { queue }))))
}

/** Repeats the same choices: enough for jobs that are spread unevenly. */
function drawing(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

onEveryEngine((open) => {
  test('10,000 queues with a job each are worked off in the order of submission', async () => {
    const { engine } = await open()
    // Neither the order of the names nor its reverse.
    const queues = names(many).map((_, n) => `customer-${(n * 7_919) % many}`)
    await submitToEach(engine, queues)
    const worker = await hand(engine)
    const came: string[] = []
    for (let jobs = await worker.claim(500); jobs.length > 0; jobs = await worker.claim(500)) {
      expect(jobs.length).toBe(500)
      came.push(...jobs.map(({ queue }) => queue))
    }
    expect(came).toEqual(queues)
  }, 120_000)

  test('10,000 queues that have become empty are no longer there, and one more is found among them', async () => {
    const { engine, second } = await open()
    await submitToEach(engine, names(many))
    const worker = await hand(engine)
    await worker.drain()
    expect(await engine.queues()).toEqual([
      { name: 'default', paused: false, counts: { waiting: 0, scheduled: 0, queued: 0, running: 0 } },
    ])
    await second().submit([submission(alone('late', { queue: 'customer-5000' }))])
    await worker.take('late')
  }, 120_000)

  test('a worker of 1,000 named queues takes from those, in order', async () => {
    const { engine } = await open()
    const queues = names(2_000)
    await submitToEach(engine, queues)
    const mine = queues.filter((_, n) => n % 2 === 1)
    const worker = await hand(engine, { queues: mine.toReversed() })
    expect((await worker.claim(300)).map(({ queue }) => queue)).toEqual(mine.slice(0, 300))
    expect((await worker.claim(1_000)).map(({ queue }) => queue)).toEqual(mine.slice(300))
    expect(await worker.claim(1)).toEqual([])
    expect((await (await hand(engine)).claim(2)).map(({ queue }) => queue)).toEqual(['customer-0', 'customer-2'])
  }, 60_000)

  test('1,500 paused queues in front hold up nobody, and go on when they are resumed', async () => {
    const { engine, second } = await open()
    const paused = names(1_500)
    await engine.putQueues(paused.map((name) => ({ name, paused: true })))
    await submitToEach(engine, paused, 'held')
    await engine.submit([submission(alone('free'))])
    const worker = await hand(second())
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['free'])
    expect(await worker.claim(10)).toEqual([])
    expect((await engine.queues()).filter((queue) => queue.paused && queue.counts.queued === 1)).toHaveLength(1_500)
    await engine.putQueues([{ name: 'customer-700', paused: false }])
    expect((await worker.claim(10)).map(({ queue }) => queue)).toEqual(['customer-700'])
    await engine.putQueues(paused.map((name) => ({ name, paused: false })))
    expect((await worker.claim(1_000)).length).toBe(1_000)
    expect((await worker.claim(1_000)).length).toBe(499)
  }, 60_000)

  test('lines of any length are merged by priority and order, whoever takes from them', async () => {
    const { engine, second } = await open()
    const draw = drawing(7)
    const jobs = Array.from({ length: 3_000 }, (_, n) => ({
      name: `job-${n}`,
      // A few queues with most of the jobs, and many with one or two.
      queue: draw(2) === 0 ? `long-${draw(3)}` : `short-${draw(700)}`,
      priority: [0, 0, 0, 5, -5][draw(5)] as number,
    }))
    for (let from = 0; from < jobs.length; from += 500)
      await engine.submit(
        jobs.slice(from, from + 500).map(({ name, queue, priority }) => submission(alone(name, { queue, priority }))),
      )
    const expected = [5, 0, -5].flatMap((rank) =>
      jobs.filter(({ priority }) => priority === rank).map(({ name }) => name),
    )
    const hands = [await hand(engine), await hand(second())]
    const came: string[] = []
    for (let turn = 0; came.length < jobs.length; turn++) {
      const some = await hands[turn % 2]!.claim(1 + draw(120))
      expect(some.length).toBeGreaterThan(0)
      came.push(...some.map(({ task }) => task))
    }
    expect(came).toEqual(expected)
  }, 60_000)

  test('what is given back, let go or comes due stands in its place among many lines', async () => {
    const { engine, second, clock } = await open()
    const first = alone('first', { queue: 'a' })
    const chain = graphOf(
      { one: { feeds: 0, options: { queue: 'a' } }, two: { behind: 0, feeds: 1, options: { queue: 'b' } } },
      [{}, {}],
    )
    await engine.submit([submission(first), submission(chain), submission(alone('due', { queue: 'c', startIn: hour }))])
    await submitToEach(engine, names(1_200))
    const [worker, other] = [await hand(engine), await hand(second())]
    const job = await worker.take('first')
    await worker.succeed(await worker.take('one'))
    await other.take('two')
    await other.claim(700)
    await worker.settle(job, { type: 'released', started: false, delay: 0 })
    await other.take('first')
    clock.pass(hour)
    await other.take('due')
    expect((await worker.claim(2)).map(({ queue }) => queue)).toEqual(['customer-700', 'customer-701'])
  }, 60_000)

  test('a queue is listed while it is paused or has unfinished jobs', async () => {
    const { engine, clock } = await open()
    const inLine = (graph: Graph) => engine.submit([submission(graph)])
    await inLine(alone('a', { queue: 'queued' }))
    await inLine(alone('b', { queue: 'scheduled', startIn: hour }))
    await inLine(
      graphOf(
        { c: { feeds: 0, options: { queue: 'queued' } }, d: { behind: 0, feeds: 1, options: { queue: 'waiting' } } },
        [{}, {}],
      ),
    )
    await engine.putQueues([
      { name: 'paused', paused: true },
      { name: 'never', paused: false },
    ])
    const listed = async (): Promise<string[]> => (await engine.queues()).map(({ name }) => name)
    expect(await listed()).toEqual(['default', 'paused', 'queued', 'scheduled', 'waiting'])
    await (await hand(engine)).drain()
    expect(await listed()).toEqual(['default', 'paused', 'scheduled'])
    clock.pass(hour)
    await sweepAll(engine, clock.now())
    await (await hand(engine)).drain()
    await engine.putQueues([{ name: 'paused', paused: false }])
    expect(await listed()).toEqual(['default'])
  })

  test('a pause outlives the jobs of its queue', async () => {
    const { engine, second } = await open()
    const before = alone('before', { queue: 'shop' })
    await engine.submit([submission(before), submission(chainOf('x', 'y'))])
    await engine.putQueues([{ name: 'shop', paused: true }])
    await engine.cancel({ jobId: before.id })
    await engine.submit([submission(alone('after', { queue: 'shop' }))])
    const worker = await hand(second())
    expect(await worker.drain()).toEqual(['x', 'y'])
    await engine.putQueues([{ name: 'shop', paused: false }])
    expect(await worker.drain()).toEqual(['after'])
    expect((await jobsOf(engine, before))['before']?.state).toBe('cancelled')
  })

  test('a job that is sent while the last one of its queue is taken is found', async () => {
    const { engine, second } = await open()
    const [one, other] = [await hand(second()), await hand(second())]
    const sent: string[] = []
    const came: string[] = []
    for (let round = 0; round < 60; round++) {
      const graph = alone('task', { queue: `customer-${round % 3}` })
      sent.push(graph.id)
      const claims = [one.claim(2), other.claim(2)]
      await engine.submit([submission(graph)])
      came.push(...(await Promise.all(claims)).flat().map(({ id }) => id))
    }
    for (let jobs = await one.claim(10); jobs.length > 0; jobs = await one.claim(10))
      came.push(...jobs.map(({ id }) => id))
    expect(came.sort()).toEqual(sent.sort())
  }, 60_000)
})
