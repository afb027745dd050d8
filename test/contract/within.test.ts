import { describe, expect, onTestFinished, test } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { TransactionClient } from '../../src/core/transaction.ts'
import type { Transaction } from '../../src/engine/intake.ts'
import { changesAfter } from '../fixtures/follow.ts'
import { alone, chordOf, submission } from '../fixtures/graphs.ts'
import { collectionState, hand, statesOf, sweepAll } from '../fixtures/hand.ts'
import { openOwn, type Own } from '../fixtures/own-transaction.ts'
import { type OpenStore, onEveryEngine, type Store } from '../fixtures/store.ts'

/** Lets time go by until the test is over: who waits for a transaction looks again and again. */
function turn({ clock }: Pick<Store, 'clock'>): void {
  const turning = setInterval(() => clock.pass(10), 1)
  onTestFinished(() => clearInterval(turning))
}

interface Beside extends Store {
  readonly own: Own
}

async function openBeside(open: OpenStore): Promise<Beside> {
  const store = await open()
  const own = await openOwn(store.engine)
  onTestFinished(() => own.close())
  return { ...store, own }
}

const asClient = (transaction: Transaction): TransactionClient => transaction as TransactionClient
const wide = (count: number): Graph => chordOf(Array.from({ length: count }, (_, n) => `m${n}`))

