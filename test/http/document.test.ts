import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import { Celeriac } from 'celeriac'
import { accepted, callbackUrl, createHandler, openapi, openapiForFastify } from 'celeriac/http'
import { createApi } from '../../src/http/api.ts'
import type { Reply } from '../../src/http/reply.ts'
import { Documented, type Document } from './documented.ts'
import { expectLinted } from './lint.ts'

function makeApp(): Celeriac {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  return app
}

test.each([undefined, '/jobs'])(
  'its document is one of OpenAPI 3.1 that a linter finds nothing in, under %s',
  async (base) => {
    const handler = createHandler(makeApp(), { auth: 'none', base })
    const document = (await (
      await handler(new Request(`http://localhost${base ?? ''}/api/openapi.json`))
    ).json()) as object
    await expectLinted(document)
  },
)

test('what it describes by itself has no name in the registry that all share', () => {
  expect(z.toJSONSchema(z.globalRegistry)).toEqual({ schemas: {} })
  const Job = z.object({ salary: z.number() }).meta({ id: 'Job' })
  onTestFinished(() => void z.globalRegistry.remove(Job))
  expect(Object.keys(z.toJSONSchema(z.globalRegistry).schemas)).toEqual(['Job'])
  expect(z.toJSONSchema(z.object({ callback_url: callbackUrl }))).toMatchObject({
    properties: {
      callback_url: { type: 'string', format: 'uri', description: expect.stringContaining('signed POST') },
    },
  })
})

test('two endpoints of one’s own that call back are one good document', async () => {
  const { schemas, accepted: answer, callbacks } = openapi()
  const operation = (operationId: string) => ({
    operationId,
    requestBody: { content: { 'application/json': { schema: z.object({ callback_url: callbackUrl }) } } },
    responses: { 202: answer },
    callbacks,
  })
  const document = createDocument({
    openapi: '3.1.1',
    info: { title: 'Mine', version: '1' },
    servers: [{ url: 'https://api.example.com' }],
    security: [],
    paths: { '/orders': { post: operation('order') }, '/invoices': { post: operation('invoice') } },
    components: { schemas: schemas },
  })
  await expectLinted(document, 'spec')
})

test('in Fastify its parts are schemas of routes, with and without a document of them', async () => {
  const app = makeApp()
  const add = app.task('math.add', { expose: true }, (x: number, y: number) => x + y)
  for (const hasDocument of [false, true]) {
    const parts = openapiForFastify('tell_me_at')
    const fastify = Fastify()
    onTestFinished(() => fastify.close())
    if (hasDocument) {
      await fastify.register(swagger, {
        openapi: {
          openapi: '3.1.1',
          info: { title: 'Mine', version: '1' },
          servers: [{ url: 'https://api.example.com' }],
          security: [],
        },
        refResolver: { buildLocalReference: ({ $id }, _base, _fragment, n) => String($id ?? `def-${n}`) },
      })
    }
    for (const schema of parts.schemas) fastify.addSchema(schema)
    await fastify.register(createHandler(app, { auth: 'none' }).fastify)
    const body = { type: 'object', properties: { tell_me_at: { $ref: 'CallbackUrl#' } } }
    const schema = { operationId: 'order', body, response: { 202: parts.accepted }, callbacks: parts.callbacks }
    fastify.post('/orders', { schema }, async () => accepted(await app.submit(add.s(1, 2))))
    // Written by Fastify itself, by that schema: nothing is lost.
    fastify.post('/plain', { schema: { response: { 202: parts.accepted } } }, async (_request, reply) =>
      reply.code(202).send(await (await accepted(await app.submit(add.s(1, 2)))).json()),
    )
    const url = await fastify.listen({ port: 0, host: '127.0.0.1' })
    const documented = new Documented({ ...(hasDocument ? (fastify.swagger() as unknown as Document) : empty) })
    for (const path of ['/orders', '/plain']) {
      const answer = await fetch(url + path, { method: 'POST', headers, body: '{}' })
      expect(answer.status).toBe(202)
      const collection = (await answer.json()) as object
      expect(collection).toMatchObject({ state: 'running', jobs: [{ task: 'math.add', args: [1, 2] }] })
      documented.expectAnswer('POST', path, { status: 202, type: 'application/json', body: collection })
    }
    expect((await fetch(`${url}/orders`, { method: 'POST', headers, body: '{"tell_me_at":"no"}' })).status).toBe(400)
    if (!hasDocument) continue
    await expectLinted(fastify.swagger(), 'spec')
    // Only what is one's own is in it.
    expect(Object.keys(fastify.swagger().paths ?? {})).toEqual(['/orders', '/plain'])
  }
})

const headers = { 'content-type': 'application/json' }
const empty: Document = { paths: {}, components: { schemas: {} } }

test('the list of tasks and the document are made once, and anew when a task is added', async () => {
  const app = makeApp()
  let written = 0
  const counted = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value: unknown) => ({ value }),
      jsonSchema: { input: () => ({ type: 'number', minimum: ++written }) },
    },
  } as never
  app.task('counted', { input: counted, expose: true }, (x: number) => x)
  const { answer } = createApi(app, { auth: { identify: ({ headers }) => knownBy(headers) } })
  const ask = (path: string, headers = {}) => answer(new Request(`http://localhost${path}`, { headers }))
  const first = (await ask('/api/tasks')) as Reply
  expect(await ask('/api/tasks')).toMatchObject({ text: first.text })
  await Promise.all([ask('/api/tasks', { 'x-user': 'ann' }), ask('/api/tasks/counted')])
  expect(written).toBe(1)
  app.task('another', () => 1)
  const later = JSON.parse(((await ask('/api/tasks')) as Reply).text) as { items: { name: string }[] }
  expect(later.items.map(({ name }) => name)).toEqual(['another', 'counted'])
  // A user sees what is exposed only.
  const shown = JSON.parse(((await ask('/api/tasks', { 'x-user': 'ann' })) as Reply).text) as typeof later
  expect(shown.items.map(({ name }) => name)).toEqual(['counted'])
  expect(written).toBe(1)
  for (const path of ['/api/openapi.json', '/api/docs']) expect(await ask(path)).toBe(await ask(path))
})

const knownBy = (headers: Headers) => {
  const user = headers.get('x-user')
  return { name: user ?? 'root', scopes: ['read' as const], actor: user }
}

test('pages of other origins are told of the methods that there are, and of no other', async () => {
  const handler = createHandler(makeApp(), { auth: 'none', origins: ['https://app.example.com'] })
  const asked = { origin: 'https://app.example.com', 'access-control-request-method': 'POST' }
  const answer = await handler(new Request('http://localhost/api/jobs', { method: 'OPTIONS', headers: asked }))
  expect(answer.headers.get('access-control-allow-methods')).toBe('HEAD,GET,POST')
})
