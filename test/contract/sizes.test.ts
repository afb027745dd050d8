import { DatabaseSync, StatementSync } from 'node:sqlite'
import pg from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Submission, SubmitAnswer, UniqueClaim } from '../../src/engine/intake.ts'
import { partsOf } from '../../src/engine/parts.ts'
import type { JobsQuery } from '../../src/engine/inspect.ts'
import type { Settlement } from '../../src/engine/work.ts'
import { Connection } from '../../src/engines/redis/connection.ts'
import { alone, graphOf, groupOf, plainJob, sideJob, submission } from '../fixtures/graphs.ts'
import { failed, failure, hand, retried, succeeded } from '../fixtures/hand.ts'
import { describeEngines, onEveryEngine } from '../fixtures/store.ts'

/**
 * The largest that a user can make anything, played on every engine: what is bounded, what is refused, and that nothing else waits
 * for it. What needs a worker is in test/scenario/sizes.test.ts.
 */
const mebibyte = 1024 * 1024

onEveryEngine(
  (open) => {
    test('a request that fits into no command of Redis is refused as too large, not taken for a server that is away', async () => {
      const { engine } = await open()
      await engine.submit([submission(alone())])
      const worker = await hand(engine)
      const { ref, token } = await worker.take()
      const outcome = succeeded('x'.repeat(mebibyte - 2))
      const settlements = Array.from({ length: 520 }, (): Settlement => ({ ref, token, outcome }))
      await expect(engine.settle(settlements)).rejects.toMatchObject({ code: 'TOO_LARGE' })
      expect(await engine.settle([{ ref, token, outcome }])).toEqual(['accepted'])
    })
  },
  ['redis'],
)

onEveryEngine((open) => {
  test('of 300 attempts of a job the first 10 and the last 90 are kept, and its number goes on', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (let attempt = 1; attempt <= 300; attempt++) {
      const job = await worker.take()
      expect(job.attempt).toBe(attempt)
      await worker.settle(job, attempt % 7 === 0 ? { type: 'snoozed', delay: 1 } : retried(1))
      clock.pass(1)
    }
    const detail = await engine.job(graph.id)
    const numbers = detail?.attempts.map(({ attempt }) => attempt)
    expect(numbers).toEqual([
      ...Array.from({ length: 10 }, (_, n) => n + 1),
      ...Array.from({ length: 90 }, (_, n) => n + 211),
    ])
    expect(detail?.attempt).toBe(300)
    // The one that runs, or ended the job, is one of them.
    const last = await worker.take()
    const shown = async () => (await engine.job(graph.id))?.attempts.map(({ attempt }) => attempt)
    const expected = [...Array.from({ length: 10 }, (_, n) => n + 1), ...Array.from({ length: 90 }, (_, n) => n + 212)]
    expect(await shown()).toEqual(expected)
    await worker.succeed(last)
    expect(await shown()).toEqual(expected)
  })

  test('of 130 rounds of a job no more is kept', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (let round = 1; round <= 130; round++) {
      await worker.fail(await worker.take())
      const answer = await engine.retry({ selection: { jobId: graph.id }, expectedRound: round, mode: 'failed' })
      expect(answer).toBe('retried')
    }
    const numbers = (await engine.job(graph.id))?.attempts.map(({ attempt }) => attempt)
    expect(numbers).toEqual([
      ...Array.from({ length: 10 }, (_, n) => n + 1),
      ...Array.from({ length: 90 }, (_, n) => n + 41),
    ])
  })
})

// ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describeEngines(({ place: makePlace }) => {
  // With bounds on how long the store may take, which is what this is about.
  test('10,000 calls with keys are stored by one call, are there already, and take the place of others', async () => {
    const place = await makePlace()
    const engine = place.open(systemRuntime)
    onTestFinished(async () => {
      await engine.close()
      await place.remove()
    })
    const calls = (onConflict: UniqueClaim['onConflict'], name: string): Submission[] =>
      Array.from({ length: 10_000 }, (_, n) =>
        submission(alone(), {
          unique: { key: `key ${n}`, until: 'settled', onConflict },
          idempotency: { key: `${name} ${n}`, fingerprint: 'same' },
        }),
      )
    const send = async (submissions: readonly Submission[]): Promise<SubmitAnswer['type'][]> => [
      ...new Set((await engine.submit(submissions, undefined, [submissions.length])).map(({ type }) => type)),
    ]
    const first = calls('existing', 'first')
    expect(await send(first)).toEqual(['created'])
    expect(await send(first)).toEqual(['existing'])
    expect(await send(calls('existing', 'first'))).toEqual(['existing'])
    expect(await send(calls('existing', 'second'))).toEqual(['existing'])
    const newer = calls('replace', 'third')
    expect(await send(newer)).toEqual(['created'])
    const [held] = await engine.submit(calls('existing', 'fourth'), undefined, [newer.length])
    expect(held).toEqual({ type: 'existing', collectionId: newer[0]!.graph.id })
    expect(await (await hand(engine)).claim(500)).toHaveLength(500)
    const refused = [...calls('existing', 'fifth').slice(0, -1), calls('reject', 'sixth').at(-1)!]
    expect(await send(refused)).toEqual(['aborted', 'conflict'])
    // Seven calls, of which each may take its bound.
  }, 120_000)
})

// ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

const tasks = async (engine: Engine, query: Partial<JobsQuery>): Promise<string[]> =>
  (await engine.jobs({ limit: 50, ...query })).items.map(({ task }) => task)

/** Stores so many jobs alone, in several writes. */
async function store(engine: Engine, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1_000)
    await engine.submit(Array.from({ length: Math.min(left, 1_000) }, () => submission(alone())))
}

/** Counts what the stores are asked, whichever engine is at work. */
function countRequests(): () => number {
  const spies = [
    vi.spyOn(StatementSync.prototype, 'all'),
    vi.spyOn(pg.Client.prototype, 'query'),
    vi.spyOn(Connection.prototype, 'send'),
  ]
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()))
  return () => spies.reduce((sum, { mock }) => sum + mock.calls.length, 0)
}

onEveryEngine((open) => {
  test('a pattern of many stars is matched in one go over the name', async () => {
    const { engine } = await open()
    const name = 'a'.repeat(100)
    await engine.submit([submission(alone(name))])
    expect(await tasks(engine, { task: `${'*a'.repeat(16)}*!` })).toEqual([])
    expect(await tasks(engine, { task: `${'*a'.repeat(99)}!` })).toEqual([])
    expect(await tasks(engine, { task: '*'.repeat(200) })).toEqual([name])
    expect(await tasks(engine, { task: `${'*a'.repeat(99)}*` })).toEqual([name])
  })

  test('a star stands for any characters, and everything else for itself', async () => {
    const { engine } = await open()
    const names = [
      'mail',
      'mail.send',
      'mail.send.all',
      'mail%send',
      'mail_send',
      'mail[s]end',
      'mail?send',
      'mail\\send',
    ]
    await engine.submit(names.map((name) => submission(alone(name))))
    const cases: readonly (readonly [pattern: string, ...found: string[]])[] = [
      ['mail', 'mail'],
      ['mail*', ...names],
      ['*', ...names],
      ['*send', ...names.filter((name) => name.endsWith('send'))],
      ['mail.*', 'mail.send', 'mail.send.all'],
      ['*.send.*', 'mail.send.all'],
      ['mail*mail'],
      ['*l.s*d', 'mail.send'],
      ['mail%*', 'mail%send'],
      ['mail_*', 'mail_send'],
      ['mail[s]*', 'mail[s]end'],
      ['mail?*', 'mail?send'],
      ['mail\\*', 'mail\\send'],
    ]
    for (const [pattern, ...found] of cases)
      expect([pattern, ...(await tasks(engine, { task: pattern })).sort()]).toEqual([pattern, ...[...found].sort()])
  })

  test('a cursor beyond everything begins at the newest', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('one')), submission(alone('two'))])
    const cursor = '9'.repeat(15)
    expect(await tasks(engine, { cursor })).toEqual(['two', 'one'])
    expect((await engine.collections({ limit: 10, cursor })).items).toHaveLength(2)
  })

  test('a search that finds nothing lets others have their turn', async () => {
    const { engine } = await open()
    await store(engine, 10_000)
    let turns = 0
    let isOver = false
    const turn = (): void => {
      turns++
      if (!isOver) setImmediate(turn)
    }
    setImmediate(turn)
    expect(await tasks(engine, { text: 'nowhere' })).toEqual([])
    isOver = true
    expect(turns).toBeGreaterThan(2)
  })

  test('uploads that were given up are not seen, and what came between them is', async () => {
    const { engine } = await open()
    const jobs = Object.fromEntries(Array.from({ length: engine.partSize + 1 }, (_, n) => [`hidden-${n}`, {}]))
    const seen: string[] = []
    for (let n = 0; n < 30; n++) {
      await engine.upload(graphOf(jobs), 0, null)
      if (n % 3 > 0) continue
      seen.unshift(`seen-${n}`)
      await engine.submit([submission(alone(`seen-${n}`))])
    }
    expect(await tasks(engine, { limit: 100 })).toEqual(seen)
    expect((await engine.counts({})).jobs).toMatchObject({ queued: seen.length })
    expect((await engine.queues())[0]?.counts).toMatchObject({ queued: seen.length })
  })

  test('neither the jobs of one collection nor those since an instant are looked for in all the others', async () => {
    const { engine, clock } = await open()
    const graph = groupOf('first', 'second')
    await engine.submit([submission(graph)])
    await store(engine, 10_000)
    clock.pass(3 * 60 * 60_000)
    const since = clock.now()
    await engine.submit([submission(alone('latest'))])
    const requests = countRequests()
    const of = async (query: Partial<JobsQuery>): Promise<number> => {
      const before = requests()
      await engine.jobs({ limit: 50, ...query })
      return requests() - before
    }
    expect(await tasks(engine, { collectionId: graph.id })).toEqual(['second', 'first'])
    expect(await tasks(engine, { createdFrom: since })).toEqual(['latest'])
    const all = await of({ task: 'nowhere' })
    expect(await of({ collectionId: graph.id, task: 'nowhere' })).toBeLessThan(all)
    expect(await of({ createdFrom: since })).toBeLessThan(all)
    const before = requests()
    expect((await engine.collections({ limit: 50, createdFrom: since })).items).toHaveLength(1)
    expect(requests() - before).toBeLessThan(all)
  })

  test('a page of large jobs ends early, and the next goes on', async () => {
    const { engine } = await open()
    const args = JSON.stringify(['x'.repeat(256 * 1024 - 4)])
    const graphs = Array.from({ length: 40 }, () => alone())
    await engine.submit(graphs.map((graph) => submission({ ...graph, jobs: [{ ...graph.jobs[0]!, args }] })))
    const found: string[] = []
    const sizes: number[] = []
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
      const page = await engine.jobs({ limit: 200, ...(cursor !== undefined && { cursor }) })
      found.push(...page.items.map(({ id }) => id))
      sizes.push(page.items.reduce((sum, job) => sum + job.args.length, 0))
      cursor = page.next ?? undefined
    }
    expect(found).toEqual(graphs.map(({ id }) => id).reverse())
    expect(Math.max(...sizes)).toBeLessThanOrEqual(5 * mebibyte)
  })
})

