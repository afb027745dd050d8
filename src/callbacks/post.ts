import type { LookupAddress } from 'node:dns'
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestPlain } from 'node:http'
import { request as requestSafely } from 'node:https'
import { isIP } from 'node:net'
import { hostOf } from '../app/callback-url.ts'
import { pinned } from './guard.ts'

export interface Post {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Where to connect, and nowhere else. */
  readonly addresses: readonly LookupAddress[]
  /** Ends it. An answer that has begun by then counts. */
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly location: string | undefined
  /** The beginning of its body. */
  readonly text: string
}

/** How much of an answer is read before the connection is closed, and how much of it is kept, in bytes. */
const [mostRead, mostKept] = [64 * 1024, 1024]

/**
 * Sends one request on a connection of its own and gives what was answered, whatever it is: nothing is followed. Not
 * `fetch`, which cannot be told where to connect.
 *
 * @throws what went wrong on the way, or the reason of the signal
 */
export function post({ url, headers, body, addresses, signal }: Post): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const begin = url.protocol === 'https:' ? requestSafely : requestPlain
    const request = begin(optionsFor(url, headers, addresses))
    let isAnswered = false
    // Where an answer has begun, what came of it counts.
    const fail = (error: Error): void => {
      if (!isAnswered) reject(signal.aborted ? (signal.reason as Error) : error)
    }
    const stop = (): void => void request.destroy()
    signal.addEventListener('abort', stop)
    request.on('response', (response) => {
      isAnswered = true
      void readAnswer(request, response).then(resolve)
    })
    request.on('error', fail)
    request.on('close', () => {
      signal.removeEventListener('abort', stop)
      fail(new Error('the connection was closed without an answer'))
    })
    request.end(body)
  })
}

function optionsFor(url: URL, headers: Post['headers'], addresses: readonly LookupAddress[]): RequestOptions {
  const host = hostOf(url)
  // Servers know themselves by the name without the dot of the root.
  const tls = { servername: isIP(host) === 0 ? host : '', rejectUnauthorized: true }
  return {
    method: 'POST',
    hostname: host,
    port: url.port,
    path: url.pathname + url.search,
    headers: { host: url.host, ...headers },
    // A connection that was kept might have been made to another address, or through a proxy.
    agent: false,
    lookup: pinned(addresses),
    ...(url.protocol === 'https:' && tls),
  }
}

/** Its status is what counts; of a body that never ends a beginning is enough, and so it is of one that breaks off. */
function readAnswer(request: ClientRequest, response: IncomingMessage): Promise<Answer> {
  const kept: Buffer[] = []
  let size = 0
  return new Promise((resolve) => {
    const finish = (): void => {
      request.destroy()
      const text = new TextDecoder().decode(Buffer.concat(kept).subarray(0, mostKept))
      resolve({ status: response.statusCode ?? 0, location: response.headers.location, text })
    }
    response.on('data', (chunk: Buffer) => {
      if (size < mostKept) kept.push(chunk)
      size += chunk.length
      if (size >= mostRead) finish()
    })
    response.on('error', finish)
    response.on('close', finish)
  })
}
