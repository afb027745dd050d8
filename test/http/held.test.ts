import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { group } from 'celeriac'
import { collectionEvents } from '../../src/app/collection-events.ts'
import type { FollowTerms } from '../../src/app/events.ts'
import { partsOf } from '../../src/app/parts.ts'
import { Held } from '../../src/http/live/held.ts'
import { createHandler } from '../../src/http/handler.ts'
import { createKey } from '../../src/http/keys.ts'
import { appByHand } from '../fixtures/app-by-hand.ts'
import { describeEngines } from '../fixtures/store.ts'
import { turns } from '../fixtures/working.ts'
import { type Api, openApiOn } from './api.ts'
import { audience, issuer, secret, tokenWith } from './identities.ts'

/** How much one credential may have: streams, WebSockets, and jobs in all that it follows. */
const mostStreams = 1_000
const mostLines = 1_000
const mostJobs = 1_000_000

const one = { name: 'one', scopes: [], actor: null, collectionId: null }
const another = { ...one, name: 'another' }
const refused = expect.objectContaining({ code: 'TOO_MANY_REQUESTS', headers: { 'retry-after': '5' } }) as Error

/** Follows one collection from a cursor, as a stream of its own; none is ever told anything. */
async function streams({ handler, app, tasks }: Api) {
  const key = async (name: string): Promise<string> =>
    (await createKey(await partsOf(app).connect(), { name, scopes: ['read'] })).key
  const { id } = await app.submit(tasks.add.s(1, 2))
  const open = (token: string, after?: string): Promise<Response> => {
    const headers = { authorization: `Bearer ${token}`, ...(after !== undefined && { 'last-event-id': after }) }
    return handler(new Request(`http://localhost/api/collections/${id}/events?live=true`, { headers }))
  }
  const ann = await key('ann')
  const reader = (await open(ann)).body!.getReader()
  const cursor = /^id: (.*)$/m.exec(new TextDecoder().decode((await reader.read()).value))![1]!
  await reader.cancel()
  return { key, open: (token: string) => open(token, cursor), ann }
}

describeEngines((engine) => {
  test('what a user follows is bounded over all run tokens that the user makes, and beside the user', async () => {
    const { handler, as } = await openApiOn(engine, { auth: { jwt: { issuer, audience, secret } } })
    const ann = await tokenWith({ sub: 'ann' })
    const made: { readonly id: string; readonly token: string }[] = []
    const make = async (by: string): Promise<(typeof made)[number]> => {
      const { id } = (await as(by)('POST', '/api/tasks/math.add', { args: [1, 2], options: { start_in: '1h' } })).body
      return { id, token: (await as(by)('POST', `/api/collections/${id}/token`)).body.token as string }
    }
    for (let n = 0; n < 10; n++) made.push(await make(ann))
    // A token that was made with such a token is no other.
    made[0] = {
      id: made[0]!.id,
      token: (await as(made[0]!.token)('POST', `/api/collections/${made[0]!.id}/token`)).body.token,
    }
    const open = ({ id, token }: (typeof made)[number]): Promise<Response> =>
      handler(
        new Request(`http://localhost/api/collections/${id}/events?live=true`, {
          headers: { authorization: `Bearer ${token}`, 'last-event-id': cursors.get(id)! },
        }),
      )
    const cursors = new Map<string, string>()
    for (const { id, token } of made) {
      const headers = { authorization: `Bearer ${token}` }
      const answer = await handler(new Request(`http://localhost/api/collections/${id}/events?live=true`, { headers }))
      const reader = answer.body!.getReader()
      cursors.set(id, /^id: (.*)$/m.exec(new TextDecoder().decode((await reader.read()).value))![1]!)
      await reader.cancel()
    }
    const opened: Response[] = []
    while (opened.length < mostStreams)
      opened.push(...(await Promise.all(Array.from({ length: 20 }, () => made.map(open)).flat())))
    expect(new Set(opened.map(({ status }) => status))).toEqual(new Set([200]))
    expect(await Promise.all(made.map(async (one) => (await open(one)).status))).toEqual(Array<number>(10).fill(429))
    const own = await open({ id: made[1]!.id, token: ann })
    const bobs = await make(await tokenWith({ sub: 'bob' }))
    cursors.set(bobs.id, cursors.get(made[1]!.id)!)
    const others = await open(bobs)
    expect([own.status, others.status]).toEqual([200, 200])
    await Promise.all([own, others, ...opened].map(({ body }) => body!.cancel()))
  })

  test('large bodies of one key are received 32 at a time', async () => {
    const { handler, app } = await openApiOn(engine, {})
    const key = async (name: string): Promise<string> =>
      (await createKey(await partsOf(app).connect(), { name, scopes: ['submit'] })).key
    let begun = 0
    const ends: (() => void)[] = []
    /** Its body says nothing of its length, and comes when the test says so. */
    const send = async (token: string): Promise<number> => {
      const pull = async (controller: ReadableStreamDefaultController): Promise<void> => {
        begun++
        await new Promise<void>((resolve) => ends.push(resolve))
        controller.enqueue(new TextEncoder().encode('{"args":[1,2]}'))
        controller.close()
      }
      const body = new ReadableStream({ pull }, { highWaterMark: 0 })
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      const request = { method: 'POST', headers, body, duplex: 'half' }
      return (await handler(new Request('http://localhost/api/tasks/math.add', request as object))).status
    }
    const ann = await key('ann')
    const sent = Array.from({ length: 40 }, () => send(ann))
    while (begun < 32) await turns()
    await turns(200)
    expect(begun).toBe(32)
    sent.push(send(await key('bob')))
    while (begun < 33) await turns()
    ends.shift()!()
    while (begun < 34) await turns()
    while (begun < 41 || ends.length > 0) {
      for (const end of ends.splice(0)) end()
      await turns()
    }
    expect(new Set(await Promise.all(sent))).toEqual(new Set([202]))
  })

  test('what one key follows is bounded over all its streams, and ends with them', async () => {
    const { open, key, ann } = await streams(await openApiOn(engine, {}))
    const opened: Response[] = []
    while (opened.length < mostStreams) {
      const more = await Promise.all(Array.from({ length: 200 }, () => open(ann)))
      expect(more.map(({ status }) => status)).toEqual(Array<number>(200).fill(200))
      opened.push(...more)
    }
    const beyond = await open(ann)
    expect(beyond.status).toBe(429)
    expect(await beyond.json()).toMatchObject({ code: 'TOO_MANY_REQUESTS' })
    const others = await open(await key('bob'))
    expect(others.status).toBe(200)
    await opened.pop()!.body!.cancel()
    const again = await open(ann)
    expect(again.status).toBe(200)
    await Promise.all([others, again, ...opened].map(({ body }) => body!.cancel()))
  })

  test('a following weighs as many jobs as it remembers, also where it resumes, and nothing once it has ended', async () => {
    const { app, tasks } = await openApiOn(engine)
    const { id } = await app.submit(group(...Array.from({ length: 1_200 }, () => tasks.add.s(1, 2))))
    const weighed: (number | 'end')[] = []
    const hold: FollowTerms['hold'] = () => ({ weigh: (jobs) => weighed.push(jobs), end: () => weighed.push('end') })
    const first = collectionEvents(partsOf(app).connect, id, { hold })[Symbol.asyncIterator]()
    const { value } = await first.next()
    await first.return!()
    expect(weighed.splice(0)).toEqual([1_200, 1_200, 'end'])

    const resumed = collectionEvents(partsOf(app).connect, id, { hold, after: (value as { cursor: string }).cursor })
    const second = resumed[Symbol.asyncIterator]()
    const next = second.next()
    while (weighed.length < 2) await new Promise((resolve) => setImmediate(resolve))
    expect(weighed).toEqual([1_200, 1_200])
    await second.return!()
    await next
    expect(weighed).toEqual([1_200, 1_200, 'end'])
  })

  test('what may not be remembered is not read to be refused', async () => {
    const { app, tasks } = await openApiOn(engine)
    const { id } = await app.submit(group(tasks.add.s(1, 2), tasks.add.s(3, 4)))
    const connection = await partsOf(app).connect()
    let reads = 0
    const counted = {
      ...connection,
      engine: {
        ...connection.engine,
        collection: (...given: Parameters<typeof connection.engine.collection>) => {
          reads++
          return connection.engine.collection(...given)
        },
      },
    }
    const follow = (): Promise<unknown> =>
      collectionEvents(() => Promise.resolve(counted), id, {
        hold: () => ({
          weigh(jobs) {
            if (jobs > 1) throw new Error('too much')
          },
          end() {},
        }),
      })
        [Symbol.asyncIterator]()
        .next()
    await expect(follow()).rejects.toThrow('too much')
    expect(reads).toBe(0)
    await expect(follow()).rejects.toThrow('too much')
    expect(reads).toBe(0)
  })
})

