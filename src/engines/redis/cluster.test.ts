import { createClient, createCluster } from '@redis/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { changesAfter } from '../../../test/fixtures/follow.ts'
import { alone, chainOf, chordOf, submission } from '../../../test/fixtures/graphs.ts'
import { continued, hand, succeeded, sweepAll } from '../../../test/fixtures/hand.ts'
import { hire, type Hired } from '../../../test/servers/hire.ts'
import { closedAfterEach } from '../../../test/servers/own.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { redis } from './redis.ts'

// Servers of its own, and connections that are given up only after some seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let nodes: Hired[]
beforeAll(async () => {
  const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' }
  nodes = await Promise.all([hire('redis', settings), hire('redis', settings), hire('redis', settings)])
  await join()
})
afterAll(async () => void (await Promise.all(nodes.map((node) => node.remove()))))

const closing = closedAfterEach()

const portOf = ({ url }: Hired): number => Number(new URL(url).port)

/** Three nodes that know one another, each with a third of the slots. */
async function join(): Promise<void> {
  const clients = nodes.map(({ url }) => createClient({ url }).on('error', () => undefined))
  for (const [at, client] of clients.entries()) {
    await client.connect()
    const [first, last] = [Math.floor((16_384 * at) / 3), Math.floor((16_384 * (at + 1)) / 3) - 1]
    await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', String(first), String(last)])
    // Possible only for as long as they know nobody.
    await client.sendCommand(['CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1)])
  }
  for (const [at, other] of nodes.entries()) {
    const { 'cluster-port': bus = '0' } = (await clients[at]!.configGet('cluster-port')) as Record<string, string>
    for (const client of clients) await client.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(portOf(other)), bus])
  }
  for (const client of clients) {
    while (!String(await client.sendCommand(['CLUSTER', 'INFO'])).startsWith('cluster_state:ok'))
      await new Promise<void>((resolve) => systemRuntime.after(50, resolve))
    client.destroy()
  }
}

/** By the user's own clients, that know one node of the cluster and find the others. */
function connect(namespace: string): Engine {
  const client = () => createCluster({ rootNodes: [{ url: (nodes[0] as Hired).url }] })
  const engine = redis({ client, namespace })(systemRuntime)
  closing.push(() => engine.close())
  return engine
}

// One namespace for each of the three nodes, and more.
test.each(['one', 'two', 'three', 'four', 'five'])('a store in a cluster, of the namespace %s', async (namespace) => {
  const engine = connect(namespace)
  expect(engine.url).toBeNull()
  const start = await engine.cursor()
  const worker = await hand(engine)
  const [chord, late, outer] = [chordOf(['a', 'b']), alone('late', { startIn: 60_000 }), chainOf('outer', 'after')]
  await engine.submit([chord, late, outer].map((graph) => submission(graph)))
  await worker.drain((job) => (job.task === 'outer' ? continued(chainOf('inner')) : succeeded(job.task)))
  await sweepAll(engine, systemRuntime.now())
  expect(await engine.collection(chord.id)).toMatchObject({ state: 'succeeded' })
  expect((await engine.collection(outer.id))?.jobs.map(({ task }) => task)).toEqual(['outer', 'inner', 'after'])
  expect(await engine.cancel({ collectionId: late.id })).toBe('cancelled')
  const retry = { selection: { collectionId: late.id }, expectedRound: 1, mode: 'failed', now: true } as const
  expect(await engine.retry(retry)).toBe('retried')
  expect(await worker.drain()).toEqual(['late'])
  expect((await engine.jobs({ limit: 100, states: ['succeeded'] })).items).toHaveLength(7)
  expect((await changesAfter(engine, start)).length).toBeGreaterThan(15)
  expect(await engine.remove(chord.id)).toBe('removed')
  expect((await engine.diagnose()).filter(({ level }) => level === 'error')).toEqual([])
})

test('another process hears of what happens, by whichever node it listens', async () => {
  const [one, two] = [connect('heard'), connect('heard')]
  await Promise.all([one.migrate(), two.migrate()])
  let tell = (): void => undefined
  let count = 0
  closing.push(two.subscribe(() => (++count, tell())))
  const more = async (than: number): Promise<void> => {
    while (count <= than) await new Promise<void>((resolve) => (tell = resolve))
  }
  await more(0)
  const before = count
  await one.submit([submission(alone())])
  await more(before)
})

test('a url that leads to one node of it is refused, with what to do instead', async () => {
  const refused = await Promise.all(
    ['one', 'two', 'three', 'four', 'five'].map(async (namespace) => {
      const engine = redis({ url: (nodes[1] as Hired).url, namespace })(systemRuntime)
      closing.push(() => engine.close())
      return engine.migrate().then(
        () => null,
        (error: unknown) => error,
      )
    }),
  )
  expect(refused.filter((error) => error !== null).length).toBeGreaterThan(0)
  for (const error of refused)
    if (error !== null)
      expect(error).toMatchObject({ code: 'STORE_UNSUITABLE', message: expect.stringMatching(/createCluster/) })
})
