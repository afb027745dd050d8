import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { all } from '../../test/fixtures/app-by-hand.ts'
import { type ManualRuntime, manualRuntime } from '../../test/fixtures/clock.ts'
import { turns } from '../../test/fixtures/working.ts'
import { clientWith, type CollectionEvent, type Connection, type Token } from './client.ts'
import { Requests } from './requests.ts'

interface Order {
  readonly type: string
  readonly as: string
  readonly collection: string
  readonly after?: string
}

/** A server that says what the test tells it to, to a client whose time the test moves. */
async function standIn(
  before: (response: ServerResponse, n: number) => boolean = () => false,
  token?: Token,
  most?: number,
) {
  const tickets: string[] = []
  const asked: (string | undefined)[] = []
  const server = createServer(({ url }, response) => {
    asked.push(url)
    if (before(response, asked.length)) return
    tickets.push(`t${tickets.length + 1}`)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ ticket: tickets.at(-1) }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sockets = new WebSocketServer({ server })
  const opened: { readonly socket: WebSocket; readonly ticket: string | null; readonly orders: Order[] }[] = []
  const wake: (() => void)[] = []
  const changed = (): void => wake.splice(0).forEach((one) => one())
  sockets.on('connection', (socket, { url }) => {
    const line = { socket, ticket: new URL(url ?? '', 'http://x').searchParams.get('ticket'), orders: [] as Order[] }
    opened.push(line)
    socket.on('message', (data) => {
      line.orders.push(JSON.parse(String(data)) as Order)
      changed()
    })
    changed()
  })
  const clock = manualRuntime()
  const { port } = server.address() as AddressInfo
  const client = clientWith(new Requests(`http://127.0.0.1:${port}`, token, clock, most))
  onTestFinished(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.close()
    server.closeAllConnections()
  })
  /** The n-th line, once it has been told so many orders. Time passes only where it is said. */
  const line = async (n: number, orders = 1, passing = 0) => {
    while ((opened[n - 1]?.orders.length ?? -1) < orders) {
      if (passing > 0) {
        clock.pass(passing)
        await turns()
      } else await new Promise<void>((resolve) => wake.push(resolve))
    }
    return opened[n - 1]!
  }
  return { client, clock, line, opened, asked }
}

const state = (n: number, state = 'running'): CollectionEvent => ({
  type: 'state',
  cursor: `c${n}`,
  at: '2026-01-01T00:00:00.000Z',
  job_id: `job ${n}`,
  state: state as 'running',
  attempt: 1,
})
const tell = ({ socket, orders }: { socket: WebSocket; orders: Order[] }, ...events: CollectionEvent[]): void => {
  for (const event of events) socket.send(JSON.stringify({ type: 'event', as: orders.at(-1)!.as, event }))
}
const cursors = (events: readonly { readonly cursor: string }[]): string[] => events.map(({ cursor }) => cursor)

it('comes back at once where it read too slowly, with another ticket, from behind what it has', async () => {
  const { client, line } = await standIn()
  const following = all(client.collection('a').follow())
  const first = await line(1)
  expect(first.orders).toEqual([{ type: 'follow', collection: 'a', as: '1', live: false }])
  tell(first, state(1), state(2))
  first.socket.close(4008)
  // No time passes.
  const second = await line(2)
  expect([first.ticket, second.ticket]).toEqual(['t1', 't2'])
  expect(second.orders).toEqual([{ type: 'follow', collection: 'a', as: '2', after: 'c2', live: false }])
  tell(second, state(3))
  second.socket.send(JSON.stringify({ type: 'end', as: '2' }))
  expect(cursors(await following)).toEqual(['c1', 'c2', 'c3'])
})

