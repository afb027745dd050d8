import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CallOptions, Celeriac, chain, currentJob, each, group, type TransactionClient } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { systemRuntime } from '../../src/core/runtime.ts'
import { openOwn, type Own } from '../fixtures/own-transaction.ts'
import { describeEngines } from '../fixtures/store.ts'

describeEngines(
  (engine) => {
    let stage: Awaited<ReturnType<typeof begin>>
    beforeAll(async () => {
      stage = await begin()
    })
    afterAll(() => stage?.end())

    /** An app with two workers on one store, and a connection of the user's beside it. */
    async function begin() {
      const place = await engine.place()
      const store = place.connect(systemRuntime)
      const own = await openOwn(store)
      const app = new Celeriac({ url: place.url })
      const add = app.task('add', (x: number, y: number) => x + y)
      const double = app.task('double', (x: number) => 2 * x)
      const list = app.task('list', (xs: number[]) => xs)
      const write = app.task('write', (text: string, ends: 'well' | 'badly') =>
        currentJob().completeWithin(async (client: TransactionClient) => {
          await own.note(text, client)
          if (ends === 'badly') throw new RangeError('Expected')
          return text.length
        }),
      )
      const workers = [new Worker(app), new Worker(app)]
      for (const worker of workers) await worker.start()
      return {
        app,
        own,
        add,
        double,
        list,
        write,
        async end() {
          for (const worker of workers) await worker.stop()
          await app.close()
          await own.close()
          await store.close()
          await place.remove()
        },
      }
    }

    const within = (own: Own): CallOptions => ({ within: own.client })

    test('all that sends may send within a transaction, and the handles are good after the commit', async () => {
      const { app, own, add, double } = stage
      await own.begin()
      await own.note('sent')
      const one = await add.with(within(own)).delay(1, 2)
      const many = await double.with({ ...within(own), priority: 5, tags: ['t'] }).delayMany([[1], [2], [3]])
      const canvas = await app.submit(chain(group(add.s(1, 1), add.s(2, 2)), each(double)), within(own))
      const canvases = await app.submitMany([double.s(21), chain(double.s(1), double.s())], within(own))
      const large = await app.submit(group(...Array.from({ length: 1_500 }, (_, n) => double.s(n))), within(own))
      await own.commit()
      expect(await one.result()).toBe(3)
      expect(await Promise.all(many.map((job) => job.result()))).toEqual([2, 4, 6])
      expect(await many[0]!.snapshot()).toMatchObject({ priority: 5, tags: ['t'] })
      expect(await canvas.result()).toEqual([4, 8])
      expect(await Promise.all(canvases.map((collection) => collection.result()))).toEqual([42, 4])
      expect(await large.result()).toHaveLength(1_500)
      expect(await own.notes()).toEqual(['sent'])
    })

    test('after a rollback there is nothing, and the same may be sent anew', async () => {
      const { app, own, add, double } = stage
      const options = { ...within(own), idempotencyKey: 'order-7' }
      await own.begin()
      const job = await add.with(within(own)).delay(1, 2)
      const collection = await app.submit(chain(add.s(1, 2), double.s()), options)
      await own.rollback()
      await expect(job.result()).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await expect(collection.snapshot()).rejects.toMatchObject({ code: 'NOT_FOUND' })
      // What it was sent within makes no other canvas of it.
      const sent = await app.submit(chain(add.s(1, 2), double.s()), { idempotencyKey: 'order-7' })
      await own.begin()
      const again = await app.submit(chain(add.s(1, 2), double.s()), options)
      await own.commit()
      expect(again.id).toBe(sent.id)
      expect(await again.result()).toBe(6)
    })

    test('a job and what its handler wrote are done together or not at all', async () => {
      const { app, own, write, list } = stage
      const before = (await own.notes()).length
      const done = await Promise.all(['a', 'bb', 'ccc', 'dddd'].map((text) => write.delay(text, 'well')))
      expect(await Promise.all(done.map((job) => job.result()))).toEqual([1, 2, 3, 4])
      await expect((await write.delay('never', 'badly')).result()).rejects.toMatchObject({
        failure: { name: 'RangeError' },
      })
      const chained = await app.submit(chain(group(write.s('x', 'well'), write.s('yy', 'well')), list.s()))
      expect(await chained.result()).toEqual([1, 2])
      expect((await own.notes()).slice(before).toSorted()).toEqual(['a', 'bb', 'ccc', 'dddd', 'x', 'yy'])
    })

    test('what runs meanwhile is not disturbed', async () => {
      const { own, add } = stage
      await own.begin()
      const within = await add.with({ within: own.client }).delay(1, 2)
      const beside = engine.name === 'sqlite' ? null : await add.delay(3, 4)
      if (beside) expect(await beside.result()).toBe(7)
      await own.commit()
      expect(await within.result()).toBe(3)
    })
  },
  ['sqlite', 'postgres'],
)
