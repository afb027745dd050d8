import type { Failure } from '../core/failure.ts'
import type { Snake } from '../core/snake.ts'

interface Settled {
  readonly id: string
  readonly state: string
  readonly failure?: Snake<Failure>
  readonly failed_job_id?: string
}

/** Thrown by `result()`: the collection failed, or was cancelled. */
export class NoResult extends Error {
  override name = 'NoResult'
  readonly code: 'FAILED' | 'CANCELLED'
  readonly id: string
  /** What came first, and the job it happened to. */
  readonly failure: Settled['failure']
  readonly failed_job_id: string | undefined

  constructor({ id, state, failure, failed_job_id }: Settled) {
    super(`Collection ${id} ${state === 'failed' ? 'failed' : 'was cancelled'}${failure ? `: ${failure.message}` : ''}`)
    this.code = state === 'failed' ? 'FAILED' : 'CANCELLED'
    this.id = id
    this.failure = failure
    this.failed_job_id = failed_job_id
  }
}
