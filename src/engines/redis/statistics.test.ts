import { createClient } from '@redis/client'
import { expect, test } from 'vitest'
import { hand } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { redis } from './redis.ts'

const own = ownRedis()
const closing = closedAfterEach()
const hour = 60 * 60_000

test('what an hour came to goes by itself, two days after it is over', async () => {
  const engine = redis({ url: own.server.url, namespace: 'expiring' })(systemRuntime)
  closing.push(() => engine.close())
  const client = await createClient({ url: own.server.url }).connect()
  closing.push(() => client.close())
  const keys = (): Promise<string[]> => client.keys('{expiring}:tallies:*')
  const worker = await hand(engine)
  await worker.beat({ tallies: [] })
  expect(await keys()).toEqual([])
  const minute = systemRuntime.now() - (systemRuntime.now() % 60_000)
  const counts = { succeeded: 1, failed: 0, retried: 0, cancelled: 0, ran: 1, longest: 1 }
  await worker.beat({ tallies: [{ task: 'a', minute, ...counts }] })
  const [key = ''] = await keys()
  expect(key).toBe(`{expiring}:tallies:${Math.floor(minute / hour)}`)
  expect(await client.pTTL(key)).toBeGreaterThan(48 * hour)
  expect(await client.pTTL(key)).toBeLessThanOrEqual(49 * hour)
})
