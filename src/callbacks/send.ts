import type { AllowedHost } from '../app/callback-url.ts'
import type { Runtime } from '../core/runtime.ts'
import { formatDuration } from '../core/time.ts'
import { CallbackFailed, reasonIn } from './failed.ts'
import { addressesFor, type Resolve } from './guard.ts'
import { type Answer, post } from './post.ts'
import { signatureHeader } from './signature.ts'

export interface Callback {
  readonly url: URL
  /** The same whenever it is sent again, so that a receiver knows it. */
  readonly id: string
  readonly body: string
  /** Newest first: all of them sign. */
  readonly secrets: readonly string[]
}

export interface SendingParts {
  readonly runtime: Pick<Runtime, 'now' | 'after'>
  readonly allow: readonly AllowedHost[]
  readonly resolve: Resolve
  /** Aborted when it is to be given up. */
  readonly signal: AbortSignal
}

/** How long it may take from the question for the address to the end of the answer, in milliseconds. */
const patience = 10_000

/**
 * Sends a callback once, signed after Standard Webhooks. Gives the status by which it was accepted.
 *
 * @throws CallbackFailed, or the reason of the signal
 */
export async function send(callback: Callback, parts: SendingParts): Promise<{ readonly status: number }> {
  const time = new AbortController()
  const timer = parts.runtime.after(patience, () => time.abort(tooLate(callback.url)))
  const signal = AbortSignal.any([time.signal, parts.signal])
  try {
    const addresses = await orAborted(addressesFor(callback.url, parts.allow, parts.resolve), signal)
    const body = new TextEncoder().encode(callback.body)
    const headers = await headersOf(callback, body, parts.runtime.now())
    const answer = await post({ url: callback.url, headers, body, addresses, signal })
    return accepted(answer, callback.url)
  } catch (error) {
    if (error instanceof CallbackFailed) throw error
    signal.throwIfAborted()
    throw new CallbackFailed(`${callback.url.host} could not be reached: ${reasonIn(error)}`)
  } finally {
    timer.cancel()
  }
}

/** The answer to a question that cannot be taken back. */
function orAborted<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    asked.then(resolve, reject)
  })
}

async function headersOf(
  { id, secrets }: Callback,
  body: Uint8Array<ArrayBuffer>,
  now: number,
): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(now / 1000))
  return {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'accept-encoding': 'identity',
    'user-agent': 'celeriac',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': await signatureHeader(secrets, { id, timestamp, body }),
  }
}

// ── what was answered ────────────────────────────────────────────────────────────────────────────────────────────

function accepted({ status, location, text }: Answer, url: URL): { readonly status: number } {
  if (status >= 200 && status < 300) return { status }
  const answered = `${url.host} answered ${status}`
  if (status >= 300 && status < 400 && location !== undefined) {
    const advice = 'callbacks are not redirected, give the address itself as callbackUrl'
    throw new CallbackFailed(`${answered}, which leads to ${shownTarget(location, url)}: ${advice}`)
  }
  const said = excerpt(text, url)
  const gone = status === 410 ? ', it wants no more callbacks' : ''
  throw new CallbackFailed(`${answered}${gone}${said === '' ? '' : `: ${said}`}`, { isFinal: status === 410 })
}

/** Without its query: that of the callback's own URL may stand there again. */
function shownTarget(location: string, from: URL): string {
  const target = URL.parse(location, from.href)
  return target ? excerpt(target.protocol + (target.host && `//${target.host}`) + target.pathname, from) : 'nowhere'
}

const longestExcerpt = 200

/** The beginning of what a receiver says, on one line. Many repeat what they were asked for: the query is taken out. */
function excerpt(text: string, { search, searchParams }: URL): string {
  const hidden = [search, search.slice(1), ...searchParams.values()].filter(({ length }) => length > 3)
  const open = hidden.reduce((rest, secret) => rest.replaceAll(secret, '…'), text)
  const line = open.replace(/[\p{C}\s]+/gu, ' ').trim()
  return Array.from(line).slice(0, longestExcerpt).join('')
}

const tooLate = ({ host }: URL): CallbackFailed =>
  new CallbackFailed(`${host} did not answer within ${formatDuration(patience)}`)
