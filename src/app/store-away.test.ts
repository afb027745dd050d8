import { expect, onTestFinished, test } from 'vitest'
import { Worker, type WorkerNotice } from 'celeriac/worker'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { pass, turns } from '../../test/fixtures/working.ts'
import { StoreUnavailable } from '../core/errors.ts'
import { group } from '../canvas/group.ts'
import type { Intercept } from '../engine/instrument.ts'
import type { CeleriacOptions } from './config.ts'

/** How the store is: well, not to be reached, lost before it answers, or silent. */
type Condition = 'well' | 'away' | 'lost' | 'silent'

function outage(options: CeleriacOptions = {}, methods: readonly string[] | null = null) {
  const store = { is: 'well' as Condition, asked: [] as string[] }
  const intercept: Intercept = async (method, call) => {
    if (store.is === 'well' || method === 'close' || methods?.includes(method) === false) return call()
    store.asked.push(method)
    if (store.is === 'silent') return new Promise(() => {})
    if (store.is === 'lost') await call()
    throw new StoreUnavailable('connect ECONNREFUSED.', { mayBeStored: store.is === 'lost' })
  }
  const made = appByHand({ intercept }, options)
  return { ...made, store, add: made.app.task('add', (x: number) => x) }
}

const refusal = (sending: Promise<unknown>): Promise<unknown> =>
  sending.then(
    () => 'stored',
    (error: unknown) => error,
  )

test('what is sent while the store is away is stored when it is back', async () => {
  const system = outage()
  system.store.is = 'away'
  const sending = Promise.all([system.add.delay(1), system.app.submit(group(system.add.s(2), system.add.s(3)))])
  await pass(system, 3_000, 50)
  expect(system.store.asked.length).toBeGreaterThan(3)
  system.store.is = 'well'
  await pass(system, 1_500, 50)
  await sending
  expect(await (await hand(system.engine)).drain()).toEqual(['add', 'add', 'add'])
})

test('it is given up after the time-out, and says that nothing was stored', async () => {
  const system = outage()
  system.store.is = 'away'
  const refused = refusal(system.add.delay(1))
  await pass(system, 4_900, 100)
  expect(await Promise.race([refused, turns(1).then(() => 'waiting')])).toBe('waiting')
  await pass(system, 100)
  expect(await refused).toBeInstanceOf(StoreUnavailable)
  expect(await refused).toMatchObject({
    code: 'STORE_UNREACHABLE',
    mayBeStored: false,
    message: 'The store has not answered for 5.0 s (connect ECONNREFUSED). Nothing was stored: send it again later.',
  })
  system.store.is = 'well'
  await pass(system, 2_000, 100)
  expect((await system.app.jobs.list()).items).toEqual([])
})

test.each(['lost', 'silent'] as const)(
  'where the answer is what was %s, it may have been stored',
  async (condition) => {
    const system = outage({ sendTimeout: '2s' })
    system.store.is = condition
    const refused = refusal(system.add.delay(1))
    await pass(system, 2_000, 100)
    expect(await refused).toMatchObject({
      mayBeStored: true,
      message: expect.stringMatching(
        /^The store has not answered for 2\.0 s.* under the same idempotencyKey\.$/,
      ) as string,
    })
  },
)

test('sent again after a lost answer it is still stored once', async () => {
  const system = outage()
  system.store.is = 'lost'
  const sending = system.add.with({ unique: { key: 'u', onConflict: 'reject' } }).delay(1)
  await pass(system, 200, 50)
  system.store.is = 'well'
  await pass(system, 1_000, 50)
  expect((await sending).id).toBe((await system.app.jobs.list()).items[0]?.id)
  expect((await system.app.jobs.list()).items).toHaveLength(1)
})

test('each call has its own time, whatever those before it wait for', async () => {
  const system = outage()
  system.store.is = 'silent'
  const over: string[] = []
  const send = (name: string): void => {
    void refusal(system.add.delay(1)).then((error) =>
      over.push(`${name} ${(error as StoreUnavailable).mayBeStored ? 'perhaps' : 'never'}`),
    )
  }
  send('first')
  await pass(system, 3_000, 500)
  send('second')
  await pass(system, 2_000, 500)
  expect(over).toEqual(['first perhaps'])
  await pass(system, 3_000, 500)
  expect(over).toEqual(['first perhaps', 'second never'])
})

test('a thousand jobs sent together have the whole time, two thousand have it twice', async () => {
  const system = outage()
  system.store.is = 'away'
  const lists = Array.from({ length: 1_001 }, (_, n) => [n] as const)
  const few = refusal(system.add.delayMany(lists.slice(1)))
  const many = refusal(system.add.delayMany(lists))
  await turns(1)
  await pass(system, 5_000, 250)
  expect(await few).toBeInstanceOf(StoreUnavailable)
  expect(await Promise.race([many, turns(2).then(() => 'waiting')])).toBe('waiting')
  await pass(system, 5_000, 250)
  expect(await many).toBeInstanceOf(StoreUnavailable)
})

