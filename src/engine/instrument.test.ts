import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError } from '../core/errors.ts'
import { sqlite } from '../engines/sqlite/sqlite.ts'
import type { Engine } from './engine.ts'
import { instrument, type Instruments, type ObservedCall } from './instrument.ts'

const clock = manualRuntime()
const store = (): Engine => sqlite({ path: ':memory:' })(clock)
const wrapped = (engine: Engine, more: Partial<Instruments> = {}): Engine =>
  instrument(engine, { runtime: clock, ...more })

test('every method of the engine is there', () => {
  const engine = store()
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(engine)).filter((name) => name !== 'constructor')
  const instrumented = wrapped(engine)
  for (const name of names) expect(instrumented).toHaveProperty(name)
})

test('after close everything is refused, and closing again is nothing', async () => {
  const engine = wrapped(store())
  await engine.queues()
  await Promise.all([engine.close(), engine.close()])
  await expect(engine.queues()).rejects.toMatchObject({ code: 'CLOSED' })
  expect(engine.subscribe(() => {})).toBeTypeOf('function')
  await engine.close()
})

test('whatever an engine throws becomes a CeleriacError, with its cause', async () => {
  const cause = new TypeError('disk on fire')
  const broken = { ...wrapped(store()), queues: () => Promise.reject(cause) }
  await expect(wrapped(broken).queues()).rejects.toMatchObject({
    code: 'STORE_FAILED',
    cause,
    message: 'The sqlite store failed at "queues": disk on fire',
  })
  const known = new CeleriacError('STORE_FULL', 'full')
  await expect(wrapped({ ...broken, queues: () => Promise.reject(known) }).queues()).rejects.toBe(known)
})

test('calls are observed with their time and their error', async () => {
  const seen: ObservedCall[] = []
  const slow = {
    ...wrapped(store()),
    queues() {
      clock.pass(5)
      return Promise.reject(new Error('no'))
    },
  }
  const engine = wrapped(slow, { observe: (call) => void seen.push(call) })
  await engine.cursor()
  await engine.queues().catch(() => undefined)
  expect(seen).toEqual([
    { method: 'cursor', duration: 0, error: null },
    { method: 'queues', duration: 5, error: expect.objectContaining({ code: 'STORE_FAILED' }) as CeleriacError },
  ])
})

test('a call can be made to fail before it is applied, or after', async () => {
  let fails: 'before' | 'after' | undefined
  const engine = wrapped(store(), {
    async intercept(method, call) {
      if (method !== 'putQueues') return call()
      if (fails === 'before') throw new Error('cut')
      const answer = await call()
      if (fails === 'after') throw new Error('cut')
      return answer
    },
  })
  const isPaused = async (): Promise<boolean | undefined> =>
    (await engine.queues()).find(({ name }) => name === 'q')?.paused
  fails = 'before'
  await expect(engine.putQueues([{ name: 'q', paused: true }])).rejects.toMatchObject({ code: 'STORE_FAILED' })
  expect(await isPaused()).toBeUndefined()
  fails = 'after'
  await expect(engine.putQueues([{ name: 'q', paused: true }])).rejects.toMatchObject({ code: 'STORE_FAILED' })
  expect(await isPaused()).toBe(true)
})
