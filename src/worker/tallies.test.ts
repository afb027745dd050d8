/* eslint @typescript-eslint/only-throw-error: off */
import { describe, expect, test } from 'vitest'
import { each, currentJob, chain } from 'celeriac'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'
import { CeleriacError } from '../core/errors.ts'
import type { SettleAnswer, Tally } from '../engine/work.ts'
import { type CountedAttempt, Tallies } from './tallies.ts'

const minute = 60_000

function start(unsettledSince: () => number | null = () => null) {
  let now = 10 * minute
  const told = { changes: 0 }
  const tallies = new Tallies({ now: () => now, unsettledSince, onChange: () => void told.changes++ })
  const count = (change: Partial<CountedAttempt> = {}): void =>
    tallies.count({ task: 'a', outcome: 'succeeded', answer: 'accepted', endedAt: now, ran: 10, ...change })
  return { tallies, told, count, pass: (ms: number) => void (now += ms) }
}

const totals = (change: Partial<Tally> = {}): Tally => ({
  task: 'a',
  minute: 10 * minute,
  succeeded: 0,
  failed: 0,
  retried: 0,
  cancelled: 0,
  ran: 0,
  longest: 0,
  ...change,
})

describe('tallies', () => {
  test('count by task and by the minute in which an attempt ended', () => {
    const { tallies, count } = start()
    count()
    count({ ran: 30.4 })
    count({ outcome: 'failed', ran: 0.2 })
    count({ task: 'b', outcome: 'retried' })
    count({ endedAt: 11 * minute - 1, outcome: 'cancelled', answer: 'cancelled' })
    count({ endedAt: 11 * minute, outcome: 'continued' })
    expect(tallies.take()).toEqual([
      totals({ succeeded: 2, failed: 1, cancelled: 1, ran: 51, longest: 30 }),
      totals({ task: 'b', retried: 1, ran: 10, longest: 10 }),
      totals({ minute: 11 * minute, succeeded: 1, ran: 10, longest: 10 }),
    ])
  })

  test('count what the store says became of it, and not what was given back, put off or refused', () => {
    const { tallies, told, count } = start()
    for (const outcome of ['released', 'snoozed'] as const) count({ outcome })
    for (const answer of ['superseded', 'invalid'] satisfies SettleAnswer[]) count({ answer })
    expect(told.changes).toBe(0)
    expect(tallies.hasChanged).toBe(false)
    count({ answer: 'cancelled' })
    expect(tallies.take()).toEqual([totals({ cancelled: 1, ran: 10, longest: 10 })])
  })

  test('give what changed since it was taken, whole, and say once that there is something', () => {
    const { tallies, told, count } = start()
    count()
    count()
    count({ task: 'b' })
    expect(told.changes).toBe(1)
    expect(tallies.take()).toHaveLength(2)
    expect(tallies.take()).toEqual([])
    count()
    expect(told.changes).toBe(2)
    expect(tallies.take()).toEqual([totals({ succeeded: 3, ran: 30, longest: 10 })])
  })

  test('what was given back is given again, with what came meanwhile', () => {
    const { tallies, told, count } = start()
    count()
    count({ task: 'b' })
    const taken = tallies.take()
    tallies.giveBack(taken)
    expect(told.changes).toBe(2)
    count()
    expect(tallies.take()).toEqual([
      totals({ succeeded: 2, ran: 20, longest: 10 }),
      totals({ task: 'b', succeeded: 1, ran: 10, longest: 10 }),
    ])
  })

  test('a minute is forgotten when it is over and told, and nothing of it is on its way', () => {
    let since: number | null = 10 * minute + 5
    const { tallies, count, pass: passTime } = start(() => since)
    const firstAgain = (): number | undefined => {
      count({ endedAt: 10 * minute })
      return tallies.take()[0]?.succeeded
    }
    count()
    tallies.take()
    passTime(minute)
    tallies.forgetOver()
    expect(firstAgain()).toBe(2)
    since = null
    count({ endedAt: 10 * minute })
    tallies.forgetOver()
    expect(firstAgain()).toBe(4)
    tallies.forgetOver()
    expect(firstAgain()).toBe(1)
  })
})

