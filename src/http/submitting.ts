import type { CanvasNode } from '../canvas/node.ts'
import type { CollectionDetail } from '../core/collection.ts'
import { CeleriacError, NotFound } from '../core/errors.ts'
import { submitTerms } from '../core/call-options.ts'
import type { SubmitOptions } from '../core/options.ts'
import { collectionText } from './answers.ts'
import { mayRead } from './identity.ts'
import { checkOverrides } from './overrides.ts'
import { RequestError } from './problem.ts'
import { json, jsonText, type Reply } from './reply.ts'
import type { Given } from './route.ts'
import { seeCollection } from './visible.ts'

interface Sent {
  readonly options?: unknown
  readonly callback_url?: string | undefined
  readonly callback?: SubmitOptions['callback']
}

/** The options of a submission: those of the body, what the headers add, and who asks. */
export function optionsOf({
  identity,
  request,
  body,
}: Pick<Given<unknown, unknown, Sent>, 'identity' | 'request' | 'body'>): SubmitOptions {
  const given = (body.options ?? {}) as SubmitOptions
  const { actor } = identity
  if (actor !== null) checkOwn(given, actor)
  const key = request.headers.get('idempotency-key')
  if (key !== null && given.idempotencyKey !== undefined && given.idempotencyKey !== key) {
    throw new RequestError('BAD_REQUEST', 'The header and options.idempotency_key name two keys: give one of them.')
  }
  return {
    ...given,
    ...(given.startAt !== undefined && { startAt: new Date(given.startAt) }),
    ...(key !== null && { idempotencyKey: key }),
    ...(body.callback_url !== undefined && { callbackUrl: body.callback_url }),
    ...(body.callback !== undefined && { callback: body.callback }),
    ...(actor !== null && { actor: { id: actor } }),
  }
}

type Asking = Pick<Given<unknown, unknown, unknown>, 'service' | 'identity' | 'request' | 'base'>

/** Sends a canvas and answers with the collection that it became. */
export async function accept(asking: Asking, node: CanvasNode, options: SubmitOptions): Promise<Reply> {
  const { service, identity, base } = asking
  try {
    const { id, sent } = await store(asking, node, options)
    const connection = await service.connect()
    const headers = { location: `${base}/api/collections/${id}` }
    if (sent !== null) return jsonText(202, await collectionText(connection, identity, sent), headers)
    // What was sent may be told back; what was there before is for those who may read.
    if (!mayRead(identity)) return json(202, receiptOf(await seeCollection(connection, identity, id, false)), headers)
    return await tellStored(asking, id, headers)
  } catch (error) {
    throw identity.actor === null ? error : asOfNobody(error)
  }
}

/** Gives no more than is needed: whoever waits to be answered keeps nothing of the graph. */
async function store({ service: { parts }, identity }: Asking, node: CanvasNode, options: SubmitOptions) {
  const terms = submitTerms(options, 'submit')
  if (!identity.scopes.includes('admin')) checkOverrides(parts.registry, node, terms)
  const submitted = await parts.submit(node, terms)
  return { id: submitted.id, sent: await submitted.asStored() }
}

/** A few bytes may be answered with a collection of any size, so this takes a turn as reading it does. */
async function tellStored(
  { service, identity, request }: Asking,
  id: string,
  headers: Readonly<Record<string, string>>,
): Promise<Reply> {
  // However many wait: what is stored is not refused, or it would be sent again.
  const done = await service.answers.take(identity, request, Infinity)
  try {
    const connection = await service.connect()
    const found = await seeCollection(connection, identity, id, true)
    return { ...jsonText(202, await collectionText(connection, identity, found), headers), done }
  } catch (error) {
    done()
    throw error
  }
}

/** What those are answered who may not read: that it is there, and how it stands. */
export const receiptOf = ({ id, state, round }: Pick<CollectionDetail, 'id' | 'state' | 'round'>) => ({
  id,
  state,
  round,
})

/** A task may have a unique key of its own, and somebody else may hold it: whose work that is, is not told. */
function asOfNobody(error: unknown): unknown {
  const isForeign = error instanceof NotFound || (error instanceof CeleriacError && error.code === 'UNIQUE_CONFLICT')
  if (!isForeign) return error
  return new CeleriacError('UNIQUE_CONFLICT', 'This is under way already, for somebody else: wait until that is over.')
}

function checkOwn({ actor, unique }: SubmitOptions, own: string): void {
  if (actor !== undefined && actor.id !== own) {
    throw new RequestError('FORBIDDEN', 'options.actor: what was sent acts for its own subject only.')
  }
  // All submissions share these keys, and `replace` cancels what holds one.
  if (unique !== undefined) throw new RequestError('FORBIDDEN', 'options.unique: this is for those who see everything.')
}
