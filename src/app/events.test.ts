import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { all, type AppByHand, appByHand } from '../../test/fixtures/app-by-hand.ts'
import { continued, failed, type Hand, hand } from '../../test/fixtures/hand.ts'
import { turns } from '../../test/fixtures/working.ts'
import { nodeOf } from '../canvas/canvas.ts'
import { chain } from '../canvas/chain.ts'
import { compileContinuation } from '../canvas/compile.ts'
import { group } from '../canvas/group.ts'
import type { CollectionEvent, JobEvent } from '../core/handle.ts'
import type { Engine } from '../engine/engine.ts'
import type { EventsPage } from '../engine/feed.ts'
import { partsOf } from './parts.ts'
import { compileContext } from './submission.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

interface Stage extends AppByHand {
  readonly worker: Hand
  readonly id: ReturnType<typeof taskOf>
}
const taskOf = ({ app }: Pick<AppByHand, 'app'>) => app.task('id', (x: any) => x)

async function stage(around: Parameters<typeof appByHand>[0] = {}): Promise<Stage> {
  const made = appByHand(around)
  return { ...made, id: taskOf(made), worker: await hand(made.engine) }
}

/** Collects events until the stream ends; `until` resolves when one came that fits. */
function watch<E extends CollectionEvent | JobEvent>(events: AsyncIterable<E>) {
  const seen: E[] = []
  const waiting: { fits: (event: E) => boolean; resolve: () => void }[] = []
  const done = (async () => {
    for await (const event of events) {
      seen.push(event)
      for (const one of waiting) if (one.fits(event)) one.resolve()
    }
    return seen
  })()
  const until = async (fits: (event: E) => boolean): Promise<void> => {
    if (seen.some(fits)) return
    const ended = done.then(() => Promise.reject(new Error('The events ended before that.')))
    await Promise.race([new Promise<void>((resolve) => waiting.push({ fits, resolve })), ended])
  }
  // A stream that a test leaves behind ends when its app is closed.
  done.catch(() => undefined)
  return { seen, done, until }
}

const told = (events: readonly (CollectionEvent | JobEvent)[]): string[] =>
  events.map((event) => ('state' in event ? `${event.type} ${event.state}` : event.type))

const isSnapshot = (event: { readonly type: string }): boolean => event.type === 'snapshot'

/** A life of two rounds with progress, a failure, a continuation and a side branch; ends settled. */
async function live({ worker, app, clock }: Stage, retry: () => Promise<void>): Promise<void> {
  const first = await worker.take()
  await worker.beat({ progress: [{ ref: first.ref, token: first.token, progress: { done: 1, total: 3 } }] })
  clock.pass(60)
  await worker.beat({ progress: [{ ref: first.ref, token: first.token, progress: { done: 2, total: 3 } }] })
  await worker.succeed(first)
  await worker.fail(await worker.take())
  await worker.drain()
  await retry()
  const again = await worker.take()
  const canvas = nodeOf(chain(taskAgain(app).s(1), taskAgain(app).s()), '')
  const job = { role: 'main', options: again.options } as const
  await worker.settle(again, continued(compileContinuation(canvas, job, compileContext(partsOf(app)))))
  await worker.drain()
}
const taskAgain = (app: AppByHand['app']) => app.declare<(x?: any) => any>('id')

const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

test('begins with the snapshot, tells every change once, and ends with settled', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  const { done, until } = watch(collection.events())
  await until(isSnapshot)
  await worker.drain()
  const events = await done
  expect(told(events)).toEqual([
    'snapshot',
    'state running',
    'state succeeded',
    'state queued',
    'state running',
    'state succeeded',
    'settled succeeded',
  ])
  expect(events[0]).toMatchObject({ collection: { id: collection.id, state: 'running' } })
  expect(events.at(-1)).toMatchObject({ state: 'succeeded', round: 1 })
})

test('an app that is closed while an event is read ends with CLOSED', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  const reading = (async () => {
    for await (const { type } of collection.events()) {
      if (type === 'snapshot') await worker.drain()
      else await app.close()
    }
  })()
  await expect(reading).rejects.toMatchObject({ code: 'CLOSED' })
})

test('no snapshot is held while the next change is awaited', async () => {
  const { app, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  const events = collection.events()[Symbol.asyncIterator]()
  const begin = async () => new WeakRef((await events.next()).value as object)
  const snapshot = await begin()
  const next = events.next()
  await turns()
  collectGarbage()
  expect(snapshot.deref()).toBeUndefined()
  await events.return?.()
  await next
})

test('of what is over already there is the snapshot, and that it settled', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  const job = await id.delay(1)
  await worker.drain()
  expect(told(await all(collection.events()))).toEqual(['snapshot', 'settled succeeded'])
  expect(told(await all(job.events()))).toEqual(['snapshot'])
  expect(told(await all((await app.collection(job.id)).events()))).toEqual(['snapshot', 'settled succeeded'])
})

