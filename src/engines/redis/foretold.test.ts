import { createClient } from '@redis/client'
import { describe, expect, test } from 'vitest'
import { alone, chainOf, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { redis } from './redis.ts'

const own = ownRedis()

const closing = closedAfterEach()

let count = 0
/** An open store, and how often those who listen in its process were told of queued jobs. */
async function listened(): Promise<{ engine: Engine; queued: () => number }> {
  const engine = redis({ url: own.server.url, namespace: `foretold_${++count}` })(systemRuntime)
  closing.push(() => engine.close())
  await engine.migrate()
  let queued = 0
  await new Promise<void>((heard) => {
    closing.push(
      engine.subscribe((signal) => {
        // What is told when listening begins is anything.
        if (signal.cancel) heard()
        else if (signal.queued) queued++
      }),
    )
  })
  // Known to the server, so that it need not be sent another time.
  await engine.submit([submission(alone('known', { startIn: 60_000 }))])
  queued = 0
  return { engine, queued: () => queued }
}

describe('whoever listens in the process of a submission', () => {
  test('is told while it is on its way, and once: what is asked then comes behind it', async () => {
    const { engine, queued } = await listened()
    const worker = await hand(engine)
    for (const graph of [alone('a'), chainOf('b', 'c')]) {
      const before = queued()
      const stored = engine.submit([submission(graph)])
      expect(queued()).toBe(before + 1)
      expect((await worker.claim()).map(({ id }) => id)).toEqual([graph.jobs[0]?.id])
      await stored
      expect(queued()).toBe(before + 1)
    }
  })

  test('is told nothing beforehand where nothing may start at once', async () => {
    const { engine, queued } = await listened()
    const stored = engine.submit([submission(alone('later', { startIn: 60_000 }))])
    expect(queued()).toBe(0)
    await stored
  })

  test('is told again where it had to be sent again, and may have been overtaken', async () => {
    const { engine, queued } = await listened()
    const admin = createClient({ url: own.server.url })
    await admin.connect()
    closing.push(() => admin.destroy())
    await admin.sendCommand(['SCRIPT', 'FLUSH'])
    await engine.submit([submission(alone())])
    expect(queued()).toBe(2)
  })
})