it('waits before it comes back from any other end', async () => {
  const { client, clock, line, opened } = await standIn()
  const following = all(client.collection('a').follow())
  const first = await line(1)
  tell(first, state(1))
  first.socket.close(1001)
  await once(first.socket, 'close')
  clock.pass(149)
  await turns(50)
  expect(opened).toHaveLength(1)
  const second = await line(2, 1, 50)
  second.socket.send(JSON.stringify({ type: 'end', as: '2' }))
  expect(cursors(await following)).toEqual(['c1'])
})

it('leaves out what it is told again, and what was for one who follows no more', async () => {
  const { client, line } = await standIn()
  const events = client.collection('a').follow()[Symbol.asyncIterator]()
  void events.next()
  const first = await line(1)
  await events.return?.()
  const following = all(client.collection('a').follow())
  await line(1, 3)
  expect(first.orders.map(({ type, as }) => `${type} ${as}`)).toEqual(['follow 1', 'unfollow 1', 'follow 2'])
  first.socket.send(JSON.stringify({ type: 'event', as: '1', event: state(7) }))
  tell(first, state(1), state(2))
  first.socket.close(4008)
  const second = await line(2)
  tell(second, { ...state(1), cursor: 'c4' }, { ...state(2), cursor: 'c5' }, state(6))
  second.socket.send(JSON.stringify({ type: 'end', as: second.orders.at(-1)!.as }))
  expect(cursors(await following)).toEqual(['c1', 'c2', 'c6'])
})

it('asks again where the store is away, and throws what will not change', async () => {
  const { client, line } = await standIn()
  const following = all(client.collection('a').follow())
  const first = await line(1)
  const problem = (status: number, as: string): string =>
    JSON.stringify({ type: 'problem', as, problem: { title: '', status, code: `C${status}`, detail: 'so it is' } })
  first.socket.send(problem(503, '1'))
  await line(1, 2, 500)
  expect(first.orders.at(-1)).toMatchObject({ type: 'unfollow' })
  await line(1, 3, 500)
  first.socket.send(problem(404, first.orders.at(-1)!.as))
  await expect(following).rejects.toMatchObject({ name: 'ApiProblem', status: 404, detail: 'so it is' })
})

it('takes a line that says nothing for dead', async () => {
  const { client, clock, line } = await standIn()
  const told: Connection[] = []
  const onConnection = (connection: Connection): void => void told.push(connection)
  const events = client.collection('a').follow({ onConnection })[Symbol.asyncIterator]()
  const next = events.next()
  const first = await line(1)
  tell(first, state(1))
  await next
  const more = events.next()
  clock.pass(30_000)
  await once(first.socket, 'close')
  expect(told).toEqual([
    { isLive: true, silentFor: 0 },
    { isLive: false, silentFor: 30_000 },
  ])
  const second = await line(2, 1, 50)
  expect(second.orders[0]).toMatchObject({ after: 'c1' })
  expect(told[2]).toEqual({ isLive: true, silentFor: 0 })
  await events.return?.()
  await more
})

it('takes it for no sign of a network that lets none through when it hangs up itself', async () => {
  const { client, clock, opened, asked } = await standIn()
  let begun = 0
  const Real = globalThis.WebSocket
  onTestFinished(() => void (globalThis.WebSocket = Real))
  // One that is never opened.
  globalThis.WebSocket = function () {
    begun++
    return { close: () => {} }
  } as never
  for (const n of [1, 2, 3]) {
    const events = client.collection('a').follow()[Symbol.asyncIterator]()
    void events.next()
    for (; begun < n; await turns()) clock.pass(10)
    await events.return?.()
  }
  globalThis.WebSocket = Real
  const events = client.collection('a').follow()[Symbol.asyncIterator]()
  void events.next()
  while (!opened.some(({ orders }) => orders.length > 0)) {
    clock.pass(10)
    await turns()
  }
  expect(new Set(asked)).toEqual(new Set(['/api/tickets']))
  await events.return?.()
})

