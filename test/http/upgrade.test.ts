// Requests that offer another protocol, on every way to mount the API: with its listener alone, and beside somebody else's.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createSecure } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectSecurely } from 'node:tls'
import { createAdaptorServer } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { Celeriac } from 'celeriac'
import { createHandler, type Handler, serve } from 'celeriac/http'
import { certificate, certificateKey } from '../fixtures/certificate.ts'
import { manualRuntime } from '../fixtures/clock.ts'
import { turns } from '../fixtures/working.ts'
import { expectSockets, listening, makeHandler } from './mounting.ts'

/** What is documented for each, with a route of one's own at /mine. */
const mountings: Readonly<Record<string, (handler: Handler) => Server | Promise<Server>>> = {
  Node: ({ node }) =>
    createServer((message, response) => {
      if (message.url === '/mine') response.end('mine')
      else node(message, response)
    }),
  Express: ({ node }) => {
    const app = express()
    app.get('/mine', (_request, response) => void response.send('mine'))
    return createServer(app.use(express.json()).use(node))
  },
  async Fastify(handler) {
    const fastify = Fastify()
    onTestFinished(async () => fastify.close())
    fastify.get('/mine', () => 'mine')
    await fastify.register(handler.fastify)
    await fastify.ready()
    return fastify.server
  },
  Hono(handler) {
    const hono = new Hono()
    hono.get('/mine', (context) => context.text('mine'))
    hono.all('/api/*', ({ req, env }) => handler(req.raw, env as object))
    return createAdaptorServer({ fetch: hono.fetch }) as Server
  },
}

const h2c = ['connection: Upgrade, HTTP2-Settings', 'upgrade: h2c', 'http2-settings: AAMAAAABkAARAAAAAAIAAAAA']
const webSocket = ['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13', 'sec-websocket-key: x']

/** A connection on which one request was sent. */
async function asking(url: string, head: readonly string[], body = ''): Promise<Socket> {
  const { host, port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.write([...head, `host: ${host}`, '', body].join('\r\n'))
  return socket
}

/** What a request is answered first. */
async function asked(url: string, head: readonly string[], body = ''): Promise<string> {
  const socket = await asking(url, head, body)
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (text.includes('\r\n\r\n')) break
  }
  return text.split('\r\n', 1)[0] as string
}

const ok = 'HTTP/1.1 200 OK'
const sent = ['content-type: application/json', 'content-length: 14']
const body = '{"args":[1,2]}'

describe.each(Object.entries(mountings))('in %s, as the only listener', (_name, mount) => {
  const open = async (): Promise<{ readonly server: Server; readonly url: string }> => {
    const handler = makeHandler()
    const server = (await mount(handler)).on('upgrade', handler.upgrade)
    return { server, url: await listening(server) }
  }

  test('who offers another protocol is answered by the one it asks with', async () => {
    const { url } = await open()
    expect(await asked(url, ['GET /api/jobs HTTP/1.1', ...h2c])).toBe(ok)
    expect(await asked(url, ['GET /mine HTTP/1.1', ...h2c])).toBe(ok)
    expect(await asked(url, ['POST /api/tasks/math.add HTTP/1.1', ...h2c, ...sent], body)).toBe('HTTP/1.1 202 Accepted')
    const chunked = ['content-type: application/json', 'transfer-encoding: chunked']
    const parts = `e\r\n${body}\r\n0\r\n\r\n`
    expect(await asked(url, ['POST /api/tasks/math.add HTTP/1.1', ...h2c, ...chunked], parts)).toBe(
      'HTTP/1.1 202 Accepted',
    )
  })

  test('a WebSocket elsewhere is answered as any request, and the process outlives its reset', async () => {
    const { server, url } = await open()
    for (const [path, answer] of [
      ['/api/jobs', ok],
      ['/mine', ok],
      ['/', 'HTTP/1.1 404 Not Found'],
    ] as const) {
      expect(await asked(url, [`GET ${path} HTTP/1.1`, ...webSocket]), path).toBe(answer)
      const accepted = once(server, 'connection')
      const socket = await asking(url, [`GET ${path} HTTP/1.1`, ...webSocket])
      const [end] = (await accepted) as [Socket]
      await once(socket, 'data')
      const over = once(end, 'close').catch(() => undefined)
      socket.resetAndDestroy()
      await over
    }
    await expectSockets(url)
  })
})

