import { createDocument } from 'zod-openapi'
import type { CollectionHandle } from '../core/handle.ts'
import type { Duration } from '../core/time.ts'
import { tellOutside } from './answers.ts'
import { settledCallback } from './callback-terms.ts'
import { callbackUrl } from './inputs.ts'
import { json, responseOf } from './reply.ts'
import { documentOptions } from './document.ts'
import { acceptedCollection } from './schemas.ts'

export { callbackUrl }

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
export async function accepted(
  collection: CollectionHandle<unknown>,
  { location, token = '24h' }: Accepted = {},
): Promise<Response> {
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

/**
 * @param field the name in your body of the url that is called back. Default `callback_url`
 * @example
 * const { schemas, accepted, callbacks } = openapi()
 * document.paths['/orders'].post = { …, responses: { 202: accepted }, callbacks }
 * Object.assign(document.components.schemas, schemas)
 */
export function openapi(field = 'callback_url'): OpenApiParts {
  const description = 'Under way: read it, follow it, wait for the callback.'
  const operation = {
    requestBody: { content: { 'application/json': { schema: callbackUrl } } },
    responses: { 202: { description, content: { 'application/json': { schema: acceptedCollection } } } },
    callbacks: settledCallback(field),
  }
  const { components, paths } = createDocument(
    {
      openapi: '3.1.1',
      info: { title: 'parts', version: '1' },
      paths: { '/': { post: operation } },
    },
    documentOptions,
  )
  const made = paths?.['/']?.post
  return {
    schemas: (components?.schemas ?? {}) as Record<string, object>,
    accepted: made?.responses?.['202'] as object,
    callbacks: made?.callbacks as Record<string, Record<string, PathItem>>,
  }
}
