import { expect, onTestFinished, test } from 'vitest'
import { Celeriac, chain, currentJob, each } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { describeEngines } from '../fixtures/store.ts'

describeEngines((engine) => {
  test('each element of a chunk has a key of its own, and is done once over attempts and rounds', async () => {
    const place = await engine.place()
    const app = new Celeriac({ url: place.url })
    onTestFinished(async () => {
      await app.close()
      await place.remove()
    })
    const failing = new Map([
      [3, 1],
      [7, 2],
    ])
    const charged = new Map<string, number>()
    const calls: number[] = []
    const charge = app.task('charge', { retry: { limit: 1, backoff: { base: 0 } } }, async (amount: number) => {
      const { id, key } = currentJob()
      expect(key.startsWith(id)).toBe(true)
      calls.push(amount)
      await Promise.resolve()
      // The documented recipe: what was done under this key is not done again.
      if (!charged.has(key)) charged.set(key, amount)
      const left = failing.get(amount) ?? 0
      failing.set(amount, left - 1)
      if (left > 0) throw new Error(`Broken: ${amount}`)
      return amount % 2 === 0 ? undefined : { amount }
    })
    const list = app.task('list', (count: number) => Array.from({ length: count }, (_, n) => n))
    const worker = new Worker(app, { concurrency: 1 })
    await worker.start()
    onTestFinished(() => worker.stop())

    const collection = await app.submit(chain(list.s(10), each(charge, { chunk: 5 })))
    // The second chunk fails for good at its third element, in its second attempt.
    await expect(collection.result()).rejects.toThrow('Broken: 7')
    await collection.retry()
    expect(await collection.result()).toEqual(
      Array.from({ length: 10 }, (_, amount) => (amount % 2 === 0 ? null : { amount })),
    )
    expect([...charged.values()].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(calls.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 7, 8, 9])
  })

  test('the key of any other job is its id', async () => {
    const place = await engine.place()
    const app = new Celeriac({ url: place.url })
    onTestFinished(async () => {
      await app.close()
      await place.remove()
    })
    const own = app.task('own', () => currentJob().key)
    const worker = new Worker(app)
    await worker.start()
    onTestFinished(() => worker.stop())
    const job = await own.delay()
    expect(await job.result()).toBe(job.id)
  })
})
