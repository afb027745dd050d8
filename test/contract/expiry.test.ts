import { expect, test } from 'vitest'
import pg from 'pg'
import type { Outcome } from '../../src/core/outcome.ts'
import type { StoredOptions } from '../../src/core/job.ts'
import { alone, groupOf, graphOf, submission } from '../fixtures/graphs.ts'
import { changesAfter } from '../fixtures/follow.ts'
import { goOn, hand, jobsOf, lease, retried, statesOf, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const expiring: StoredOptions = { expires: 1_000 }

onEveryEngine((open) => {
  test.each([1, 7])(
    'of 5,000 jobs that have expired none is claimed, and what stands behind them in %s queues is',
    async (queues) => {
      const { engine, clock, second } = await open()
      const late = Array.from({ length: 5_000 }, (_, n) => alone('late', { ...expiring, queue: `queue-${n % queues}` }))
      for (let from = 0; from < late.length; from += 1_000)
        await engine.submit(late.slice(from, from + 1_000).map((graph) => submission(graph)))
      await engine.submit([
        submission(alone('kept', { queue: 'queue-0' })),
        submission(alone('in time', { queue: 'queue-0', expires: 2_000 })),
      ])
      clock.pass(1_250)
      const hands = [await hand(engine), await hand(second())]
      const came: string[] = []
      for (let turn = 0; came.length < 2; turn++) {
        expect(turn).toBeLessThan(100)
        came.push(...(await hands[turn % 2]!.claim(100)).map(({ task }) => task))
      }
      expect(came).toEqual(['kept', 'in time'])
      await sweepAll(engine, clock.now())
      expect((await engine.counts({})).jobs).toMatchObject({ cancelled: 5_000, queued: 0, running: 2 })
      expect(await hands[0]!.claim(100)).toEqual([])
    },
    60_000,
  )

  test('a claim that comes to nothing but expired jobs asks to be made again, unless there are no more', async () => {
    const { engine, clock } = await open()
    const graphs = Array.from({ length: 3_000 }, () => submission(alone('late', expiring)))
    for (let from = 0; from < graphs.length; from += 1_000) await engine.submit(graphs.slice(from, from + 1_000))
    await engine.submit([submission(alone('kept'))])
    clock.pass(1_000)
    const { session } = await hand(engine)
    const came: string[] = []
    // As a worker does, that was told once that something is queued.
    for (let again = true, token = 1; again; token++) {
      const { jobs, nextAt } = await engine.claim({ session: session.id, token, limit: 10, queues: null })
      came.push(...jobs.map(({ task }) => task))
      again = jobs.length === 10 || (nextAt !== null && nextAt <= clock.now())
    }
    expect(came).toEqual(['kept'])
  }, 60_000)

  test('a job that is due and has expired is told in that order', async () => {
    const { engine, clock } = await open()
    const cursor = await engine.cursor()
    const graph = alone('late', { startIn: 500, expires: 1_000 })
    await engine.submit([submission(graph)])
    clock.pass(5_000)
    await sweepAll(engine, clock.now())
    const told = (await changesAfter(engine, cursor)).filter((change) => change.type === 'job')
    expect(told.map(({ state, version }) => [state, version])).toEqual([
      ['scheduled', 1],
      ['queued', 2],
      ['cancelled', 3],
    ])
  })

  const puts: readonly [string, Outcome][] = [
    ['is retried', retried(5_000)],
    ['is put off', { type: 'snoozed', delay: 5_000 }],
    ['is given back', { type: 'released', started: true, delay: 0 }],
  ]
  test.each(puts)('a job that started in time and %s expires no more', async (_, outcome) => {
    const { engine, clock } = await open()
    const graph = alone('a', expiring)
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), outcome)
    clock.pass(5_000)
    await sweepAll(engine, clock.now())
    expect(await statesOf(engine, graph)).toEqual({ a: 'queued' })
    await worker.succeed(await worker.take('a'))
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded' })
  })

  test('a job whose worker died after it had started in time expires no more', async () => {
    const store = await open()
    const { engine } = store
    const graph = alone('a', expiring)
    await engine.submit([submission(graph)])
    await (await hand(engine)).take()
    const worker = await hand(engine)
    await goOn(store, 3 * lease, worker)
    await worker.take('a')
  })

  test('a job that was handed back before it began expires as it would have', async () => {
    const { engine, clock } = await open()
    const graph = groupOf('a', 'b')
    const [job] = graph.jobs
    const held = { ...graph, jobs: [{ ...job!, options: expiring }, ...graph.jobs.slice(1)] }
    await engine.submit([submission(held)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('a'), { type: 'released', started: false, delay: 0 })
    clock.pass(1_000)
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['b'])
    expect((await jobsOf(engine, held))['a']).toMatchObject({ state: 'cancelled', reason: 'expired' })
  })

  test('a job that is retried by hand has its time anew', async () => {
    const { engine, clock } = await open()
    const graph = alone('a', expiring)
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), retried(10))
    await engine.cancel({ jobId: graph.id })
    clock.pass(2_000)
    await engine.retry({ selection: { jobId: graph.id }, expectedRound: 1, mode: 'failed' })
    clock.pass(1_000)
    expect(await worker.claim(10)).toEqual([])
    expect((await jobsOf(engine, graph))['a']).toMatchObject({ state: 'cancelled', reason: 'expired' })
  })
})

onEveryEngine(
  (open) => {
    test('a job that has expired is not claimed while somebody else holds its collection', async () => {
      const { engine, clock, second } = await open()
      const graph = graphOf({ a: { feeds: 0, options: expiring }, b: { feeds: 0 } }, [{}])
      await engine.submit([submission(graph)])
      const worker = await hand(second())
      clock.pass(1_000)
      const address = new URL(engine.url as string)
      const schema = address.searchParams.get('schema')
      address.search = ''
      const other = new pg.Client({ connectionString: address.href })
      await other.connect()
      try {
        await other.query('begin')
        await other.query(`select 1 from ${schema}.collections where id = $1 for update`, [graph.id])
        expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['b'])
        await other.query('rollback')
        expect(await worker.claim(10)).toEqual([])
        expect((await jobsOf(engine, graph))['a']).toMatchObject({ state: 'cancelled', reason: 'expired' })
      } finally {
        await other.end()
      }
    })
  },
  ['postgres'],
)
