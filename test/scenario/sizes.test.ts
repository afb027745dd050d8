import { afterEach, expect, test } from 'vitest'
import { Celeriac, currentJob, group } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { describeEngines } from '../fixtures/store.ts'

/**
 * The largest things that workers meet, each played against a real store with its real time-outs. What needs no worker is in
 * test/contract/sizes.test.ts.
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
    return { app, worker, notices }
  }

  test('150 handlers that end at once with 1 MiB each, and one more job after them', async () => {
    const { app, worker, notices } = await start(150)
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
    for (const job of jobs) expect((await job.result()).length).toBe(result.length)
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
      const { log } = await job.snapshot()
      expect(log.map(({ message }) => message)).toEqual(Array.from({ length: 1_000 }, (_, n) => `line ${n}`))
    }
    expect(notices).toEqual([])
  })
})
