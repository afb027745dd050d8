import { createClient } from '@redis/client'
import { expect, onTestFinished, test } from 'vitest'
import { Worker } from '../../src/worker/worker.ts'
import { Celeriac } from '../../src/index.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { describeServers } from '../fixtures/store.ts'
import { hireFor } from './outage.ts'
import { underFire } from './under-fire.ts'

/** A connection of an administrator's own: sends a command and gives the answer. */
async function administrator(url: string): Promise<(...command: string[]) => Promise<unknown>> {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.destroy())
  return (...command) => client.sendCommand(command)
}

describeServers(
  ({ place: makePlace }) => {
    test('clients are killed while workers run', async () => {
      const server = await hireFor('redis')
      const place = await makePlace(server.url)
      const send = await administrator(server.url)
      const kinds = ['normal', 'pubsub'] as const
      let killed = 0
      await underFire({
        place,
        async strike(count) {
          killed += Number(await send('CLIENT', 'KILL', 'TYPE', kinds[count % 2] ?? 'normal', 'SKIPME', 'yes'))
        },
      })
      expect(killed).toBeGreaterThan(8)
    })

    test('scripts are forgotten while workers run', async () => {
      const server = await hireFor('redis')
      const place = await makePlace(server.url)
      const send = await administrator(server.url)
      await underFire({ place, strike: async () => void (await send('SCRIPT', 'FLUSH')) })
    })

    test('a memory that is full refuses what is new, and what runs is settled all the same', async () => {
      const server = await hireFor('redis')
      const place = await makePlace(server.url)
      const send = await administrator(server.url)
      const app = new Celeriac({ url: place.url })
      onTestFinished(async () => app.close())
      const [started, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const held = app.task('held', async () => {
        started.resolve()
        await goOn.promise
        return 'x'.repeat(100)
      })
      const worker = new Worker(app, { log: () => {} })
      onTestFinished(async () => worker.stop({ grace: 0 }))
      await worker.start()
      const job = await held.delay()
      await started.promise
      await send('CONFIG', 'SET', 'maxmemory', '1')
      await expect(held.delay()).rejects.toMatchObject({ code: 'STORE_FULL' })
      goOn.resolve()
      expect(await job.result()).toHaveLength(100)
      expect((await job.snapshot()).attempts).toMatchObject([{ attempt: 1, outcome: 'succeeded' }])
      await send('CONFIG', 'SET', 'maxmemory', '0')
      expect(await (await held.delay()).result()).toHaveLength(100)
    })

    test.each(['is gone', 'serves on as a replica'])(
      'a replica is promoted while workers run, and what was the primary %s',
      async (fate) => {
        const [primary, replica] = [await hireFor('redis'), await hireFor('redis')]
        const [old, next] = [await administrator(primary.url), await administrator(replica.url)]
        const { hostname, port } = new URL(primary.url)
        await next('REPLICAOF', hostname, port)
        const proxy = await Proxy.before(primary.url)
        onTestFinished(async () => proxy.close())
        const place = await makePlace(proxy.url(primary.url))
        const strikes = await underFire({
          place,
          pause: 300,
          async strike(count) {
            if (count > 0) return
            // As a planned failover does: what the primary has accepted is with the replica before that takes over.
            await old('CLIENT', 'PAUSE', '10000', 'WRITE')
            while (offset(await old('INFO', 'replication')) !== offset(await next('INFO', 'replication')));
            await next('REPLICAOF', 'NO', 'ONE')
            proxy.leadTo(replica.url)
            if (fate === 'is gone') {
              await primary.stop('at once')
              return
            }
            await old('REPLICAOF', new URL(replica.url).hostname, new URL(replica.url).port)
            await old('CLIENT', 'UNPAUSE')
          },
        })
        expect(strikes).toBeGreaterThan(0)
      },
    )
  },
  ['redis'],
)

/** How far a server is with what the primary has written. */
function offset(info: unknown): string {
  const [, written] = /master_repl_offset:(\d+)/.exec(String(info)) ?? []
  return written ?? ''
}
