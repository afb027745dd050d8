import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { Graph } from '../../src/core/graph.ts'
import { alone, chainOf, graphOf, groupOf, submission } from '../fixtures/graphs.ts'
import { collectionState, continued, failed, goOn, hand, type Hand, lease, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const retention = 1_000
const day = 24 * 60 * 60_000

async function submitLarge(engine: Engine, graph: Graph, given = { retention }): Promise<void> {
  const parts = graph.jobs.length > engine.partSize ? Math.ceil(graph.jobs.length / engine.partSize) : 0
  for (let part = 0; part < parts; part++) await engine.upload(graph, part, null)
  await engine.submit([submission(graph, given)])
}

const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `m${at}`)
const isThere = async (engine: Engine, graph: Graph): Promise<boolean> => (await engine.collection(graph.id)) !== null
const fails = (worker: Hand): Promise<string[]> => worker.drain(() => failed())

onEveryEngine((open) => {
  test('removes in one sweep all that is due, however much it is', async () => {
    const { engine, clock } = await open()
    const jobs = Array.from({ length: 5_000 }, () => alone('a'))
    const kept = alone('kept')
    for (let at = 0; at < jobs.length; at += 1_000)
      await engine.submit(jobs.slice(at, at + 1_000).map((graph) => submission(graph, { retention })))
    await engine.submit([submission(kept, { retention: day })])
    const worker = await hand(engine)
    await worker.drain()
    clock.pass(retention - 1)
    await engine.sweep()
    expect((await engine.counts({})).jobs.succeeded).toBe(5_001)
    clock.pass(1_000)
    await engine.sweep()
    expect((await engine.counts({})).jobs.succeeded).toBe(1)
    expect(await isThere(engine, kept)).toBe(true)
  })

  test('removes a large collection in one sweep, slice by slice, and none of them fails', async () => {
    const { engine, clock } = await open()
    const [large, small] = [groupOf(...many(4_000)), alone('small')]
    for (const graph of [large, small]) await submitLarge(engine, graph)
    await (await hand(engine)).drain()
    clock.pass(day)
    expect((await engine.sweep()).faults).toEqual([])
    for (const graph of [large, small]) expect(await isThere(engine, graph)).toBe(false)
    expect((await engine.counts({})).jobs.succeeded).toBe(0)
  })

  test('removes what settled while it went on', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    for (let second = 0; second < 20; second++) {
      await engine.submit(
        Array.from({ length: 100 }, (_, at) =>
          submission(at % 10 === 0 ? chainOf('a', 'b') : alone('c'), { retention }),
        ),
      )
      await worker.drain()
      clock.pass(1_000)
      await engine.sweep()
      // A second's worth is kept, however long it goes on.
      const { collections } = await engine.counts({})
      expect(collections.succeeded).toBeLessThanOrEqual(100)
    }
  })

  test('removes what a job continued as, and nothing of the collections whose rows stand beside its own', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    const [before, parent, between] = [groupOf('a', 'b'), alone('parent'), groupOf('c', 'd')]
    await engine.submit([submission(before)])
    await engine.submit([submission(parent, { retention })])
    const first = await worker.claim(3)
    await engine.submit([submission(between)])
    await worker.settle(first[2]!, continued(groupOf('inside')))
    const second = await worker.claim(3)
    await worker.succeed(second.find(({ task }) => task === 'inside')!)
    clock.pass(retention)
    await sweepAll(engine, clock.now())
    expect(await isThere(engine, parent)).toBe(false)
    for (const job of [...first, ...second])
      if (['a', 'b', 'c', 'd'].includes(job.task)) expect(await worker.succeed(job)).toBe('accepted')
    for (const graph of [before, between]) expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('removes a collection again after a retry, when its time is over anew', async () => {
    const { engine, clock } = await open()
    const [one, two] = [alone('a'), chainOf('b', 'c')]
    await engine.submit([one, two].map((graph) => submission(graph, { retention })))
    const worker = await hand(engine)
    await fails(worker)
    clock.pass(retention / 2)
    for (const graph of [one, two])
      expect(await engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' })).toBe(
        'retried',
      )
    await worker.drain()
    clock.pass(retention / 2)
    await engine.sweep()
    for (const graph of [one, two]) expect(await isThere(engine, graph)).toBe(true)
    clock.pass(retention / 2)
    await engine.sweep()
    for (const graph of [one, two]) expect(await isThere(engine, graph)).toBe(false)
  })

  test('keeps a job alone for its own time, whoever has ended it', async () => {
    const { engine, clock } = await open()
    const long = { retention: 60 * 60_000 }
    const send = async (task: string, options = {}): Promise<Graph> => {
      const graph = alone(task, options)
      await engine.submit([submission(graph, long)])
      return graph
    }
    const worker = await hand(engine)
    const late = await send('late', { timeout: 2_000 })
    await worker.claim()
    const leaving = await hand(engine)
    const released = await send('released')
    await leaving.claim()
    const lost = await send('lost')
    await (await hand(engine)).claim()
    for (const graph of [released, lost]) expect(await engine.cancel({ collectionId: graph.id })).toBe('marked')
    await leaving.beat({ ended: true })
    await goOn({ engine, clock }, lease + 3_000, worker)
    const poisoned = await send('poisoned')
    for (let death = 0; death < 3; death++) {
      await (await hand(engine)).claim()
      await goOn({ engine, clock }, lease + 3_000, worker)
    }
    const all = [late, released, lost, poisoned]
    const states = await Promise.all(all.map(async ({ id }) => (await engine.job(id))?.state))
    expect(states).toEqual(['failed', 'cancelled', 'cancelled', 'failed'])
    clock.pass(long.retention)
    await sweepAll(engine, clock.now())
    for (const graph of all) expect(await isThere(engine, graph)).toBe(false)
  })

  test('what a sweep has taken out of sight cannot be retried, nor any job of it', async () => {
    const { engine, clock } = await open()
    // More than one call removes.
    const collections = [groupOf(...many(1_900)), groupOf(...many(1_900))]
    for (const graph of collections) await submitLarge(engine, graph)
    await fails(await hand(engine))
    clock.pass(day)
    await engine.sweep()
    for (const graph of collections) {
      const wasThere = await isThere(engine, graph)
      const last = graph.jobs.at(-1)!.id
      const answer = await engine.retry({ selection: { jobId: last }, expectedRound: 1, mode: 'failed' })
      await sweepAll(engine, clock.now())
      expect([answer, (await engine.job(last))?.state]).toEqual(
        wasThere ? ['retried', 'queued'] : ['not-found', undefined],
      )
    }
  })

  test('jobs of what is being removed are not found, by hand as well', async () => {
    const { engine } = await open()
    const large = groupOf(...many(3_000))
    await submitLarge(engine, large)
    const outer = alone('outer')
    await engine.submit([submission(outer)])
    const worker = await hand(engine)
    const inner = groupOf(...many(900))
    await worker.drain((job) => (job.task === 'outer' ? continued(inner) : failed()))
    for (const graph of [large, outer]) {
      expect(await engine.remove(graph.id)).toBe('removed')
      const last = (graph === large ? large : inner).jobs.at(-1)!.id
      // Some of its rows may still be there.
      expect(await engine.job(last)).toBeNull()
      expect(await engine.retry({ selection: { jobId: last }, expectedRound: 1, mode: 'failed' })).toBe('not-found')
      expect(await engine.cancel({ jobId: last })).toBe('not-found')
      expect(await engine.remove(graph.id)).toBe('not-found')
    }
    expect((await engine.jobs({ limit: 10 })).items).toEqual([])
  })

  test('keeps a large collection while a side branch of it runs, and removes it after that', async () => {
    const { engine, clock } = await open()
    const jobs = Object.fromEntries(many(2_600).map((name) => [name, { feeds: 0 }]))
    const graph = graphOf({ ...jobs, side: { role: 'side', when: 'always', behind: 0 } }, [{}])
    await submitLarge(engine, graph)
    const worker = await hand(engine)
    let side: Awaited<ReturnType<Hand['claim']>>[number] | undefined
    while (side === undefined) {
      for (const job of await worker.claim(100)) {
        if (job.task === 'side') side = job
        else await worker.succeed(job)
      }
    }
    clock.pass(day)
    await worker.beat()
    await sweepAll(engine, clock.now())
    expect(await isThere(engine, graph)).toBe(true)
    expect(await engine.remove(graph.id)).toBe('unsettled')
    await worker.succeed(side)
    clock.pass(retention)
    await worker.beat()
    await sweepAll(engine, clock.now())
    expect(await isThere(engine, graph)).toBe(false)
    for (const { id } of graph.jobs.slice(-5)) expect(await engine.job(id)).toBeNull()
  })

  test('a retry between the looks of a removal keeps the collection', async () => {
    const { engine, clock } = await open()
    const jobs = Object.fromEntries(many(2_600).map((name) => [name, { feeds: 0 }]))
    const graph = graphOf({ ...jobs, side: { role: 'side', when: 'always', behind: 0 } }, [{}])
    await submitLarge(engine, graph)
    const worker = await hand(engine)
    await worker.drain((job) => (job.task === 'side' ? failed() : { type: 'succeeded', result: '1' }))
    const removing = engine.remove(graph.id)
    const side = graph.jobs.at(-1)!.id
    const answer = await engine.retry({ selection: { jobId: side }, expectedRound: 1, mode: 'failed' })
    const removed = await removing
    expect([removed, answer]).toEqual(removed === 'removed' ? ['removed', 'not-found'] : ['unsettled', 'retried'])
    await sweepAll(engine, clock.now())
    expect((await engine.job(side))?.state).toBe(removed === 'removed' ? undefined : 'queued')
  })

  test('events are bounded by their size, not by a day alone', async () => {
    const { engine, clock } = await open()
    const start = await engine.cursor()
    const worker = await hand(engine)
    const graph = alone('long')
    await engine.submit([submission(graph)])
    const job = await worker.take()
    // Not to be compressed.
    const message = randomBytes(786_432).toString('base64')
    for (let sent = 0; sent < 90; sent++) {
      clock.pass(4_000)
      const progress = {
        ref: job.ref,
        token: job.token,
        progress: { done: sent, total: 90, message: `${sent}${message}` },
      }
      await worker.beat({ progress: [progress] })
    }
    await sweepAll(engine, clock.now())
    expect((await engine.events({ after: start, collections: null, limit: 1 })).gap).toBe(true)
  })

  test('a key held until a time answers with the id of what took it, also when that is removed', async () => {
    const { engine, clock } = await open()
    const unique = (onConflict: 'existing' | 'reject' | 'replace') => ({ key: 'hourly', until: day, onConflict })
    for (const make of [() => alone('a'), () => chainOf('a', 'b')]) {
      const first = make()
      await engine.submit([submission(first, { retention, unique: unique('replace') })])
      const worker = await hand(engine)
      await worker.drain()
      clock.pass(retention)
      await sweepAll(engine, clock.now())
      expect(await isThere(engine, first)).toBe(false)
      const sent = (onConflict: 'existing' | 'reject') =>
        engine.submit([submission(make(), { unique: unique(onConflict) })])
      expect(await sent('existing')).toEqual([{ type: 'existing', collectionId: first.id }])
      expect(await sent('reject')).toMatchObject([{ type: 'conflict', reason: 'unique', collectionId: first.id }])
    }
    const next = alone('next')
    expect(await engine.submit([submission(next, { unique: unique('replace') })])).toMatchObject([{ type: 'created' }])
    expect((await engine.job(next.id))?.state).toBe('queued')
    expect(await engine.submit([submission(alone('b'), { unique: unique('existing') })])).toEqual([
      { type: 'existing', collectionId: next.id },
    ])
  })
})