test('a job is followed to its final state, with its progress, and nothing of others', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(group(id.s(1), id.s(2)))
  const [first] = (await collection.snapshot()).jobs
  const { done, until } = watch((await app.job(first!.id)).events())
  await until(isSnapshot)
  const [mine, other] = await worker.claim(2)
  await worker.beat({ progress: [mine!, other!].map(({ ref, token }) => ({ ref, token, progress: { done: 1 } })) })
  await worker.succeed(other!)
  await worker.succeed(mine!, 5)
  const events = await done
  expect(told(events)).toEqual(['snapshot', 'state running', 'progress', 'state succeeded'])
  expect(events[2]).toMatchObject({ done: 1, jobId: first!.id })
})

test('a job alone is followed as a collection of one, over its rounds', async () => {
  const { app, worker, id } = await stage()
  const job = await id.delay(1)
  const collection = await app.collection(job.id)
  const live = watch(collection.events({ live: true }))
  await live.until(isSnapshot)
  await worker.fail(await worker.take())
  await live.until((event) => event.type === 'settled')
  await collection.retry()
  await live.until((event) => event.type === 'round')
  await worker.drain()
  await live.until((event) => event.type === 'settled' && event.round === 2)
  const rounds = live.seen.filter(({ type }) => type === 'settled' || type === 'round')
  expect(told(rounds)).toEqual(['settled failed', 'round', 'settled succeeded'])
})

test('what the snapshot tells already is not told again, though the reader comes to it only later', async () => {
  const { app, worker, id } = await stage()
  const first = watch((await app.submit(chain(id.s(1), id.s()).with({ queue: 'first' }))).events())
  await first.until(isSnapshot)
  const collection = await app.submit(chain(id.s(1), id.s()).with({ priority: 1 }))
  const claimed = await worker.take()
  await worker.beat({ progress: [{ ref: claimed.ref, token: claimed.token, progress: { done: 1 } }] })
  // The reader is told of this in the next turn of the event loop, the snapshots are read in this one.
  const streams = [watch(collection.events()), watch((await app.job(claimed.id)).events())]
  for (const { until } of streams) await until(isSnapshot)
  await worker.succeed(claimed)
  await worker.drain()
  const [ofCollection, ofJob] = await Promise.all(streams.map(({ done }) => done))
  expect(told(ofCollection!).slice(0, 3)).toEqual(['snapshot', 'state succeeded', 'state queued'])
  expect(told(ofJob!)).toEqual(['snapshot', 'state succeeded'])
})

test('an end that the snapshot tells already is not told again, nor that of a round before', async () => {
  const { app, worker, id } = await stage()
  const first = watch((await app.submit(chain(id.s(1), id.s()).with({ priority: -1 }))).events())
  await first.until(isSnapshot)
  const collection = await app.submit(chain(id.s(1), id.s()))
  await worker.fail(await worker.take())
  const settled = watch(collection.events({ live: true }))
  await settled.until(isSnapshot)
  await collection.retry()
  const running = watch(collection.events({ live: true }))
  await running.until(isSnapshot)
  await worker.drain()
  for (const { until } of [settled, running]) await until((event) => event.type === 'settled' && event.round === 2)
  const ends = [settled, running].map(({ seen }) => told(seen).filter((event) => /round|settled/.test(event)))
  expect(ends).toEqual([['round', 'settled succeeded'], ['settled succeeded']])
})

test('jobs that join are told before anything happens to them', async () => {
  const at = await stage()
  const collection = await at.app.submit(chain(at.id.s(1), at.id.s()).onError(at.id.s()))
  const { until, seen } = watch(collection.events({ live: true }))
  await until(isSnapshot)
  await live(at, () => collection.retry())
  await until((event) => event.type === 'settled' && event.round === 2)
  const known = new Set<string>()
  for (const event of seen) {
    if (event.type === 'snapshot') for (const { id } of event.collection.jobs) known.add(id)
    if (event.type === 'jobs') for (const { id } of event.jobs) known.add(id)
    if (event.type === 'state') expect(known).toContain(event.jobId)
  }
  expect(seen.filter(({ type }) => type === 'jobs')).toMatchObject([
    { jobs: [{ parentId: expect.any(String) as string }, {}] },
  ])
  expect(told(seen).filter((event) => /round|settled/.test(event))).toEqual([
    'settled failed',
    'round',
    'settled succeeded',
  ])
})

