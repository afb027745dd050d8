import type { IncomingMessage } from 'node:http'
import { readBefore } from './body.ts'
import { RequestError } from './problem.ts'

/** A request of Node’s, with what frameworks add to it: the url before they took a prefix off, the body where they have read it. */
export type NodeRequest = IncomingMessage & { readonly originalUrl?: string; readonly body?: unknown }

/** What a framework took off the front of the path before it called us: `/jobs` in `app.use('/jobs', handler.node)`. */
export function prefixOf(full: string | undefined, given: string): string {
  return full !== undefined && full !== given && full.endsWith(given) ? full.slice(0, -given.length) : ''
}

/**
 * A prefix that this API does not know would stand before its HTTP half only: the addresses it tells and its WebSockets
 * would lead elsewhere. So it answers nothing there but what to do.
 */
export const unknownPrefix = (prefix: string): RequestError =>
  new RequestError(
    'INTERNAL',
    `This API stands under ${prefix} and does not know: write createHandler(app, { base: '${prefix}' }), so that its WebSockets and addresses are there too.`,
  )

/**
 * The request with the body that something in front has read already, as `express.json()` does; as it is where nothing has.
 *
 * @param request made of `incoming`
 */
export function withReadBody(incoming: NodeRequest, request: Request): Request {
  const { method } = request
  // A request that only reads has no body here, whatever came with it.
  if (!incoming.readableDidRead || method === 'GET' || method === 'HEAD') return request
  const headers = new Headers(request.headers)
  // It was unpacked, and written anew below.
  headers.delete('content-encoding')
  headers.delete('transfer-encoding')
  headers.delete('content-length')
  const body = incoming.body === undefined ? broken() : textOf(incoming.body)
  if (!(body instanceof ReadableStream)) headers.set('content-length', String(Buffer.byteLength(body)))
  // The types of the DOM do not know `duplex`, which Node asks for where the body is a stream.
  const init: RequestInit & { readonly duplex: 'half' } = { method, headers, body, duplex: 'half' }
  return new Request(request.url, init)
}

/** What parsers make of a body is an object, a text or bytes: here it is read again, by the same rules as any other. */
function textOf(body: unknown): string | Uint8Array<ArrayBuffer> {
  if (typeof body === 'string' || body instanceof Uint8Array) return body as string | Uint8Array<ArrayBuffer>
  return JSON.stringify(body) ?? ''
}

/** Fails whoever reads it, and nobody else. */
const broken = (): ReadableStream =>
  new ReadableStream({
    pull(controller) {
      controller.error(readBefore())
    },
  })
