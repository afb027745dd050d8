import { createClient } from '@redis/client'
import { describe, expect, test, vi } from 'vitest'
import { alone, chordOf, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { Proxy } from '../../../test/fixtures/proxy.ts'
import { hire, type Hired } from '../../../test/servers/hire.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Diagnosis, Engine } from '../../engine/engine.ts'
import type { Signal } from '../../engine/feed.ts'
import { redis, redisFromUrl, type RedisOptions } from './redis.ts'

// Servers of its own, and connections that are given up only after some seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const own = ownRedis()

const closing = closedAfterEach()

let counter = 0
const freshNamespace = (): string => `open_${++counter}`

function connect(options: RedisOptions): Engine {
  const engine = redis(options)(systemRuntime)
  closing.push(() => engine.close())
  return engine
}

async function hired(settings: Readonly<Record<string, string>> = {}): Promise<Hired> {
  const own = await hire('redis', settings)
  closing.push(() => own.remove())
  return own
}

type Administrator = (...command: string[]) => Promise<unknown>

/** What administrators do to a own.server. */
async function administrator(url: string): Promise<Administrator> {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  closing.push(() => client.destroy())
  return (...command) => client.sendCommand(command)
}

async function failureOf(act: Promise<unknown>): Promise<Error> {
  return act.then(
    () => expect.fail('Expected an error.'),
    (error: unknown) => error as Error,
  )
}

/** The store refuses, in these words, whatever it is asked, and writes nothing. */
async function expectRefused(options: RedisOptions, code: string, words: RegExp): Promise<void> {
  const engine = connect(options)
  for (const act of [
    () => engine.migrate(),
    () => engine.submit([submission(alone())]),
    () => engine.collections({ limit: 1 }),
  ])
    expect(await failureOf(act())).toMatchObject({ code, message: expect.stringMatching(words) })
}

const checkOf = async (engine: Engine, check: string): Promise<Diagnosis | undefined> =>
  (await engine.diagnose()).find((each) => each.check === check)

describe('what cannot hold the store', () => {
  test('a server that throws keys away when its memory is full, unless that is wanted by name', async () => {
    const own = await hired({ 'maxmemory-policy': 'allkeys-lru' })
    await expectRefused({ url: own.url }, 'STORE_UNSUITABLE', /maxmemory-policy allkeys-lru.*noeviction/)
    expect(await (await administrator(own.url))('DBSIZE')).toBe(0)
    const engine = redisFromUrl(`${own.url}?allowEviction=true`)(systemRuntime)
    closing.push(() => engine.close())
    await engine.submit([submission(alone())])
    expect(await checkOf(engine, 'eviction')).toMatchObject({ level: 'error', found: 'allkeys-lru' })
  })

  test('a server that is too old', async () => {
    const namespace = freshNamespace()
    await expectRefused(
      { url: own.server.url, namespace, version: '6.2.14' },
      'STORE_UNSUITABLE',
      /Redis 6\.2\.14.*Redis 7/,
    )
    const admin = await administrator(own.server.url)
    expect(await admin('KEYS', `{${namespace}}:*`)).toEqual([])
  })

  test('a schema newer than this version', async () => {
    const namespace = freshNamespace()
    const admin = await administrator(own.server.url)
    await admin('HSET', `{${namespace}}:meta`, 'version', '99', 'epoch', 'e')
    await expectRefused({ url: own.server.url, namespace }, 'STORE_TOO_NEW', /schema 99.*update the package/)
    expect(await admin('KEYS', `{${namespace}}:*`)).toEqual([`{${namespace}}:meta`])
    expect(await admin('HGETALL', `{${namespace}}:meta`)).toEqual({ version: '99', epoch: 'e' })
  })

  test('one node of a cluster, by a url', async () => {
    const own = await hired({ 'cluster-enabled': 'yes' })
    const error = await failureOf(connect({ url: own.url, timeout: '2s' }).migrate())
    expect(error.message).toMatch(/cluster/)
  })

  test('transactions are refused by the names of the stores that have them', async () => {
    const engine = connect({ url: own.server.url, namespace: freshNamespace() })
    for (const act of [
      engine.submit([submission(alone())], {}),
      engine.settleWithin({ ref: null, token: 1 }, async () => null),
    ])
      expect(await failureOf(act)).toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/PostgreSQL and SQLite/),
      })
  })
})

