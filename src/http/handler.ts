import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { type Duplex, pipeline, Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Celeriac } from '../app/celeriac.ts'
import { createApi, type HandlerOptions } from './api.ts'
import { Live } from './live/live.ts'
import { isReply, type Reply, responseOf } from './reply.ts'

/** The HTTP API of an app: call it with a request, or mount it in what you serve with. */
export interface Handler {
  /** Answers a web-standard request: in Hono `app.mount('/', handler)`, in Next `export const GET = handler`. */
  (request: Request): Promise<Response>
  /** For Node’s `createServer(handler.node)`, and for Express `app.use(handler.node)`: what is not ours goes on to `next`. */
  readonly node: (message: IncomingMessage, response: ServerResponse, next?: () => void) => void
  /** For Fastify: `fastify.register(handler.fastify)`. */
  readonly fastify: (fastify: FastifyLike) => Promise<void>
  /** WebSockets, for Node’s server under any of them: `server.on('upgrade', handler.upgrade)`. False: not ours. */
  readonly upgrade: (message: IncomingMessage, socket: Duplex, head: Buffer) => boolean
  /** Whether access is configured, by a key or `auth`. Until then, outside requests are refused. */
  readonly isGuarded: () => Promise<boolean>
  /** Whether programs of this machine may do everything, because access is not configured. */
  readonly isOpenLocally: () => Promise<boolean>
  /** Lets go of all WebSockets, which come back to another process. */
  readonly close: () => void
}

/** As much of Fastify as is needed. */
export interface FastifyLike {
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
  const { answer, authenticator, service, base } = createApi(app, options)
  const live = new Live(authenticator, service, base)
  const listen = getRequestListener(
    async (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      const answered = await answer(request, incoming)
      if (isReply(answered)) write(answered, outgoing)
      else pour(answered, outgoing)
      return RESPONSE_ALREADY_SENT
    },
    { overrideGlobalObjects: false },
  ) as RequestListener
  // Beside routes of somebody's own, no more is taken than was said.
  const ours = base === '' ? '/api' : base
  const node: Handler['node'] = (message, response, next) => {
    const path = (message.url ?? '').split('?', 1)[0] as string
    if (next && path !== ours && !path.startsWith(`${ours}/`)) next()
    else void listen(message, response)
  }
  return Object.assign(async (request: Request) => whole(request, await answer(request)), {
    node,
    upgrade: (message: IncomingMessage, socket: Duplex, head: Buffer) => live.upgrade(message, socket, head),
    isGuarded: () => authenticator.isConfigured(),
    isOpenLocally: () => authenticator.isOpen(),
    close: () => live.close(),
    fastify: async (fastify: FastifyLike) => {
      // The body is left to be read here, with bounds of its own.
      fastify.removeAllContentTypeParsers()
      fastify.addContentTypeParser('*', (_request, _payload, done) => done(null))
      // Not in a document that is made of the routes: this API has its own.
      fastify.all(`${ours}/*`, { schema: { hide: true } }, ({ raw }, reply) => {
        reply.hijack()
        node(raw, reply.raw)
      })
    },
  })
}

function whole({ method }: Request, answered: Reply | Response): Response {
  if (!isReply(answered)) return answered
  return method === 'HEAD' ? new Response(null, answered) : responseOf(answered)
}

/** Node leaves out the body itself where there is to be none. */
function write({ status, headers, text }: Reply, outgoing: ServerResponse): void {
  outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) })
  outgoing.end(text)
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
