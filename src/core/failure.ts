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

/**
 * Tells whatever a handler threw as data that every store takes. Never throws itself. `at` is in milliseconds since 1970.
 */
export function failureFrom(thrown: unknown, about: { readonly attempt: number; readonly at: number }): Failure {
  const at = new Date(about.at).toISOString()
  return { name: 'Error', message: String(thrown), attempt: about.attempt, at }
}
