import { Backoff } from '../core/backoff.ts'
import type { Runtime } from '../core/runtime.ts'
import { isLasting, notUnderstood, problemOf, tooLarge } from './problem.ts'
import { parsed, textOf } from './received.ts'

/** A key or token; or what gives one, asked before every request, so that it may be renewed. */
export type Token = string | (() => string | Promise<string>)

export interface RequestTerms {
  readonly query?: object | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
  /** Twice comes to the same as once: it is sent again where no answer came. */
  readonly isRepeatable?: boolean
}

/** Tells whether an answer is what it should be, as far as it is read here. */
type Is = (told: unknown) => boolean

const mostTries = 6
const shortestPause = 200
const longestPause = 5_000
/** How long an answer may take, in milliseconds: a network that swallows everything says nothing. */
const patience = 30_000
/**
 * How many characters an answer or an event may have: a body without an end would else be kept until memory ends. The largest are
 * snapshots. Beyond their first 4 MiB each job has about 500, and 1,500 at most, so of 100,000 jobs, the most unless `maxJobs` is
 * raised, they have less than 160 million.
 */
const mostKept = 2 ** 28

/** Asks the API, as whoever holds the token. */
export class Requests {
  readonly runtime: Runtime
  readonly most: number
  readonly #base: string
  readonly #token: Token | undefined

  constructor(url: string | URL, token: Token | undefined, runtime: Runtime, most = mostKept) {
    // Relative to the page, where there is one.
    this.#base = new URL(url, (globalThis as { location?: { href: string } }).location?.href).href.replace(/\/+$/, '')
    this.#token = token
    this.runtime = runtime
    this.most = most
  }

  /** Where WebSockets are opened. Browsers send no header there, so a ticket stands in the address. */
  socketUrl(ticket: string): string {
    return `${this.#base.replace(/^http/, 'ws')}/api/live?ticket=${encodeURIComponent(ticket)}`
  }

  /** @throws ApiProblem, and what `fetch` throws */
  async json<T>(method: 'GET' | 'POST', path: string, is: Is, terms: RequestTerms = {}): Promise<T> {
    const { signal, isRepeatable = false } = terms
    const backoff = new Backoff(this.runtime, longestPause, shortestPause)
    const stop = (): void => backoff.cancel()
    signal?.addEventListener('abort', stop)
    try {
      for (;;) {
        try {
          return await this.#ask<T>(method, path, is, terms)
        } catch (error) {
          signal?.throwIfAborted()
          if (!isRepeatable || isLasting(error) || backoff.failures + 1 >= mostTries) throw error
          await backoff.wait()
        }
      }
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** The answer, whose body is still to be read. @throws ApiProblem, and what `fetch` throws */
  async open(method: 'GET' | 'POST', path: string, { query, body, headers, signal }: RequestTerms): Promise<Response> {
    const token = typeof this.#token === 'function' ? await unlessAborted(this.#token(), signal) : this.#token
    const response = await fetch(`${this.#base}${path}${queryText(query)}`, {
      method,
      headers: {
        ...headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
    if (!response.ok) throw await problemOf(response)
    return response
  }

  async #ask<T>(method: 'GET' | 'POST', path: string, is: Is, terms: RequestTerms): Promise<T> {
    const limit = new AbortController()
    const clock = this.runtime.after(patience, () => limit.abort(new Error('No answer came within 30 seconds.')))
    const signal = terms.signal ? AbortSignal.any([terms.signal, limit.signal]) : limit.signal
    try {
      const response = await this.open(method, path, { ...terms, signal })
      const text = await textOf(response, this.most)
      if (text === null) throw tooLarge(this.most)
      const told = parsed(text)
      if (!is(told)) throw notUnderstood(response)
      return told as T
    } finally {
      clock.cancel()
      // What was not read to its end is not sent on.
      limit.abort()
    }
  }
}

/** Who gives tokens may be as silent as any server. */
async function unlessAborted<T>(given: T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = (): void => reject(signal?.reason as Error)
  signal?.addEventListener('abort', stop)
  try {
    return await Promise.race([given, promise])
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** A list is given as often as it has items; what is undefined is left out. */
function queryText(query: object = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query) as [string, unknown][]) {
    for (const one of [value].flat()) if (one !== undefined) search.append(name, String(one))
  }
  return search.size === 0 ? '' : `?${search}`
}
