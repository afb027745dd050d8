import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { Celeriac } from 'celeriac'
import { createHandler, type Handler, type HandlerOptions } from 'celeriac/http'

/** @param options `auth: 'none'` unless they say otherwise */
export function makeHandler(base?: string, options: HandlerOptions = { auth: 'none' }): Handler {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  app.task('math.add', { expose: true }, (x: number, y: number) => x + y)
  return createHandler(app, { ...options, base })
}

export async function listening(server: Server): Promise<string> {
  if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Submits, reads, follows and looks beside it: all by real requests. */
export async function expectToWork(url: string, base = '', { isAlone = true } = {}): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ args: [1, 2] })
  const sent = await fetch(`${url}${base}/api/tasks/math.add`, { method: 'POST', headers, body })
  expect(sent.status).toBe(202)
  const { id } = (await sent.json()) as { id: string }
  expect(sent.headers.get('location')).toBe(`${base}/api/collections/${id}`)
  const read = await fetch(`${url}${base}/api/jobs/${id}`)
  expect(await read.json()).toMatchObject({ id, state: 'queued', args: [1, 2] })
  const cancelled = await fetch(`${url}${base}/api/jobs/${id}/cancel`, { method: 'POST' })
  expect(cancelled.status).toBe(200)
  const events = await (await fetch(`${url}${base}/api/collections/${id}/events`)).text()
  expect(events).toMatch(/event: snapshot[^]*event: settled/)
  expect((await fetch(`${url}${base}/api/docs`)).headers.get('content-type')).toContain('text/html')
  expect(await (await fetch(`${url}${base}/api/openapi.json`)).json()).toMatchObject({
    openapi: '3.1.1',
    servers: [{ url: base || '/' }],
  })
  const nothing = await fetch(`${url}${base}/api/nothing`)
  expect(nothing.status).toBe(404)
  if (isAlone) expect(await nothing.json()).toMatchObject({ code: 'NO_SUCH_PATH' })
  const large = JSON.stringify({ args: ['x'.repeat(2_000_000), 1] })
  const refused = await fetch(`${url}${base}/api/tasks/math.add`, { method: 'POST', headers, body: large })
  expect(refused.status).toBe(413)
}

export async function expectSockets(url: string, base = ''): Promise<void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${base}/api/live`)
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  socket.send(JSON.stringify({ type: 'follow', all: true }))
  const [message] = (await once(socket, 'message')) as [Buffer]
  expect(JSON.parse(String(message))).toMatchObject({ type: 'event', all: true, event: { type: 'start' } })
}
