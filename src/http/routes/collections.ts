import { z } from 'zod'
import { readNode } from '../../canvas/read-node.ts'
import { collectionHandle } from '../../app/handles.ts'
import { collectionEvents } from '../../app/collection-events.ts'
import { pageOf, readCollectionQuery } from '../../app/listing.ts'
import { signRunToken } from '../../app/run-token.ts'
import { summaryOfCollection } from '../../app/snapshots.ts'
import { collectionText, tell } from '../answers.ts'
import { settledCallback } from '../callback-terms.ts'
import { checkExposed } from '../exposed.ts'
import { demandMany, makerOf, mayRead } from '../identity.ts'
import { calledBack, idempotencyHeader, listQuery, options } from '../inputs.ts'
import { lookAt, nothing } from '../listed.ts'
import { eventsAnswers, eventsQuery, streamEvents } from '../live/sse.ts'
import { json, jsonText, type Reply } from '../reply.ts'
import { type Given, route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { accept, optionsOf, receiptOf } from '../submitting.ts'
import { narrowed, seeCollection } from '../visible.ts'
import { described } from '../described.ts'

const tag = 'Collections'
const params = z.object({ id: z.string() })
const page = schemas.pageOf(schemas.collection, 'CollectionPage')
const { notFound, conflict } = schemas
const whole = { 200: { description: 'The collection.', schema: schemas.collectionDetail } }
const operated = { 200: { description: 'The collection.', schema: schemas.operatedCollection } }

export const collectionRoutes = [
  route({
    method: 'post',
    path: '/api/collections',
    operationId: 'submitCanvas',
    tag,
    summary: 'Send a canvas',
    description:
      'A chain, group, chord or each, as `JSON.stringify(canvas)` writes it. All its tasks must be exposed over HTTP.',
    scope: 'submit',
    headers: idempotencyHeader,
    body: z.strictObject({
      canvas: z.unknown().register(described, {
        description: 'A canvas, such as `{"type":"signature","task":"math.add","args":[1,2]}`.',
      }),
      options: options.optional(),
      ...calledBack,
    }),
    answers: {
      202: { description: 'All of it is stored.', schema: schemas.operatedCollection, headers: schemas.location },
      ...schemas.notTaken,
    },
    callbacks: settledCallback({ callback_url: 'canvasSettled', 'callback/url': 'canvasSettledAsAsked' }),
    async handle(given) {
      const node = readNode(given.body.canvas, 'canvas')
      checkExposed(given.service.parts.registry, node)
      return accept(given, node, optionsOf(given))
    },
  }),
  route({
    method: 'get',
    path: '/api/collections',
    operationId: 'listCollections',
    tag,
    summary: 'List collections, newest first',
    scope: 'read',
    query: z.strictObject({ state: schemas.collectionState.optional(), ...listQuery }),
    answers: { 200: { description: 'A page.', schema: page } },
    async handle(given) {
      const { service, identity, query } = given
      demandMany(identity)
      const { engine, runtime } = await service.connect()
      const own = narrowed(identity, readCollectionQuery(query, runtime.now()))
      const found = own === null ? nothing : await lookAt(given, 'collections', () => engine.collections(own))
      return json(200, tell(identity, pageOf(found, summaryOfCollection)))
    },
  }),
  route({
    method: 'get',
    path: '/api/collections/{id}',
    operationId: 'readCollection',
    tag,
    summary: 'Read a collection with all its jobs',
    scope: 'read',
    params,
    answers: { ...whole, ...notFound },
    handle: readWhole,
  }),
  route({
    method: 'post',
    path: '/api/collections/{id}/retry',
    operationId: 'retryCollection',
    tag,
    summary: 'Retry what failed, was cancelled or was skipped; or everything',
    description: 'The ids stay. Its callback is sent again once it has settled again.',
    scope: 'operate',
    params,
    body: z.strictObject({ mode: z.enum(['failed', 'all']).optional(), now: schemas.startsNow }).optional(),
    answers: { ...operated, ...notFound, ...conflict },
    async handle(given) {
      const { service, identity, params, body } = given
      await seeCollection(await service.connect(), identity, params.id, false)
      await collectionHandle(service.parts, params.id).retry({ mode: body?.mode, now: body?.now })
      return readWhole(given)
    },
  }),
  route({
    method: 'post',
    path: '/api/collections/{id}/cancel',
    operationId: 'cancelCollection',
    tag,
    summary: 'Cancel all that is not over yet',
    scope: 'operate',
    params,
    answers: { ...operated, ...notFound },
    async handle(given) {
      const { service, identity, params } = given
      await seeCollection(await service.connect(), identity, params.id, false)
      await collectionHandle(service.parts, params.id).cancel()
      return readWhole(given)
    },
  }),
  route({
    method: 'post',
    path: '/api/collections/{id}/token',
    operationId: 'createRunToken',
    tag,
    summary: 'Make a token for those who may look at this collection and at nothing else',
    scope: 'read',
    params,
    answers: {
      201: {
        description: 'Good for a day, and no longer than what it was asked for with.',
        schema: z.object({ token: z.string() }).register(described, { id: 'RunToken' }),
      },
      ...notFound,
    },
    async handle({ service, identity, params }) {
      const connection = await service.connect()
      await seeCollection(connection, identity, params.id, false)
      const { until, keyId } = identity
      return json(201, {
        token: await signRunToken(connection, params.id, { until, keyId, madeBy: makerOf(identity) }),
      })
    },
  }),
  route({
    method: 'get',
    path: '/api/collections/{id}/events',
    operationId: 'followCollection',
    tag,
    summary: 'Follow a collection: its snapshot first, then every change',
    scope: 'read',
    takesTicket: true,
    params,
    query: eventsQuery,
    answers: eventsAnswers('CollectionEvent'),
    async handle(given) {
      const { service, identity, params } = given
      await seeCollection(await service.connect(), identity, params.id, false)
      return streamEvents(given, (options) => collectionEvents(service.connect, params.id, options))
    },
  }),
]

async function readWhole({
  service,
  identity,
  params,
}: Pick<Given<{ readonly id: string }, unknown, unknown>, 'service' | 'identity' | 'params'>): Promise<Reply> {
  const connection = await service.connect()
  const found = await seeCollection(connection, identity, params.id, mayRead(identity))
  if (!mayRead(identity)) return json(200, receiptOf(found))
  return jsonText(200, await collectionText(connection, identity, found))
}
