import { expect, test } from 'vitest'
import type { Change } from '../../src/core/event.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { isLegal } from '../../src/core/transitions.ts'
import type { Signal } from '../../src/engine/feed.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { apply, changesAfter, snapshotOf } from '../fixtures/follow.ts'
import { alone, chainOf, chordOf, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, hand, jobsOf, retried, succeeded, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const told = (changes: readonly Change[]): string[] =>
  changes.map((change) => ('state' in change ? `${change.type} ${change.state}` : change.type))

onEveryEngine((open) => {
  test('tells every change of state in order, and nothing twice', async () => {
    const { engine, clock } = await open()
    const start = await engine.cursor()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('a'), retried(10))
    clock.pass(10)
    await worker.succeed(await worker.take('a'))
    await worker.fail(await worker.take('b'))
    const changes = await changesAfter(engine, start)
    const names = new Map(graph.jobs.map((job) => [job.id, job.task]))
    const of = (task: string): string[] =>
      changes.flatMap((change) => (change.type === 'job' && names.get(change.jobId) === task ? [change.state] : []))
    expect(of('a').filter((state) => state !== 'queued')).toEqual(['running', 'scheduled', 'running', 'succeeded'])
    expect(of('b').filter((state) => state !== 'waiting')).toEqual(['queued', 'running', 'failed'])
    expect(changes.filter((change) => change.type === 'collection').at(-1)).toMatchObject({
      collectionId: graph.id,
      state: 'failed',
      round: 1,
      at: clock.now(),
    })
    expect(changes.filter((change) => change.type === 'collection' && change.state === 'failed')).toHaveLength(1)
  })

  test('a snapshot and the changes after its cursor give the state, wherever the snapshot was taken', async () => {
    const store = await open()
    const { engine } = store
    const graph = graphOf(
      {
        a: { feeds: 0 },
        b: { feeds: 0 },
        c: { behind: 0, feeds: 1 },
        d: { behind: 1, feeds: 2 },
        mourn: sideJob('failure', 1),
        note: sideJob('always', 2),
      },
      [{}, {}, {}],
    )
    await engine.submit([submission(graph)])
    const snapshots = [await snapshotOf(engine, graph.id)]
    for await (const _ of eventful(store, graph.id)) snapshots.push(await snapshotOf(engine, graph.id))
    const last = snapshots.at(-1)
    expect(snapshots.length).toBeGreaterThan(15)
    for (const { jobs, cursor, state, round } of snapshots) {
      let collection = { state, round }
      for (const change of await changesAfter(engine, cursor, [graph.id], 7)) {
        if (change.type === 'collection') collection = { state: change.state, round: change.round }
        if (change.type !== 'job') continue
        const before = jobs.get(change.jobId)
        expect(apply(jobs, change)).toBeNull()
        if (before && before.state !== change.state)
          expect([before.state, change.state]).toSatisfy(([from, to]) => isLegal(from, to))
      }
      // Jobs of a canvas that is history now were taken out of the collection: a reader drops them with its next snapshot.
      for (const id of [...jobs.keys()]) if (!last?.jobs.has(id)) jobs.delete(id)
      expect(jobs).toEqual(last?.jobs)
      expect(collection).toEqual({ state: last?.state, round: last?.round })
    }
  })

  /** A life with retries, a continuation, a failure, a cancel and two more rounds. */
  async function* eventful({ engine, clock }: Store, id: string): AsyncGenerator<void> {
    const worker = await hand(engine)
    const first = await worker.take('a')
    yield
    await worker.settle(first, retried(5))
    yield
    const second = await worker.take('b')
    await worker.beat({ progress: [{ ref: second.ref, token: second.token, progress: { done: 1 } }] })
    yield
    await worker.settle(second, continued(chordOf(['x', 'y'], 'z')))
    yield
    clock.pass(5)
    await sweepAll(engine, clock.now())
    yield
    for (const broken of ['z', 'c', 'none']) {
      for (let jobs = await worker.claim(); jobs.length > 0; jobs = await worker.claim()) {
        yield
        for (const job of jobs) await worker.settle(job, job.task === broken ? failed() : succeeded(1))
        yield
      }
      const round = (await engine.collection(id))?.round ?? 0
      await engine.retry({ selection: { collectionId: id }, expectedRound: round, mode: 'failed' })
      yield
      await engine.cancel({ collectionId: id })
      yield
      await engine.retry({
        selection: { collectionId: id },
        expectedRound: round + 1,
        mode: broken === 'c' ? 'all' : 'failed',
      })
      yield
    }
  }

  test('narrows to collections', async () => {
    const { engine } = await open()
    const start = await engine.cursor()
    const [one, two, three] = [chainOf('a', 'b'), groupOf('c', 'd'), alone('e')]
    await engine.submit([submission(one), submission(two), submission(three)])
    await (await hand(engine)).drain()
    const all = await changesAfter(engine, start)
    for (const graph of [one, two, three]) {
      const own = all.filter((change) => change.collectionId === graph.id)
      expect(own.length).toBeGreaterThan(0)
      expect(await changesAfter(engine, start, [graph.id])).toEqual(own)
    }
    const pair = await changesAfter(engine, start, [one.id, three.id])
    expect(new Set(pair.map((change) => change.collectionId))).toEqual(new Set([one.id, three.id]))
    expect(await changesAfter(engine, start, [])).toEqual([])
  })

  test('tells each job of what was done to many at once', async () => {
    const { engine } = await open()
    const start = await engine.cursor()
    const first = Array.from({ length: 40 }, () => alone('first'))
    const other = Array.from({ length: 3 }, () => alone('other'))
    await engine.submit(first.map((graph) => submission(graph)))
    await engine.submit(other.map((graph) => submission(graph)))
    const worker = await hand(engine)
    // One that is not at the end of them ends otherwise.
    const claimed = await worker.claim(100)
    const isOdd = (id: string): boolean => id === first[7]?.id
    const endOf = (id: string): Outcome => (isOdd(id) ? failed() : succeeded(1))
    await engine.settle(claimed.map(({ id, ref, token }) => ({ ref, token, outcome: endOf(id) })))
    const changes = await changesAfter(engine, start)
    for (const { id } of [...first, ...other]) {
      const own = changes.filter((change) => change.collectionId === id)
      const end = isOdd(id) ? 'failed' : 'succeeded'
      expect(told(own)).toEqual(['job queued', 'job running', `job ${end}`, `collection ${end}`])
      expect(own.map((change) => ('version' in change ? change.version : null))).toEqual([1, 2, 3, null])
      expect(await changesAfter(engine, start, [id])).toEqual(own)
    }
  })

  test('pages give the same as one read', async () => {
    const { engine } = await open()
    const start = await engine.cursor()
    await engine.submit(Array.from({ length: 30 }, () => submission(chainOf('a', 'b'))))
    await (await hand(engine)).drain()
    const whole = await changesAfter(engine, start, null, 100_000)
    expect(whole.length).toBeGreaterThan(150)
    for (const limit of [1, 10, 64]) expect(await changesAfter(engine, start, null, limit)).toEqual(whole)
  })

  test('an answer with nothing in it moves on, so that what belongs to others is not read again', async () => {
    const { engine } = await open()
    const mine = alone('mine', { startIn: 1_000 })
    await engine.submit([submission(mine)])
    const start = await engine.cursor()
    // More than one call reads, each in a row of its own.
    for (let count = 0; count < 1_500; count += 50)
      await Promise.all(Array.from({ length: 50 }, () => engine.submit([submission(alone('other'))])))
    await (await hand(engine)).drain()
    let cursor = start
    for (let more = true; more;) {
      const page = await engine.events({ after: cursor, collections: [mine.id], limit: 5 })
      expect(page.changes).toEqual([])
      cursor = page.cursor
      more = page.more
    }
    expect(cursor).toBe(await engine.cursor())
  })

  test('reads the same through another connection', async () => {
    const { engine, second } = await open()
    const start = await engine.cursor()
    const other = second()
    await engine.submit([submission(chainOf('a', 'b'))])
    await (await hand(other)).drain()
    expect(await changesAfter(other, start)).toEqual(await changesAfter(engine, start))
    expect(await other.cursor()).toBe(await engine.cursor())
  })

  test('tells that jobs were added and taken away', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('outer')
    const before = await engine.cursor()
    await worker.settle(job, continued(chainOf('inner')))
    const added = await changesAfter(engine, before)
    expect(added).toContainEqual(
      expect.objectContaining({ type: 'collection', collectionId: graph.id, state: 'running', round: 1 }),
    )
    expect(added).toContainEqual(
      expect.objectContaining({ type: 'job', jobId: (await jobsOf(engine, graph))['inner']?.id, state: 'queued' }),
    )
    await worker.drain()
    const settled = await engine.cursor()
    await engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'all' })
    expect(told(await changesAfter(engine, settled))).toContain('collection running')
    expect((await changesAfter(engine, settled)).find((change) => change.type === 'collection')).toMatchObject({
      round: 2,
    })
  })

  test('tells progress, with what it is at', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    const before = await engine.cursor()
    await worker.beat({
      progress: [{ ref: job.ref, token: job.token, progress: { done: 2, total: 5, message: 'Two' } }],
    })
    expect(await changesAfter(engine, before)).toEqual([
      {
        type: 'progress',
        at: clock.now(),
        collectionId: graph.id,
        jobId: graph.id,
        attempt: 1,
        progress: { done: 2, total: 5, message: 'Two' },
      },
    ])
  })

  test('a cursor that is none, and one of another store, are a gap: never a silent nothing', async () => {
    const [one, two] = [await open(), await open()]
    await one.engine.submit(Array.from({ length: 5 }, () => submission(alone())))
    for (const after of ['nonsense', '', await one.engine.cursor()]) {
      const page = await two.engine.events({ after, collections: null, limit: 10 })
      expect(page).toMatchObject({ gap: true, changes: [] })
      expect(await two.engine.events({ after: page.cursor, collections: null, limit: 10 })).toMatchObject({
        gap: false,
      })
    }
  })

  test('signals queued jobs, changes and cancels to those who listen, and stops when told', async () => {
    const { engine } = await open()
    const seen: Signal[] = []
    const stop = engine.subscribe((signal) => seen.push(signal))
    const nudge = async (what: keyof Signal, act: () => Promise<unknown>): Promise<void> => {
      seen.length = 0
      await act()
      await soon()
      expect(seen.some((signal) => signal[what])).toBe(true)
    }
    const graph = alone()
    await nudge('queued', async () => engine.submit([submission(graph)]))
    const worker = await hand(engine)
    await nudge('changed', async () => worker.claim())
    await nudge('cancel', async () => engine.cancel({ jobId: graph.id }))
    stop()
    seen.length = 0
    await engine.submit([submission(alone())])
    await soon()
    expect(seen).toEqual([])
  })

  test('signals what another connection did', async () => {
    const { engine, clock, second } = await open()
    const other = second()
    await other.migrate()
    const heard = new Promise<void>((resolve) => engine.subscribe((signal) => signal.queued && resolve()))
    await soon()
    await other.submit([submission(alone())])
    // An engine may have to look for it from time to time, and its server takes the time it takes: the test's own is the bound.
    let isHeard = false
    void heard.then(() => (isHeard = true))
    for (; !isHeard; await soon()) clock.pass(50)
  })

  test('random operations leave a feed that a reader can follow', async () => {
    const store = await open()
    const { engine, clock } = store
    const random = seededRandom(7)
    const worker = await hand(engine)
    const start = await engine.cursor()
    for (let step = 0; step < 120; step++) {
      const dice = random()
      if (dice < 0.3) await engine.submit([submission(random() < 0.5 ? chainOf('a', 'b') : chordOf(['a', 'b', 'c']))])
      else if (dice < 0.9) {
        const outcome = random() < 0.2 ? failed() : random() < 0.2 ? retried(5) : succeeded(1)
        for (const job of await worker.claim(2)) await worker.settle(job, outcome)
      } else {
        clock.pass(5)
        await engine.sweep()
      }
    }
    const seen = new Map<string, { state: never; attempt: number; version: number }>()
    for (const change of await changesAfter(engine, start, null, 13)) {
      if (change.type === 'job') expect(apply(seen as never, change)).toBeNull()
    }
    for (const [id, known] of seen) expect(await engine.job(id)).toMatchObject(known)
  })
})

const soon = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
