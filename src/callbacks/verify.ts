import { CeleriacError } from '../core/errors.ts'
import { type Runtime, systemRuntime } from '../core/runtime.ts'
import { readSecrets } from '../core/secret.ts'
import { type Duration, formatDuration, milliseconds } from '../core/time.ts'
import type { CallbackPayload } from './payload.ts'
import { isSigned } from './signature.ts'

/** A request as frameworks give it: what `Request` of the web platform has of it. */
export interface WebRequest {
  readonly headers: { get(name: string): string | null }
  arrayBuffer(): Promise<ArrayBuffer>
}

/** A request as Node gives it, with its body as it came: what was parsed and written anew is signed no more. */
export interface RawRequest {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>> | WebRequest['headers']
  readonly body: string | Uint8Array
}

export interface VerifyOptions {
  /** How far the time of the request may be from now, either way. Default 5 minutes. */
  readonly tolerance?: Duration | undefined
  /** Time, for tests that bring their own. */
  readonly runtime?: Pick<Runtime, 'now'> | undefined
}

/**
 * Checks that a request was signed by whoever has the secret, and a short while ago, and gives what it says. Given several
 * secrets, one of them has to fit. Its header `webhook-id` is the same when a callback is sent again: to be noted by whoever
 * must act once only.
 *
 * @throws CeleriacError BAD_SIGNATURE; BAD_OPTION where the secret is none
 * @example
 * const { data } = await verifyCallback(request, process.env.CALLBACK_SECRET)
 * if (data.state === 'failed') console.error(data.id, data.failure?.message)
 */
export async function verifyCallback(
  request: WebRequest | RawRequest,
  secret: string | readonly string[],
  { tolerance = '5m', runtime = systemRuntime }: VerifyOptions = {},
): Promise<CallbackPayload> {
  const secrets = readSecrets(typeof secret === 'string' ? [secret] : secret, 'verifyCallback: secret')
  const longest = milliseconds(tolerance, 'verifyCallback: tolerance')
  const [id, timestamp, signatures] = names.map((name) => headerOf(request, name))
  if (!id || !timestamp || !signatures) throw badSignature(`it takes the headers ${names.join(', ')}`)
  // Before the body is read: nobody is to be kept busy by what is old anyway.
  checkTime(timestamp, runtime.now(), longest)
  const body = await bodyOf(request)
  if (!(await isSigned(signatures, secrets, { id, timestamp, body }))) {
    throw badSignature(
      'no signature is by this secret: check it, and that the body is as it came, not parsed and written anew',
    )
  }
  return read(new TextDecoder().decode(body))
}

const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const

function headerOf({ headers }: WebRequest | RawRequest, name: string): string | undefined {
  if (typeof headers.get === 'function') return (headers as WebRequest['headers']).get(name) ?? undefined
  const found = Object.entries(headers as Exclude<RawRequest['headers'], WebRequest['headers']>).find(
    ([key]) => key.toLowerCase() === name,
  )
  const value = found?.[1]
  return typeof value === 'object' ? value.join(' ') : value
}

function checkTime(timestamp: string, now: number, longest: number): void {
  if (!/^\d{1,12}$/.test(timestamp)) throw badSignature('webhook-timestamp is no number of seconds')
  const age = now - Number(timestamp) * 1000
  if (Math.abs(age) <= longest) return
  const distance = formatDuration(Math.abs(age))
  const when = age > 0 ? `was sent ${distance} ago` : `is ${distance} ahead of the clock here`
  throw badSignature(`it ${when}, and may be a copy: check the clocks, or raise tolerance`)
}

async function bodyOf(request: WebRequest | RawRequest): Promise<Uint8Array<ArrayBuffer>> {
  if ('arrayBuffer' in request) return new Uint8Array(await request.arrayBuffer())
  const { body } = request
  if (typeof body === 'string') return new TextEncoder().encode(body)
  if (body instanceof Uint8Array) return Uint8Array.from(body)
  throw badSignature('the body has to be given as it came, as text or bytes')
}

/** Whoever has the secret may sign other things with it, too. */
function read(text: string): CallbackPayload {
  try {
    const payload = JSON.parse(text) as Partial<CallbackPayload> | null
    if (payload?.type === 'collection.settled' && typeof payload.data === 'object' && payload.data)
      return payload as CallbackPayload
  } catch {
    // What is no JSON is no callback either.
  }
  throw badSignature('it is signed, and is no callback of a collection')
}

const badSignature = (problem: string): CeleriacError =>
  new CeleriacError('BAD_SIGNATURE', `This request is not to be trusted: ${problem}.`)
