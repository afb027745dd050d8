import { describe, expect, onTestFinished, test } from 'vitest'
import { type CallOptions, Celeriac, chain, type SubmitOptions } from 'celeriac'
import type { Submission, UniqueClaim } from '../../src/engine/intake.ts'
import { openOwn } from '../fixtures/own-transaction.ts'
import { alone, chainOf, submission } from '../fixtures/graphs.ts'
import { collectionState, hand } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const reject = (key: string): { readonly unique: UniqueClaim } => ({
  unique: { key, until: 'settled', onConflict: 'reject' },
})
const replace = (key: string): { readonly unique: UniqueClaim } => ({
  unique: { key, until: 'settled', onConflict: 'replace' },
})
const idempotent = (fingerprint: string) => ({ idempotency: { key: 'order', fingerprint } })
const aborted = { type: 'aborted' }
const created = { type: 'created' }

/** The tasks of all jobs in the store. */
const stored = async ({ engine }: Pick<Store, 'engine'>): Promise<string[]> =>
  (await engine.jobs({ limit: 100 })).items.map(({ task }) => task).sort()

onEveryEngine((open) => {
  describe('submissions of one call', () => {
    /** A store in which the key `held` is held. */
    async function openHeld() {
      const store = await open()
      const holder = alone('holder')
      await store.engine.submit([submission(holder, reject('held'))])
      return { ...store, holder }
    }

    test('one that is refused keeps all of its call out, and no other call', async () => {
      const { engine, holder } = await openHeld()
      const calls: Submission[][] = [
        [submission(alone('before'), reject('b'))],
        [
          submission(alone('a')),
          submission(alone('c'), reject('c')),
          submission(alone('refused'), reject('held')),
          submission(chainOf('d', 'e')),
          submission(alone('f'), reject('f')),
        ],
        [submission(alone('after')), submission(chainOf('x', 'y'), reject('c'))],
      ]
      const sizes = calls.map(({ length }) => length)
      expect(await engine.submit(calls.flat(), undefined, sizes)).toMatchObject([
        created,
        aborted,
        aborted,
        { type: 'conflict', reason: 'unique', collectionId: holder.id },
        aborted,
        aborted,
        created,
        created,
      ])
      expect(await stored({ engine })).toEqual(['after', 'before', 'holder', 'x', 'y'])
      // The keys that they would have taken are free.
      expect(await engine.submit([submission(alone('g'), reject('f'))])).toMatchObject([created])
      expect((await (await hand(engine)).drain()).sort()).toEqual(['after', 'before', 'g', 'holder', 'x', 'y'])
    })

    test('a key that one of them takes is held for the next, and what the first would replace goes on', async () => {
      const { engine, holder } = await openHeld()
      const first = alone('first')
      const call = [submission(first, replace('held')), submission(alone('second'), reject('held'))]
      expect(await engine.submit(call, undefined, [2])).toEqual([
        aborted,
        { type: 'conflict', reason: 'unique', collectionId: first.id },
      ])
      expect(await collectionState(engine, holder)).toBe('running')
      expect(await engine.submit([submission(alone('third'), reject('held'))])).toMatchObject([{ type: 'conflict' }])
    })

    test('another canvas under the same idempotency key keeps all out, and the key is free again', async () => {
      const { engine } = await open()
      const [one, other] = [submission(alone('one'), idempotent('one')), submission(alone('two'), idempotent('two'))]
      expect(await engine.submit([one, other], undefined, [2])).toMatchObject([
        aborted,
        { type: 'conflict', reason: 'idempotency', collectionId: one.graph.id },
      ])
      expect(await stored({ engine })).toEqual([])
      expect(await engine.submit([other, submission(alone('beside'))], undefined, [2])).toMatchObject([
        created,
        created,
      ])
      expect(await engine.submit([submission(alone('z')), one], undefined, [2])).toMatchObject([
        aborted,
        { type: 'conflict', reason: 'idempotency', collectionId: other.graph.id },
      ])
      expect(await stored({ engine })).toEqual(['beside', 'two'])
    })

    test('what keys answer by what is there refuses nothing', async () => {
      const { engine, holder } = await openHeld()
      const [first, second] = [alone('first'), alone('second')]
      const existing = { unique: { key: 'held', until: 'settled', onConflict: 'existing' } } as const
      const call = [
        submission(alone('a')),
        submission(alone('b'), existing),
        submission(first, idempotent('same')),
        submission(second, idempotent('same')),
        submission(first, idempotent('same')),
      ]
      expect(await engine.submit(call, undefined, [5])).toMatchObject([
        created,
        { type: 'existing', collectionId: holder.id },
        created,
        { type: 'existing', collectionId: first.id },
        { type: 'existing', collectionId: first.id },
      ])
      expect(await stored({ engine })).toEqual(['a', 'first', 'holder'])
    })

    test('sent again after it was stored, whatever holds its keys now: existing', async () => {
      const { engine } = await open()
      const [graph, canvas, next] = [alone('a'), chainOf('b', 'c'), alone('next')]
      const call = [submission(graph, reject('k')), submission(canvas, replace('l'))]
      await engine.submit(call, undefined, [2])
      await (await hand(engine)).drain()
      await engine.submit([submission(next, reject('k'))])
      await engine.submit([submission(chainOf('d', 'e'), reject('l'))])
      const existing = [graph, canvas].map(({ id }) => ({ type: 'existing', collectionId: id }))
      expect(await engine.submit(call, undefined, [2])).toEqual(existing)
      expect(await engine.submit(call)).toEqual(existing)
      expect((await (await hand(engine)).drain()).sort()).toEqual(['d', 'e', 'next'])
    })
  })

  describe('the calls of an app', () => {
    async function openApp() {
      const { engine, clock } = await open()
      const app = new Celeriac({ engine, runtime: clock })
      onTestFinished(() => app.close())
      const unique = { key: (name: string) => name, onConflict: 'reject' } as const
      const task = app.task('keyed', { unique }, (name: string) => name)
      const free = app.task('free', (name: string) => name)
      return { engine, app, task, free }
    }

    test('delayMany stores all or none', async () => {
      const { engine, task } = await openApp()
      await task.delay('held')
      const many = task.delayMany([['a'], ['held'], ['b']])
      const beside = [task.delay('beside'), task.delayMany([['c'], ['d']])] as const
      await expect(many).rejects.toMatchObject({ code: 'UNIQUE_CONFLICT' })
      expect(await Promise.all(beside)).toHaveLength(2)
      expect(await stored({ engine })).toHaveLength(4)
      await expect(task.delayMany([['x'], ['y'], ['x']])).rejects.toMatchObject({ code: 'UNIQUE_CONFLICT' })
      expect(await stored({ engine })).toHaveLength(4)
    })

    test('submitMany stores all or none', async () => {
      const { engine, app, task, free } = await openApp()
      await task.delay('held')
      await expect(app.submitMany([chain(free.s('a'), free.s()), task.s('held'), free.s('b')])).rejects.toMatchObject({
        code: 'UNIQUE_CONFLICT',
      })
      expect(await stored({ engine })).toEqual(['keyed'])
      const options: SubmitOptions = { unique: { key: 'one', onConflict: 'reject' } }
      await expect(app.submitMany([free.s('a'), free.s('b')], options)).rejects.toMatchObject({
        code: 'UNIQUE_CONFLICT',
      })
      expect(await stored({ engine })).toEqual(['keyed'])
    })
  })
})

onEveryEngine(
  (open) => {
    test('within a transaction of the user’s all or none are stored, and what it wrote stays', async () => {
      const { engine, clock } = await open()
      const own = await openOwn(engine)
      onTestFinished(() => own.close())
      const app = new Celeriac({ engine, runtime: clock })
      onTestFinished(() => app.close())
      const unique = { key: (name: string) => name, onConflict: 'reject' } as const
      const task = app.task('keyed', { unique }, (name: string) => name)
      const within: CallOptions = { within: own.client }
      await task.delay('held')
      await own.begin()
      await own.note('kept')
      await expect(task.with(within).delayMany([['a'], ['held'], ['b']])).rejects.toMatchObject({
        code: 'UNIQUE_CONFLICT',
      })
      await expect(app.submitMany([task.s('c'), task.s('held')], within)).rejects.toMatchObject({
        code: 'UNIQUE_CONFLICT',
      })
      await task.with(within).delay('a')
      await own.commit()
      expect(await own.notes()).toEqual(['kept'])
      expect((await engine.jobs({ limit: 100 })).items.map(({ args }) => args).sort()).toEqual(['["a"]', '["held"]'])
    })
  },
  ['sqlite', 'postgres'],
)
