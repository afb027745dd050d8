import { describe, expect, test, vi } from 'vitest'
import { createClient } from '@redis/client'
import { StoreUnavailable } from '../../core/errors.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { Proxy } from '../../../test/fixtures/proxy.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import { Database, defineScript, isSentAgain } from './database.ts'
import { readSettings, type RedisOptions } from './options.ts'

// Servers of its own, and connections that are given up only after some seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const own = ownRedis()

const closing = closedAfterEach()

function connect(options: RedisOptions): Database {
  const db = new Database(readSettings(options), systemRuntime, async () => undefined)
  closing.push(() => db.close())
  return db
}

async function proxied(): Promise<Proxy> {
  const proxy = await Proxy.before(own.server.url)
  closing.push(() => proxy.close())
  return proxy
}

/** Another client, to do to the server what administrators do. */
async function administrator(): Promise<(...command: string[]) => Promise<unknown>> {
  const client = createClient({ url: own.server.url })
  client.on('error', () => undefined)
  await client.connect()
  closing.push(() => client.destroy())
  return (...command) => client.sendCommand(command)
}

const echo = defineScript('echo', `return {KEYS[1], ARGV[1]}`)
const increment = defineScript('increment', `return redis.call('INCR', KEYS[1] .. ARGV[1])`)

let counter = 0
const freshKey = (): string => `counter:${++counter}`

async function failureOf(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    (answer) => expect.fail(`Expected an error, not ${String(answer)}.`),
    (error: unknown) => error,
  )
}

describe('scripts', () => {
  test('are run with the prefix as their key, whether the server knows them or not', async () => {
    const db = connect({ url: own.server.url, namespace: 'one' })
    expect(await db.run(echo, [12])).toEqual(['{one}:', '12'])
    await db.ask('SCRIPT', 'FLUSH')
    expect(await db.run(echo, ['again'])).toEqual(['{one}:', 'again'])
  })

  test('that are forgotten while many calls are under way all come to their end, each once', async () => {
    const db = connect({ url: own.server.url })
    const [key, admin] = [freshKey(), await administrator()]
    const calls = Array.from({ length: 200 }, async (_, n) => {
      if (n % 50 === 0) await admin('SCRIPT', 'FLUSH')
      return db.run<number>(increment, [key])
    })
    expect((await Promise.all(calls)).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1))
  })

  test('an error of theirs is told with the words of the server', async () => {
    const db = connect({ url: own.server.url })
    const broken = defineScript('broken', `return redis.call('INCR', KEYS[1], 'one too many')`)
    expect(await failureOf(db.run(broken, []))).toMatchObject({
      code: 'STORE_FAILED',
      message: expect.stringContaining('number of args'),
    })
  })

  test('many calls at once share a connection', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url) })
    await Promise.all(Array.from({ length: 100 }, () => db.run(echo, [1])))
    expect(proxy.counts.connections).toBe(1)
  })
})

describe('a connection that is lost', () => {
  test.each(['cut', 'reset'] as const)('%s: what was under way is sent again, and answered', async (how) => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url) })
    await db.run(echo, [1])
    proxy.freeze('to client')
    const answer = db.run(echo, ['late'])
    await proxy.until(({ 'to server': sent }) => sent.chunks > 1)
    proxy[how]()
    proxy.thaw()
    expect(await answer).toEqual(['{celeriac}:', 'late'])
    expect(proxy.counts.connections).toBe(2)
  })

  test('CLIENT KILL is no more than that', async () => {
    const db = connect({ url: own.server.url })
    const admin = await administrator()
    for (let n = 0; n < 5; n++) {
      await db.run(echo, [n])
      await admin('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    expect(await db.run(echo, ['still'])).toEqual(['{celeriac}:', 'still'])
  })

  test('a reply that is lost: the call is sent again by us, never by the driver', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url) })
    const key = freshKey()
    await db.run(increment, [key])
    const lost = proxy.loseReply((sent) => sent.includes(key))
    const answer = db.run(increment, [key])
    await lost
    // It was carried out twice, once for each time that we sent it: which is why everything we send may be repeated.
    expect(await answer).toBe(3)
  })

  test('a script is told whether it was sent before', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url) })
    const key = freshKey()
    expect(await db.run(echo, [isSentAgain])).toEqual(['{celeriac}:', '0'])
    const lost = proxy.loseReply((sent) => sent.includes(key))
    const answer = db.run(echo, [isSentAgain, key])
    await lost
    expect(await answer).toEqual(['{celeriac}:', '1'])
  })

  test('a server that is away is waited for, but not for longer than the time-out', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url), timeout: '700ms' })
    await db.run(echo, [1])
    proxy.refuse()
    proxy.reset()
    const error = await failureOf(db.run(echo, [2]))
    expect(error).toBeInstanceOf(StoreUnavailable)
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining('127.0.0.1:') })
    const waiting = db.run(echo, ['back'])
    await proxy.until(({ refused }) => refused > 0)
    proxy.refuse(false)
    expect(await waiting).toEqual(['{celeriac}:', 'back'])
  })

  test('says whether what was sent may have been stored', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url), timeout: '300ms' })
    await db.run(echo, [1])
    proxy.freeze('to client')
    expect(await failureOf(db.run(echo, [2]))).toMatchObject({ mayBeStored: true })
    proxy.thaw()
    proxy.refuse()
    proxy.reset()
    // The loss is noticed with the first call at the latest; the second finds nobody to send it to.
    await failureOf(db.run(echo, [3]))
    expect(await failureOf(db.run(echo, [4]))).toMatchObject({ mayBeStored: false })
  })

  test('half-open: what is under way is given up in time, and sent again on another connection', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url), timeout: '30s' })
    await db.run(echo, [1])
    proxy.freeze()
    const answers = Promise.all([db.run(echo, ['a']), db.run(echo, ['b'])])
    // The proxy sees a second connection only once the first was given up.
    await proxy.until(({ connections }) => connections === 2)
    proxy.thaw()
    expect(await answers).toEqual([
      ['{celeriac}:', 'a'],
      ['{celeriac}:', 'b'],
    ])
  })

  test('closing waits for what is under way', async () => {
    const proxy = await proxied()
    const db = connect({ url: proxy.url(own.server.url) })
    await db.run(echo, [1])
    proxy.freeze('to client')
    const answer = db.run(echo, ['last'])
    await proxy.until(({ 'to server': sent }) => sent.chunks > 1)
    const closed = db.close()
    proxy.thaw()
    expect(await answer).toEqual(['{celeriac}:', 'last'])
    await closed
    expect(await failureOf(db.run(echo, [2]))).toMatchObject({ code: 'CLOSED' })
  })
})

