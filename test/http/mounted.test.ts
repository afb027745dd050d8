// What stands in front of it, and where it stands: frameworks take paths apart, read bodies and pack answers.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { connect } from 'node:net'
import { serve as serveHono } from '@hono/node-server'
import compression from 'compression'
import express, { type RequestHandler } from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Handler } from 'celeriac/http'
import { expectSockets, expectToWork, listening, makeHandler } from './mounting.ts'

const json = { 'content-type': 'application/json' }
const body = '{"args":[1,2]}'

function inExpress(handler: Handler, ...before: readonly RequestHandler[]): Promise<string> {
  const app = express()
  for (const one of before) app.use(one)
  app.use(handler.node)
  return listening(withSockets(createServer(app), handler))
}

async function inHono(hono: Hono, handler: Handler): Promise<string> {
  const server = serveHono({ fetch: hono.fetch, port: 0, hostname: '127.0.0.1' }) as Server
  if (!server.listening) await once(server, 'listening')
  return listening(withSockets(server, handler))
}

const withSockets = (server: Server, handler: Handler): Server =>
  server.on('upgrade', (message, socket, head: Buffer) => {
    if (!handler.upgrade(message, socket, head)) socket.destroy()
  })

const submit = (url: string, about: RequestInit = {}): Promise<Response> =>
  fetch(`${url}/api/tasks/math.add`, { method: 'POST', headers: json, body, ...about })

describe('behind what reads bodies', () => {
  test.each([
    ['JSON', express.json()],
    ['text', express.text({ type: () => true, limit: '10mb' })],
    ['bytes', express.raw({ type: () => true, limit: '10mb' })],
  ])('as %s', async (_name, parser) => {
    const handler = makeHandler()
    const url = await inExpress(handler, parser)
    await expectToWork(url, '', { isAlone: false })
    await expectSockets(url)
    expect((await submit(url, { body: '{"args":' })).status).toBe(400)
    expect((await submit(url, { body: '{"args":[1]' + ' '.repeat(2_000_000) + '}' })).status).toBe(413)
  })

  test('a form is no more taken than without it', async () => {
    const url = await inExpress(makeHandler(), express.urlencoded())
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect((await submit(url, { headers: form, body: 'args=1' })).status).toBe(415)
  })

  test('what came with a request that only reads is no hindrance', async () => {
    const url = await inExpress(makeHandler(), express.json())
    for (const method of ['GET', 'HEAD']) {
      const headers = { 'content-type': 'application/json', 'content-length': 7 }
      const asked = request(`${url}/api/jobs`, { method, headers }).end('{"a":1}')
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      expect([method, answer.resume().statusCode]).toEqual([method, 200])
    }
  })

  test('where nothing is left of them it says what to do', async () => {
    const reported: string[] = []
    const onError = (error: unknown): void => void reported.push((error as Error).message)
    const handler = makeHandler(undefined, { auth: 'none', onError })
    const swallow: RequestHandler = (message, _response, next) => void message.resume().on('end', next)
    const hono = new Hono()
    hono.use(async ({ req }, next) => {
      await req.raw.text()
      await next()
    })
    hono.all('/api/*', ({ req }) => handler(req.raw))
    for (const url of [await inExpress(handler, swallow), await inHono(hono, handler)]) {
      const answer = await submit(url)
      expect(answer.status).toBe(500)
      expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('mount it before') })
      // What needs none is not held up.
      expect((await fetch(`${url}/api/jobs`)).status).toBe(200)
    }
    expect(reported).toEqual([expect.stringContaining('mount it before')])
  })
})

test('behind what packs answers, streams are not held back', async () => {
  const url = await inExpress(makeHandler(), compression({ threshold: 0 }))
  await expectToWork(url, '', { isAlone: false })
  await expectSockets(url)
  const { id } = (await (await submit(url)).json()) as { id: string }
  const { headers, body } = await fetch(`${url}/api/collections/${id}/events`)
  expect(headers.get('cache-control')).toContain('no-transform')
  const reader = body!.getReader()
  const { value } = await reader.read()
  expect(new TextDecoder().decode(value)).toContain('event: snapshot')
  await reader.cancel()
  expect((await fetch(`${url}/api/openapi.json`)).headers.get('content-encoding')).toBe('gzip')
})

