import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Celeriac } from '../app/celeriac.ts'
import { badOption } from '../core/option.ts'
import { createApi, type HandlerOptions } from './api.ts'
import { Live } from './live/live.ts'
import { type NodeRequest, prefixOf, unknownPrefix, withReadBody } from './mounted.ts'
import { whenNext } from './pipelined.ts'
import { problemOf, problemReply, RequestError } from './problem.ts'
import type { AskedOf } from './route.ts'
import { isReply, type Reply, responseOf } from './reply.ts'
import { type Upgrade, upgradeListener } from './upgrades.ts'
import { write } from './write.ts'

/** The HTTP API of an app: call it with a request, or mount it in what you serve with. */
export interface Handler {
  /**
   * Answers a web-standard request: in Hono `app.all('/api/*', ({ req, env }) => handler(req.raw, env))`, in Next `export const GET = handler`.
   * `env` is what Hono knows of the connection on Node: without it no request counts as being of this machine.
   */
  (request: Request, env?: object): Promise<Response>
  /** For Node’s `createServer(handler.node)`, and for Express `app.use(handler.node)`: what is not ours goes on to `next`. */
  readonly node: (message: IncomingMessage, response: ServerResponse, next?: () => void) => void
  /** For Fastify: `fastify.register(handler.fastify)`. A prefix is given as `base` too. */
  readonly fastify: (fastify: FastifyLike) => Promise<void>
  /**
   * WebSockets, for Node’s server under any of them: `server.on('upgrade', handler.upgrade)`. False: not ours, and left to the
   * server's other listeners. Where there are none, the server answers the request as one without an offer.
   */
  readonly upgrade: Upgrade
  /** Whether access is configured, by a key or `auth`. Until then, outside requests are refused. */
  readonly isGuarded: () => Promise<boolean>
  /** Whether programs of this machine may do everything, because access is not configured. */
  readonly isOpenLocally: () => Promise<boolean>
  /** Lets go of all WebSockets, which come back to another process. */
  readonly close: () => void
}

/** As much of Fastify as is needed. */
export interface FastifyLike {
  readonly prefix?: string
  removeAllContentTypeParsers(): void
  addContentTypeParser(
    type: string,
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): unknown
  all(
    path: string,
    options: { readonly schema: { readonly hide: true } },
    handler: (request: { readonly raw: IncomingMessage }, reply: FastifyReplyLike) => void,
  ): unknown
}
interface FastifyReplyLike {
  readonly raw: ServerResponse
  hijack(): unknown
}

/**
 * Makes the HTTP API of an app. docs/http.md tells it all.
 *
 * @throws CeleriacError BAD_OPTION
 * @example
 * createServer(createHandler(app).node).listen(8080, '127.0.0.1')
 */
export function createHandler(app: Celeriac, options: HandlerOptions = {}): Handler {
  const { answer, authenticator, service, base, isOurs } = createApi(app, options)
  const live = new Live(authenticator, service, base)
  const refuse = (prefix: string, about: AskedOf): Reply => problemReply(service.explain(unknownPrefix(prefix), about))
  const listen = getRequestListener(
    async (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      const answered = await answer(withReadBody(incoming, request), incoming)
      // The client went away while it was being answered.
      if (outgoing.destroyed) forget(answered)
      else if (isReply(answered)) write(answered, outgoing, service.parts.runtime)
      else pour(answered, outgoing)
      return RESPONSE_ALREADY_SENT
    },
    { overrideGlobalObjects: false, errorHandler: () => responseOf(problemReply(unreadable())) },
  ) as RequestListener
  const node = (message: NodeRequest, response: ServerResponse, next?: () => void): void => {
    const given = message.url ?? '/'
    const prefix = prefixOf(message.originalUrl, given)
    if (isOurs(pathOf(prefix + given))) message.url = prefix + given
    else if (prefix !== '' && isOurs(base + pathOf(given))) {
      const refused = refuse(prefix, { method: message.method ?? '', path: pathOf(prefix + given) })
      return write(refused, response, service.parts.runtime)
    } else if (next) return next()
    whenNext(response, () => void listen(message, response))
  }
  const asked = async (request: Request, env?: object): Promise<Reply | Response> => {
    const { incoming } = (env ?? {}) as { readonly incoming?: NodeRequest }
    if (incoming?.socket === undefined) return answer(request)
    const { pathname, search, origin } = new URL(request.url)
    const given = pathname + search
    const prefix = prefixOf(incoming.originalUrl ?? incoming.url, given)
    if (prefix === '') return answer(request, incoming)
    if (isOurs(prefix + pathname)) return answer(new Request(origin + prefix + given, request), incoming)
    return isOurs(base + pathname)
      ? refuse(prefix, { method: request.method, path: prefix + pathname })
      : answer(request, incoming)
  }
  return Object.assign(async (request: Request, env?: object) => whole(request, await asked(request, env)), {
    node,
    upgrade: upgradeListener(
      (message, socket, head) => live.upgrade(message, socket, head),
      (url) => isOurs(pathOf(url)),
      service.parts.runtime,
    ),
    isGuarded: () => authenticator.isConfigured(),
    isOpenLocally: () => authenticator.isOpen(),
    close: () => live.close(),
    fastify: async (fastify: FastifyLike) => {
      const { prefix = '' } = fastify
      if (!`${base}/`.startsWith(`${prefix}/`)) {
        throw badOption(`fastify.register: prefix ${prefix}`, `write createHandler(app, { base: '${prefix}' }) as well`)
      }
      // The body is left to be read here, with bounds of its own.
      fastify.removeAllContentTypeParsers()
      fastify.addContentTypeParser('*', (_request, _payload, done) => done(null))
      // Not in a document that is made of the routes: this API has its own.
      fastify.all(
        `${base === '' ? '/api' : base.slice(prefix.length)}/*`,
        { schema: { hide: true } },
        ({ raw }, reply) => {
          reply.hijack()
          node(raw, reply.raw)
        },
      )
    },
  })
}

const pathOf = (url: string): string => url.replace(/^https?:\/\/[^/?]*/, '').split('?', 1)[0] as string

/** What the adapter makes no request of. */
const unreadable = () =>
  problemOf(new RequestError('BAD_REQUEST', 'The address or the header host of the request is not valid.')).problem

function whole({ method }: Request, answered: Reply | Response): Response {
  if (!isReply(answered)) return answered
  const response = responseOf(answered)
  return method === 'HEAD' ? new Response(null, response) : response
}

function forget(answered: Reply | Response): void {
  if (isReply(answered)) answered.done?.()
  else void answered.body?.cancel()
}

/** Browsers and Node declare the same stream in two ways. */
type Streamed = Pick<Response, 'status' | 'headers'> & { readonly body: unknown }

/** A stream, which breaks off where either side does. The adapter would write each such end to the console, as an error. */
function pour({ status, headers, body }: Streamed, outgoing: ServerResponse): void {
  outgoing.writeHead(status, Object.fromEntries(headers))
  if (body === null) return void outgoing.end()
  outgoing.flushHeaders()
  pipeline(Readable.fromWeb(body as NodeReadableStream), outgoing, () => undefined)
}