test('a large canvas goes on with the part that was lost', async () => {
  const system = outage({}, ['upload'])
  system.store.is = 'lost'
  const sending = system.app.submit(group(...Array.from({ length: 1_500 }, (_, n) => system.add.s(n))))
  await pass(system, 1_000, 50)
  system.store.is = 'well'
  await pass(system, 1_500, 50)
  await sending
  const { jobs } = await (await sending).snapshot()
  expect(jobs).toHaveLength(1_500)
  system.store.is = 'silent'
  const refused = refusal(system.app.submit(group(...Array.from({ length: 1_500 }, (_, n) => system.add.s(n)))))
  // Its calls are gone through in turns before anything is sent.
  await turns()
  await pass(system, 5_000, 500)
  expect(await refused).toMatchObject({ code: 'STORE_UNREACHABLE' })
})

test('a transaction of the user’s is not sent again: it went with its connection', async () => {
  const system = outage()
  system.store.is = 'away'
  const within = { isTransaction: true } as never
  await expect(system.add.with({ within }).delay(1)).rejects.toThrow('connect ECONNREFUSED')
  await expect(system.add.with({ within }).delayMany([[1]])).rejects.toThrow('connect ECONNREFUSED')
  await expect(system.app.submit(system.add.s(1), { within })).rejects.toThrow('connect ECONNREFUSED')
  expect(system.store.asked).toEqual(['submit', 'submit', 'submit'])
})

test('closing waits for what was sent, and no longer than its senders do', async () => {
  const system = outage()
  system.store.is = 'silent'
  const refused = refusal(system.add.delay(1))
  const closing = system.app.close()
  await pass(system, 5_000, 500)
  expect(await refused).toMatchObject({ mayBeStored: true })
  await closing
  await expect(system.add.delay(2)).rejects.toMatchObject({ code: 'CLOSED' })
})

test('whoever waits or follows goes on when the store is back', async () => {
  const system = outage()
  const job = await system.add.delay(7)
  const result = job.result()
  const seen: string[] = []
  const following = (async () => {
    for await (const event of job.events()) seen.push(event.type === 'state' ? event.state : event.type)
  })()
  await turns()
  const worker = await hand(system.engine)
  const claimed = await worker.take()
  system.store.is = 'away'
  await pass(system, 30_000, 500)
  system.store.is = 'well'
  await worker.succeed(claimed, 8)
  await pass(system, 10_000, 250)
  expect(await result).toBe(8)
  await following
  expect(seen).toEqual(['snapshot', 'running', 'succeeded'])
})

test('a wait that has an end ends while the store is away', async () => {
  const system = outage({}, ['job'])
  const job = await system.add.delay(7)
  const refused = refusal(job.result({ timeout: '20s' }))
  await turns()
  const worker = await hand(system.engine)
  system.store.is = 'away'
  await worker.succeed(await worker.take())
  await pass(system, 21_000, 500)
  expect(await refused).toMatchObject({ code: 'TIMED_OUT' })
})

test('who stops following while the store is away hears nothing of it', async () => {
  const system = outage({}, ['jobs', 'job'])
  const job = await system.add.delay(7)
  const stop = new AbortController()
  const events = job.events({ signal: stop.signal })[Symbol.asyncIterator]()
  await events.next()
  const next = events.next()
  system.store.is = 'away'
  stop.abort()
  expect(await next).toMatchObject({ done: true })
})

test('to begin to wait for what cannot be seen is refused at once', async () => {
  const system = outage()
  const job = await system.add.delay(7)
  system.store.is = 'away'
  await expect(job.result()).rejects.toBeInstanceOf(StoreUnavailable)
})

test('a worker goes on through an outage: outcomes are kept, nothing more is claimed, and it is told once', async () => {
  const system = outage()
  const gate = Promise.withResolvers<void>()
  const ran: number[] = []
  const slow = system.app.task('slow', async (n: number) => {
    ran.push(n)
    await gate.promise
    return n
  })
  const notices: WorkerNotice[] = []
  const worker = new Worker(system.app, { concurrency: 2, log: (notice) => void notices.push(notice) })
  onTestFinished(() => worker.stop({ grace: 0 }))
  const jobs = await slow.delayMany([[1], [2], [3]])
  await worker.start()
  await turns()
  system.store.is = 'away'
  gate.resolve()
  await pass(system, 30_000, 250)
  expect(ran).toEqual([1, 2])
  expect(notices.map(({ level }) => level)).toEqual(['error'])
  expect(notices[0]?.message).toBe(
    'connect ECONNREFUSED. Jobs that run go on, and what they come to is kept. Trying again.',
  )
  system.store.is = 'well'
  await pass(system, 10_000, 250)
  expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 2, 3])
  expect((await jobs[0]!.snapshot()).attempt).toBe(1)
  expect(notices.slice(1)).toEqual([{ level: 'info', message: 'The store answers again.' }])
})