it('asks for no more than is read', async () => {
  const { client, line } = await standIn()
  const events = client.collection('a').follow()[Symbol.asyncIterator]()
  const next = events.next()
  const first = await line(1)
  tell(first, state(0))
  await next
  tell(first, ...Array.from({ length: 2_500 }, (_, n) => state(n + 1)))
  await line(1, 2)
  expect(first.orders.at(-1)).toMatchObject({ type: 'unfollow', as: '1' })
  const read: string[] = []
  while (read.length < 2_000) read.push((await events.next()).value.cursor)
  const more = events.next()
  await line(1, 3)
  expect(first.orders.at(-1)).toMatchObject({ type: 'follow', as: '2', after: read.at(-1) })
  expect(read).toEqual(Array.from({ length: 2_000 }, (_, n) => `c${n + 1}`))
  await events.return?.()
  await more
})

describe('where no answer comes', () => {
  /** The first `n` requests for this are never answered. */
  const silent = (path: string, n = 1) => {
    let left = n
    return standIn((response) => {
      const isIt = (response.req.url ?? '').includes(path)
      if (isIt && left-- > 0) return true
      if (!isIt) return false
      const settled = { ...state(1, 'succeeded'), type: 'settled' }
      if (path === '/tickets') response.end(JSON.stringify({ ticket: 't' }))
      else if (path === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: ${JSON.stringify(settled)}\n\n`)
      } else response.end(JSON.stringify({ id: 'a', state: 'succeeded' }))
      return true
    })
  }
  /** What it comes to, by a clock that goes on by seconds until then, for ten minutes at most. */
  const outcome = async (clock: ManualRuntime, asked: Promise<unknown>): Promise<unknown> => {
    let found: unknown
    void asked.then(
      (value) => (found = { value }),
      (error: unknown) => (found = { error }),
    )
    for (; found === undefined && clock.elapsed() < 600_000; await turns(5)) clock.pass(1_000)
    return found
  }

  it('to a stream of events, another one is asked for', async () => {
    const { client, clock } = await silent('/events')
    const Real = globalThis.WebSocket
    onTestFinished(() => void (globalThis.WebSocket = Real))
    globalThis.WebSocket = undefined as never
    expect(await outcome(clock, all(client.collection('a').follow()))).toMatchObject({ value: [{ cursor: 'c1' }] })
  })

  it('to a reading or a submission, it is sent again; a retry is given up', async () => {
    const { client, clock } = await silent('/collections/a')
    expect(await outcome(clock, client.collection('a').read())).toMatchObject({ value: { id: 'a' } })
    const other = await silent('/tasks/')
    expect(await outcome(other.clock, other.client.submit('add'))).toMatchObject({ value: { id: 'a' } })
    const last = await silent('/retry')
    expect(await outcome(last.clock, last.client.job('a').retry())).toMatchObject({
      error: { message: 'No answer came within 30 seconds.' },
    })
  })

  it('from who gives tokens, that is told, and whoever asks may stop', async () => {
    const { client, clock, asked } = await standIn(undefined, () => new Promise<string>(() => {}))
    expect(await outcome(clock, client.job('a').retry())).toMatchObject({
      error: { message: 'No answer came within 30 seconds.' },
    })
    const stop = new AbortController()
    const reading = client.job('a').read({ signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
    expect(asked).toEqual([])
  })

  it.each(['a ticket', 'a handshake'])('to %s, another line is opened', async (what) => {
    const { client, clock, opened } = await (what === 'a ticket' ? silent('/tickets') : standIn())
    const Real = globalThis.WebSocket
    onTestFinished(() => void (globalThis.WebSocket = Real))
    let begun = what === 'a ticket' ? 1 : 0
    globalThis.WebSocket = function (url: string) {
      return begun++ === 0 ? { close: () => {} } : new Real(url)
    } as never
    let isOver = false
    void all(client.collection('a').follow()).then(() => (isOver = true))
    for (; !isOver && clock.elapsed() < 600_000; await turns(5)) {
      clock.pass(500)
      for (const { socket, orders } of opened) {
        for (const { as } of orders.splice(0)) socket.send(JSON.stringify({ type: 'end', as }))
      }
    }
    expect(isOver).toBe(true)
  })
})

describe('an answer that has no end', () => {
  const most = 100_000
  /** Says how much was sent of it until nobody read it any more. */
  const endless = async (status: number, type: string, opening: string) => {
    const sent: Promise<number>[] = []
    const there = await standIn(
      (response) => {
        let size = 0
        const chunk = 'x'.repeat(10_000)
        response.writeHead(status, { 'content-type': type }).write(opening)
        const more = (): void => {
          while (!response.destroyed && response.write(chunk)) size += chunk.length
        }
        response.on('drain', more)
        sent.push(once(response, 'close').then(() => size))
        more()
        return true
      },
      undefined,
      most,
    )
    return { ...there, sent }
  }

  it.each(['read', 'retry'] as const)('to %s is broken off and thrown, and not asked for again', async (action) => {
    const { client, asked, sent } = await endless(200, 'application/json', '{"state":"')
    await expect(client.collection('a')[action]()).rejects.toMatchObject({ code: 'TOO_LARGE', name: 'ApiProblem' })
    expect(asked).toHaveLength(1)
    await sent[0]
  })

  it('and is a problem is broken off, and known by its status', async () => {
    const { client, sent } = await endless(404, 'application/problem+json', '{"code":"NOT_FOUND","detail":"')
    await expect(client.job('a').retry()).rejects.toMatchObject({ status: 404, isForeign: true })
    await sent[0]
  })

  it('and is an event ends the following', async () => {
    const { client, asked, sent } = await endless(
      200,
      'text/event-stream',
      `data: ${JSON.stringify(state(1))}\n\ndata: "`,
    )
    const Real = globalThis.WebSocket
    onTestFinished(() => void (globalThis.WebSocket = Real))
    globalThis.WebSocket = undefined as never
    const events = client.collection('a').follow()[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ cursor: 'c1' })
    await expect(events.next()).rejects.toMatchObject({ code: 'TOO_LARGE', name: 'ApiProblem' })
    expect(asked).toHaveLength(1)
    await sent[0]
  })
})