describe('who may use it', () => {
  const rights = ['+@read', '+@write', '+@scripting', '+@pubsub', '+@connection', '+info', '+time'] as const

  test('a user with the rights of a worker needs no others', async () => {
    const namespace = freshNamespace()
    const admin = await administrator(own.server.url)
    await admin('ACL', 'SETUSER', 'worker', 'on', '>pass', `~{${namespace}}:*`, `&{${namespace}}:*`, ...rights)
    closing.push(() => admin('ACL', 'DELUSER', 'worker'))
    const engine = connect({ url: own.server.url.replace('//', '//worker:pass@'), namespace })
    await engine.submit([submission(chordOf(['a', 'b']))])
    expect((await (await hand(engine)).drain()).sort()).toEqual(await tasksOf(engine))
    expect((await engine.diagnose()).filter(({ level }) => level === 'error')).toEqual([])
    expect(await checkOf(engine, 'permissions')).toMatchObject({ level: 'ok' })
  })

  test('one who may not write, or not outside of its own keys, is told so', async () => {
    const admin = await administrator(own.server.url)
    const url = own.server.url.replace('//', '//guest:pass@')
    closing.push(() => admin('ACL', 'DELUSER', 'guest'))
    await admin('ACL', 'SETUSER', 'guest', 'on', '>pass', '~*', '&*', ...rights, '-@write')
    await expectRefused({ url, namespace: freshNamespace() }, 'STORE_DENIED', /grant it/)
    await admin('ACL', 'SETUSER', 'guest', '+@write', 'resetkeys', '~other:*')
    await expectRefused({ url, namespace: freshNamespace() }, 'STORE_DENIED', /grant it/)
  })

  test('one who may not use the channel is told what that costs', async () => {
    const admin = await administrator(own.server.url)
    await admin('ACL', 'SETUSER', 'mute', 'on', '>pass', '~*', 'resetchannels', ...rights)
    closing.push(() => admin('ACL', 'DELUSER', 'mute'))
    const engine = connect({ url: own.server.url.replace('//', '//mute:pass@'), namespace: freshNamespace() })
    await engine.submit([submission(alone())])
    expect(await (await hand(engine)).drain()).toEqual(['task'])
    expect(await checkOf(engine, 'permissions')).toMatchObject({
      level: 'warning',
      found: expect.stringMatching(/:signal/),
    })
  })
})

const tasksOf = async (engine: Engine): Promise<string[]> =>
  (await engine.jobs({ limit: 100 })).items.map(({ task }) => task).sort()

describe('namespaces', () => {
  test('of one server know nothing of one another', async () => {
    const [one, two] = [freshNamespace(), freshNamespace()].map((namespace) =>
      connect({ url: own.server.url, namespace }),
    ) as [Engine, Engine]
    const heard: Signal[] = []
    closing.push(two.subscribe((signal) => heard.push(signal)))
    await two.migrate()
    const graph = alone('a')
    await one.submit([submission(graph)])
    expect(await two.job(graph.id)).toBeNull()
    expect((await two.collections({ limit: 10 })).items).toEqual([])
    expect(await (await hand(two)).drain()).toEqual([])
    expect((await two.queues()).every(({ counts }) => counts.queued === 0)).toBe(true)
    // The same id may be in both.
    await two.submit([submission(graph)])
    expect(await (await hand(two)).drain()).toEqual(['a'])
    expect(await one.job(graph.id)).toMatchObject({ state: 'queued' })
  })

  test('every key of one begins with its name, in one hash tag', async () => {
    const own = await hired()
    const engine = connect({ url: own.url, namespace: 'shop' })
    await engine.submit([submission(chordOf(['a', 'b']))])
    await (await hand(engine)).drain()
    const keys = (await (await administrator(own.url))('KEYS', '*')) as string[]
    expect(keys.length).toBeGreaterThan(5)
    expect(keys.filter((key) => !key.startsWith('{shop}:'))).toEqual([])
  })
})

