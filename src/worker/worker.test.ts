/* eslint @typescript-eslint/only-throw-error: off */
import { describe, expect, test } from 'vitest'
import { Celeriac, chain, currentJob } from 'celeriac'
import { z } from 'zod'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'
import { Worker } from './worker.ts'

const exact = { base: 1_000, jitter: false }

describe('what an attempt comes to', () => {
  test('the result is stored', async () => {
    const { app, worker } = working()
    const add = app.task('add', (x: number, y: number) => x + y)
    const nothing = app.task('nothing', async () => {})
    await worker.start()
    expect(await (await add.delay(1, 2)).result()).toBe(3)
    expect(await (await nothing.delay()).result()).toBeUndefined()
  })

  test('a handler that throws is not tried again without a policy', async () => {
    const { app, worker } = working()
    const fail = app.task('fail', () => {
      throw new TypeError('Expected')
    })
    await worker.start()
    const job = await fail.delay()
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED', failure: { name: 'TypeError', attempt: 1 } })
  })

  test('with a policy it is, at the instant the backoff says and not before', async () => {
    const system = working()
    const attempts: number[] = []
    const flaky = system.app.task('flaky', { retry: { limit: 2, backoff: exact } }, () => {
      attempts.push(currentJob().attempt)
      if (currentJob().attempt < 3) throw new Error('Expected')
      return 'at last'
    })
    await system.worker.start()
    const job = await flaky.delay()
    await reached(job, 'scheduled')
    await pass(system, 999, 111)
    expect(attempts).toEqual([1])
    await pass(system, 1)
    expect(attempts).toEqual([1, 2])
    await pass(system, 2_000, 100)
    expect(await job.result()).toBe('at last')
    expect((await job.snapshot()).attempts).toMatchObject([
      { outcome: 'retried', failure: { message: 'Expected' } },
      { outcome: 'retried' },
      { outcome: 'succeeded' },
    ])
  })

  test('a task may say which failures are tried again', async () => {
    const { app, worker } = working()
    const options = { retry: { limit: 5, when: ({ message }: { message: string }) => message === 'again' } }
    const fail = app.task('fail', options, (message: string) => {
      throw new Error(message)
    })
    await worker.start()
    await expect((await fail.delay('never')).result()).rejects.toMatchObject({ failure: { attempt: 1 } })
  })

  test('retry() tries again without a policy, and tells its cause', async () => {
    const system = working()
    const poll = system.app.task('poll', () => {
      if (currentJob().attempt === 1) throw currentJob().retry({ in: '5s', cause: new Error('Not yet') })
      return 'ready'
    })
    await system.worker.start()
    const job = await poll.delay()
    await reached(job, 'scheduled')
    await pass(system, 5_000, 1_000)
    expect(await job.result()).toBe('ready')
    expect(await job.snapshot()).toMatchObject({ failures: 1, attempts: [{ failure: { message: 'Not yet' } }, {}] })
  })

  test('snooze() puts off without counting a failure', async () => {
    const system = working()
    const poll = system.app.task('poll', async () => {
      await turns(1)
      if (currentJob().attempt < 3) throw currentJob().snooze('1m')
      return 'ready'
    })
    await system.worker.start()
    const job = await poll.delay()
    await reached(job, 'scheduled')
    await pass(system, 120_000, 1_000)
    expect(await job.result()).toBe('ready')
    expect(await job.snapshot()).toMatchObject({ failures: 0, attempt: 3 })
  })

  test('a directive with a duration that is none fails the job in words', async () => {
    const { app, worker } = working()
    const poll = app.task('poll', () => {
      throw currentJob().snooze('soon' as '1s')
    })
    await worker.start()
    await expect((await poll.delay()).result()).rejects.toThrow("snooze: 'soon' is not a duration")
  })

  test('a result that JSON cannot carry fails the job at once, whatever the policy', async () => {
    const { app, worker } = working()
    const bad = app.task('bad', { retry: { limit: 5 } }, (): any => ({ rows: [{ when: new Date(0) }] }))
    await worker.start()
    const job = await bad.delay()
    await expect(job.result()).rejects.toThrow('JSON cannot carry result.rows[0].when: it is a Date')
    expect(await job.snapshot()).toMatchObject({ state: 'failed', attempt: 1 })
  })

  test('whatever is thrown is a failure, and the worker goes on', async () => {
    const { app, worker } = working()
    const thrown: unknown[] = [null, undefined, 'text', 7, Symbol('s'), { code: 5 }]
    const fail = app.task('fail', (n: number) => {
      throw thrown[n]
    })
    const failLater = app.task('failLater', async (n: number) => {
      await turns(1)
      throw thrown[n]
    })
    await worker.start()
    for (let n = 0; n < thrown.length; n++) {
      await expect((await fail.delay(n)).result()).rejects.toMatchObject({ code: 'JOB_FAILED' })
      await expect((await failLater.delay(n)).result()).rejects.toMatchObject({ code: 'JOB_FAILED' })
    }
  })

  test('an input that the schema refuses fails the job at once; one it takes is given as parsed', async () => {
    const { app, worker } = working()
    const schema = z.object({ at: z.iso.datetime().transform((text) => new Date(text)) })
    const seen: unknown[] = []
    const take = app.task('take', { input: schema, retry: { limit: 5 } }, ({ at }) => {
      seen.push(at)
      return at.getTime()
    })
    const source = app.task('source', (at: string) => ({ at }))
    await worker.start()
    expect(await (await app.submit(chain(source.s('1970-01-01T00:00:01Z'), take.s()))).result()).toBe(1_000)
    const bad = await app.submit(chain(source.s('never'), take.s()))
    await expect(bad.result()).rejects.toThrow('take: args[0].at')
    expect((await bad.snapshot()).jobs[1]).toMatchObject({ state: 'failed', attempt: 1 })
    expect(seen).toEqual([new Date(1_000)])
  })
})