onEveryEngine(
  (open) => {
    describe('submitting within a transaction of the user’s', () => {
      test('before the commit nothing is there; after it everything is', async () => {
        const { engine, own } = await openBeside(open)
        const worker = await hand(engine)
        const [one, many] = [alone('one'), chordOf(['a', 'b'])]
        await own.begin()
        await own.note('sent')
        const answers = await engine.submit([submission(one), submission(many)], own.client)
        expect(answers).toMatchObject([{ type: 'created' }, { type: 'created' }])
        expect(await own.notes()).toEqual([])
        await own.commit()
        expect(await own.notes()).toEqual(['sent'])
        expect(await worker.drain()).toEqual(['one', 'a', 'b', 'body'])
        expect(await collectionState(engine, many)).toBe('succeeded')
      })

      test('after a rollback nothing was ever sent, and the same may be sent again', async () => {
        const { engine, own } = await openBeside(open)
        const worker = await hand(engine)
        const graph = chordOf(['a', 'b'])
        const keyed = submission(graph, {
          idempotency: { key: 'k', fingerprint: 'f' },
          unique: { key: 'u', until: 'settled', onConflict: 'reject' },
        })
        await own.begin()
        await own.note('never')
        expect(await engine.submit([keyed], own.client)).toMatchObject([{ type: 'created' }])
        await own.rollback()
        expect(await engine.collection(graph.id)).toBeNull()
        expect(await own.notes()).toEqual([])
        expect(await worker.claim(10)).toEqual([])
        expect(await engine.submit([keyed])).toMatchObject([{ type: 'created' }])
        expect(await worker.drain()).toEqual(['a', 'b', 'body'])
      })

      test('a conflict is an answer, and the transaction goes on', async () => {
        const { engine, own } = await openBeside(open)
        const held = alone()
        const unique = { key: 'u', until: 'settled', onConflict: 'reject' } as const
        await engine.submit([submission(held, { unique })])
        await own.begin()
        expect(await engine.submit([submission(alone(), { unique })], own.client)).toEqual([
          { type: 'conflict', reason: 'unique', collectionId: held.id },
        ])
        await own.note('all the same')
        await own.commit()
        expect(await own.notes()).toEqual(['all the same'])
      })

      test('the same graph again in one transaction is there already', async () => {
        const { engine, own } = await openBeside(open)
        const graph = alone()
        await own.begin()
        await engine.submit([submission(graph)], own.client)
        expect(await engine.submit([submission(graph)], own.client)).toEqual([
          { type: 'existing', collectionId: graph.id },
        ])
        await own.commit()
        expect(await (await hand(engine)).drain()).toEqual(['task'])
      })

      test('a large graph is uploaded in the same transaction', async () => {
        const { engine, clock, own } = await openBeside(open)
        const worker = await hand(engine)
        const count = engine.partSize + 20
        for (const end of ['rollback', 'commit'] as const) {
          const graph = wide(count)
          await own.begin()
          for (let part = 0; part < 2; part++) await engine.upload(graph, part, null, own.client)
          await engine.submit([submission(graph)], own.client)
          await own[end]()
          expect(await collectionState(engine, graph)).toBe(end === 'commit' ? 'running' : undefined)
        }
        const ran = await worker.drain()
        // What a large change leaves to do is gone on with by whoever sweeps.
        await sweepAll(engine, clock.now())
        expect([...ran, ...(await worker.drain())]).toHaveLength(count + 1)
      })

      test('what others do meanwhile is not held up for longer than the transaction lasts', async () => {
        const { engine, own, second } = await openBeside(open)
        await own.begin()
        await engine.submit([submission(alone('within'))], own.client)
        await own.commit()
        await second().submit([submission(alone('beside'))])
        expect((await (await hand(engine)).drain()).toSorted()).toEqual(['beside', 'within'])
      })

      test('whoever listens is told once it is committed', async () => {
        const { engine, own, clock, second } = await openBeside(open)
        let told = Promise.withResolvers<void>()
        const stop = engine.subscribe(({ queued }) => {
          if (queued) told.resolve()
        })
        onTestFinished(stop)
        turn({ clock })
        // Others are heard from some time after this on.
        await second().submit([submission(alone())])
        await told.promise
        await own.begin()
        await engine.submit([submission(alone())], own.client)
        told = Promise.withResolvers<void>()
        await own.commit()
        await told.promise
      })

      test('what is no open transaction is refused in words, and nothing is stored', async () => {
        const { engine, own } = await openBeside(open)
        const graph = alone()
        for (const given of [{}, { query: 5 }, new Map(), own.client]) {
          await expect(engine.submit([submission(graph)], given)).rejects.toMatchObject({
            code: 'BAD_ARGUMENT',
            message: expect.stringMatching(/^within: .*\.$/) as string,
          })
        }
        expect(await engine.job(graph.id)).toBeNull()
      })
    })

    describe('completing a job with writes of the handler’s', () => {
      const running = async (graph: Graph = alone()) => {
        const beside = await openBeside(open)
        await beside.engine.submit([submission(graph)])
        const worker = await hand(beside.engine)
        return { ...beside, worker, graph, job: await worker.take() }
      }

      test('both are kept', async () => {
        const { engine, own, job, graph, worker } = await running(chordOf(['a', 'b']))
        const { cursor } = (await engine.collection(graph.id))!
        const answer = await engine.settleWithin(job, async (client) => {
          await own.note('done', asClient(client))
          return '{"n":1}'
        })
        expect(answer).toBe('accepted')
        expect(await own.notes()).toEqual(['done'])
        expect(await engine.job(job.id)).toMatchObject({ state: 'succeeded', result: { json: '{"n":1}' } })
        const changes = await changesAfter(engine, cursor, [graph.id])
        expect(changes).toMatchObject([{ type: 'job', jobId: job.id, state: 'succeeded' }])
        expect(await worker.drain()).toEqual(['b', 'body'])
        expect(await collectionState(engine, graph)).toBe('succeeded')
      })

      test('nothing for a result is null', async () => {
        const { engine, job } = await running()
        expect(await engine.settleWithin(job, async () => null)).toBe('accepted')
        expect(await engine.job(job.id)).toMatchObject({ state: 'succeeded', result: { json: null } })
      })

      test('where the callback throws neither is, and the same is thrown', async () => {
        const { engine, own, job, worker } = await running()
        const reason = new RangeError('Expected')
        const settling = engine.settleWithin(job, async (client) => {
          await own.note('never', asClient(client))
          throw reason
        })
        await expect(settling).rejects.toBeInstanceOf(Error)
        expect(await settling.catch((error: Error) => error.cause ?? error)).toBe(reason)
        expect(await own.notes()).toEqual([])
        expect(await engine.job(job.id)).toMatchObject({ state: 'running' })
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('a statement that fails undoes it all', async () => {
        const { engine, own, job, worker } = await running()
        const settling = engine.settleWithin(job, async (client) => {
          await own.note('never', asClient(client))
          if (engine.name === 'sqlite') asClient(client).exec('insert into nowhere values (1)')
          else await asClient(client).query('insert into nowhere values (1)')
          return '1'
        })
        await expect(settling).rejects.toThrow('nowhere')
        expect(await own.notes()).toEqual([])
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('a job that somebody else has by now keeps nothing', async () => {
        const { engine, own, job, worker } = await running()
        await worker.settle(job, { type: 'released', started: true, delay: 0 })
        const again = await worker.take()
        const write = async (client: Transaction): Promise<string> => {
          await own.note('late', asClient(client))
          return '"late"'
        }
        expect(await engine.settleWithin(job, write)).toBe('superseded')
        expect(await own.notes()).toEqual([])
        expect(await engine.job(job.id)).toMatchObject({ state: 'running' })
        expect(await engine.settleWithin(again, write)).toBe('accepted')
        expect(await own.notes()).toEqual(['late'])
      })

      test('an outcome that was stored before is not joined by writes that came later', async () => {
        const { engine, own, job, worker } = await running()
        await worker.fail(job)
        const answer = await engine.settleWithin(job, async (client) => {
          await own.note('late', asClient(client))
          return '1'
        })
        expect(answer).toBe('superseded')
        expect(await own.notes()).toEqual([])
        expect(await engine.job(job.id)).toMatchObject({ state: 'failed' })
      })

      test('a job that is being cancelled keeps nothing, and is cancelled when its attempt says so', async () => {
        const { engine, own, job, worker } = await running()
        expect(await engine.cancel({ jobId: job.id })).toBe('marked')
        const answer = await engine.settleWithin(job, async (client) => {
          await own.note('late', asClient(client))
          return '1'
        })
        expect(answer).toBe('cancelled')
        expect(await own.notes()).toEqual([])
        expect(await worker.settle(job, { type: 'cancelled' })).toBe('cancelled')
        expect(await engine.job(job.id)).toMatchObject({ state: 'cancelled' })
      })

      test('cancelled while the callback runs, it is either done or cancelled, and its writes with it', async () => {
        const { engine, clock, own, job, worker } = await running()
        turn({ clock })
        let cancelling: ReturnType<typeof engine.cancel> | undefined
        const answer = await engine.settleWithin(job, async (client) => {
          await own.note('done', asClient(client))
          cancelling = engine.cancel({ jobId: job.id })
          return '1'
        })
        const isDone = answer === 'accepted'
        expect(await cancelling).toBe(isDone ? 'final' : 'marked')
        expect(await own.notes()).toEqual(isDone ? ['done'] : [])
        await worker.settle(job, { type: 'cancelled' })
        expect(await engine.job(job.id)).toMatchObject({ state: isDone ? 'succeeded' : 'cancelled' })
      })

      test('what is said again afterwards changes nothing', async () => {
        const { engine, own, job, worker } = await running()
        const write = async (client: Transaction): Promise<string> => {
          await own.note('once', asClient(client))
          return '1'
        }
        expect(await engine.settleWithin(job, write)).toBe('accepted')
        expect(await engine.settleWithin(job, write)).toBe('superseded')
        expect(await worker.fail(job)).toBe('accepted')
        expect(await own.notes()).toEqual(['once'])
        expect(await engine.job(job.id)).toMatchObject({ state: 'succeeded', result: { json: '1' } })
      })

      test('the last two of a group at the same time open its barrier once', async () => {
        const { engine, own, clock } = await openBeside(open)
        const graph = chordOf(['a', 'b'])
        await engine.submit([submission(graph)])
        const worker = await hand(engine)
        turn({ clock })
        const jobs = await worker.claim(2)
        const answers = await Promise.all(
          jobs.map((job) =>
            engine.settleWithin(job, async (client) => {
              await own.note(job.task, asClient(client))
              return '1'
            }),
          ),
        )
        expect(answers).toEqual(['accepted', 'accepted'])
        expect((await own.notes()).toSorted()).toEqual(['a', 'b'])
        expect(await worker.drain()).toEqual(['body'])
        expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'succeeded', body: 'succeeded' })
      })

      test('the store is read while the callback runs', async () => {
        const { engine, job } = await running()
        const answer = await engine.settleWithin(job, async () => {
          expect(await engine.job(job.id)).toMatchObject({ state: 'running' })
          return '1'
        })
        expect(answer).toBe('accepted')
      })
    })
  },
  ['sqlite', 'postgres'],
)

onEveryEngine(
  (open) => {
    test('a store without transactions says which have them, and nothing is stored', async () => {
      const { engine } = await open()
      const graph = alone()
      const unsupported = { code: 'UNSUPPORTED', message: expect.stringMatching(/PostgreSQL.*SQLite/) as string }
      await expect(engine.submit([submission(graph)], {})).rejects.toMatchObject(unsupported)
      await expect(engine.upload(wide(3), 0, null, {})).rejects.toMatchObject(unsupported)
      expect(await engine.job(graph.id)).toBeNull()
      await engine.submit([submission(graph)])
      const worker = await hand(engine)
      const job = await worker.take()
      let wasCalled = false
      const settling = engine.settleWithin(job, async () => {
        wasCalled = true
        return null
      })
      await expect(settling).rejects.toMatchObject(unsupported)
      expect(wasCalled).toBe(false)
      expect(await worker.succeed(job)).toBe('accepted')
    })
  },
  ['redis'],
)
