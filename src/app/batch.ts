import type { StoreUnavailable } from '../core/errors.ts'
import type { Submission } from '../engine/intake.ts'

/** What a submission became. */
export interface Stored {
  readonly id: string
  /** The instant by the store's clock; null where it is what was there before. */
  readonly createdAt: number | null
}

/** One write: its submissions, and the calls that wait for so many of them each, in the same order. */
export interface Batch {
  readonly submissions: Submission[]
  readonly calls: SentCall[]
}

/** One `delay`, `delayMany`, `submit` or `submitMany`, until it is answered for. */
export class SentCall {
  readonly count: number
  /** How long it waits for a store that is away, in milliseconds, and until when, by the measuring clock. */
  readonly patience: number
  readonly giveUpAt: number
  readonly resolve: (stored: readonly Stored[]) => void
  readonly reject: (error: unknown) => void
  isOver = false
  /** A write of it was sent whose answer never came. */
  mayBeStored = false
  lastError: StoreUnavailable | null = null

  constructor(
    count: number,
    patience: number,
    now: number,
    resolve: (stored: readonly Stored[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.count = count
    this.patience = patience
    this.giveUpAt = now + patience
    this.resolve = resolve
    this.reject = reject
  }

  done(stored: readonly Stored[]): void {
    this.isOver = true
    this.resolve(stored)
  }

  fail(error: unknown): void {
    this.isOver = true
    this.reject(error)
  }

  wasAway(error: StoreUnavailable): void {
    this.lastError = error
    this.mayBeStored ||= error.mayBeStored
  }
}

/** What of a batch somebody still waits for. */
export function livingOf(batch: Batch): Batch {
  if (!batch.calls.some(({ isOver }) => isOver)) return batch
  const living: Batch = { submissions: [], calls: [] }
  let next = 0
  for (const call of batch.calls) {
    const end = next + call.count
    if (!call.isOver) {
      living.calls.push(call)
      while (next < end) living.submissions.push(batch.submissions[next++]!)
    }
    next = end
  }
  return living
}

export function halvesOf({ submissions, calls }: Batch): readonly [Batch, Batch] {
  const middle = calls.length >> 1
  const count = calls.slice(0, middle).reduce((sum, call) => sum + call.count, 0)
  return [
    { submissions: submissions.slice(0, count), calls: calls.slice(0, middle) },
    { submissions: submissions.slice(count), calls: calls.slice(middle) },
  ]
}
