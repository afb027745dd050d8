// An API of one's own, on Fastify: its endpoint answers with a collection, and its document says so.
import { accepted, createHandler, openapi } from 'celeriac/http'
import Fastify from 'fastify'
import { collect, jobs } from './tasks.ts'

const parts = openapi()
const order = {
  type: 'object',
  required: ['shop'],
  properties: { shop: { type: 'string' }, callback_url: { $ref: '#/components/schemas/CallbackUrl' } },
}

const document = {
  openapi: '3.1.1',
  info: { title: 'Invoices', version: '1.0.0' },
  paths: {
    '/invoices': {
      post: {
        operationId: 'collectInvoices',
        requestBody: { required: true, content: { 'application/json': { schema: order } } },
        responses: { 202: parts.accepted },
        callbacks: parts.callbacks,
      },
    },
  },
  components: { schemas: parts.schemas },
}

export const api = Fastify()
api.get('/openapi.json', () => document)
api.post<{ Body: { shop: string; callback_url?: string } }>('/invoices', async ({ body }) => {
  const { shop, callback_url: callbackUrl } = body
  return accepted(await jobs.submit(collect(shop), { description: `Invoices of ${shop}`, callbackUrl }))
})
// What the answer is followed by: /api/collections/…/events, with the token in it.
await api.register(createHandler(jobs).fastify)