describe('a server that fails', () => {
  test('SCRIPT FLUSH in the middle is not noticed', async () => {
    const engine = connect({ url: own.server.url, namespace: freshNamespace() })
    const admin = await administrator(own.server.url)
    const worker = await hand(engine)
    await engine.submit([submission(chordOf(['a', 'b']))])
    for (let jobs = await worker.claim(1); jobs.length > 0; jobs = await worker.claim(1)) {
      await admin('SCRIPT', 'FLUSH')
      for (const job of jobs) expect(await worker.succeed(job)).toBe('accepted')
      await admin('SCRIPT', 'FLUSH')
    }
    expect((await engine.collections({ limit: 1 })).items).toMatchObject([{ state: 'succeeded' }])
  })

  test('memory used up: nothing is half-stored, what was accepted is finished, and it goes on once there is room', async () => {
    const own = await hired()
    const engine = connect({ url: own.url })
    const admin = await administrator(own.url)
    const worker = await hand(engine)
    const [first, refused] = [chordOf(['a', 'b']), chordOf(['c', 'd'])]
    await engine.submit([submission(first)])
    const before = await contentOf(admin)
    await admin('CONFIG', 'SET', 'maxmemory', '1mb')
    expect(await failureOf(engine.submit([submission(refused)]))).toMatchObject({
      code: 'STORE_FULL',
      message: expect.stringMatching(/maxmemory/),
    })
    expect(await contentOf(admin)).toEqual(before)
    expect(await worker.drain()).toHaveLength(first.jobs.length)
    expect(await engine.collection(first.id)).toMatchObject({ state: 'succeeded' })
    await admin('CONFIG', 'SET', 'maxmemory', '0')
    expect(await engine.collection(refused.id)).toBeNull()
    await engine.submit([submission(refused)])
    expect(await worker.drain()).toHaveLength(refused.jobs.length)
  })

  test('memory used up: whatever is asked about what is there is done, also by who comes only now', async () => {
    const own = await hired()
    const engine = connect({ url: own.url })
    const admin = await administrator(own.url)
    const worker = await hand(engine)
    const [running, failing, waiting] = [alone('running'), chordOf(['a', 'b']), alone('waiting')]
    await engine.submit([submission(running), submission(failing), submission(waiting)])
    const jobs = await worker.claim(2)
    await admin('CONFIG', 'SET', 'maxmemory', '1')
    const full = { code: 'STORE_FULL' }
    expect(await failureOf(engine.submit([submission(alone())]))).toMatchObject(full)
    expect(await failureOf(engine.upload(alone('large'), 0, null))).toMatchObject(full)
    expect(await worker.beat({ progress: [] })).toMatchObject({ lost: [], toCancel: [] })
    expect(await engine.cancel({ collectionId: waiting.id })).toBe('cancelled')
    expect(await worker.succeed(jobs[0] as (typeof jobs)[0], 'x'.repeat(1_000))).toBe('accepted')
    expect(await worker.fail(jobs[1] as (typeof jobs)[0])).toBe('accepted')
    await worker.drain()
    expect(await engine.collection(failing.id)).toMatchObject({ state: 'failed' })
    const late = connect({ url: own.url })
    expect(await late.isThere()).toBe(true)
    expect(await late.retry({ selection: { collectionId: failing.id }, expectedRound: 1, mode: 'failed' })).toBe(
      'retried',
    )
    await late.sweep()
    await late.putQueues([{ name: 'default', paused: false }])
    await (await hand(late)).drain()
    expect(await late.collection(failing.id)).toMatchObject({ state: 'succeeded' })
    expect(await late.remove(running.id)).toBe('removed')
    expect((await late.collections({ limit: 10 })).items.map(({ id }) => id)).toEqual([waiting.id, failing.id])
    expect(await failureOf(late.submit([submission(alone())]))).toMatchObject(full)
  })

  test('started again without what it had: it is told, and the feed has a gap', async () => {
    const own = await hired()
    const engine = connect({ url: own.url })
    const graph = alone()
    await engine.submit([submission(graph)])
    const cursor = await engine.cursor()
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    await own.stop('at once')
    await own.start()
    expect(await engine.job(graph.id)).toBeNull()
    expect(await warned).toMatchObject({ code: 'CELERIAC_DATA_LOST', message: expect.stringMatching(/appendonly/) })
    expect(await engine.events({ after: cursor, collections: null, limit: 10 })).toMatchObject({ gap: true })
    expect(await checkOf(engine, 'data loss')).toMatchObject({
      level: 'warning',
      found: expect.stringMatching(/empty/),
    })
    // And it is of use again.
    await engine.submit([submission(graph)])
    expect(await (await hand(engine)).drain()).toEqual(['task'])
  })

  test('started again with its last snapshot only: what came after is missed', async () => {
    const own = await hired()
    const admin = await administrator(own.url)
    const engine = connect({ url: own.url })
    const [kept, lost] = [alone('kept'), alone('lost')]
    await engine.submit([submission(kept)])
    await admin('SAVE')
    await engine.submit([submission(lost)])
    const cursor = await engine.cursor()
    await engine.events({ after: cursor, collections: null, limit: 10 })
    await own.stop('at once')
    await own.start()
    expect(await engine.job(kept.id)).not.toBeNull()
    expect(await engine.job(lost.id)).toBeNull()
    expect(await engine.events({ after: cursor, collections: null, limit: 10 })).toMatchObject({ gap: true })
    expect(await checkOf(engine, 'data loss')).toMatchObject({ level: 'warning', found: expect.stringMatching(/last/) })
  })

  test('started again with an append-only file: nothing is lost', async () => {
    const own = await hired({ appendonly: 'yes', appendfsync: 'always' })
    const engine = connect({ url: own.url })
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take())
    await own.stop('at once')
    await own.start()
    await worker.drain()
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'succeeded' })
    expect(await checkOf(engine, 'persistence')).toMatchObject({ level: 'ok' })
    expect(await checkOf(engine, 'data loss')).toMatchObject({ level: 'ok' })
  })

  test('emptied by somebody: it is noticed while anybody listens, and made anew', async () => {
    const engine = connect({ url: own.server.url, namespace: freshNamespace() })
    await engine.submit([submission(alone())])
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    closing.push(engine.subscribe(() => undefined))
    await (
      await administrator(own.server.url)
    )('FLUSHALL')
    expect(await warned).toMatchObject({ code: 'CELERIAC_DATA_LOST' })
  })
})