describe('clients of the user’s own', () => {
  test('are made by their factory, and made anew when one is lost', async () => {
    let made = 0
    const client = () => {
      made++
      return createClient({ url: own.server.url, RESP: 2 })
    }
    const db = connect({ client, namespace: 'own' })
    expect(await db.run(echo, [1])).toEqual(['{own}:', '1'])
    const admin = await administrator()
    await admin('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    expect(await db.run(echo, [2])).toEqual(['{own}:', '2'])
    expect(made).toBe(2)
  })

  test('one that is connected already is taken as it is', async () => {
    const client = createClient({ url: own.server.url })
    client.on('error', () => undefined)
    await client.connect()
    const db = connect({ client: () => client })
    expect(await db.run(echo, [1])).toEqual(['{celeriac}:', '1'])
  })
})

describe('what a server refuses', () => {
  test('nobody there, no such host, no such database', async () => {
    expect(await failureOf(connect({ url: 'redis://127.0.0.1:1' }).run(echo, []))).toMatchObject({
      code: 'STORE_UNREACHABLE',
      mayBeStored: false,
      message: expect.stringMatching(/127\.0\.0\.1:1.*ECONNREFUSED.*Nothing was stored/),
    })
    expect(await failureOf(connect({ url: 'redis://nowhere.invalid' }).run(echo, []))).toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('nowhere.invalid'),
    })
    expect(await failureOf(connect({ url: `${own.server.url}/99` }).run(echo, []))).toMatchObject({
      code: 'STORE_UNSUITABLE',
      message: expect.stringContaining('no database of this number'),
    })
  })

  test('a driver that is not installed', async () => {
    const driver = (): Promise<unknown> =>
      Promise.reject(Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' }))
    expect(await failureOf(connect({ url: own.server.url, driver }).run(echo, []))).toMatchObject({
      code: 'DRIVER_MISSING',
      message: expect.stringContaining('npm install @redis/client'),
    })
  })

  test('a wrong password, none, and a user who may not', async () => {
    const admin = await administrator()
    await admin('ACL', 'SETUSER', 'bob', 'on', '>right', '~*', '+@all', '-@scripting')
    for (const [who, code, words] of [
      ['bob:wrong', 'STORE_DENIED', /refused the user or the password/],
      ['nobody:right', 'STORE_DENIED', /refused the user or the password/],
      ['bob:right', 'STORE_DENIED', /grant it/],
    ] as const) {
      const url = own.server.url.replace('redis://', `redis://${who}@`)
      const error = await failureOf(connect({ url }).run(echo, []))
      expect(error).toMatchObject({ code, message: expect.stringMatching(words) })
      expect((error as Error).message).not.toContain('wrong@')
    }
    await admin('ACL', 'DELUSER', 'bob')
  })

  test('a password where one is needed', async () => {
    const admin = await administrator()
    await admin('CONFIG', 'SET', 'requirepass', 'open-sesame')
    closing.push(() => admin('CONFIG', 'SET', 'requirepass', ''))
    const url = own.server.url.replace('redis://', 'redis://:open-sesame@')
    expect(await connect({ url }).run(echo, [1])).toEqual(['{celeriac}:', '1'])
    expect(await failureOf(connect({ url: own.server.url }).run(echo, []))).toMatchObject({
      code: 'STORE_DENIED',
      message: expect.stringContaining('asks for a password'),
    })
  })

  test('a script that holds the server up is waited for', async () => {
    const admin = await administrator()
    await admin('CONFIG', 'SET', 'busy-reply-threshold', '50')
    const other = await administrator()
    const held = other('EVAL', 'while true do end', '0')
    const db = connect({ url: own.server.url, timeout: '20s' })
    const held2 = failureOf(held)
    const answer = db.run(echo, ['after'])
    for (let said = ''; !said.startsWith('BUSY');)
      said = await admin('GET', 'x').then(
        () => '',
        (error: Error) => error.message,
      )
    await admin('SCRIPT', 'KILL')
    expect(await answer).toEqual(['{celeriac}:', 'after'])
    await held2
  })
})
