import { expect, onTestFinished, test } from 'vitest'
import type { CallbackTarget, CollectionHandle } from 'celeriac'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { payloadOf, startReceiver } from '../../test/fixtures/receiver.ts'
import { partsOf } from '../app/parts.ts'
import { systemRuntime } from '../core/runtime.ts'
import { newSecret } from '../core/secret.ts'
import type { Inspection } from '../engine/inspect.ts'
import { callBack } from './deliver.ts'

const callbacks = { secrets: [newSecret(systemRuntime)], allow: ['127.0.0.1'] }

async function stage(callback: Omit<CallbackTarget, 'url'> = { results: 'all' }) {
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const { app, engine, clock } = appByHand({}, { callbacks })
  const worker = await hand(engine)
  const work = app.task('work', (x: number) => x)
  const collection = await app.submit(work.s(1), { callback: { url: receiver.url, ...callback } })
  const call = async (store: Partial<Inspection> = {}) => {
    const { id } = (await collection.snapshot()).jobs.at(-1)!
    const parts = { store: { ...engine, ...store }, runtime: clock, settings: partsOf(app).callbacks }
    return callBack(parts, { id, collectionId: collection.id, signal: new AbortController().signal })
  }
  return { receiver, worker, call, engine, collection: collection as CollectionHandle<unknown> }
}

test('of a collection that was retried meanwhile nothing is told: it is running again', async () => {
  const { receiver, worker, call, collection } = await stage()
  await worker.fail(await worker.take('work'))
  expect(await call()).toEqual({ status: 204 })
  await collection.retry()
  await expect(call()).rejects.toThrow('its collection was retried: it calls back when that is over')
  expect(receiver.received).toHaveLength(1)
})

test('what is too large to come along is not loaded', async () => {
  const { receiver, worker, call, engine } = await stage()
  await worker.succeed(await worker.take('work'), 'small')
  const large = { shape: '.', barrier: 1, results: null }
  const resolve = () => Promise.reject(new Error('It was loaded.'))
  await call({ resolve, collection: async (id) => ({ ...(await engine.collection(id))!, result: large }) })
  await call({ resolve, job: async (id) => ({ ...(await engine.job(id))!, result: large }) })
  const [one, two] = receiver.received.map((request) => payloadOf(request).data)
  expect(one).toMatchObject({ truncated: true, jobs: [{ result: 'small' }] })
  expect(one).not.toHaveProperty('result')
  expect(two).toMatchObject({ truncated: true, result: 'small' })
  expect(two?.jobs[0]).not.toHaveProperty('result')
})

test.each([
  [{}, 'small', undefined],
  [{ results: 'none' }, undefined, undefined],
  [{ results: 'exit' }, 'small', undefined],
  [{ results: 'all' }, 'small', 'small'],
] as const)('of %o it is sent the result of the collection %o and that of a job %o', async (callback, whole, one) => {
  const { receiver, worker, call } = await stage(callback)
  await worker.succeed(await worker.take('work'), 'small')
  await call()
  const { data } = payloadOf(receiver.received[0]!)
  expect(data.state).toBe('succeeded')
  expect([data.result, data.jobs[0]?.result]).toEqual([whole, one])
  expect(receiver.received[0]!.body.includes('small')).toBe(whole !== undefined)
})

test('a job that is not over any more, or gone, has no result', async () => {
  const { receiver, worker, call, engine } = await stage()
  await worker.succeed(await worker.take('work'), 'small')
  await call({ job: async (id) => ({ ...(await engine.job(id))!, state: 'running', result: null }) })
  await call({ job: () => Promise.resolve(null) })
  for (const request of receiver.received) expect(payloadOf(request).data.jobs[0]).not.toHaveProperty('result')
})

test('a collection without an address is not tried again', async () => {
  const { call } = await stage()
  const gone = call({ collection: () => Promise.resolve(null) })
  await expect(gone).rejects.toMatchObject({ name: 'CallbackFailed', isFinal: true })
})
