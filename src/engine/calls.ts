import type { SubmitAnswer, Submission } from './intake.ts'

/** Consecutive submissions of one call. */
export interface SubmittedCall {
  /** The index of its first submission. */
  readonly from: number
  readonly submissions: readonly Submission[]
  /** Its keys may refuse one of several submissions: then none of them may be stored. */
  readonly mayAbort: boolean
}

/** @param sizes the number of submissions of each call, in order; undefined: each submission is its own call */
export function callsOf(submissions: readonly Submission[], sizes?: readonly number[]): SubmittedCall[] {
  let from = 0
  return (sizes ?? submissions.map(() => 1)).map((size) => {
    const call = submissions.slice(from, from + size)
    const first = from
    from += size
    return { from: first, submissions: call, mayAbort: size > 1 && call.some(hasKey) }
  })
}

export const hasKey = ({ idempotency, unique }: Submission): boolean => idempotency !== null || unique !== null

/** The answers of a call of which one submission was refused. */
export function abortedCall(size: number, refusedAt: number, refusal: SubmitAnswer): SubmitAnswer[] {
  return Array.from({ length: size }, (_, at) => (at === refusedAt ? refusal : { type: 'aborted' }))
}
