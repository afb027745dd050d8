import { createClient } from '@redis/client'
import { expect, test, vi } from 'vitest'
import { alone, groupOf, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { hire } from '../../../test/servers/hire.ts'
import { closedAfterEach } from '../../../test/servers/own.ts'
import { Celeriac } from '../../app/celeriac.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Change } from '../../core/event.ts'
import type { Engine } from '../../engine/engine.ts'
import { redis } from './redis.ts'

// Servers of its own.
vi.setConfig({ testTimeout: 60_000 })

const closing = closedAfterEach()

interface Losable {
  readonly url: string
  readonly lose: () => Promise<void>
}
async function losable(): Promise<Losable> {
  const server = await hire('redis')
  closing.push(() => server.remove())
  const admin = createClient({ url: server.url })
  await admin.connect()
  closing.push(() => admin.destroy())
  return {
    url: server.url,
    lose: async () => {
      await admin.sendCommand(['FLUSHALL'])
      // As a server that comes back empty: it is looked at anew.
      await admin.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal'])
    },
  }
}

/** All that is told behind a cursor. */
async function allAfter(engine: Engine, cursor: string, collections: readonly string[] | null): Promise<Change[]> {
  const { changes, gap } = await engine.events({ after: cursor, collections, limit: 100 })
  expect(gap).toBe(false)
  return [...changes]
}
const idsOf = (changes: readonly Change[]): Set<string> =>
  new Set(changes.map((change) => (change.type === 'collection' ? change.collectionId : change.jobId)))

test('what a store tells that has lost its data is not taken for what had the same numbers before', async () => {
  const { url, lose } = await losable()
  const engine = redis({ url })(systemRuntime)
  closing.push(() => engine.close())
  const old = [alone('old'), groupOf('one', 'two')]
  const before = await engine.cursor()
  await engine.submit(old.map((graph) => submission(graph)))
  expect(idsOf(await allAfter(engine, before, null)).size).toBeGreaterThan(2)
  expect(idsOf(await allAfter(engine, before, [old[0]!.id]))).toEqual(new Set([old[0]!.id]))
  await lose()
  const worker = await hand(engine)
  const cursor = await engine.cursor()
  const fresh = alone('fresh')
  await engine.submit([submission(fresh)])
  expect(await worker.drain()).toEqual(['fresh'])
  expect((await engine.events({ after: before, collections: null, limit: 10 })).gap).toBe(true)
  expect(idsOf(await allAfter(engine, cursor, null))).toEqual(new Set([fresh.id]))
  expect(idsOf(await allAfter(engine, cursor, [fresh.id]))).toEqual(new Set([fresh.id]))
  expect(await allAfter(engine, cursor, [old[0]!.id])).toEqual([])
})

test('who waits for a job is told that it was lost, and who waits for one sent after that has its result', async () => {
  const { url, lose } = await losable()
  const engine = redis({ url })
  const app = new Celeriac({ engine })
  closing.push(() => app.close())
  const task = app.task('task', (n: number) => n)
  const other = redis({ url })(systemRuntime)
  closing.push(() => other.close())
  const run = async (): Promise<unknown> =>
    (await hand(other)).drain((job) => ({ type: 'succeeded', result: job.args }))
  const earlier = await task.delay(0)
  const known = earlier.result()
  await run()
  expect(await known).toEqual([0])
  const lost = await task.delay(1)
  const waiting = lost.result().catch((error: unknown) => error)
  await lost.snapshot()
  await lose()
  const fresh = await task.delay(2)
  const result = fresh.result({ timeout: '10s' })
  await run()
  expect(await result).toEqual([2])
  expect(await waiting).toMatchObject({ code: 'NOT_FOUND' })
})