describe('replicas', () => {
  test('a replica is refused; once it is the primary, work goes on there', async () => {
    const [primary, replica] = [await hired(), await hired()]
    const toReplica = await administrator(replica.url)
    const [, host, port] = /\/\/(.*):(\d+)/.exec(primary.url) as unknown as [string, string, string]
    await toReplica('REPLICAOF', host, port)
    const engine = connect({ url: primary.url })
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    await replicated(await administrator(primary.url))
    await expectRefused({ url: replica.url, timeout: '2s' }, 'STORE_READ_ONLY', /replica.*primary/)

    const proxy = await Proxy.before(primary.url)
    closing.push(() => proxy.close())
    const follower = connect({ url: proxy.url(primary.url), timeout: '20s' })
    const worker = await hand(follower)
    const job = await worker.take()
    // The address leads to the replica now, as it does where it is a name; it is promoted a moment later.
    await replicated(await administrator(primary.url))
    proxy.leadTo(replica.url)
    proxy.reset()
    const settled = worker.succeed(job)
    await proxy.until(({ connections }) => connections > 1)
    await toReplica('REPLICAOF', 'NO', 'ONE')
    expect(await settled).toBe('accepted')
    await worker.drain()
    expect(await follower.collection(graph.id)).toMatchObject({ state: 'succeeded' })
    expect(await checkOf(follower, 'replication')).toMatchObject({ level: 'ok' })
  })
})

test('a primary that becomes a replica under our feet is left for the one that took its place', async () => {
  const [primary, replica] = [await hired(), await hired()]
  const [toPrimary, toReplica] = [await administrator(primary.url), await administrator(replica.url)]
  const at = (url: string): string[] => [new URL(url).hostname, new URL(url).port]
  await toReplica('REPLICAOF', ...at(primary.url))
  const proxy = await Proxy.before(primary.url)
  closing.push(() => proxy.close())
  const engine = connect({ url: proxy.url(primary.url), timeout: '20s' })
  const graph = chordOf(['a', 'b'])
  await engine.submit([submission(graph)])
  const worker = await hand(engine)
  await replicated(toPrimary)
  // The connections stay; only what they lead to is the primary no more.
  await toReplica('REPLICAOF', 'NO', 'ONE')
  await toPrimary('REPLICAOF', ...at(replica.url))
  proxy.leadTo(replica.url)
  await worker.drain()
  expect(await engine.collection(graph.id)).toMatchObject({ state: 'succeeded' })
})

