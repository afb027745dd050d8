import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Worker } from 'celeriac/worker'
import { verifyCallback } from 'celeriac/callbacks'
import { newSecret } from '../../src/core/secret.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import { startReceiver } from '../fixtures/receiver.ts'
import { Documented, type Document } from './documented.ts'
import { expectLinted } from './lint.ts'

const folder = mkdtempSync(join(tmpdir(), 'celeriac-own-api-'))
const secret = newSecret(systemRuntime)
process.env['CELERIAC_URL'] = `sqlite:${join(folder, 'jobs.db')}?mode=fast`
process.env['CELERIAC_CALLBACK_SECRET'] = secret
process.env['CELERIAC_CALLBACK_ALLOW'] = '127.0.0.1'

const { jobs } = await import('../../examples/own-api/tasks.ts')
const worker = new Worker(jobs)
beforeAll(async () => worker.start())
afterAll(async () => {
  await worker.stop({ grace: 0 })
  await jobs.close()
  rmSync(folder, { recursive: true })
})

const starting = {
  async Hono() {
    const { api } = await import('../../examples/own-api/hono.ts')
    const server = serve({ fetch: api.fetch, port: 0, hostname: '127.0.0.1' }) as Server
    if (!server.listening) await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return { url, stop: () => void server.close().closeAllConnections() }
  },
  async Fastify() {
    const { api } = await import('../../examples/own-api/fastify.ts')
    return { url: await api.listen({ port: 0, host: '127.0.0.1' }), stop: () => api.close() }
  },
}

test.for(Object.keys(starting) as (keyof typeof starting)[])('an endpoint of one’s own on %s', async (name) => {
  const receiver = await startReceiver()
  const { url, stop } = await starting[name]()
  try {
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as Document
    await expectLinted(document, 'spec')
    const documented = new Documented(document)

    const body = JSON.stringify({ shop: 'ikea', callback_url: receiver.url })
    const answer = await fetch(`${url}/invoices`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const collection = (await answer.json()) as { id: string; token: string; jobs: unknown[] }
    expect(answer.status).toBe(202)
    documented.expectAnswer('POST', '/invoices', { status: 202, type: 'application/json', body: collection })
    expect(collection.jobs).toHaveLength(14)

    const headers = { authorization: `Bearer ${collection.token}` }
    const events = await (await fetch(`${url}/api/collections/${collection.id}/events`, { headers })).text()
    expect(events).toMatch(/^id: .*\nevent: snapshot\n[^]*event: settled\ndata: .*"state":"succeeded"/)

    const [called] = await receiver.arrived(1)
    const payload = await verifyCallback({ headers: called!.headers, body: called!.body }, secret)
    expect(payload.data).toMatchObject({ id: collection.id, state: 'succeeded', result: 7800 })
    documented.expectCallback(called!)
  } finally {
    await stop()
    await receiver.close()
  }
})