it('reads events whatever pieces they come in, however many they are', async () => {
  const whole = [1, 2, 3]
    .map((n) => `id: ${n}\ndata: ${JSON.stringify({ ...state(n), task: 'Stühle' })}\n\n`)
    .join(': beat\n\n')
  const { client } = await standIn((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    void (async () => {
      for (const byte of Buffer.from(whole)) {
        response.write(Buffer.from([byte]))
        await turns(1)
      }
    })()
    return true
  })
  const Real = globalThis.WebSocket
  onTestFinished(() => void (globalThis.WebSocket = Real))
  globalThis.WebSocket = undefined as never
  const events = client.collection('a').follow()[Symbol.asyncIterator]()
  for (const n of [1, 2, 3]) expect((await events.next()).value).toMatchObject({ cursor: `c${n}`, task: 'Stühle' })
  await events.return?.()
})

/** What no server of ours says on a line, to one who follows by this name. */
const strange: Readonly<Record<string, (as: string) => string | Buffer>> = {
  'no JSON': () => 'hello',
  binary: () => Buffer.from('{"type":"beat"}'),
  null: () => 'null',
  'a number': () => '1',
  'a list': () => '[]',
  'an event that is missing': (as) => JSON.stringify({ type: 'event', as }),
  'an event that is null': (as) => JSON.stringify({ type: 'event', as, event: null }),
  'an event without a cursor': (as) => JSON.stringify({ type: 'event', as, event: { type: 'state' } }),
  'a cursor that is a number': (as) => JSON.stringify({ type: 'event', as, event: { type: 'state', cursor: 1 } }),
  'a cursor that no header carries': (as) =>
    JSON.stringify({ type: 'event', as, event: { type: 'state', cursor: 'c\n1' } }),
  'a snapshot of nothing': (as) => JSON.stringify({ type: 'event', as, event: { type: 'snapshot', cursor: 'c1' } }),
  'a snapshot without jobs': (as) =>
    JSON.stringify({
      type: 'event',
      as,
      event: { type: 'snapshot', cursor: 'c1', collection: { id: 'a', state: 'running' } },
    }),
  'jobs that are a number': (as) =>
    JSON.stringify({ type: 'event', as, event: { type: 'jobs', cursor: 'c1', jobs: 5 } }),
  'jobs that are null': (as) =>
    JSON.stringify({ type: 'event', as, event: { type: 'jobs', cursor: 'c1', jobs: [null] } }),
  'a problem that is missing': (as) => JSON.stringify({ type: 'problem', as }),
  'a problem in other types': (as) =>
    JSON.stringify({ type: 'problem', as, problem: { status: '404', code: 5, detail: { toString: 1 } } }),
  'a name that is a number': (as) => JSON.stringify({ type: 'end', as: Number(as) }),
}