/** Resolves when a replica has all that was written so far: `WAIT` is about what the same connection has written. */
async function replicated(send: (...command: string[]) => Promise<unknown>): Promise<void> {
  await send('SET', 'written', 'last')
  expect(await send('WAIT', '1', '20000')).toBe(1)
}

describe('listening', () => {
  /** All that is heard, and a way to wait until something was. */
  function listenTo(engine: Engine): { heard: Signal[]; until(isSo: () => boolean): Promise<void> } {
    const heard: Signal[] = []
    let tell = (): void => undefined
    closing.push(
      engine.subscribe((signal) => {
        heard.push(signal)
        tell()
      }),
    )
    return {
      heard,
      async until(isSo) {
        while (!isSo()) await new Promise<void>((resolve) => (tell = resolve))
      },
    }
  }

  test('another process hears what one did, and no more than that', async () => {
    const namespace = freshNamespace()
    const [one, two] = [connect({ url: own.server.url, namespace }), connect({ url: own.server.url, namespace })]
    await Promise.all([one.migrate(), two.migrate()])
    // From now on the server knows the script.
    await one.submit([submission(alone())])
    const [here, there] = [listenTo(one), listenTo(two)]
    // Told to look, now that they listen.
    await here.until(() => here.heard.length > 0)
    await there.until(() => there.heard.length > 0)
    const did = { queued: true, changed: true, cancel: false }
    await one.submit([submission(alone())])
    await there.until(() => there.heard.length > 1)
    expect(there.heard[1]).toEqual(did)
    // Nor does it hear itself: what the other one does comes next.
    await two.submit([submission(alone())])
    await here.until(() => here.heard.length > 3)
    // Of its own it hears in two parts: when the jobs are on their way, and when they are stored.
    const [sent, stored] = [
      { ...did, changed: false },
      { ...did, queued: false },
    ]
    expect(here.heard.slice(1)).toEqual([sent, stored, did])
  })

  test('a connection that was killed is made again, and it is told to look', async () => {
    const engine = connect({ url: own.server.url, namespace: freshNamespace() })
    await engine.migrate()
    const { heard, until } = listenTo(engine)
    await until(() => heard.length > 0)
    await (
      await administrator(own.server.url)
    )('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(() => heard.length > 1)
    expect(heard[1]).toEqual({ queued: true, changed: true, cancel: true })
  })

  test('half-open: it is noticed, and listened to anew', async () => {
    const proxy = await Proxy.before(own.server.url)
    closing.push(() => proxy.close())
    const engine = connect({ url: proxy.url(own.server.url), namespace: freshNamespace() })
    await engine.migrate()
    let told = 0
    const again = new Promise<void>((resolve) => {
      closing.push(engine.subscribe(({ cancel }) => cancel && ++told === 2 && resolve()))
    })
    await proxy.until(() => told === 1 && proxy.counts.connections === 2)
    proxy.freeze()
    await proxy.until(({ connections }) => connections > 2)
    proxy.thaw()
    await again
  })

  test('nobody listens, nobody asks; who only listens asks seldom', async () => {
    const proxy = await Proxy.before(own.server.url)
    closing.push(() => proxy.close())
    const engine = connect({ url: proxy.url(own.server.url), namespace: freshNamespace() })
    await engine.migrate()
    const stop = engine.subscribe(() => undefined)
    closing.push(stop)
    await proxy.until(({ connections }) => connections === 2)
    const before = proxy.counts['to server'].chunks
    const from = systemRuntime.elapsed()
    await proxy.until((counts) => counts['to server'].chunks >= before + 6)
    // Pings and polls of more than a second each, however busy the machine.
    expect((systemRuntime.elapsed() - from) / 6).toBeGreaterThan(500)
  })
})

/** Every key with what it holds, but for what tells of time going by. */
async function contentOf(admin: Administrator): Promise<Record<string, unknown>> {
  const keys = ((await admin('KEYS', '*')) as string[]).sort()
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await admin('DUMP', key)])))
}
