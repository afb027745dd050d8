// An API of one's own, on Hono: its endpoint answers with a collection, and its document says so.
import { accepted, callbackUrl, createHandler, openapi } from 'celeriac/http'
import { Hono } from 'hono'
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import { collect, jobs } from './tasks.ts'

const Order = z.object({ shop: z.string(), callback_url: callbackUrl.optional() })
const parts = openapi()

const document = createDocument({
  openapi: '3.1.1',
  info: { title: 'Invoices', version: '1.0.0' },
  paths: {
    '/invoices': {
      post: {
        operationId: 'collectInvoices',
        requestBody: { required: true, content: { 'application/json': { schema: Order } } },
        responses: { 202: parts.accepted },
        callbacks: parts.callbacks,
      },
    },
  },
  components: { schemas: parts.schemas },
})

export const api = new Hono()
api.get('/openapi.json', ({ json }) => json(document))
api.post('/invoices', async ({ req }) => {
  const { shop, callback_url: callbackUrl } = Order.parse(await req.json())
  return accepted(await jobs.submit(collect(shop), { description: `Invoices of ${shop}`, callbackUrl }))
})
// What the answer is followed by: /api/collections/…/events, with the token in it.
const handler = createHandler(jobs)
api.all('/api/*', ({ req }) => handler(req.raw))
