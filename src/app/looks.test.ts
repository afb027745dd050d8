import { expect, test } from 'vitest'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { group } from '../index.ts'
import { partsOf } from './parts.ts'

/** A connection to an app that has a collection of so many jobs, and how it is read. */
async function watched(jobs: number) {
  /** How many reads are under way, at the most so far, and when each ended, in turns of the event loop. */
  let [underWay, most, turn] = [0, 0, 0]
  let ends: number[] = []
  const { app } = appByHand({
    wrap: (engine) => ({
      ...engine,
      async collection(id, options) {
        if (options?.jobs === false) return engine.collection(id, options)
        most = Math.max(most, ++underWay)
        const found = await engine.collection(id, options)
        underWay--
        ends.push(turn)
        return found
      },
    }),
  })
  const echo = app.task('echo', (text: string) => text)
  const { id } = await app.submit(group(...Array.from({ length: jobs }, () => echo.s('x'))))
  const { engine, looks } = await partsOf(app).connect()
  /** Reads it so many times at once: the most under way, and the fewest turns from one end to the next. */
  const readAll = async (times: number): Promise<{ readonly most: number; readonly between: number }> => {
    ends = []
    most = 0
    const reads = Array.from({ length: times }, () => engine.collection(id))
    while (ends.length < times) {
      await new Promise((resolve) => setImmediate(resolve))
      turn++
    }
    await Promise.all(reads)
    return { most, between: Math.min(...ends.slice(1).map((at, n) => at - ends[n]!)) }
  }
  return { app, id, engine, looks, readAll }
}

test('large collections are read one at a time, with turns of the event loop between', async () => {
  const { readAll, looks, id } = await watched(1_000)
  for (const times of [4, 2]) {
    const { most, between } = await readAll(times)
    expect(most).toBe(1)
    expect(between).toBeGreaterThanOrEqual(9)
  }
  expect(looks.sizeOf(id)).toBe(1_000)
})

test('so are those of different large collections, also where nobody knows yet that they are', async () => {
  const { looks, id, engine } = await watched(1_000)
  const detail = (await engine.collection(id))!
  let [underWay, most] = [0, 0]
  const look = async (jobs: boolean) => {
    if (jobs) most = Math.max(most, ++underWay)
    await new Promise((resolve) => setImmediate(resolve))
    if (jobs) underWay--
    return jobs ? detail : { ...detail, jobs: [] }
  }
  await Promise.all(['a', 'b', 'c', 'd'].map((other) => looks.read(other, look)))
  expect(most).toBe(1)
})

test('one that is not there is asked for once, and keeps nobody', async () => {
  const { looks } = await watched(1)
  const asked: boolean[] = []
  const look = async (jobs: boolean) => {
    asked.push(jobs)
    return null
  }
  expect([await looks.read('gone', look), looks.sizeOf('gone'), asked]).toEqual([null, undefined, [false]])
})

test('small ones are read at once', async () => {
  const { readAll } = await watched(999)
  expect((await readAll(3)).most).toBe(3)
})

test('the size of what is submitted is known', async () => {
  const { looks, id } = await watched(3)
  expect(looks.sizeOf(id)).toBe(3)
})

test('a read that fails keeps nobody from the next', async () => {
  const { engine, app } = await watched(2)
  await app.close()
  const reads = await Promise.allSettled(['a', 'a', 'a', 'b'].map((id) => engine.collection(id)))
  expect(reads.map(({ status }) => status)).toEqual(Array(4).fill('rejected'))
})

test('the sizes of so many collections are remembered', async () => {
  const { looks } = await watched(1)
  const { engine, id } = await watched(3)
  const detail = await engine.collection(id)
  await looks.read('first', () => Promise.resolve(detail))
  for (let n = 0; n < 10_000; n++) await looks.read('another', () => Promise.resolve(detail))
  expect(looks.sizeOf('first')).toBe(3)
  for (let n = 1; n < 10_000; n++) await looks.read(String(n), () => Promise.resolve(detail))
  expect([looks.sizeOf('first'), looks.sizeOf('another')]).toEqual([undefined, 3])
})
