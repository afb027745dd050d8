import { expect, test } from 'vitest'
import { summaryOfJob } from '../../src/app/snapshots.ts'
import type { Graph } from '../../src/core/graph.ts'
import type { Submission } from '../../src/engine/intake.ts'
import { alone, chainOf, graphOf, groupOf, jobId, submission } from '../fixtures/graphs.ts'
import { goOn, hand, retried } from '../fixtures/hand.ts'
import { onRawStores } from '../fixtures/raw.ts'

// A damaged row fails for itself: whatever has to do with others goes on.

onRawStores((open) => {
  test('an input that nobody understands holds up no other job of the claim', async () => {
    const { engine, raw } = await open()
    const [bad, good] = [chainOf('first', 'second'), alone('good')]
    await engine.submit([submission(bad)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('first'))
    await raw.spoilInput(jobId(bad, 'second'))
    await engine.submit([submission(good)])
    const jobs = await worker.claim(10)
    expect(jobs.map(({ task }) => task)).toContain('good')
    for (const job of jobs) expect(await worker.fail(job)).toBe('accepted')
    expect((await engine.collection(bad.id))?.state).toBe('failed')
  })
})

onRawStores((open) => {
  test('an expired job whose barrier is damaged holds up no claim, no recovery and no other that has expired', async () => {
    const { engine, clock, raw } = await open()
    const soon = { expires: 5_000, startIn: 3_600_000 }
    const bad = graphOf({ bad: { feeds: 0, options: soon }, behind: { behind: 0, feeds: 1 } }, [{}, {}])
    const [expired, lost, good] = [alone('expired', soon), alone('lost'), alone('good', { startIn: 30_000 })]
    await engine.submit([submission(bad), submission(expired), submission(lost), submission(good)])
    await (await hand(engine)).take('lost')
    await raw.spoilBarrier(jobId(bad, 'bad'))
    const worker = await hand(engine)
    await goOn({ engine, clock }, 40_000, worker)
    expect(await engine.job(expired.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
    expect((await worker.claim(10)).map(({ task }) => task).sort()).toEqual(['good', 'lost'])
  })
})

const swollen: readonly (readonly ['jobs' | 'collections' | 'sessions', string])[] = [
  ['jobs', 'created_at'],
  ['jobs', 'started_at'],
  ['jobs', 'due_at'],
  ['jobs', 'expires_at'],
  ['jobs', 'deadline_at'],
  ['jobs', 'timeout'],
  ['jobs', 'retention'],
  ['collections', 'created_at'],
  ['sessions', 'expires_at'],
  ['sessions', 'seen_at'],
  ['sessions', 'started_at'],
]

onRawStores(
  (open) => {
    for (const number of [2n ** 53n + 1n, 2n ** 63n - 1n])
      for (const [table, column] of swollen)
        test(`${number} as ${column} of ${table} holds up nothing of others`, async () => {
          const { engine, clock, raw } = await open()
          const bad = graphOf(
            { queued: { feeds: 0 }, later: { feeds: 0, options: { startIn: 3_600_000 } }, running: { feeds: 0 } },
            [{}],
          )
          await engine.submit([submission(bad), submission(alone('lost'))])
          const dead = await hand(engine)
          await dead.take('queued')
          await dead.claim(10)
          const held = await hand(engine)
          if (table === 'jobs')
            for (const id of ['later', 'running']) await raw.setNumber(table, column, jobId(bad, id), number)
          else await raw.setNumber(table, column, table === 'sessions' ? held.session.id : bad.id, number)
          const good = alone('good', { startIn: 5_000 })
          await engine.submit([submission(good), submission(alone('brief'), { retention: 1_000 })])
          const worker = await hand(engine)
          await worker.succeed(await worker.take('brief'))
          await goOn({ engine, clock }, 40_000, worker)
          expect((await worker.claim(10)).map(({ task }) => task)).toEqual(expect.arrayContaining(['good', 'lost']))
          expect((await engine.jobs({ limit: 100 })).items.map(({ task }) => task)).toContain('good')
          expect((await engine.jobs({ limit: 100 })).items.map(({ task }) => task)).not.toContain('brief')
          await engine.collections({ limit: 100 })
          await engine.queues()
          expect((await engine.workers()).map(({ id }) => id)).toContain(worker.session.id)
          await engine.collection(bad.id)
        })
  },
  ['sqlite', 'postgres'],
)

/** The ends of what a column holds: of the columns of PostgreSQL, and of SQLite, where all numbers are alike. */
const ends: Readonly<Record<string, Readonly<Record<string, readonly bigint[]>>>> = {
  postgres: { counted: [2n ** 31n - 1n, -(2n ** 31n)], priority: [2n ** 15n - 1n, -(2n ** 15n)] },
  sqlite: { counted: [2n ** 63n - 1n, -(2n ** 63n)], priority: [2n ** 63n - 1n, -(2n ** 63n)] },
}

onRawStores(
  (open) => {
    for (const column of ['attempt', 'version', 'round', 'failures', 'crashes', 'depth', 'priority'])
      for (const [end, name] of ['largest', 'least'].entries())
        test(`jobs whose ${column} is the ${name} that can be hold up nothing of others`, async () => {
          const { engine, clock, raw } = await open()
          const retry = { limit: 3, base: 5_000, factor: 1, max: 5_000, jitter: false }
          const options = [
            ['queued', {}],
            ['later', { startIn: 5_000 }],
            ['expired', { startIn: 3_600_000, expires: 5_000 }],
            ['retried', { retry }],
            ['lost', {}],
            ['late', { timeout: 5_000, retry }],
          ] as const
          const [bad, good] = ['bad', 'good'].map((whose) =>
            Object.fromEntries(options.map(([what, each]) => [what, alone(`${whose} ${what}`, each)])),
          ) as [Record<string, Graph>, Record<string, Graph>]
          const both = (...names: string[]): Graph[] => names.flatMap((what) => [bad[what]!, good[what]!])
          const submit = (graphs: Graph[]): Promise<unknown> => engine.submit(graphs.map((graph) => submission(graph)))
          const worker = await hand(engine)
          await submit(both('retried', 'late'))
          for (const job of await worker.claim(10))
            if (job.task.endsWith('retried')) await worker.settle(job, retried(5_000))
          await submit(both('lost'))
          await (await hand(engine)).claim(10)
          await submit(both('queued', 'later', 'expired'))
          const number = ends[engine.name]![column === 'priority' ? 'priority' : 'counted']![end]!
          for (const { id } of Object.values(bad)) await raw.setNumber('jobs', column, id, number)
          const ran = await worker.drain()
          for (let n = 0; n < 3; n++) {
            await goOn({ engine, clock }, 15_000, worker)
            ran.push(...(await worker.drain()))
          }
          expect(ran).toEqual(
            expect.arrayContaining(['good queued', 'good later', 'good retried', 'good lost', 'good late']),
          )
          expect(await engine.job(good['expired']!.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
          expect(await engine.job(good['lost']!.id)).toMatchObject({ state: 'succeeded' })
          // They themselves go on as well, but for those that count as what ended their workers.
          expect((await engine.job(bad['expired']!.id))?.state).toBe('cancelled')
          if (column !== 'crashes') expect((await engine.job(bad['queued']!.id))?.state).toBe('succeeded')
          expect((await engine.jobs({ limit: 100 })).items).toHaveLength(12)
        })
  },
  ['sqlite', 'postgres'],
)

onRawStores(
  (open) => {
    for (const [table, column] of [
      ['jobs', 'seq'],
      ['collections', 'number'],
    ] as const)
      for (const number of [-1n, 2n ** 53n + 1n])
        test(`a list ends at ${number} as ${column} of ${table}, and so do counts`, async () => {
          const { engine, raw } = await open()
          const [group, lone, good] = [groupOf('one', 'two'), alone('lone'), alone('good')]
          await engine.submit([submission(good), submission(group), submission(lone)])
          await raw.setNumber(table, column, table === 'jobs' ? lone.id : group.id, number)
          for (const query of [{}, { text: 'good' }, { tag: 'nowhere' }, { states: ['queued'] }] as const)
            await engine.jobs({ limit: 100, ...query })
          expect((await engine.jobs({ limit: 100, task: 'good' })).items).toHaveLength(1)
          const ids = (await engine.collections({ limit: 100 })).items.map(({ id }) => id)
          expect(ids).toContain(good.id)
          await engine.collections({ limit: 100, tag: 'nowhere' })
          await engine.counts({})
          await engine.cancel({ collectionId: group.id })
        })
  },
  ['sqlite', 'postgres'],
)

onRawStores(
  (open) => {
    for (const [column, number] of [
      ['next', 0n],
      ['next', -1n],
      ['next', 2n ** 53n + 1n],
      ['next', 2n ** 63n - 1n],
      ['total', 2n ** 63n - 1n],
      ['total', -(2n ** 63n)],
    ] as const)
      test(`${number} as ${column} of the last event refuses nothing, and what is submitted then runs`, async () => {
        const { engine, raw } = await open()
        const worker = await hand(engine)
        await engine.submit([submission(groupOf('one', 'two'))])
        await raw.setJournal(column, number)
        const cursor = await engine.cursor()
        await engine.submit([submission(alone('three')), submission(chainOf('four', 'five'))])
        expect((await worker.drain()).sort()).toEqual(['five', 'four', 'one', 'three', 'two'])
        expect((await engine.events({ after: cursor, collections: null, limit: 100 })).changes).not.toEqual([])
        await engine.counts({})
        await engine.sweep()
      })

    test('a worker starts beside a session with a number that JavaScript does not hold', async () => {
      const { engine, raw } = await open()
      await engine.submit([submission(alone('one'))])
      await raw.setNumber('sessions', 'number', (await hand(engine)).session.id, 2n ** 53n + 1n)
      const worker = await hand(engine)
      expect(await worker.drain()).toEqual(['one'])
    })

    test('what stands in a row and cannot be read is told of as damage of the store', async () => {
      const { engine, raw } = await open()
      const [bad, graph] = [alone('bad'), alone('good')]
      await engine.submit([submission(bad, { unique: { key: 'k', until: 'settled', onConflict: 'existing' } })])
      const worker = await hand(engine)
      await worker.fail(await worker.take('bad'))
      await raw.spoilText('unique_claim', bad.id)
      const again = { selection: { collectionId: bad.id }, expectedRound: 1, mode: 'failed' } as const
      await expect(engine.retry(again)).rejects.toMatchObject({ name: 'CeleriacError', code: 'STORE_CORRUPT' })
      await engine.submit([submission(graph)])
      expect(await worker.drain()).toEqual(['good'])
    })
  },
  ['sqlite'],
)

onRawStores(
  (open) => {
    for (const what of ['spoilOptions', 'spoilInput', 'spoilBarrier'] as const)
      test(`a running job after ${what} holds up no recovery of others, and no list`, async () => {
        const { engine, clock, raw } = await open()
        const bad = graphOf({ bad: { feeds: 0 }, behind: { behind: 0, feeds: 1 } }, [{}, {}])
        await engine.submit([submission(bad), submission(alone('beside')), submission(alone('other'))])
        const first = await hand(engine)
        await first.take('bad')
        await first.take('beside')
        await (await hand(engine)).take('other')
        await raw[what](jobId(bad, 'bad'))
        const worker = await hand(engine)
        await goOn({ engine, clock }, 40_000, worker)
        const jobs = await worker.claim(10)
        expect(jobs.map(({ task }) => task)).toEqual(expect.arrayContaining(['beside', 'other']))
        expect((await engine.jobs({ limit: 100 })).items.map(({ task }) => task)).toContain('other')
        await engine.collections({ limit: 100 })
      })
  },
  ['sqlite', 'postgres'],
)

onRawStores(
  (open) => {
    test('what is left of a large change and cannot be done holds up no write, no retention and no other large change', async () => {
      const { engine, clock, raw } = await open()
      await raw.leaveWork()
      const brief = alone('brief')
      const large = graphOf(Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`job-${n}`, { feeds: 0 }])), [{}])
      await engine.submit([submission(brief, { retention: 1_000 }), submission(large)])
      const worker = await hand(engine)
      await worker.succeed(await worker.take('brief'))
      await engine.cancel({ collectionId: large.id })
      await goOn({ engine, clock }, 30_000, worker)
      expect(await engine.job(brief.id)).toBeNull()
      expect((await engine.collection(large.id, { jobs: false }))?.state).toBe('cancelled')
      expect((await engine.diagnose()).find(({ check }) => check === 'upkeep')?.level).toBe('warning')
    })
  },
  ['sqlite', 'redis'],
)

onRawStores((open) => {
  test.each(['args', 'tags', 'failure', 'progress'] as const)(
    '%s that are no JSON hold up no claim, no list and no snapshot of others',
    async (what) => {
      const { engine, clock, raw } = await open()
      const tagged = (task: string): Submission => submission(alone(task), { tags: ['wanted'] })
      const [failed, running, waiting, good] = ['failed', 'running', 'waiting', 'good'].map(tagged) as [
        Submission,
        Submission,
        Submission,
        Submission,
      ]
      const idOf = ({ graph }: Submission): string => jobId(graph, graph.jobs[0]!.task)
      await engine.submit([failed, running])
      const worker = await hand(engine)
      await worker.fail(await worker.take('failed'))
      await worker.take('running')
      await engine.submit([waiting, good])
      for (const one of [failed, running, waiting]) await raw.spoilText(what, idOf(one))
      clock.pass(1_000)
      expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['waiting', 'good'])
      const pages = [
        await engine.jobs({ limit: 100 }),
        await engine.jobs({ limit: 100, text: 'good' }),
        await engine.jobs({ limit: 100, tag: 'wanted' }),
      ]
      for (const { items } of pages) {
        expect(items.map(({ task }) => task)).toContain('good')
        for (const job of items) expect(summaryOfJob(job).task).toBe(job.task)
      }
      const lists = [await engine.collections({ limit: 100 }), await engine.collections({ limit: 100, tag: 'wanted' })]
      for (const { items } of lists) expect(items.map(({ id }) => id)).toContain(good.graph.id)
      for (const one of [failed, running, waiting, good])
        expect((await engine.collection(one.graph.id))?.jobs.length).toBe(1)
      await engine.counts({})
    },
  )
})

onRawStores((open) => {
  test.each(['1-99999999999999', '99999999999999999999', '1-99999999999999999999', 'x', '5-x,,-', '9-1'])(
    'numbers that are to be removed hold up no other removal, whatever they are: %s',
    async (runs) => {
      const { engine, clock, raw } = await open()
      await raw.leave(runs)
      const brief = alone('brief')
      await engine.submit([submission(brief, { retention: 1_000 })])
      const worker = await hand(engine)
      await worker.succeed(await worker.take('brief'))
      await goOn({ engine, clock }, 30_000, worker)
      expect(await engine.job(brief.id)).toBeNull()
    },
  )
})