describe.each(Object.entries(strange))('a line that says %s', (_name, say) => {
  it('is ended, and another one goes on', async () => {
    const { client, clock, line, opened } = await standIn()
    const following = all(client.collection('a').follow())
    const first = await line(1)
    tell(first, state(1))
    first.socket.send(say('1'))
    await once(first.socket, 'close')
    clock.pass(149)
    await turns(50)
    expect(opened).toHaveLength(1)
    const second = await line(2, 1, 50)
    expect(second.orders[0]).toMatchObject({ as: '2', after: 'c1' })
    second.socket.send(JSON.stringify({ type: 'end', as: '2' }))
    expect(cursors(await following)).toEqual(['c1'])
  })
})

it('lets a stream take the place of lines that say what is not understood, and looks again for one later', async () => {
  const stream = { 'content-type': 'text/event-stream' }
  const { client, clock, opened } = await standIn((response) => {
    if (response.req.url === '/api/tickets') return false
    response.writeHead(200, stream).end(`data: ${JSON.stringify({ ...state(1, 'succeeded'), type: 'settled' })}\n\n`)
    return true
  })
  let isOver = false
  const following = all(client.collection('a').follow()).finally(() => (isOver = true))
  const said = new Set<unknown>()
  for (; !isOver; await turns()) {
    for (const { socket } of opened.filter((one) => one.orders.length > 0 && !said.has(one))) socket.send('<html>')
    for (const one of opened) if (one.orders.length > 0) said.add(one)
    clock.pass(50)
  }
  expect(cursors(await following)).toEqual(['c1'])
  expect(opened).toHaveLength(2)
})

it('hears what is nested more deeply than it can write', async () => {
  const { client, line } = await standIn()
  const following = all(client.collection('a').follow())
  const first = await line(1)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  for (const n of [1, 2])
    first.socket.send(`{"type":"event","as":"1","event":{"type":"x","cursor":"c${n}","x":${deep}}}`)
  first.socket.send(JSON.stringify({ type: 'end', as: '1' }))
  expect(cursors(await following)).toEqual(['c1', 'c2'])
})