test('a retry of everything that takes jobs away is followed by a snapshot without them', async () => {
  const at = await stage()
  const collection = await at.app.submit(chain(at.id.s(1), at.id.s()))
  const { until, seen } = watch(collection.events({ live: true }))
  await until(isSnapshot)
  await live(at, () => collection.retry())
  await until((event) => event.type === 'settled' && event.round === 2)
  await collection.retry({ mode: 'all' })
  await until((event) => event.type === 'snapshot' && event.collection.round === 3)
  const last = seen.findLast((event) => event.type === 'snapshot')
  expect(last).toMatchObject({ collection: { jobs: [{ state: 'queued' }, { state: 'waiting' }] } })
  await at.worker.drain()
  await collection.retry({ mode: 'all' })
  await at.worker.drain()
  await until((event) => event.type === 'settled' && event.round === 4)
  expect(seen.filter(isSnapshot)).toHaveLength(2)
})

test.each([
  [
    'with large arguments',
    (app: AppByHand['app']) => group(...many(20, (n) => taskAgain(app).s('x'.repeat(100_000 + n)))),
  ],
  [
    'of which each waits for many',
    (app: AppByHand['app']) =>
      chain(group(...many(250, (n) => taskAgain(app).s(n))), group(...many(250, () => taskAgain(app).s()))),
  ],
])('jobs %s join with a snapshot, and not in one event without bound', async (_which, canvas) => {
  const at = await stage()
  const outer = await at.app.submit(chain(at.id.s(1), at.id.s()))
  const { until, seen } = watch(outer.events())
  await until(isSnapshot)
  const first = await at.worker.take()
  const job = { role: 'main', options: first.options } as const
  const graph = compileContinuation(nodeOf(canvas(at.app), ''), job, compileContext(partsOf(at.app)))
  await at.worker.settle(first, continued(graph))
  await until((event) => event.type === 'snapshot' && event.collection.jobs.length > 2)
  expect(seen.map(({ type }) => type)).not.toContain('jobs')
  await at.worker.drain()
  await until((event) => event.type === 'settled')
  for (const event of seen) expect(JSON.stringify(event).length).toBeLessThan(5 * 1024 * 1024)
})

test('whoever comes back to any event is told what came after it, exactly, in whatever pages the feed comes', async () => {
  const pageSizes = [1, 2, 3, 500]
  for (const size of pageSizes) {
    const wrap = (engine: Engine): Engine => ({
      ...engine,
      events: (query) => engine.events({ ...query, limit: size }),
    })
    const at = await stage({ wrap })
    const collection = await at.app.submit(chain(at.id.s(1), at.id.s()).onError(at.id.s()))
    await at.app.submit(group(at.id.s(1), at.id.s(2)).with({ priority: -1 }))
    const controller = new AbortController()
    const { until, seen, done } = watch(collection.events({ live: true, signal: controller.signal }))
    await until(isSnapshot)
    await live(at, () => collection.retry())
    await until((event) => event.type === 'settled' && event.round === 2)
    controller.abort()
    await done
    const isMine = (event: CollectionEvent): boolean =>
      !('jobId' in event) || event.type !== 'state' || !joined.has(event.jobId)
    const joined = new Set(seen.flatMap((event) => (event.type === 'jobs' ? event.jobs.map(({ id }) => id) : [])))
    for (const [index, { cursor }] of seen.entries()) {
      const rest = seen.slice(index + 1)
      const again = watch(collection.events({ after: cursor, live: true }))
      if (rest.length > 0) await again.until((event) => event.cursor === rest.at(-1)!.cursor)
      // Jobs that joined are told of as they are now, so their earlier states are not.
      const [expected, found] = [rest.filter(isMine), again.seen.filter(isMine)]
      expect(told(found)).toEqual(told(expected))
      expect(found.map((event) => event.cursor)).toEqual(expected.map((event) => event.cursor))
    }
    expect(seen.length).toBeGreaterThan(20)
  }
})

test('whoever comes back after the end is told nothing more', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  const { done, until } = watch(collection.events())
  await until(isSnapshot)
  await worker.drain()
  const events = await done
  expect(await all(collection.events({ after: events.at(-1)!.cursor }))).toEqual([])
  expect(told(await all(collection.events({ after: events.at(-2)!.cursor })))).toEqual(['settled succeeded'])
  const job = await id.delay(1)
  const ofJob = watch(job.events())
  await ofJob.until(isSnapshot)
  await worker.drain()
  const last = (await ofJob.done).at(-1)!
  expect(await all(job.events({ after: last.cursor }))).toEqual([])
})