onEveryEngine(
  (open) => {
    test('SQLite prepares no statement for a single job: there would be more of them for ever', async () => {
      const { engine } = await open()
      const worker = await hand(engine)
      const play = async (): Promise<void> => {
        const summary = { from: 'summary', first: 0, last: 1 } as const
        const sides = {
          side: sideJob('always', 0, summary),
          again: sideJob('always', 1, { ...summary, first: 2, last: 2 }),
        }
        const jobs = { one: { feeds: 0 }, two: { feeds: 0 }, side: { ...sides.side, feeds: 1 }, again: sides.again }
        await engine.submit([submission(graphOf(jobs, [{}, {}], 0))])
        expect(await worker.drain()).toHaveLength(4)
        for (const states of [['failed'], ['failed', 'queued'], ['queued', 'failed']] as const)
          await engine.jobs({ limit: 1, states })
      }
      await play()
      const prepared = vi.spyOn(DatabaseSync.prototype, 'prepare')
      onTestFinished(() => prepared.mockRestore())
      for (let n = 0; n < 10; n++) await play()
      expect(prepared.mock.calls).toEqual([])
    })
  },
  ['sqlite'],
)

// ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────

/** So many jobs side by side, with these arguments. */
async function submitGroup(engine: Engine, count: number, args = '[]'): Promise<Graph> {
  const jobs = Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), args, feeds: 0 }))
  const graph = { ...groupOf(), jobs, barriers: [{ inputs: count, feeds: null, gate: null }], exit: 0 }
  const parts = partsOf(graph, engine.partSize)
  for (let part = 0; parts.length > 1 && part < parts.length; part++) await engine.upload(graph, part, null)
  await engine.submit([submission(graph)])
  return graph
}