describe('an answer', () => {
  const answered = (status: number, type: string, body: string) =>
    standIn((response) => {
      response.writeHead(status, { 'content-type': type }).end(body)
      return true
    })

  it.each([
    '<html>',
    '',
    'null',
    '5',
    '[]',
    '{}',
    '{"id":1,"state":"running"}',
    '{"id":"a","state":"failed","failure":1}',
  ])('that all is well, and is %s, is thrown as none of the API', async (body) => {
    const { client, clock } = await answered(200, 'application/json', body)
    const found: unknown[] = []
    const asking = [
      client.collection('a').read(),
      client.collection('a').result(),
      client.job('a').cancel(),
      client.job('a').retry(),
      client.jobs.list(),
    ]
    for (const one of asking) void one.catch((error: unknown) => found.push(error))
    for (; found.length < asking.length; await turns()) clock.pass(1_000)
    for (const error of found) {
      expect(error).toMatchObject({ name: 'ApiProblem', status: 200, code: 'HTTP_200', isForeign: true })
    }
  })

  it('to a submission without an id is thrown', async () => {
    const { client, clock } = await answered(201, 'application/json', '{"id":7}')
    let found: unknown
    void client.submit('add').catch((error: unknown) => (found = error))
    for (; found === undefined; await turns()) clock.pass(1_000)
    expect(found).toMatchObject({ name: 'ApiProblem', status: 201, isForeign: true })
  })

  it.each(['null', '5', '[]', '{"code":5,"detail":"x"}', '{"code":"NOT_FOUND","detail":{"toString":1},"title":{}}'])(
    'that is a problem in other types, %s, is none of the API',
    async (body) => {
      const { client } = await answered(404, 'application/problem+json', body)
      const error: unknown = await client
        .job('a')
        .retry()
        .catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ name: 'ApiProblem', status: 404, isForeign: true, message: expect.any(String) })
    },
  )
})

describe.each(['WebSocket', 'server-sent events'])('what is not the API, followed by %s', (way) => {
  const begin = async (before: (response: ServerResponse, n: number) => boolean) => {
    const there = await standIn(before)
    const Real = globalThis.WebSocket
    onTestFinished(() => void (globalThis.WebSocket = Real))
    if (way !== 'WebSocket') globalThis.WebSocket = undefined as never
    return there
  }
  /** An answer of a proxy while it has no server behind it. */
  const page = (response: ServerResponse, status: number): true => {
    response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>nginx</h1>')
    return true
  }

  it('is asked again while a server may be being replaced', async () => {
    const statuses = [404, 403, 421, 400]
    const { client, clock, asked } = await begin((response, n) => page(response, statuses[(n - 1) % 4]!))
    const events = client.collection('a').follow()[Symbol.asyncIterator]()
    let ended = false
    const next = events.next().finally(() => (ended = true))
    for (let n = 0; asked.length < 6; n++) {
      clock.pass(1_000)
      await turns()
    }
    expect(ended).toBe(false)
    await events.return?.()
    await next
  })

  it('is given up after a while: the address may be wrong', async () => {
    const { client, clock } = await begin((response) => page(response, 404))
    const following = all(client.collection('a').follow()).catch((error: unknown) => error)
    let found: unknown
    void following.then((error) => (found = error))
    for (; found === undefined; await turns(5)) clock.pass(5_000)
    expect(found).toMatchObject({ name: 'ApiProblem', status: 404, isForeign: true })
    expect(clock.elapsed()).toBeGreaterThanOrEqual(300_000)
  })

  it.each(['null', '{"ticket":1}', '<h1>welcome</h1>'])(
    'is given up as well where it says that all is well: %s',
    async (body) => {
      const { client, clock, asked } = await begin((response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(body)
        return true
      })
      let found: unknown
      void all(client.collection('a').follow()).catch((error: unknown) => (found = error))
      for (; found === undefined; await turns(5)) clock.pass(1_000)
      expect(found).toMatchObject({ name: 'ApiProblem', status: 200, isForeign: true })
      expect(clock.elapsed()).toBeGreaterThanOrEqual(300_000)
      expect(asked.length).toBeLessThan(60)
    },
  )

  it('is given up where only tickets are as they should be', async () => {
    const { client, clock, opened, asked } = await begin((response) => {
      if (response.req.url === '/api/tickets') return false
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: hello\n\n')
      return true
    })
    let found: unknown
    void all(client.collection('a').follow()).catch((error: unknown) => (found = error))
    for (; found === undefined && clock.elapsed() < 900_000; await turns(5)) {
      for (const { socket } of opened) socket.send('hello')
      clock.pass(1_000)
    }
    expect(found).toMatchObject({ name: 'ApiProblem', status: 200, isForeign: true })
    expect(asked.length).toBeLessThan(100)
  })
})
