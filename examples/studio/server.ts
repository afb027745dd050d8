// The studio's own small server: the page, uploads, downloads, and beside them the HTTP API of the jobs.
import { readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { randomUUID } from 'node:crypto'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { NotFound } from 'celeriac'
import { accepted, createHandler } from 'celeriac/http'
import { readFiles } from './page.ts'
import { jwt, tokenFor, whoAsks } from './people.ts'
import { isPng } from './png.ts'
import { app, fileOf, inAllSizes, keepUpload, type Pack } from './tasks.ts'

const largest = 20_000_000

export async function createServer(): Promise<Server> {
  const handler = createHandler(app, { auth: { jwt } })
  const server = createAdaptorServer({ fetch: (await routes(handler)).fetch }) as Server
  server.on('upgrade', (request, socket, head: Buffer) => {
    if (!handler.upgrade(request, socket, head)) socket.destroy()
  })
  server.on('close', () => handler.close())
  return server
}

async function routes(handler: (request: Request) => Promise<Response>): Promise<Hono> {
  const hono = new Hono()
  const headers = secureHeaders({
    contentSecurityPolicy: { defaultSrc: ["'self'"], imgSrc: ["'self'", 'blob:'], connectSrc: ["'self'", 'ws:'] },
  })
  for (const [path, { type, text }] of await readFiles()) {
    hono.get(path, headers, () => new Response(text, { headers: { 'content-type': `${type}; charset=utf-8` } }))
  }

  hono.post('/login', async ({ req }) => {
    const { name } = await req.json<{ name?: unknown }>()
    if (typeof name !== 'string' || !/^[\p{L}\p{N} .-]{1,40}$/u.test(name)) return refusal(400, 'Say a name.')
    return Response.json({ token: await tokenFor(name) })
  })

  hono.post('/pictures', bodyLimit({ maxSize: largest, onError: () => refusal(413, 'At most 20 MB.') }), async (c) => {
    const name = await whoAsks(c.req.raw)
    if (name === null) return refusal(401, 'Log in first.')
    const bytes = new Uint8Array(await c.req.arrayBuffer())
    if (!isPng(bytes)) return refusal(415, 'This is no PNG.')
    const upload = randomUUID()
    await keepUpload(upload, bytes)
    const description = (c.req.query('name') ?? 'A picture').slice(0, 100)
    return accepted(await app.submit(inAllSizes(upload), { description, actor: { id: name } }))
  })

  hono.get('/pictures/:id/:file{[0-9]+\\.png|pictures\\.zip}', async (c) => {
    const found = await packOf(c.req.param('id'), await whoAsks(c.req.raw))
    if (found === null) return refusal(404, 'There is no such picture.')
    const file = c.req.param('file')
    const type = file.endsWith('.zip') ? 'application/zip' : 'image/png'
    return new Response(await readFile(fileOf(found.upload, file)), { headers: { 'content-type': type } })
  })

  // All else is the API's: /api, /docs, /openapi.json, /health.
  hono.mount('/', handler)
  return hono
}

/** What came of a collection that this one asked for; null where there is none, or it is somebody else's. */
async function packOf(id: string, name: string | null): Promise<Pack | null> {
  try {
    const found = await (await app.collection(id)).snapshot()
    return name !== null && found.actor?.id === name && found.state === 'succeeded' ? (found.result as Pack) : null
  } catch (error) {
    if (error instanceof NotFound) return null
    throw error
  }
}

const refusal = (status: number, detail: string): Response => Response.json({ detail }, { status })