describe('a worker', () => {
  const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }

  test('tells within 5 s what attempts came to, and how long they ran', async () => {
    const system = working({ lease: '60s' })
    const { app, worker, engine, calls } = system
    const sleep = app.task(
      'sleep',
      { retry: { limit: 1, backoff: { base: 1, jitter: false } } },
      async (ms: number) => {
        await new Promise<void>((resolve) => void system.clock.after(ms, resolve))
        if (currentJob().attempt === 1) throw new Error('Expected')
      },
    )
    const quick = app.task('quick', (x: number) => x)
    await worker.start()
    const job = await sleep.delay(300)
    await reached(job, 'running')
    await pass(system, 401, 1)
    await pass(system, 300, 1)
    await job.result()
    for (let n = 0; n < 3; n++) await (await quick.delay(n)).result()
    expect(await engine.statistics(everything)).toEqual([])
    calls.length = 0
    await pass(system, 5_000, 500)
    expect(calls.filter((method) => method === 'heartbeat')).toHaveLength(1)
    const [about, other] = await engine.statistics(everything)
    const start = system.clock.now() - (system.clock.now() % minute)
    expect([about, other]).toEqual([
      totals({ task: 'quick', minute: start, succeeded: 3 }),
      totals({ task: 'sleep', minute: start, succeeded: 1, retried: 1, ran: about!.ran + other!.ran, longest: 300 }),
    ])
    expect(other!.ran).toBe(600)
  })

  test('says the rest with its last beat', async () => {
    const { app, worker, engine } = working()
    const add = app.task('add', (x: number, y: number) => x + y)
    const odd = app.task('odd', (x: number) => {
      if (x % 2 === 0) throw new Error('Even')
      return chain(add.s(x, 1), add.s(1))
    })
    await worker.start()
    const jobs = [await odd.delay(1), await odd.delay(2)]
    await Promise.allSettled(jobs.map((job) => job.result()))
    await worker.stop()
    expect(
      (await engine.statistics(everything)).map(({ task, succeeded, failed }) => [task, succeeded, failed]),
    ).toEqual([
      ['add', 2, 0],
      ['odd', 1, 1],
    ])
  })

  test('counts what was cancelled, and what was completed within a transaction', async () => {
    const system = working()
    const { app, worker, engine } = system
    const gate = Promise.withResolvers<void>()
    const listens = app.task('listens', async () => {
      const { signal } = currentJob()
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    })
    const within = app.task('within', async () => {
      await currentJob().completeWithin(() => 1)
      await gate.promise
    })
    await worker.start()
    const [one, other] = [await listens.delay(), await within.delay()]
    await reached(one, 'running')
    await one.cancel()
    await expect(one.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    expect(await other.result()).toBe(1)
    gate.resolve()
    await turns()
    await worker.stop()
    expect(
      (await engine.statistics(everything)).map(({ task, succeeded, cancelled }) => [task, succeeded, cancelled]),
    ).toEqual([
      ['listens', 0, 1],
      ['within', 1, 0],
    ])
  })

  test('does not count what was put off, nor the work of this package itself', async () => {
    const { app, worker, engine } = working()
    const one = app.task('one', (x: number) => x)
    const list = app.task('list', () => [1, 2, 3])
    const later = app.task('later', () => {
      throw currentJob().snooze('1h')
    })
    await worker.start()
    const job = await later.delay()
    await reached(job, 'scheduled')
    await (await app.submit(chain(list.s(), each(one.s())))).result()
    await worker.stop()
    expect((await engine.statistics(everything)).map(({ task, succeeded }) => [task, succeeded])).toEqual([
      ['list', 1],
      ['one', 3],
    ])
  })

  test('what no answer came for is told again, and counts once', async () => {
    let isLost = false
    const system = working({ lease: '60s' }, async (method, call) => {
      const answer = await call()
      if (method === 'heartbeat' && isLost) throw new CeleriacError('STORE_BUSY', 'The answer was lost.')
      return answer
    })
    const { app, worker, engine } = system
    const add = app.task('add', (x: number) => x)
    await worker.start()
    await (await add.delay(1)).result()
    isLost = true
    await pass(system, 6_000, 500)
    await (await add.delay(2)).result()
    isLost = false
    await pass(system, 6_000, 500)
    expect(await engine.statistics(everything)).toMatchObject([{ task: 'add', succeeded: 2 }])
  })
})
