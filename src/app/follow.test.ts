import { expect, test } from 'vitest'
import { all, type AppByHand, appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { chain } from '../canvas/chain.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import type { EventsQuery } from '../engine/feed.ts'

const taskOf = ({ app }: Pick<AppByHand, 'app'>) => app.task('id', (x: any) => x)

/** Resolves when everything that is already on its way has had its turn. */
const turns = async (count = 3): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise<void>((resolve) => setImmediate(resolve))
}

test('ten thousand waits are one subscription, one reader, and a look or two each', async () => {
  const listeners = { most: 0, now: 0 }
  const queries: EventsQuery[] = []
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    events(query) {
      queries.push(query)
      return engine.events(query)
    },
    subscribe(listener) {
      listeners.most = Math.max(listeners.most, ++listeners.now)
      const stop = engine.subscribe(listener)
      return () => {
        listeners.now--
        stop()
      }
    },
  })
  const { app, engine, calls } = appByHand({ wrap })
  const id = taskOf({ app })
  const jobs = await id.delayMany(Array.from({ length: 10_000 }, (_, n) => [n] as const))
  calls.length = 0
  const results = Promise.all(jobs.map((job) => job.result()))
  await turns()
  expect(calls.filter((method) => method === 'job')).toHaveLength(10_000)
  const worker = await hand(engine)
  for (let claimed = await worker.claim(1000); claimed.length > 0; claimed = await worker.claim(1000)) {
    const settlements = claimed.map(({ ref, token, args }) => {
      const result = JSON.stringify((JSON.parse(args) as number[])[0])
      return { ref, token, outcome: { type: 'succeeded', result } as const }
    })
    await engine.settle(settlements)
  }
  expect(await results).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
  expect(calls.filter((method) => method === 'job')).toHaveLength(20_000)
  expect(listeners).toEqual({ most: 1, now: 0 })
  expect(queries.length).toBeLessThan(200)
  expect(queries[0]?.collections).toBeNull()
})

test('only what is followed is read, and nothing once nobody follows', async () => {
  const queries: EventsQuery[] = []
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    events(query) {
      queries.push(query)
      return engine.events(query)
    },
  })
  const { app, engine, clock } = appByHand({ wrap })
  const id = taskOf({ app })
  const worker = await hand(engine)
  const [first, second] = [await id.delay(1), await id.delay(2)]
  const waiting = first.result()
  await turns()
  await worker.drain()
  await waiting
  expect(queries.length).toBeGreaterThan(0)
  expect(new Set(queries.flatMap(({ collections }) => collections))).toEqual(new Set([first.id]))
  const before = queries.length
  await second.result()
  await id.delay(3)
  await worker.drain()
  clock.pass(60_000)
  await turns()
  expect(queries.length).toBe(before)
  expect(clock.pending).toBe(0)
})

test('what happens while somebody joins is not missed, though a read that began without them is under way', async () => {
  let hold = Promise.resolve()
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    async events(query) {
      await hold
      return engine.events(query)
    },
  })
  const { app, engine } = appByHand({ wrap })
  const id = taskOf({ app })
  const worker = await hand(engine)
  const first = await app.submit(chain(id.s(1), id.s()))
  const other = await id.with({ priority: 1 }).delay(2)
  const firstResult = first.result()
  await turns()
  const held = Promise.withResolvers<void>()
  hold = held.promise
  await id.delay(3)
  await turns()
  // A read for the first one alone is under way; it will stand behind all that happens until it ends.
  const result = other.result()
  await turns()
  await worker.succeed(await worker.take(), 'found')
  held.resolve()
  expect(await result).toBe('found')
  await worker.drain()
  await firstResult
})

test.each([
  ['stands elsewhere by then', true],
  ['is reading for others', false],
])(
  'a look answered before the reader set out is not taken for its beginning when that %s',
  async (_name, isElsewhere) => {
    const [heldLook, heldRead] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let heldId = ''
    const wrap = (engine: Engine): Engine => ({
      ...engine,
      async job(id) {
        const found = await engine.job(id)
        if (id === heldId) await heldLook.promise
        return found
      },
      async events(query) {
        if (!isElsewhere) await heldRead.promise
        return engine.events(query)
      },
    })
    const { app, engine } = appByHand({ wrap })
    const id = taskOf({ app })
    const worker = await hand(engine)
    const [late, other] = [await id.delay(1), await id.with({ priority: -1 }).delay(2)]
    heldId = late.id
    const result = late.result()
    await turns()
    if (isElsewhere) await worker.succeed(await worker.take(), 'found')
    const otherResult = other.result()
    await turns()
    heldId = ''
    heldLook.resolve()
    await turns()
    if (!isElsewhere) await worker.succeed(await worker.take(), 'found')
    heldRead.resolve()
    expect(await result).toBe('found')
    await worker.drain()
    await otherResult
  },
)

test('a signal that was lost costs time, not news', async () => {
  const wrap = (engine: Engine): Engine => ({ ...engine, subscribe: () => () => {} })
  const { app, engine, clock } = appByHand({ wrap })
  const id = taskOf({ app })
  const worker = await hand(engine)
  const job = await id.delay(1)
  const result = job.result()
  await turns()
  await worker.drain()
  await turns()
  clock.pass(2000)
  expect(await result).toBe('id')
})

test('a store that is away for a while delays news; one that is broken ends the wait', async () => {
  let code: 'STORE_UNREACHABLE' | 'STORE_CORRUPT' | undefined
  let failures = 0
  const { app, engine, clock } = appByHand({
    intercept(method, call) {
      if (method !== 'events' || !code) return call()
      failures++
      return Promise.reject(new CeleriacError(code, 'no'))
    },
  })
  const id = taskOf({ app })
  const worker = await hand(engine)
  const away = (await id.delay(1)).result()
  await turns()
  code = 'STORE_UNREACHABLE'
  await worker.drain()
  for (let n = 0; n < 20; n++) {
    await turns()
    clock.pass(10_000)
  }
  expect(failures).toBeGreaterThan(10)
  code = undefined
  await turns()
  clock.pass(10_000)
  expect(await away).toBe('id')
  const broken = expect((await id.delay(1)).result()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  await turns()
  code = 'STORE_CORRUPT'
  await worker.drain()
  for (let n = 0; n < 20; n++) {
    await turns()
    clock.pass(10_000)
  }
  await broken
})

test('a wait that nobody can tell of any more ends with the app', async () => {
  const { app } = appByHand()
  const id = taskOf({ app })
  const job = await id.delay(1)
  const ends = [job.result(), all(job.events())].map((end) => expect(end).rejects.toMatchObject({ code: 'CLOSED' }))
  await turns()
  await app.close()
  await Promise.all(ends)
})
