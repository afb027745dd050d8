import type { Failure, FailureReason } from './failure.ts'

/** Every code an error of this package can carry. A code never changes its meaning. */
export type ErrorCode =
  // what was written
  | 'BAD_ARGUMENT'
  | 'BAD_DURATION'
  | 'BAD_INSTANT'
  | 'BAD_OPTION'
  | 'BAD_CURSOR'
  | 'BAD_URL'
  | 'EMPTY_CHAIN'
  | 'NOT_A_CANVAS'
  | 'NEEDS_ARGUMENT'
  | 'NOT_JSON'
  | 'TOO_LARGE'
  | 'TOO_DEEP'
  | 'TOO_MANY_JOBS'
  | 'INVALID_ARGUMENTS'
  | 'UNKNOWN_TASK'
  | 'DUPLICATE_TASK'
  | 'NOT_AN_APP'
  | 'BAD_SIGNATURE'
  // what is stored
  | 'NOT_FOUND'
  | 'IDEMPOTENCY_MISMATCH'
  | 'UNIQUE_CONFLICT'
  | 'NOT_SETTLED'
  | 'NOT_RETRYABLE'
  | 'INPUT_TOO_LARGE'
  | 'CONTINUATION_TOO_DEEP'
  // how it ended
  | 'JOB_FAILED'
  | 'JOB_CANCELLED'
  | 'JOB_SKIPPED'
  | 'TIMED_OUT'
  | 'WORKER_STOPPING'
  | 'LEASE_LOST'
  // the store
  | 'STORE_BUSY'
  | 'STORE_CORRUPT'
  | 'STORE_DENIED'
  | 'STORE_FULL'
  | 'STORE_MISSING'
  | 'STORE_MOVED'
  | 'STORE_READ_ONLY'
  | 'STORE_REPLACED'
  | 'STORE_TOO_NEW'
  | 'STORE_UNREACHABLE'
  | 'STORE_UNSUITABLE'
  | 'STORE_FAILED'
  | 'DRIVER_MISSING'
  | 'CLOSED'
  | 'UNSUPPORTED'

/**
 * The error of this package. `code` is for programs, `message` for people: it says what is wrong and what to do.
 *
 * @example
 * try { await app.submit(canvas) } catch (error) {
 *   if (error instanceof CeleriacError && error.code === 'TOO_LARGE') …
 * }
 */
export class CeleriacError extends Error {
  readonly code: ErrorCode
  override name = 'CeleriacError'

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * The store cannot be reached, or was lost while it was asked. `mayBeStored` says whether the request had been sent by
 * then: if so it may have been carried out, and is safe to send again under the same idempotency key.
 *
 * @example
 * try { await remind.with({ idempotencyKey: key }).delay(patient) } catch (error) {
 *   if (error instanceof StoreUnavailable && error.mayBeStored) …
 * }
 */
export class StoreUnavailable extends CeleriacError {
  override name = 'StoreUnavailable'
  readonly mayBeStored: boolean
  constructor(message: string, options: ErrorOptions & { readonly mayBeStored: boolean }) {
    super('STORE_UNREACHABLE', message, options)
    this.mayBeStored = options.mayBeStored
  }
}

/** No job or collection has this id. */
export class NotFound extends CeleriacError {
  override name = 'NotFound'
  constructor(message: string) {
    super('NOT_FOUND', message)
  }
}

/** Thrown by `result()`: the job failed. `failure` is that of the job that failed first, `jobId` its id. */
export class JobFailed extends CeleriacError {
  override name = 'JobFailed'
  readonly failure: Failure
  readonly jobId: string
  readonly reason: FailureReason
  constructor(message: string, about: { failure: Failure; jobId: string; reason: FailureReason }) {
    super('JOB_FAILED', message)
    this.failure = about.failure
    this.jobId = about.jobId
    this.reason = about.reason
  }
}

/** Thrown by `result()`: the job was cancelled by someone, or expired. */
export class JobCancelled extends CeleriacError {
  override name = 'JobCancelled'
  readonly failure: Failure | undefined
  readonly jobId: string
  readonly reason: FailureReason
  constructor(message: string, about: { failure?: Failure | undefined; jobId: string; reason: FailureReason }) {
    super('JOB_CANCELLED', message)
    this.failure = about.failure
    this.jobId = about.jobId
    this.reason = about.reason
  }
}

/** Thrown by `result()`: something before the job did not succeed, so it never ran. `failure` is that of the job to blame. */
export class JobSkipped extends CeleriacError {
  override name = 'JobSkipped'
  readonly failure: Failure | undefined
  readonly jobId: string
  constructor(message: string, about: { failure?: Failure | undefined; jobId: string }) {
    super('JOB_SKIPPED', message)
    this.failure = about.failure
    this.jobId = about.jobId
  }
}
