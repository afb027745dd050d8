// An API of one's own, on Fastify: its endpoint answers with a collection, and the document made of its routes says so.
import swagger from '@fastify/swagger'
import { accepted, createHandler, openapiForFastify } from 'celeriac/http'
import Fastify from 'fastify'
import { collect, jobs } from './tasks.ts'

const parts = openapiForFastify()
const order = {
  type: 'object',
  required: ['shop'],
  properties: { shop: { type: 'string' }, callback_url: { $ref: 'CallbackUrl#' } },
}

export const api = Fastify()
await api.register(swagger, {
  openapi: { openapi: '3.1.1', info: { title: 'Invoices', version: '1.0.0' } },
  // Else the schemas are called def-0, def-1 … in the document.
  refResolver: { buildLocalReference: ({ $id }, _base, _fragment, n) => String($id ?? `def-${n}`) },
})
for (const schema of parts.schemas) api.addSchema(schema)

const schema = {
  operationId: 'collectInvoices',
  body: order,
  response: { 202: parts.accepted },
  callbacks: parts.callbacks,
}
api.get('/openapi.json', { schema: { hide: true } }, () => api.swagger())
api.post<{ Body: { shop: string; callback_url?: string } }>('/invoices', { schema }, async ({ body }) => {
  const { shop, callback_url: callbackUrl } = body
  return accepted(await jobs.submit(collect(shop), { description: `Invoices of ${shop}`, callbackUrl }))
})
// What the answer is followed by: /api/collections/…/events, with the token in it.
await api.register(createHandler(jobs).fastify)