describe('a worker among others', () => {
  test('a job of a task it does not know is put off, its attempt unspent, and told of once', async () => {
    const system = working()
    system.app.declare<() => string>('elsewhere')
    const job = await system.app.declare<(x: number) => string>('missing').delay(1)
    const other = await system.app.declare<(x: number) => string>('missing').delay(2)
    await system.worker.start()
    await reached(job, 'scheduled')
    await reached(other, 'scheduled')
    await pass(system, 30_000, 500)
    expect(await job.snapshot()).toMatchObject({ state: 'scheduled', attempt: 0, failures: 0 })
    expect(system.notices.filter(({ level }) => level === 'warn')).toHaveLength(1)
    system.app.task('missing', (x: number) => `found ${x}`)
    await pass(system, 60_000, 1_000)
    expect(await job.result()).toBe('found 1')
  })

  test('it is asked for less and less often', async () => {
    const system = working()
    const job = await system.app.declare<() => string>('missing').delay()
    await system.worker.start()
    await reached(job, 'scheduled')
    const dues: number[] = []
    for (let n = 0; n < 200; n++) {
      await pass(system, 1_000)
      const due = (await job.snapshot()).dueAt?.getTime()
      if (due !== undefined && due !== dues.at(-1)) dues.push(due)
    }
    const waits = dues.slice(1).map((due, n) => Math.round((due - dues[n]!) / 1_000))
    expect(waits.slice(0, 5)).toEqual([2, 4, 8, 16, 32])
    expect(Math.max(...waits)).toBe(60)
  })

  test('it works on the queues it was given only', async () => {
    const { app, worker } = working({ queues: ['shop'] })
    const buy = app.task('buy', { queue: 'shop' }, () => 'bought')
    const mail = app.task('mail', () => 'sent')
    const other = await mail.delay()
    await worker.start()
    expect(await (await buy.delay()).result()).toBe('bought')
    expect(await other.snapshot()).toMatchObject({ state: 'queued' })
  })

  test('no more handlers run at once than it was told', async () => {
    const { app, worker } = working({ concurrency: 3 })
    const gate = Promise.withResolvers<void>()
    let running = 0
    let most = 0
    const wait = app.task('wait', async () => {
      most = Math.max(most, ++running)
      await gate.promise
      running--
    })
    const jobs = await wait.delayMany(Array(10).fill([]))
    await worker.start()
    await turns()
    expect(running).toBe(3)
    gate.resolve()
    await Promise.all(jobs.map((job) => job.result()))
    expect(most).toBe(3)
  })

  test('it is listed with its name while it runs', async () => {
    const { app, worker } = working({ name: 'first', concurrency: 3, queues: ['a', 'b'] })
    await worker.start()
    expect(await app.workers.list()).toMatchObject([{ name: 'first', state: 'running', queues: ['a', 'b'] }])
    await worker.stop()
    expect(await app.workers.list()).toMatchObject([{ name: 'first', state: 'ended' }])
  })
})

describe('what a worker is made with', () => {
  const app = new Celeriac({ url: 'sqlite::memory:' })

  test.each([
    [{ concurency: 3 }, 'worker: there is no option "concurency"'],
    [{ concurrency: 0 }, 'worker: concurrency'],
    [{ queues: [] }, 'worker: queues: the list is empty'],
    [{ queues: 'shop' }, 'worker: queues: a list of names'],
    [{ lease: '1s' }, 'worker: lease: from 2 seconds'],
    [{ name: '' }, 'worker: name: it is empty'],
    [{ log: 'stderr' }, 'worker: log: a function'],
  ])('%j is refused', (options, message) => {
    expect(() => new Worker(app, options as never)).toThrow(message)
  })

  test('a grace that is none is refused, with the word that says so', () => {
    expect(() => new Worker(app, { grace: 'long' as '1s' })).toThrow('grace')
    expect(() => new Worker({} as never)).toThrow('This is not an app')
  })

  test('it runs once at a time, and may be started again after a stop', async () => {
    const { app: own, worker } = working()
    const add = own.task('add', (x: number) => x + 1)
    await worker.start()
    await expect(worker.start()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await worker.stop()
    await worker.stop()
    await worker.start()
    expect(await (await add.delay(1)).result()).toBe(2)
  })
})