describe.each(Object.entries(mountings))('in %s, beside a listener of somebody else’s', (_name, mount) => {
  test.each(['before', 'after'])('which was there %s, theirs stays theirs', async (when) => {
    const handler = makeHandler()
    const server = await mount(handler)
    if (when === 'after') server.on('upgrade', handler.upgrade)
    const sockets = new WebSocketServer({ noServer: true })
    server.on('upgrade', (message, socket, head: Buffer) => {
      // They may have to ask somebody first.
      if (message.url === '/mine')
        setImmediate(() => sockets.handleUpgrade(message, socket, head, (opened) => opened.send('mine')))
    })
    if (when === 'before') server.on('upgrade', handler.upgrade)
    const url = await listening(server)
    const mine = new WebSocket(`${url.replace('http', 'ws')}/mine`)
    onTestFinished(() => mine.terminate())
    expect(String((await once(mine, 'message'))[0])).toBe('mine')
    await expectSockets(url)
    expect(await asked(url, ['GET /api/jobs HTTP/1.1', ...h2c])).toBe(ok)
    // What neither takes breaks off by itself, and takes nothing with it.
    const passed = once(server, 'upgrade') as Promise<[unknown, Duplex]>
    const nobodys = await asking(url, ['GET /nobodys HTTP/1.1', ...webSocket])
    const [, end] = await passed
    const over = once(end, 'close').catch(() => undefined)
    nobodys.resetAndDestroy()
    await over
    expect(await asked(url, ['GET /mine HTTP/1.1'])).toBe(ok)
  })
})

test('over TLS, too', async () => {
  const handler = makeHandler()
  const server = createSecure({ key: certificateKey, cert: certificate }, handler.node).on('upgrade', handler.upgrade)
  const { host, port } = new URL(await listening(server))
  const socket = connectSecurely({ port: Number(port), rejectUnauthorized: false })
  onTestFinished(() => void socket.destroy())
  socket.write(['GET /api/jobs HTTP/1.1', ...h2c, `host: ${host}`, '', ''].join('\r\n'))
  expect(String((await once(socket, 'data'))[0])).toContain(ok)
})

test('two APIs on one server', async () => {
  const [one, other] = [makeHandler('/one'), makeHandler('/other')]
  const server = createServer((message, response) => {
    one.node(message, response, () => other.node(message, response))
  })
  const url = await listening(server.on('upgrade', one.upgrade).on('upgrade', other.upgrade))
  for (const base of ['/one', '/other']) {
    await expectSockets(url, base)
    expect(await asked(url, [`GET ${base}/api/jobs HTTP/1.1`, ...h2c])).toBe(ok)
  }
  expect(await asked(url, ['GET /nobodys HTTP/1.1', ...webSocket])).toBe('HTTP/1.1 404 Not Found')
})

test('what all listeners leave is closed after a while, and what somebody took is not', async () => {
  const clock = manualRuntime()
  const app = new Celeriac({ url: 'sqlite::memory:', runtime: clock })
  onTestFinished(async () => app.close())
  const handler = createHandler(app, { auth: 'none' })
  const sockets = new WebSocketServer({ noServer: true })
  const server = createServer(handler.node).on('upgrade', handler.upgrade)
  server.on('upgrade', (message, socket, head: Buffer) => {
    if (message.url === '/mine') sockets.handleUpgrade(message, socket, head, () => undefined)
  })
  const url = await listening(server)
  const mine = new WebSocket(`${url.replace('http', 'ws')}/mine`)
  onTestFinished(() => mine.terminate())
  await once(mine, 'open')
  const passed = once(server, 'upgrade')
  const nobodys = await asking(url, ['GET /nobodys HTTP/1.1', ...webSocket])
  await passed
  clock.pass(60_000)
  await once(nobodys.resume(), 'close')
  await turns()
  expect(mine.readyState).toBe(WebSocket.OPEN)
})

test('an offer does not hide that a request came through a proxy', async () => {
  const handler = makeHandler(undefined, {})
  const url = await listening(createServer(handler.node).on('upgrade', handler.upgrade))
  expect(await asked(url, ['GET /api/jobs HTTP/1.1', 'connection: keep-alive'])).toBe(ok)
  for (const offer of ['h2c', 'websocket']) {
    const asNginx = ['connection: upgrade', `upgrade: ${offer}`]
    expect(await asked(url, ['GET /api/jobs HTTP/1.1', ...asNginx]), offer).toBe('HTTP/1.1 401 Unauthorized')
  }
})

test('served by itself, too', async () => {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  app.task('math.add', { expose: true }, (x: number, y: number) => x + y)
  const { url, close } = await serve(app, { port: 0, auth: 'none' })
  onTestFinished(() => close())
  expect(await asked(url, ['GET /api/jobs HTTP/1.1', ...h2c])).toBe(ok)
  expect(await asked(url, ['POST /api/tasks/math.add HTTP/1.1', ...h2c, ...sent], body)).toBe('HTTP/1.1 202 Accepted')
  expect(await asked(url, ['GET /api/jobs HTTP/1.1', ...webSocket])).toBe(ok)
})
