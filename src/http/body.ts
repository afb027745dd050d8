import type { Runtime } from '../core/runtime.ts'
import { CeleriacError } from '../core/errors.ts'
import { RequestError } from './problem.ts'

/** The most bytes that a request may bring. */
export const bodyLimit = 1_048_576
/** How long it may take to arrive, in milliseconds. */
const arrivalTime = 30_000

/**
 * The JSON that a request brings; undefined where it brings nothing.
 *
 * @throws RequestError UNSUPPORTED_MEDIA_TYPE, BAD_REQUEST, REQUEST_TIMED_OUT; CeleriacError TOO_LARGE
 */
export async function readJson(request: Request, runtime: Runtime): Promise<unknown> {
  if (request.body === null) return undefined
  const bytes = await readBytes(request, runtime)
  if (bytes.length === 0) return undefined
  checkType(request.headers.get('content-type'))
  return parse(decode(bytes))
}

/** A form of another page's cannot name this type, so no stranger's page can act as who looks at it. */
function checkType(type: string | null): void {
  if (/^application\/(json|[a-z0-9.+-]+\+json)\s*(;|$)/i.test(type ?? '')) return
  throw new RequestError('UNSUPPORTED_MEDIA_TYPE', 'The body is to be JSON: send content-type: application/json.')
}

async function readBytes(request: Request, runtime: Runtime): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > bodyLimit) throw tooLarge()
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  let isLate = false
  const clock = runtime.after(arrivalTime, () => {
    isLate = true
    void reader.cancel().catch(() => undefined)
  })
  try {
    const chunks: Uint8Array[] = []
    let length = 0
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length
      if (length > bodyLimit) throw tooLarge()
      chunks.push(next.value)
    }
    if (isLate) throw new RequestError('REQUEST_TIMED_OUT', `The body did not arrive within ${arrivalTime / 1000} s.`)
    return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
  } catch (error) {
    void reader.cancel().catch(() => undefined)
    if (error instanceof CeleriacError || error instanceof RequestError) throw error
    throw new RequestError('BAD_REQUEST', 'The body broke off before it was complete.')
  } finally {
    clock.cancel()
  }
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
