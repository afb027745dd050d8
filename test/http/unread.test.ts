import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { group } from 'celeriac'
import { serve } from 'celeriac/http'
import { appByHand } from '../fixtures/app-by-hand.ts'
import { turns } from '../fixtures/working.ts'
import { Turns } from '../../src/http/turns.ts'

// A hundred megabytes of snapshots are made in a test, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 })

/** An API with a collection that is larger than what the network holds, and how often it was read. */
async function large() {
  let looks = 0
  const { app, clock } = appByHand({
    wrap: (engine) => ({
      ...engine,
      collection: (id, options) => {
        if (options?.jobs !== false) looks++
        return engine.collection(id, options)
      },
    }),
  })
  const { url, close } = await serve(app, { port: 0, auth: 'none' })
  const echo = app.task('echo', { expose: true }, (text: string) => text)
  // Arguments are left out of an answer beyond 4 MiB; that there is a job is not.
  const { id } = await app.submit(group(...Array.from({ length: 40_000 }, () => echo.s('x'))), {
    unique: { key: 'the only one' },
  })
  const sockets: Socket[] = []
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    const closed = close()
    await turns()
    clock.pass(2_000)
    await closed
  })
  /** Sends requests on one connection, and reads nothing. With a body they submit. */
  const ask = (path: string, times = 1, body = ''): Socket => {
    const method = body === '' ? 'GET' : 'POST'
    const type = body === '' ? '' : `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.pause()
    socket.on('error', () => {})
    sockets.push(socket)
    socket.write(
      `${method} ${path.replace('{id}', id)} HTTP/1.1\r\nhost: localhost\r\n${type}\r\n${body}`.repeat(times),
    )
    return socket
  }
  return { url, id, clock, ask, looks: () => looks }
}

/** What is read for one credential and not taken is so much at most: of answers, and of snapshots. */
const most = 8

/** Becomes what is there already, which it is answered with. */
const sameAgain = JSON.stringify({ args: ['x'], options: { unique: { key: 'the only one', on_conflict: 'existing' } } })

describe('a large answer that nobody reads', () => {
  test.each([
    [
      'asked for on many connections',
      (ask: (path: string) => Socket) => {
        for (let n = 0; n < 40; n++) ask('/api/collections/{id}')
      },
    ],
    [
      'submitted again on many connections',
      (ask: (path: string, times: number, body: string) => Socket) => {
        for (let n = 0; n < 40; n++) ask('/api/tasks/echo', 1, sameAgain)
      },
    ],
    [
      'streamed on many connections',
      (ask: (path: string) => Socket) => {
        for (let n = 0; n < 40; n++) ask('/api/collections/{id}/events')
      },
    ],
  ])('%s', async (_, begin) => {
    const { ask, looks } = await large()
    begin(ask)
    while (looks() < most) await turns()
    await turns(200)
    expect(looks()).toBe(most)
  })

  test('asked for a hundred times on one connection, is read once: the others are read when they are next', async () => {
    const { ask, looks } = await large()
    const socket = ask('/api/collections/{id}', 100)
    while (looks() < 1) await turns()
    await turns(200)
    expect(looks()).toBe(1)
    socket.resume()
    while (looks() < 3) await turns()
  })

  test('keeps nobody from submitting what is new', async () => {
    const { ask, looks, url } = await large()
    for (let n = 0; n < 40; n++) ask('/api/tasks/echo', 1, sameAgain)
    while (looks() < most) await turns()
    const headers = { 'content-type': 'application/json' }
    const sent = await fetch(`${url}/api/tasks/echo`, { method: 'POST', headers, body: '{"args":["y"]}' })
    expect(sent.status).toBe(202)
  })

  test('ends the connection after a while, and the next has its turn', async () => {
    const { ask, looks, clock, url, id } = await large()
    const unread = Array.from({ length: most }, () => ask('/api/collections/{id}'))
    while (looks() < most) await turns()
    const answer = fetch(`${url}/api/collections/${id}`)
    await turns(200)
    expect(looks()).toBe(most)
    clock.pass(15_000)
    for (const socket of unread) socket.resume()
    await Promise.all(unread.map(async (socket) => socket.destroyed || (await once(socket, 'close'))))
    expect((await (await answer).text()).length).toBeGreaterThan(12_000_000)
  })

  test('is not read for one who went away before its turn', async () => {
    const { ask, looks } = await large()
    const unread = Array.from({ length: 40 }, () => ask('/api/collections/{id}'))
    while (looks() < most) await turns()
    // Those that wait for a turn go first.
    for (const socket of unread.toReversed()) socket.destroy()
    await turns(200)
    expect(looks()).toBe(most)
  })

  test('goes out whole to one who reads slowly', async () => {
    const { ask, clock } = await large()
    const socket = ask('/api/collections/{id}')
    let length = 0
    for (let n = 0; length < 12_000_000; n++) {
      const chunk = socket.read() as Buffer | null
      length += chunk?.length ?? 0
      if (chunk === null) await once(socket, 'readable')
      if (n % 50 === 0) clock.pass(1)
    }
  })
})

test('who sends more than a hundred requests ahead of their answers is disconnected', async () => {
  const { app } = appByHand()
  const { url, close } = await serve(app, { port: 0, auth: 'none' })
  onTestFinished(close)
  const send = (times: number): Socket => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    onTestFinished(() => void socket.destroy())
    socket.write('GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(times))
    return socket
  }
  /** How many answers came so far. */
  const counted = (socket: Socket): (() => number) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    return () => text.split('HTTP/1.1 200 OK').length - 1
  }
  const patient = send(100)
  const answers = counted(patient)
  while (answers() < 100) await once(patient, 'data')
  const greedy = send(1_000)
  const few = counted(greedy)
  await once(greedy, 'close')
  expect(few()).toBeLessThanOrEqual(101)
})

test('what is stored is not refused: its answer waits behind all others', async () => {
  const turns = new Turns(1)
  const one = { name: 'one', scopes: [], actor: null, collectionId: null }
  const end = await turns.take(one)
  const waiting = Array.from({ length: 1_000 }, async () => (await turns.take(one))())
  const stored = turns.take(one, undefined, Infinity)
  end()
  await Promise.all([...waiting, stored])
})

test('who asks faster than it takes what it is answered is refused', async () => {
  const turns = new Turns(1)
  const one = { name: 'one', scopes: [], actor: null, collectionId: null }
  const end = await turns.take(one)
  const waiting = Array.from({ length: 1_000 }, () => turns.take(one))
  await expect(turns.take(one)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS', headers: { 'retry-after': '1' } })
  await turns.take({ ...one, name: 'another' })
  end()
  end()
  await waiting[0]
  let isTaken = false
  void waiting[1]!.then(() => (isTaken = true))
  await new Promise((resolve) => setImmediate(resolve))
  expect(isTaken).toBe(false)
})
