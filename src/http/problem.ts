import { CeleriacError, type ErrorCode, StoreUnavailable } from '../core/errors.ts'
import { json, type Reply } from './reply.ts'

/** What only a request over HTTP can do wrong. A code never changes its meaning. */
export type RequestCode =
  | 'BAD_REQUEST'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'NO_SUCH_PATH'
  | 'METHOD_NOT_ALLOWED'
  | 'REQUEST_TIMED_OUT'
  | 'TOO_MANY_REQUESTS'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'IDENTITY_PROVIDER_UNREACHABLE'
  | 'INTERNAL'
export type ProblemCode = ErrorCode | RequestCode

/** An error as it is answered: RFC 9457. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  /** For programs. */
  readonly code: ProblemCode
  /** For people: what is wrong and what to do. */
  readonly detail: string
  /** Which parts of the request are meant. */
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
  /** Of a store that is away: whether the request may have been carried out all the same. */
  readonly may_be_stored?: boolean
}

/** Thrown by whatever reads a request. */
export class RequestError extends Error {
  readonly code: RequestCode
  readonly errors: Problem['errors']
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: RequestCode,
    message: string,
    about: { readonly errors?: Problem['errors']; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.code = code
    this.errors = about.errors
    this.headers = about.headers ?? {}
  }
}

const requestStatus: Readonly<Record<RequestCode, number>> = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NO_SUCH_PATH: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMED_OUT: 408,
  TOO_MANY_REQUESTS: 429,
  UNSUPPORTED_MEDIA_TYPE: 415,
  INTERNAL: 500,
  IDENTITY_PROVIDER_UNREACHABLE: 503,
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** Everything else the package throws is a mistake in what was written: 400. */
const statuses: { readonly [Code in ErrorCode]?: number } = {
  TOO_LARGE: 413,
  TOO_MANY_JOBS: 422,
  INVALID_ARGUMENTS: 422,
  UNKNOWN_TASK: 422,
  IDEMPOTENCY_MISMATCH: 422,
  NOT_FOUND: 404,
  UNIQUE_CONFLICT: 409,
  NOT_SETTLED: 409,
  NOT_RETRYABLE: 409,
  STORE_BUSY: 503,
  STORE_CORRUPT: 503,
  STORE_DENIED: 503,
  STORE_FULL: 503,
  STORE_MISSING: 503,
  STORE_MOVED: 503,
  STORE_READ_ONLY: 503,
  STORE_REPLACED: 503,
  STORE_TOO_NEW: 503,
  STORE_UNREACHABLE: 503,
  STORE_UNSUITABLE: 503,
  DRIVER_MISSING: 503,
  CLOSED: 503,
  STORE_FAILED: 500,
}

/** What is thrown, as it is answered. What went wrong inside is not told to strangers: the second part says whether to log it. */
export function problemOf(thrown: unknown): { readonly problem: Problem; readonly isInternal: boolean } {
  if (thrown instanceof RequestError) {
    const { code, message, errors } = thrown
    return {
      problem: problem(requestStatus[code], code, message, errors && { errors }),
      isInternal: requestStatus[code] >= 500,
    }
  }
  if (!(thrown instanceof CeleriacError)) return { problem: internal('INTERNAL'), isInternal: true }
  const status = statuses[thrown.code] ?? 400
  if (status === 500) return { problem: internal(thrown.code), isInternal: true }
  if (status === 503) return { problem: away(thrown), isInternal: thrown.code !== 'CLOSED' }
  return { problem: problem(status, thrown.code, thrown.message), isInternal: false }
}

export function problemReply(about: Problem, headers: Readonly<Record<string, string>> = {}): Reply {
  // The rest of a body that is not read cannot be told from the next request.
  const closing = about.status === 408 || about.status === 413 ? { connection: 'close' } : {}
  const later = about.status === 503 ? { 'retry-after': '5' } : {}
  return json(about.status, about, { 'content-type': 'application/problem+json', ...closing, ...later, ...headers })
}

function problem(status: number, code: ProblemCode, detail: string, more: Partial<Problem> = {}): Problem {
  return { type: 'about:blank', title: titles[status] as string, status, code, detail, ...more }
}

const internal = (code: ProblemCode): Problem =>
  problem(500, code, 'Something went wrong inside: the log of the server says what.')

/** The address of a store is nobody's business out here. */
function away(error: CeleriacError): Problem {
  const mayBeStored = error instanceof StoreUnavailable ? { may_be_stored: error.mayBeStored } : {}
  return problem(
    503,
    error.code,
    'The store cannot serve this now: the log of the server says why. Try again later.',
    mayBeStored,
  )
}
