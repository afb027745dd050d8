import type { CollectionHandle } from '../core/handle.ts'
import { readable } from '../core/option.ts'
import type { Duration } from '../core/time.ts'
import { tellOutside } from './answers.ts'
import { settledCallback } from './callback-terms.ts'
import { callbackUrl as describedCallbackUrl, callbackUrlText } from './inputs.ts'
import { json, responseOf } from './reply.ts'
import { answerOf, callbacksOf } from './document.ts'
import { acceptedCollection } from './schemas.ts'
import { SchemaWriter } from './schema-writer.ts'

/**
 * A url that is called back, as a schema for your own body. It brings its description to the documents that you make of it, and no
 * name: names in a document of yours are yours.
 */
// eslint-disable-next-line no-restricted-syntax -- Without an id it is in nobody's way, and a document of yours describes it.
export const callbackUrl = describedCallbackUrl.meta({ format: 'uri', description: callbackUrlText })

export interface Accepted {
  /** Where it can be read: default no such header. */
  readonly location?: string | undefined
  /** How long the token in the answer lets its holder follow this collection, and nothing else. Default a day; null: none. */
  readonly token?: Duration | null | undefined
}

/**
 * The answer of an endpoint of your own that started something: 202, with the collection and a token to follow it by.
 *
 * @throws NotFound, StoreUnavailable
 * @example
 * app.post('/orders', async () => accepted(await jobs.submit(order.s('a-17'), { callbackUrl })))
 */
export async function accepted(collection: CollectionHandle<unknown>, options: Accepted = {}): Promise<Response> {
  const { location, token = '24h' } = readable('accepted', () => ({ ...options }))
  const told = tellOutside(await collection.snapshot())
  const known = token === null ? {} : { token: await collection.token({ expiresIn: token }) }
  return responseOf(json(202, { ...told, ...known }, location === undefined ? {} : { location }))
}

type PathItem = Readonly<Record<string, object>>

/** What your own document needs to say that an endpoint answers with a collection, and calls back. */
export interface OpenApiParts {
  /** For `components.schemas`: what the parts below refer to. */
  readonly schemas: Readonly<Record<string, object>>
  /** For `responses['202']` of an operation. */
  readonly accepted: object
  /** For `callbacks` of an operation. */
  readonly callbacks: Record<string, Record<string, PathItem>>
}

/** The same for Fastify, whose schemas refer to each other in a way of their own. */
export interface FastifyParts extends Omit<OpenApiParts, 'schemas'> {
  /** Each for `fastify.addSchema`: what the parts refer to. */
  readonly schemas: readonly { readonly $id: string }[]
}

/**
 * Returns what an OpenAPI document says of an endpoint that answers with {@link accepted}.
 *
 * @param field the name in your body of the url that is called back. Default `callback_url`
 * @example
 * const { schemas, accepted, callbacks } = openapi()
 * document.paths['/orders'].post = { …, responses: { 202: accepted }, callbacks }
 * Object.assign(document.components.schemas, schemas)
 */
export function openapi(field = 'callback_url'): OpenApiParts {
  const writer = new SchemaWriter()
  return { ...partsOf(writer, field), schemas: writer.named }
}

/**
 * Returns the same for routes of Fastify, from which `@fastify/swagger` writes the document.
 *
 * @param field the name in your body of the url that is called back. Default `callback_url`
 * @example
 * const { schemas, accepted, callbacks } = openapiForFastify()
 * for (const schema of schemas) fastify.addSchema(schema)
 * fastify.post('/orders', { schema: { response: { 202: accepted }, callbacks } }, async () => …)
 */
export function openapiForFastify(field = 'callback_url'): FastifyParts {
  const writer = new SchemaWriter((name) => `${name}#`)
  const parts = partsOf(writer, field)
  return { ...parts, schemas: Object.entries(writer.named).map(([$id, schema]) => ({ $id, ...schema })) }
}

function partsOf(writer: SchemaWriter, field: string): Omit<OpenApiParts, 'schemas'> {
  const description = 'Under way: read it, follow it, wait for the callback.'
  // For the body of the operation: by its name, or by the name that a document gives it.
  writer.write(describedCallbackUrl, 'input')
  return {
    accepted: answerOf({ description, schema: acceptedCollection }, '202', writer),
    callbacks: callbacksOf(settledCallback({ [field]: null }), writer),
  }
}