test('jobs of all that one credential follows are added up, and taken away once', () => {
  const held = new Held()
  const large = Array.from({ length: 50 }, () => held.following(one, 'line'))
  for (const each of large) each.weigh(mostJobs / 50)
  for (const each of large) each.weigh(mostJobs / 50)
  expect(() => held.following(one, 'line')).toThrow(refused)
  expect(() => large[0]!.weigh(mostJobs / 50 + 1)).toThrow(refused)
  held.following(another, 'line').weigh(mostJobs)
  large[0]!.end()
  const small = Array.from({ length: 200 }, () => held.following(one, 'line'))
  expect(() => held.following(one, 'line')).toThrow(refused)
  for (const each of [...small, ...large.slice(1)]) each.end()
  held.following(one, 'line').weigh(mostJobs)
})

test('one credential has so many WebSockets, and another when one closes', async () => {
  const { app } = appByHand()
  const handler = createHandler(app)
  const server = createServer(handler.node).on('upgrade', (request, socket, head: Buffer) => {
    handler.upgrade(request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api/live`
  const sockets: WebSocket[] = []
  onTestFinished(() => {
    for (const socket of sockets) socket.terminate()
    handler.close()
    server.close()
  })
  const open = (token: string): Promise<number> => {
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
    sockets.push(socket)
    socket.on('error', () => {})
    return new Promise((resolve) => {
      socket.on('open', () => resolve(101))
      socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode!))
    })
  }
  const key = async (name: string): Promise<string> =>
    (await createKey(await partsOf(app).connect(), { name, scopes: ['read'] })).key
  const ann = await key('ann')
  while (sockets.length < mostLines) {
    const opened = await Promise.all(Array.from({ length: 100 }, () => open(ann)))
    expect(opened).toEqual(Array<number>(100).fill(101))
  }
  expect(await open(ann)).toBe(429)
  expect(await open(await key('bob'))).toBe(101)
  sockets[0]!.terminate()
  while ((await open(ann)) !== 101);
})

test('a handshake that is refused leaves no connection, though the client does not close its half', async () => {
  const handler = createHandler(appByHand().app)
  const server = createServer(handler.node).on('upgrade', handler.upgrade).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  onTestFinished(() => void client.destroy())
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const closed = once(socket, 'close')
  const handshake = ['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13', 'x-forwarded-for: a']
  client.write(['GET /api/live HTTP/1.1', 'host: localhost', ...handshake, '', ''].join('\r\n'))
  const [answer] = (await once(client, 'data')) as [Buffer]
  expect(String(answer)).toContain('HTTP/1.1 401')
  await closed
})
