/** An error as data: what is stored, sent and shown. Plain JSON; `at` is an ISO string. */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack?: string
  readonly cause?: Failure
  readonly attempt: number
  readonly at: string
}

export type FailureReason = 'failed' | 'timeout' | 'expired' | 'cancelled' | 'poisoned'
