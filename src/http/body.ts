import { nextTurn } from '../core/by-pages.ts'
import type { Runtime, Timer } from '../core/runtime.ts'
import { CeleriacError } from '../core/errors.ts'
import { RequestError } from './problem.ts'

/** The most bytes that a request may bring. */
export const bodyLimit = 1_048_576
/** How long it may take to arrive, in milliseconds. */
const arrivalTime = 30_000

/** So much is read, checked and compiled in about a millisecond, in bytes. */
const small = 16_384

/** Whether the body is work for a turn of the event loop of its own; also where it does not say how long it is. */
export function isLarge(request: Request): boolean {
  const told = request.headers.get('content-length')
  return told === null ? request.body !== null : Number(told) > small
}

/**
 * The JSON that a request brings; undefined where it brings nothing.
 *
 * @throws RequestError UNSUPPORTED_MEDIA_TYPE, BAD_REQUEST, REQUEST_TIMED_OUT, INTERNAL; CeleriacError TOO_LARGE
 */
export async function readJson(request: Request, runtime: Runtime): Promise<unknown> {
  const bytes = await readBytes(request, runtime)
  if (bytes.length === 0) return undefined
  checkType(request.headers.get('content-type'))
  checkEncoding(request.headers.get('content-encoding'))
  // Many may be complete at the same moment: whatever is made of one follows in its own turn, up to what waits for the store.
  if (bytes.length > small) await nextTurn(runtime)
  return parse(decode(bytes))
}

/** A form of another page's cannot name this type, so no stranger's page can act as who looks at it. */
function checkType(type: string | null): void {
  if (/^application\/(json|[a-z0-9.+-]+\+json)\s*(;|$)/i.test(type ?? '')) return
  throw new RequestError('UNSUPPORTED_MEDIA_TYPE', 'The body is to be JSON: send content-type: application/json.')
}

/** Nothing is unpacked: a kilobyte may become a gigabyte. */
function checkEncoding(encoding: string | null): void {
  if (encoding === null || /^identity$/i.test(encoding)) return
  throw new RequestError('UNSUPPORTED_MEDIA_TYPE', 'The body is to be sent as it is, without content-encoding.', {
    headers: { 'accept-encoding': 'identity' },
  })
}

/** What is to be done where nothing is left of a body. */
export const readBefore = (): RequestError =>
  new RequestError(
    'INTERNAL',
    'The body was read before it came to this API, and is gone: mount it before whatever reads bodies.',
  )

async function readBytes(request: Request, runtime: Runtime): Promise<Uint8Array> {
  if (request.bodyUsed) throw readBefore()
  let clock: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    const problem = `The body did not arrive within ${arrivalTime / 1000} s.`
    clock = runtime.after(arrivalTime, () => reject(new RequestError('REQUEST_TIMED_OUT', problem)))
  })
  try {
    return await Promise.race([readWithin(request), late])
  } catch (error) {
    if (error instanceof CeleriacError || error instanceof RequestError) throw error
    throw new RequestError('BAD_REQUEST', 'The body broke off before it was complete.')
  } finally {
    clock?.cancel()
  }
}

async function readWithin(request: Request): Promise<Uint8Array> {
  const told = request.headers.get('content-length')
  if (told === null) return request.body === null ? new Uint8Array() : readChunks(request.body)
  if (Number(told) > bodyLimit) throw tooLarge()
  // No more comes than was said, and it is read at once: several times as fast as by a stream.
  return new Uint8Array(await request.arrayBuffer())
}

async function readChunks(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > bodyLimit) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new RequestError('BAD_REQUEST', 'The body is not UTF-8.')
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new RequestError('BAD_REQUEST', `The body is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
}

const tooLarge = (): CeleriacError => new CeleriacError('TOO_LARGE', `The body has more than ${bodyLimit} bytes.`)
