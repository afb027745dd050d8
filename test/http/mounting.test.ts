import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { serve as serveHono } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { createHandler, serve } from 'celeriac/http'
import { createKey } from '../../src/http/keys.ts'
import { partsOf } from '../../src/app/parts.ts'
import { expectSockets, expectToWork, listening, makeHandler } from './mounting.ts'

for (const base of [undefined, '/jobs']) {
  const under = base ?? '/'

  test(`in Node’s own server, under ${under}`, async () => {
    const handler = makeHandler(base)
    const server = createServer(handler.node).on('upgrade', handler.upgrade)
    const url = await listening(server)
    await expectToWork(url, base)
    await expectSockets(url, base)
  })

  test(`in Express, beside routes of one's own, under ${under}`, async () => {
    const handler = makeHandler(base)
    const app = express()
    app.use(handler.node)
    app.use(express.json())
    app.get(['/mine', '/docs'], (_request, response) => void response.send('mine'))
    const server = createServer(app).on('upgrade', handler.upgrade)
    const url = await listening(server)
    await expectToWork(url, base, { isAlone: false })
    await expectSockets(url, base)
    for (const path of ['/mine', '/docs']) expect(await (await fetch(url + path)).text()).toBe('mine')
  })

  test(`in Fastify, beside routes of one's own, under ${under}`, async () => {
    const handler = makeHandler(base)
    const fastify = Fastify()
    onTestFinished(async () => fastify.close())
    await fastify.register(handler.fastify)
    fastify.post('/mine', async (request) => ({ mine: request.body }))
    fastify.server.on('upgrade', handler.upgrade)
    const url = await fastify.listen({ port: 0, host: '127.0.0.1' })
    await expectToWork(url, base)
    await expectSockets(url, base)
    const headers = { 'content-type': 'application/json' }
    const mine = await fetch(`${url}/mine`, { method: 'POST', headers, body: '{"a":1}' })
    expect(await mine.json()).toEqual({ mine: { a: 1 } })
  })

  test(`in Hono, beside routes of one's own, under ${under}`, async () => {
    const handler = makeHandler(base)
    const hono = new Hono()
    hono.get('/mine', (context) => context.text('mine'))
    hono.all('*', ({ req, env }) => handler(req.raw, env as object))
    const server = serveHono({ fetch: hono.fetch, port: 0, hostname: '127.0.0.1' }) as Server
    if (!server.listening) await once(server, 'listening')
    server.on('upgrade', handler.upgrade)
    const url = await listening(server)
    await expectToWork(url, base)
    await expectSockets(url, base)
    expect(await (await fetch(`${url}/mine`)).text()).toBe('mine')
  })
}

test('as the route handlers of Next are called: with a request', async () => {
  const handler = makeHandler()
  const [GET, POST] = [handler, handler]
  const headers = { 'content-type': 'application/json' }
  const request = new Request('http://localhost/api/tasks/math.add', {
    method: 'POST',
    headers,
    body: '{"args":[1,2]}',
  })
  const { id } = (await (await POST(request)).json()) as { id: string }
  expect((await GET(new Request(`http://localhost/api/jobs/${id}`))).status).toBe(200)
})

test('by itself it lets in this machine until there is a key, and others only then', async () => {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  await expect(serve(app, { port: 0, host: '0.0.0.0' })).rejects.toThrow('other machines reach 0.0.0.0')
  const { url, close } = await serve(app, { port: 0 })
  onTestFinished(close)
  const ask = (headers = {}) => fetch(`${url}/api/jobs`, { headers })
  expect((await ask()).status).toBe(200)
  for (const path of ['/docs', '/openapi.json', '/health/live', '/health/ready', '/api/health/ready'])
    expect((await fetch(url + path)).status, path).toBe(200)
  // A page of another site asks this machine, or has pointed its own name here.
  expect((await ask({ origin: 'https://evil.example' })).status).toBe(403)
  expect((await ask({ 'x-forwarded-for': '203.0.113.7' })).status).toBe(401)
  expect(await hostOf(url, 'evil.example')).toBe(401)
  const { key } = await createKey(await partsOf(app).connect(), { name: 'ops', scopes: ['read'] })
  const { url: other, close: closeOther } = await serve(app, { port: 0, host: '0.0.0.0' })
  onTestFinished(closeOther)
  const there = other.replace('0.0.0.0', '127.0.0.1')
  expect((await fetch(`${there}/api/jobs`)).status).toBe(401)
  expect((await fetch(`${there}/api/jobs`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(200)
})

test('where it cannot listen it says why, and what to do', async () => {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  const { port } = new URL(await listening(createServer()))
  const refused = { code: 'BAD_OPTION', message: expect.stringContaining('name another port') }
  await expect(serve(app, { port: Number(port) })).rejects.toMatchObject(refused)
  const elsewhere = { code: 'BAD_OPTION', message: expect.stringContaining('name one of its own as host') }
  await expect(serve(app, { port: 0, host: '192.0.2.1', auth: 'none' })).rejects.toMatchObject(elsewhere)
})

test('without a word on where it came from, a request counts as from outside', async () => {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  const answer = await createHandler(app)(new Request('http://localhost/api/jobs'))
  expect(await answer.json()).toMatchObject({ status: 401, detail: expect.stringContaining('celeriac keys create') })
})

/** `fetch` names the host itself. */
async function hostOf(url: string, host: string): Promise<number | undefined> {
  const { request } = await import('node:http')
  const [response] = (await once(request(`${url}/api/jobs`, { headers: { host } }).end(), 'response')) as [
    import('node:http').IncomingMessage,
  ]
  response.resume()
  return response.statusCode
}
