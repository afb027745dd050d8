import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { SignJWT } from 'jose'
import { WebSocket } from 'ws'
import { appByHand } from '../../../test/fixtures/app-by-hand.ts'
import type { ManualRuntime } from '../../../test/fixtures/clock.ts'
import { turns } from '../../../test/fixtures/working.ts'
import type { Celeriac } from '../../app/celeriac.ts'
import { group } from '../../index.ts'
import { partsOf } from '../../app/parts.ts'
import { createHandler } from '../handler.ts'
import { createKey, revokeKey } from '../keys.ts'
import { serve } from '../serve.ts'

interface Message {
  readonly type: string
  readonly as?: string
  readonly collection?: string
  readonly event?: { readonly type: string; readonly cursor: string }
  readonly problem?: { readonly status: number; readonly code: string }
}

type Way = (there: { readonly app: Celeriac; readonly url: string; readonly token: string }) => Promise<string>
const jwt = { issuer: 'https://id.example.org', audience: 'jobs', secret: 'a'.repeat(32) }

/** A line to an app whose time the test moves, and all that is said on it. It is opened by what `way` gives: a token or a ticket. */
async function line(way?: Way) {
  let looks = 0
  const byHand = appByHand({
    wrap: (engine) => ({
      ...engine,
      collection: (id, options) => {
        if (options?.jobs !== false) looks++
        return engine.collection(id, options)
      },
    }),
  })
  const handler = createHandler(byHand.app, { auth: way ? { jwt } : 'none' })
  const server = createServer(handler.node).on('upgrade', (request, socket, head: Buffer) => {
    handler.upgrade(request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const opening = await way?.({ app: byHand.app, url, token: await userToken(byHand.clock.now() + 60_000) })
  const search = opening?.startsWith('tkt_') ? `?ticket=${opening}` : ''
  const headers = opening !== undefined && search === '' ? { authorization: `Bearer ${opening}` } : {}
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live${search}`, { headers })
  const heard: Message[] = []
  const wake: (() => void)[] = []
  socket.on('message', (data) => {
    heard.push(JSON.parse(String(data)) as Message)
    for (const resolve of wake.splice(0)) resolve()
  })
  await once(socket, 'open')
  onTestFinished(() => {
    socket.terminate()
    handler.close()
    server.close()
  })
  const until = async (is: (message: Message) => boolean): Promise<Message> => {
    for (let at = 0; ; at++) {
      while (at === heard.length) await new Promise<void>((resolve) => wake.push(resolve))
      if (is(heard[at]!)) return heard[at]!
    }
  }
  const say = (message: object): void => socket.send(JSON.stringify(message))
  const add = byHand.app.task('add', (a: number, b: number) => a + b)
  return { ...byHand, add, handler, socket, heard, until, say, looks: () => looks }
}

function userToken(until: number): Promise<string> {
  return new SignJWT({ iss: jwt.issuer, aud: jwt.audience, sub: 'ann', exp: until / 1000 })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(jwt.secret))
}

const ways: Readonly<Record<string, Way>> = {
  'token of an identity provider': async ({ token }) => token,
  'ticket for one': async ({ url, token }) => {
    const answer = await fetch(`${url}/api/tickets`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
    return ((await answer.json()) as { ticket: string }).ticket
  },
  'API key': async ({ app }) =>
    (await createKey(await partsOf(app).connect(), { name: 'shop', scopes: ['read'], expiresIn: '1m' })).key,
  'run token': async ({ app }) => {
    const add = app.task('once.add', (a: number, b: number) => a + b)
    return (await app.submit(add.s(1, 2))).token({ expiresIn: '1m' })
  },
}

describe('a line', () => {
  it.each(Object.keys(ways))('ends with the %s that opened it', async (name) => {
    const { clock, socket, heard } = await line(ways[name])
    clock.pass(59_000)
    await turns()
    expect(socket.readyState).toBe(socket.OPEN)
    clock.pass(1_000)
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(4001)
    expect(heard.filter(({ type }) => type === 'problem')).toEqual([])
  })

  it.each(['key', 'run token', 'ticket'])('ends when the key is revoked that is behind its %s', async (kind) => {
    let revoke = async (): Promise<unknown> => undefined
    const { clock, socket } = await line(async ({ app, url }) => {
      const connection = await partsOf(app).connect()
      const { key, about } = await createKey(connection, { name: 'shop', scopes: ['read'] })
      revoke = () => revokeKey(connection.engine, about.id)
      if (kind === 'key') return key
      const { id } = await app.task('once.add', (a: number, b: number) => a + b).delay(1, 2)
      const path = kind === 'ticket' ? 'tickets' : `collections/${id}/token`
      const headers = { authorization: `Bearer ${key}` }
      const answer = await fetch(`${url}/api/${path}`, { method: 'POST', headers })
      const { ticket, token } = (await answer.json()) as { ticket?: string; token?: string }
      return (ticket ?? token) as string
    })
    clock.pass(5_000)
    await turns()
    expect(socket.readyState).toBe(socket.OPEN)
    await revoke()
    clock.pass(5_000)
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(4001)
  })

  it('ends after an hour, when it has to be opened again', async () => {
    const { clock, socket } = await line()
    socket.on('ping', () => {})
    for (let minutes = 0; minutes < 59.5; minutes += 0.5) {
      clock.pass(30_000)
      await once(socket, 'ping')
      await turns()
    }
    expect(socket.readyState).toBe(socket.OPEN)
    clock.pass(30_000)
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(4001)
  })

  it('tells apart two that follow the same', async () => {
    const { add, say, until, heard } = await line()
    const { id } = await add.delay(1, 2)
    say({ type: 'follow', collection: id, as: 'one' })
    await until(({ as }) => as === 'one')
    say({ type: 'follow', collection: id, as: 'two' })
    await until(({ as }) => as === 'two')
    expect(heard.map(({ type, as, collection, event }) => [type, as, collection, event?.type])).toEqual([
      ['event', 'one', id, 'snapshot'],
      ['event', 'two', id, 'snapshot'],
    ])
  })

  it('ends with what is followed where that is wanted, also where it was over before', async () => {
    const { app, add, say, until, heard } = await line()
    const { id } = await add.delay(1, 2)
    await (await app.collection(id)).cancel()
    say({ type: 'follow', collection: id, as: 'one', live: false })
    await until(({ type }) => type === 'end')
    expect(heard.map(({ type, event }) => event?.type ?? type)).toEqual(['snapshot', 'settled', 'end'])
    const { cursor } = heard[1]!.event!
    say({ type: 'follow', collection: id, as: 'two', live: false, after: cursor })
    await until(({ type, as }) => type === 'end' && as === 'two')
    expect(heard.filter(({ as }) => as === 'two').map(({ type }) => type)).toEqual(['end'])
  })

  it('says whose problem it is', async () => {
    const { say, until } = await line()
    say({ type: 'follow', job: 'nobody', as: 'one' })
    expect(await until(({ type }) => type === 'problem')).toMatchObject({ as: 'one', problem: { status: 404 } })
    say({ type: 'fallow' })
    expect(await until(({ problem }) => problem?.code === 'BAD_REQUEST')).not.toHaveProperty('as')
  })

  it('says now and then that it lives', async () => {
    const { clock, until } = await line()
    clock.pass(10_000)
    await until(({ type }) => type === 'beat')
  })

  it('lets a reader go that reads nothing, and says so', async () => {
    const { clock, socket, follow, full } = await unread()
    for (let n = 0; n < 20; n++) follow(String(n))
    await full
    clock.pass(15_000)
    socket.resume()
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(4008)
  })

  it('ends one that reads nothing and does not say goodbye either', async () => {
    const { clock, socket, follow, full } = await unread()
    follow('all')
    await full
    clock.pass(15_000)
    clock.pass(15_000)
    socket.resume()
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(1006)
  })

  it('reads no more of the store than a reader takes, however much it asks for', async () => {
    const { follow, full, looks } = await unread()
    const before = looks()
    for (let n = 0; n < 300; n++) follow(String(n))
    await full
    await turns(200)
    // One is under way, and those that the network took before.
    expect(looks() - before).toBeLessThan(5)
  })

  it('hears no more than it carries out', async () => {
    const { socket, follow, say, full } = await unread()
    follow('one')
    await full
    for (let n = 0; n < 200_000; n++) say({ type: 'unfollow', collection: 'of nobody', as: 'whatever it is called' })
    // All that the network holds has gone: the rest stays where it comes from.
    let left = NaN
    for (let before = -1; before !== left; await turns(50)) {
      before = left
      left = socket.bufferedAmount
    }
    expect(left).toBeGreaterThan(1_000_000)
  })

  it('carries out a burst at once, and then so many a second', async () => {
    const { add, clock, say, heard, until } = await line()
    const { id } = await add.delay(1, 2)
    say({ type: 'follow', job: 'nobody' })
    await until(({ type }) => type === 'problem')
    const waits = timerOf(clock, 100)
    for (let n = 1; n < 2_000; n++) say({ type: 'unfollow', collection: id })
    say({ type: 'follow', collection: id })
    await waits
    await turns(50)
    expect(heard).toHaveLength(1)
    clock.pass(100)
    await until(({ event }) => event?.type === 'snapshot')
  })

  it('follows one thing so often, and no more', async () => {
    const { add, say, until, heard } = await line()
    const { id } = await add.delay(1, 2)
    for (let n = 1; n <= 21; n++) say({ type: 'follow', collection: id, as: String(n) })
    await until(({ as }) => as === '21')
    const told = heard.map(({ as, event, problem }) => [as, event?.type ?? problem?.code])
    expect(told.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => [String(n + 1), 'snapshot']))
    expect(told.slice(20)).toEqual([['21', 'BAD_REQUEST']])
    say({ type: 'unfollow', as: '3', collection: id })
    say({ type: 'follow', as: '22', collection: id })
    expect(await until(({ as }) => as === '22')).toMatchObject({ event: { type: 'snapshot' } })
  })

  it('ends one that says nothing that can be read', async () => {
    const { socket, heard } = await line()
    for (let n = 0; n < 700; n++) socket.send('x')
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(1008)
    expect(heard).toHaveLength(100)
  })
})

/** Resolves when a timer of this length is set. */
function timerOf(clock: ManualRuntime, wanted: number): Promise<void> {
  const { after } = clock
  return new Promise((resolve) => {
    Object.assign(clock, {
      after: (ms: number, call: () => void) => {
        if (ms === wanted) resolve()
        return after(ms, call)
      },
    })
  })
}

/** A line on which nothing is read any more, and a collection that is larger than what the network holds. */
async function unread() {
  const there = await line()
  const { app, add, clock, socket, say, until } = there
  const large = 'x'.repeat(200_000)
  const { id } = await app.submit(group(...Array.from({ length: 100 }, () => add.s(1, large as never))))
  say({ type: 'follow', job: 'nobody' })
  await until(({ type }) => type === 'problem')
  socket.pause()
  const full = timerOf(clock, 15_000)
  return { ...there, full, follow: (as: string) => say({ type: 'follow', collection: id, as }) }
}

describe('what goes wrong inside', () => {
  /** A server with a fault where it is told to have one, and all that is reported of it. */
  async function faulty(where: 'identify' | 'collection') {
    const reported: unknown[] = []
    const { app } = appByHand({
      intercept: (method, call) => (method === where ? Promise.reject(new Error('a fault')) : call()),
    })
    const identify = () => {
      if (where === 'identify') throw new Error('a fault')
      return { name: 'ann', scopes: ['read'] as const, actor: null }
    }
    const onError = (error: unknown, asked: unknown): void => {
      const { cause = error } = error as Error
      reported.push([(cause as Error).message, asked])
    }
    const { url, close } = await serve(app, { port: 0, auth: { identify }, onError })
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
    socket.on('error', () => {})
    onTestFinished(async () => {
      socket.terminate()
      await close()
    })
    return { socket, reported, app }
  }
  const report = ['a fault', { method: 'GET', path: '/api/live', repeats: 0 }]

  it('is reported of a handshake, and not told', async () => {
    const { socket, reported } = await faulty('identify')
    const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    expect(answer.statusCode).toBe(500)
    expect(await text(answer)).not.toContain('a fault')
    expect(reported).toEqual([report])
  })

  it('is reported of what is followed, and not told', async () => {
    const { socket, reported, app } = await faulty('collection')
    await once(socket, 'open')
    const { id } = await app.task('add', (a: number, b: number) => a + b).delay(1, 2)
    socket.send(JSON.stringify({ type: 'follow', collection: id }))
    const [told] = (await once(socket, 'message')) as [Buffer]
    expect(JSON.parse(String(told))).toMatchObject({ type: 'problem', problem: { status: 500 } })
    expect(String(told)).not.toContain('a fault')
    expect(reported).toEqual([report])
  })
})

describe('a server that goes away', () => {
  it('waits for nobody who does not answer', async () => {
    const { app, clock } = appByHand()
    const { url, close } = await serve(app, { port: 0, auth: 'none' })
    const silent = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
    await once(silent, 'open')
    silent.pause()
    const closed = close()
    await turns()
    clock.pass(1_000)
    await turns()
    clock.pass(2_000)
    await closed
    silent.terminate()
  })

  it('sends away who is let in meanwhile', async () => {
    const { app } = appByHand()
    const [asked, known] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const identify = async () => {
      asked.resolve()
      await known.promise
      return { name: 'late', scopes: ['read'] as const, actor: null }
    }
    const { url, close } = await serve(app, { port: 0, auth: { identify } })
    const late = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
    await asked.promise
    const closed = close()
    known.resolve()
    const [code] = (await once(late, 'close')) as [number]
    expect(code).toBe(1001)
    await closed
  })
})
