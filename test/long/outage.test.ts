import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { outages } from '../chaos/outage.ts'
import { describeServers } from '../fixtures/store.ts'

describeServers(
  (engine) => {
    test('the server is away for 30 seconds, twice', async () => {
      const halfAMinute = async (): Promise<void> => wait(30_000)
      expect(await outages(engine, halfAMinute, { canvases: 300, pause: 3_000 })).toBeGreaterThan(1)
    })
  },
  ['postgres', 'redis'],
)