test('whoever comes back with a cursor that counts too much is told all of it, and no more than a page is held', async () => {
  const read: WeakRef<object>[] = []
  let isHeld = false
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    events: async (query) => {
      await turns()
      collectGarbage()
      if (read.length > 2) isHeld ||= read[0]!.deref() !== undefined
      const page = await engine.events({ ...query, limit: 1 })
      read.push(...page.changes.map((change) => new WeakRef(change)))
      return page
    },
  })
  const { app, worker, id } = await stage({ wrap })
  const collection = await app.submit(chain(id.s(1), ...Array.from({ length: 4 }, () => id.s())))
  const events = collection.events()[Symbol.asyncIterator]()
  const { cursor } = (await events.next()).value!
  await events.return?.()
  await worker.drain()
  const expected = await all(collection.events({ after: cursor }))
  read.length = 0
  const forged = cursor.replace(/\+0\./, `+${'9'.repeat(400)}.`)
  expect(forged).not.toBe(cursor)
  expect(await all(collection.events({ after: forged }))).toEqual(expected)
  expect(read.length).toBeGreaterThan(10)
  expect(isHeld).toBe(false)
})

test('where what came after a cursor is gone, a fresh snapshot comes', async () => {
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  await worker.drain()
  expect(told(await all(collection.events({ after: 'elsewhere.7' })))).toEqual(['snapshot', 'settled succeeded'])
})

test('whoever comes back with a cursor of a later round, to a store since restored, is told of the rounds anew', async () => {
  const ahead = await stage()
  const gone = await ahead.app.submit(ahead.id.s(1))
  for (let round = 1; round <= 3; round++) {
    await ahead.worker.drain()
    if (round < 3) await gone.retry({ mode: 'all' })
  }
  const after = (await all(gone.events())).at(-1)!.cursor
  const { app, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  await worker.drain()
  const { seen, until } = watch(collection.events({ after, live: true }))
  await until(isSnapshot)
  await collection.retry({ mode: 'all' })
  await worker.drain()
  await until(({ type }) => type === 'settled')
  expect(seen.filter(({ type }) => type === 'round')).toMatchObject([{ round: 2 }])
})

test('changes lost while following are made good by a snapshot', async () => {
  let isGone = false
  const gap = async (engine: Engine): Promise<EventsPage> => ({
    changes: [],
    cursor: await engine.cursor(),
    more: false,
    gap: true,
  })
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    events(query) {
      const page = isGone ? gap(engine) : engine.events(query)
      isGone = false
      return page
    },
  })
  const { app, worker, id } = await stage({ wrap })
  const collection = await app.submit(chain(id.s(1), id.s()))
  const { seen, until, done } = watch(collection.events())
  await until(isSnapshot)
  isGone = true
  await worker.succeed(await worker.take())
  await until((event) => event.type === 'snapshot' && event.collection.jobs[0]!.state === 'succeeded')
  await worker.drain()
  await done
  expect(told(seen).slice(2)).toEqual(['state running', 'state succeeded', 'settled succeeded'])
})

test('a reader that is too slow is given a snapshot in place of what it missed', async () => {
  const { app, worker, id } = await stage()
  const members = Array.from({ length: 4000 }, (_, n) => id.s(n))
  const collection = await app.submit(group(...members))
  const events = collection.events()[Symbol.asyncIterator]()
  await events.next()
  const other = watch(collection.events())
  await other.until(isSnapshot)
  // Three changes for each job: more than are held for one who does not read.
  for (let round = 0; round < 2; round++) {
    for (let jobs = await worker.claim(500); jobs.length > 0; jobs = await worker.claim(500)) {
      const outcome = round === 0 ? ({ type: 'snoozed', delay: 0 } as const) : failed()
      await Promise.all(jobs.map((job) => worker.settle(job, outcome)))
      if (round === 0) break
    }
  }
  await other.done
  const { value } = await events.next()
  expect(value).toMatchObject({ type: 'snapshot' })
})

test('break, an abort and return free everything, also while nothing happens', async () => {
  let listening = 0
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    subscribe(listener) {
      listening++
      const stop = engine.subscribe(listener)
      return () => {
        listening--
        stop()
      }
    },
  })
  const { app, clock, id } = await stage({ wrap })
  const collection = await app.submit(chain(id.s(1), id.s()))
  for await (const event of collection.events()) {
    expect(listening).toBe(1)
    if (event.type === 'snapshot') break
  }
  expect(listening).toBe(0)
  const controller = new AbortController()
  const aborted = watch(collection.events({ signal: controller.signal }))
  await aborted.until(isSnapshot)
  controller.abort()
  expect(told(await aborted.done)).toEqual(['snapshot'])
  const iterator = collection.events()[Symbol.asyncIterator]()
  await iterator.next()
  const next = iterator.next()
  await iterator.return?.()
  expect(await next).toEqual({ done: true, value: undefined })
  expect(listening).toBe(0)
  expect(clock.pending).toBe(0)
  expect(await all(collection.events({ signal: AbortSignal.abort() }))).toEqual([])
})

test('the events of what is not there throw NotFound', async () => {
  const { app, engine, worker, id } = await stage()
  const collection = await app.submit(chain(id.s(1), id.s()))
  await worker.drain()
  await engine.remove(collection.id)
  await expect(all(collection.events())).rejects.toMatchObject({ code: 'NOT_FOUND' })
})