/** The characters of a snapshot, as it goes over HTTP. */
const sizeOf = (value: unknown): number => JSON.stringify(value).length

onEveryEngine((open) => {
  test('4,000 failures with messages of 2 KB and stacks make no snapshot of 20 MB', async () => {
    const { engine } = await open()
    const graph = await submitGroup(engine, 4_000)
    const worker = await hand(engine)
    const message = 'm'.repeat(2_048)
    const thrown = { ...failure(message), stack: `Error: ${message}\n    at handler (tasks.ts:1:1)` }
    await worker.drain(() => ({ type: 'failed', reason: 'failed', failure: thrown }))
    const detail = await engine.collection(graph.id)
    expect(detail?.counts.failed).toBe(4_000)
    expect(detail?.failure).toEqual(thrown)
    expect(detail?.jobs.map(({ id }) => id)).toEqual(graph.jobs.map(({ id }) => id))
    expect(detail?.jobs[0]).toMatchObject({ failure: thrown })
    expect(detail?.jobs[0]).not.toHaveProperty('shortened')
    const last = detail?.jobs.at(-1)
    expect(last).toMatchObject({ shortened: true, failure: { name: 'Error', attempt: 1 } })
    expect(last?.failure?.message).toMatch(/^m{150,200}…$/)
    expect(sizeOf(detail)).toBeLessThan(10 * mebibyte)
    expect((await engine.job(graph.jobs.at(-1)!.id))?.failure).toEqual(thrown)
  })

  test('100 jobs with arguments of 256 KiB make no snapshot of 25 MB', async () => {
    const { engine } = await open()
    const args = JSON.stringify(['x'.repeat(256 * 1024 - 4)])
    const graph = await submitGroup(engine, 100, args)
    const detail = await engine.collection(graph.id)
    expect(detail?.jobs).toHaveLength(100)
    expect(detail?.jobs[0]?.args).toBe(args)
    expect(detail?.jobs.at(-1)).toMatchObject({ args: '[]', shortened: true })
    expect(sizeOf(detail)).toBeLessThan(6 * mebibyte)
    expect((await engine.job(graph.jobs.at(-1)!.id))?.args).toBe(args)
  })

  test('a snapshot of 12,000 jobs is whole, and the changes behind its cursor are those made since', async () => {
    const { engine } = await open()
    const graph = await submitGroup(engine, 12_000)
    const worker = await hand(engine)
    const jobs = await worker.claim(500)
    await worker.fail(jobs[0]!, 'first')
    for (const job of jobs.slice(1)) await worker.settle(job, failed('later'))
    const detail = await engine.collection(graph.id)
    expect(detail?.jobs.map(({ id }) => id)).toEqual(graph.jobs.map(({ id }) => id))
    expect(detail?.counts).toMatchObject({ failed: 500, queued: 11_500 })
    expect(detail?.progress).toEqual({ done: 500, total: 12_000 })
    expect(detail?.failure?.message).toBe('first')
    expect((await engine.events({ after: detail!.cursor, collections: [graph.id], limit: 100 })).changes).toEqual([])
    const { items } = await engine.collections({ limit: 10 })
    const { jobs: _, cursor: __, shape: ___, result: ____, ...record } = detail!
    expect(items).toEqual([record])
    expect(await engine.collection(graph.id, { jobs: false })).toMatchObject(record)
  })
})

onEveryEngine(
  (open) => {
    test('no script of Redis goes through more than 2,000 jobs for a snapshot', async () => {
      const { engine } = await open()
      const graph = await submitGroup(engine, 6_000)
      // The server does not know the scripts yet: each is sent twice.
      await engine.collection(graph.id)
      await engine.collection(graph.id, { jobs: false })
      const sent = vi.spyOn(Connection.prototype, 'send')
      onTestFinished(() => sent.mockRestore())
      await engine.collection(graph.id)
      // The collection; six pages of 1,000, which are counted as they come; its barrier.
      expect(sent.mock.calls.length).toBe(8)
      sent.mockClear()
      await engine.collection(graph.id, { jobs: false })
      // The collection; three counts of 2,000.
      expect(sent.mock.calls.length).toBe(4)
      sent.mockClear()
      const small = await submitGroup(engine, 10)
      sent.mockClear()
      expect((await engine.collection(small.id))?.jobs).toHaveLength(10)
      expect(sent.mock.calls.length).toBe(1)
    })
  },
  ['redis'],
)