describe('under a prefix', () => {
  /** How one mounts under a path in each of them; the paths from outside begin with it. */
  const mounting: Readonly<Record<string, (handler: Handler, prefix: string) => Promise<string>>> = {
    async Express(handler, prefix) {
      const app = express()
      const [first, ...rest] = prefix.slice(1).split('/')
      const router = express.Router()
      if (rest.length === 0) app.use(prefix, handler.node)
      else app.use(`/${first}`, router.use(`/${rest.join('/')}`, handler.node))
      return listening(withSockets(createServer(app), handler))
    },
    async Fastify(handler, prefix) {
      const fastify = Fastify()
      onTestFinished(async () => fastify.close())
      await fastify.register(handler.fastify, { prefix })
      withSockets(fastify.server, handler)
      return fastify.listen({ port: 0, host: '127.0.0.1' })
    },
    async Hono(handler, prefix) {
      const hono = new Hono()
      hono.mount(prefix, handler)
      return inHono(hono, handler)
    },
  }

  describe.each(Object.entries(mounting))('of %s', (name, mount) => {
    test.each(['/jobs', '/v1/jobs'])('all of it is there: %s', async (base) => {
      const handler = makeHandler(base)
      const url = await mount(handler, base)
      await expectToWork(url, base, { isAlone: name !== 'Express' })
      await expectSockets(url, base)
    })

    test('that it was not told of, nothing is there but a word on what to do', async () => {
      const reported: unknown[] = []
      const handler = makeHandler(undefined, { auth: 'none', onError: (error) => void reported.push(error) })
      if (name === 'Fastify') {
        await expect(mount(handler, '/jobs')).rejects.toThrow("write createHandler(app, { base: '/jobs' })")
        return
      }
      const url = await mount(handler, '/jobs')
      for (const path of ['/api/jobs', '/api/openapi.json']) {
        const answer = await fetch(`${url}/jobs${path}`)
        expect(answer.status).toBe(500)
        expect(await answer.json()).toMatchObject({ detail: expect.stringContaining("{ base: '/jobs' }") })
      }
      const sent = await submit(`${url}/jobs`)
      expect([sent.status, sent.headers.get('location')]).toEqual([500, null])
      // Clients ask again and again: the log has it once a minute.
      expect(reported).toHaveLength(1)
      const socket = new WebSocket(`${url.replace('http', 'ws')}/jobs/api/live`)
      await expect(once(socket, 'open')).rejects.toThrow()
    })
  })
})

test('what it does not have goes on to routes of one’s own, also below /api', async () => {
  for (const base of [undefined, '/jobs']) {
    const handler = makeHandler(base)
    const path = `${base ?? ''}/api/mine`
    const app = express().use(handler.node)
    app.all(path, (_request, response) => void response.send('mine'))
    const fastify = Fastify()
    onTestFinished(async () => fastify.close())
    await fastify.register(handler.fastify)
    fastify.get(path, () => 'mine')
    for (const url of [await listening(createServer(app)), await fastify.listen({ port: 0, host: '127.0.0.1' })]) {
      expect(await (await fetch(url + path)).text()).toBe('mine')
      expect((await fetch(`${url}${base ?? ''}/api/jobs`)).status).toBe(200)
      // What is ours is not theirs, whatever is asked of it.
      expect((await fetch(`${url}${base ?? ''}/api/jobs`, { method: 'POST' })).status).toBe(405)
    }
  }
})

test('in Hono, whoever is on this machine counts as such', async () => {
  const handler = makeHandler(undefined, {})
  const documented = new Hono()
  documented.all('/api/*', ({ req, env }) => handler(req.raw, env as object))
  const mounted = new Hono()
  mounted.mount('/', handler)
  for (const hono of [documented, mounted]) {
    const url = await inHono(hono, handler)
    expect((await fetch(`${url}/api/jobs`)).status).toBe(200)
    expect((await fetch(`${url}/api/jobs`, { headers: { 'x-forwarded-for': '203.0.113.7' } })).status).toBe(401)
  }
})

describe('the header host', () => {
  const asked = async (url: string, headers: Record<string, string>): Promise<number | undefined> => {
    const [answer] = (await once(request(url, { headers }).end(), 'response')) as [IncomingMessage]
    answer.resume()
    return answer.statusCode
  }

  test('with the port that goes without saying is the origin of its pages', async () => {
    const url = await inExpress(makeHandler())
    const opened = async (headers: Record<string, string>): Promise<boolean> => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`, { headers })
      onTestFinished(() => socket.terminate())
      return once(socket, 'open').then(
        () => true,
        () => false,
      )
    }
    for (const [host, origin, isOwn] of [
      ['x:443', 'https://x', true],
      ['x', 'https://x', true],
      ['x', 'https://x:443', true],
      ['x:80', 'http://x', true],
      ['x:8443', 'https://x:8443', true],
      ['x:8443', 'https://x', false],
      ['x:443', 'http://x', false],
      ['x:443', 'https://y', false],
      ['x', 'null', false],
    ] as const) {
      expect(await asked(`${url}/api/jobs`, { host, origin }), `${host} ${origin}`).toBe(isOwn ? 200 : 403)
      expect(await opened({ host, origin }), `${host} ${origin}`).toBe(isOwn)
    }
  })

  test('that is none is a bad request, and no fault of ours', async () => {
    const reported: unknown[] = []
    const handler = makeHandler(undefined, { auth: 'none', onError: (error) => void reported.push(error) })
    const url = await listening(withSockets(createServer(handler.node), handler))
    const { port } = new URL(url)
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n'
    for (const [path, headers] of [
      ['/api/live', upgrade],
      ['/api/jobs', ''],
    ] as const) {
      for (const host of ['user:pass@localhost', 'localhost/other', 'a b', '[::1', 'x:y', '%00', 'x?', '']) {
        const socket = connect(Number(port), '127.0.0.1')
        onTestFinished(() => void socket.destroy())
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`)
        const [answer] = (await once(socket, 'data')) as [Buffer]
        expect(String(answer), `${path} of ${host}`).toMatch(/^HTTP\/1.1 400 /)
      }
    }
    // Nobody is led here by another path in it.
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`GET /mine HTTP/1.1\r\nHost: x/api/live?\r\n${upgrade}\r\n`)
    await once(socket, 'close')
    expect(reported).toEqual([])
  })
})
