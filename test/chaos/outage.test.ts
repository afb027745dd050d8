import { expect, test } from 'vitest'
import { describeServers } from '../fixtures/store.ts'
import { outages } from './outage.ts'

describeServers(
  (engine) => {
    test('the server is stopped and started again, and all goes on by itself', async () => {
      const untilMissed = async (proxy: Parameters<Parameters<typeof outages>[1]>[0]): Promise<void> => {
        const { connections } = proxy.counts
        await proxy.until((counts) => counts.connections > connections + 5)
      }
      expect(await outages(engine, untilMissed, { canvases: 40, pause: 400 })).toBeGreaterThan(1)
    })
  },
  ['postgres', 'redis'],
)
