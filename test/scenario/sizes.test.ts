import { afterEach, expect, test } from 'vitest'
import { chain, Celeriac, currentJob, group, type Signature } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { describeEngines } from '../fixtures/store.ts'

/**
 * The largest things that workers meet, each played against a real store with its real time-outs. What needs no worker is in
 * test/contract/sizes.test.ts, what takes long in test/long/sizes.test.ts.
 */
const kibibyte = 1024
const mebibyte = 1024 * kibibyte
const argument = 'x'.repeat(250 * kibibyte)
const result = 'y'.repeat(mebibyte - 2)

describeEngines(({ place }) => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function start(concurrency: number) {
    const { url, remove } = await place()
    closing.push(remove)
    const app = new Celeriac({ url, sendTimeout: 30_000 })
    closing.push(() => app.close())
    const notices: string[] = []
    const worker = new Worker(app, { concurrency, log: ({ message }) => void notices.push(message) })
    closing.push(() => worker.stop())
    return { app, worker, notices, url }
  }

  test('150 handlers that end at once with 1 MiB each, and one more job after them', async () => {
    const { app, worker, notices, url } = await start(150)
    const everybody = Promise.withResolvers<void>()
    let count = 0
    const produce = app.task('produce', async () => {
      if (++count === 150) everybody.resolve()
      await everybody.promise
      return result
    })
    const small = app.task('small', () => 'done')
    const jobs = await produce.delayMany(Array.from({ length: 150 }, () => []))
    await worker.start()
    // Whoever waits is another process than the worker, with connections of its own.
    const caller = new Celeriac({ url })
    closing.push(() => caller.close())
    for (const { id } of jobs) expect(((await (await caller.job(id)).result()) as string).length).toBe(result.length)
    expect(await (await small.delay()).result()).toBe('done')
    expect(notices).toEqual([])
  })

  test('a handler that returns a group of 400 calls of 250 KiB each', async () => {
    const { app, worker, notices } = await start(20)
    const keep = app.task('keep', (text: string) => text.length)
    const fan = app.task('fan', () => group(...Array.from({ length: 400 }, () => keep.s(argument))))
    const job = await fan.delay()
    await worker.start()
    expect(await job.result()).toEqual(Array<number>(400).fill(argument.length))
    expect(notices).toEqual([])
  })

  test('900 calls of 250 KiB: refused as one, stored and run as several', async () => {
    const { app, worker, notices } = await start(100)
    const keep = app.task('keep', (text: string) => text.length)
    const lists = Array.from({ length: 900 }, () => [argument] as const)
    await expect(keep.delayMany(lists)).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect((await app.jobs.list()).items).toEqual([])
    const jobs = [...(await keep.delayMany(lists.slice(0, 100))), ...(await keep.delayMany(lists.slice(0, 100)))]
    await worker.start()
    for (const job of jobs) expect(await job.result()).toBe(argument.length)
    expect(notices).toEqual([])
  })

  test('four handlers that log 1,000 lines with 16 KiB each', async () => {
    const { app, worker, notices } = await start(20)
    const data = 'z'.repeat(16 * kibibyte - 2)
    const chatter = app.task('chatter', () => {
      for (let n = 0; n < 1_000; n++) currentJob().log.info(`line ${n}`, data)
      return 'done'
    })
    const jobs = await chatter.delayMany(Array.from({ length: 4 }, () => []))
    await worker.start()
    for (const job of jobs) {
      expect(await job.result()).toBe('done')
      // A snapshot carries the newest 2 MiB of them.
      const { log, omitted } = await job.snapshot()
      const left = omitted?.lines ?? 0
      expect(left + log.length).toBe(1_000)
      expect(log.length).toBeGreaterThan(100)
      expect(log.map(({ message }) => message)).toEqual(log.map((_, n) => `line ${left + n}`))
    }
    expect(notices).toEqual([])
  })

  // ── at each bound, and one above it ──────────────────────────────────────────────────────────────────────────────

  /** Three bytes in UTF-8: a bound is in characters, a store's own limits are in bytes. */
  const euros = (count: number): string => '€'.repeat(count)
  const tags = Array.from({ length: 32 }, (_, n) => String(n).padStart(2, '0') + euros(126))
  const longest = {
    queue: euros(128),
    tags,
    description: euros(1_000),
    idempotencyKey: euros(256),
    unique: { key: euros(256), onConflict: 'reject' },
    actor: { id: euros(256) },
    priority: -1_000,
    startAt: new Date(8.64e15),
    expires: '36525d',
    timeout: '36525d',
    retention: '36525d',
    retry: { limit: 1_000_000, backoff: { base: '36525d', factor: 1_000, max: '36525d' } },
  } as const

  test('names, tags, keys and terms at their bounds are kept as they are', async () => {
    const { app } = await start(1)
    const task = app.task(euros(200), () => 1)
    const url = `https://example.com/${'x'.repeat(2_048 - 20)}`
    const canvas = chain(task.s(), task.si())
    const sent = await app.submit(canvas, { ...longest, callback: { url, results: 'all' } })
    const { queue, description, actor } = longest
    const detail = await sent.snapshot()
    expect(detail).toMatchObject({ description, actor, tags })
    expect(detail.jobs[0]).toMatchObject({ task: euros(200), queue, tags, priority: -1_000, state: 'scheduled' })
    expect(await app.submit(canvas, { ...longest, callback: { url, results: 'all' } })).toMatchObject({ id: sent.id })
    const key = { unique: longest.unique }
    await expect(task.with(key).delay()).rejects.toMatchObject({ code: 'UNIQUE_CONFLICT' })
    // The two jobs, and the one that calls back.
    expect((await app.jobs.list({ queue, tag: tags[0]! })).items).toHaveLength(3)
    expect((await app.queues.list()).map(({ name }) => name)).toContain(queue)
    await sent.cancel()
    await expect(sent.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
  })

  const above = {
    queue: { queue: euros(129) },
    tag: { tags: [euros(129)] },
    tags: { tags: [...tags, 'one more'] },
    description: { description: euros(1_001) },
    'idempotency key': { idempotencyKey: euros(257) },
    'unique key': { unique: { key: euros(257) } },
    actor: { actor: { id: euros(257) } },
    'priority above': { priority: 1_001 },
    'priority below': { priority: -1_001 },
    expiry: { expires: '36526d' },
    'time-out': { timeout: '36526d' },
    retention: { retention: '36526d' },
    retries: { retry: { limit: 1_000_001 } },
    'factor of retries': { retry: { limit: 1, backoff: { factor: 1_001 } } },
    callback: { callbackUrl: `https://example.com/${'x'.repeat(2_048 - 19)}` },
  } as const

  test('what is one above a bound is refused with the bound, and nothing of it stored', async () => {
    const { app } = await start(1)
    const task = app.task('task', (..._: unknown[]) => 1)
    const bounds = /\b(128|32|1000|1 ?000|256|100 years|1000000|2048)\b/
    for (const [what, options] of Object.entries(above)) {
      const refusal = await app.submit(chain(task.s(), task.si()), options).catch((error: unknown) => error)
      expect([what, refusal]).toMatchObject([what, { code: expect.stringMatching(/^BAD_(OPTION|DURATION)$/) }])
      expect(String((refusal as Error).message)).toMatch(bounds)
    }
    expect(() => app.task(euros(201), () => 1)).toThrow(/200 characters/)
    const within = { code: 'TOO_LARGE', message: expect.stringContaining('256 KiB') }
    await expect(task.delay('x'.repeat(256 * kibibyte - 3))).rejects.toMatchObject(within)
    await expect(task.delayMany([['x'], ['x'.repeat(256 * kibibyte - 3)]])).rejects.toMatchObject(within)
    await expect(task.delay(listsAround(65))).rejects.toMatchObject({ code: 'TOO_DEEP' })
    await expect(app.submit(groupsAround(65, task.s()))).rejects.toMatchObject({ code: 'TOO_DEEP' })
    const tooMany = task.delayMany(Array.from({ length: 10_001 }, () => []))
    await expect(tooMany).rejects.toMatchObject({ code: 'TOO_MANY_JOBS', message: expect.stringContaining('10000') })
    expect((await app.jobs.list()).items).toEqual([])
    expect((await app.collections.list()).items).toEqual([])
  })

  const listsAround = (count: number): unknown => {
    let value: unknown = 1
    for (let n = 0; n < count; n++) value = [value]
    return value
  }
  const groupsAround = (count: number, inner: Signature<any>): ReturnType<typeof group> => {
    let canvas = group(inner)
    for (let n = 1; n < count; n++) canvas = group(canvas)
    return canvas
  }

  test('arguments and results at their bounds go to the handler and back, and what is above fails alone', async () => {
    const { app, worker } = await start(20)
    const echo = app.task('echo', (value: unknown) => value)
    const make = app.task('make', (text: string, length: number) => text.repeat(length))
    const most = 'é'.repeat(128 * kibibyte - 2)
    const [whole, deep] = [await echo.delay(most), await echo.delay(listsAround(64))]
    const nested = await app.submit(groupsAround(64, echo.s(1)))
    const [large, tooLarge] = [await make.delay('€', (mebibyte - 4) / 3), await make.delay('€', mebibyte / 3)]
    await worker.start()
    expect(await whole.result()).toBe(most)
    expect(await deep.result()).toEqual(listsAround(64))
    expect(JSON.stringify(await nested.result())).toBe('['.repeat(64) + '1' + ']'.repeat(64))
    expect((await large.result()).length).toBe((mebibyte - 4) / 3)
    await expect(tooLarge.result()).rejects.toThrow(/more than 1024 KiB/)
    expect((await tooLarge.snapshot()).attempts).toHaveLength(1)
  })

  test('32 MiB of arguments and 10,000 jobs in one call', async () => {
    const { app } = await start(1)
    const task = app.task('task', (..._: unknown[]) => 1)
    const most = 'x'.repeat(256 * kibibyte - 4)
    const jobs = await task.delayMany(Array.from({ length: 128 }, () => [most]))
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(128)
    await expect(task.delayMany([...Array.from({ length: 128 }, () => [most]), []])).rejects.toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringContaining('32 MiB'),
    })
    expect((await task.delayMany(Array.from({ length: 10_000 }, () => []))).length).toBe(10_000)
    const { queued } = (await app.queues.list())[0]!.counts
    expect(queued).toBe(10_128)
  })

  test('more log lines, longer messages and more data than are kept are cut', async () => {
    const { app, worker } = await start(1)
    const chatter = app.task('chatter', () => {
      const { log } = currentJob()
      log.info(euros(8_193))
      for (let n = 1; n < 1_005; n++) log.info(`line ${n}`)
      throw new Error(euros(10_000))
    })
    const job = await chatter.delay()
    await worker.start()
    await expect(job.result()).rejects.toThrow(/€{2000}/)
    const { log, failure } = await job.snapshot()
    expect(log.length).toBeLessThanOrEqual(1_001)
    expect(log[0]!.message.length).toBeLessThanOrEqual(8_192)
    expect(log[999]!.message).toBe('line 999')
    expect(new TextEncoder().encode(failure!.message).length).toBeLessThanOrEqual(8 * kibibyte)
  })
})
