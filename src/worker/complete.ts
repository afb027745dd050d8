import { isCanvas } from '../canvas/canvas.ts'
import { Backoff } from '../core/backoff.ts'
import { CeleriacError } from '../core/errors.ts'
import { resultText } from '../core/json.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Transaction } from '../engine/intake.ts'
import type { Work } from '../engine/work.ts'
import { type Attempt, reasonFor } from './attempt.ts'
import { isPassing } from './passing.ts'
import type { Reporter } from './report.ts'

/** What a handler writes together with its job's success. */
export type Write = (transaction: Transaction) => unknown

export interface CompletionParts {
  readonly store: Pick<Work, 'settleWithin'>
  readonly runtime: Runtime
  readonly reporter: Reporter
  /** What must be stored before any outcome is: the log lines of the job. Null when there is nothing. */
  readonly before: () => Promise<void> | null
  /** A job that is no longer this worker's. */
  readonly onLost: (id: string, token: number) => void
}

/**
 * Completes an attempt in a transaction of its store, with what the callback writes there: both are kept or neither is.
 * Afterwards the attempt is settled, and nothing that its handler still does changes that.
 *
 * @throws what the callback throws, JobCancelled, LEASE_LOST, UNSUPPORTED, or what the store answers
 */
export async function complete(attempt: Attempt, write: Write, parts: CompletionParts): Promise<unknown> {
  refuseWhereImpossible(attempt, write)
  const underWay = Promise.withResolvers<{ readonly error: unknown } | null>()
  attempt.completing = underWay.promise
  let failed: { readonly error: unknown } | null = null
  try {
    const { value, text } = await settle(attempt, write, parts)
    attempt.settledAs = { result: text }
    return value
  } catch (error) {
    failed = { error }
    throw error
  } finally {
    attempt.completing = null
    underWay.resolve(failed)
  }
}

function refuseWhereImpossible(attempt: Attempt, write: unknown): void {
  if (typeof write !== 'function') {
    throw new CeleriacError('BAD_ARGUMENT', 'completeWithin takes a function: completeWithin(async (client) => …)')
  }
  attempt.throwIfAborted()
  if (attempt.hasEnded) throw reasonFor('lost', attempt.job)
  if (attempt.completing || attempt.settledAs) {
    throw new CeleriacError('UNSUPPORTED', 'completeWithin was called before in this attempt: a job is completed once.')
  }
  if (attempt.job.options.chunked) {
    const reason = 'one job calls its handler for each of many elements'
    throw new CeleriacError('UNSUPPORTED', `completeWithin cannot be used in a chunk: ${reason}. Leave out chunk.`)
  }
}

interface Completed {
  readonly value: unknown
  readonly text: string | null
}

async function settle(attempt: Attempt, write: Write, parts: CompletionParts): Promise<Completed> {
  const { job } = attempt
  const call = new Callback(attempt, write)
  const answer = await request(attempt, call, parts)
  switch (answer) {
    case 'accepted':
      return call.completed as Completed
    case 'cancelled':
      attempt.abort('cancel')
      throw reasonFor('cancel', job)
    case 'superseded':
      parts.onLost(job.id, job.token)
      throw reasonFor('lost', job)
    case 'invalid':
      throw attempt.unusable(new CeleriacError('STORE_FAILED', 'The store does not take the result of completeWithin.'))
    case 'busy':
      throw new CeleriacError('STORE_BUSY', 'Somebody held the job for too long; nothing was stored: try again.')
  }
}

/** Waits for a store that is away, as any outcome does; but what the callback has begun is not begun again. */
async function request(attempt: Attempt, call: Callback, { store, runtime, reporter, before }: CompletionParts) {
  const backoff = new Backoff(runtime)
  for (;;) {
    attempt.throwIfAborted()
    try {
      const news = before()
      if (news) await news
      const answer = await store.settleWithin(attempt.job, (transaction) => call.run(transaction))
      reporter.over('settle', 'Settling jobs works again.')
      return answer
    } catch (error) {
      if (call.thrown) throw call.thrown.error
      if (call.hasRun || !isPassing(error)) throw error
      reporter.trouble('settle', 'Settling jobs failed', error)
    }
    await backoff.wait()
  }
}

/** The user's callback, and what came of it: the store may say less of an error than was thrown. */
class Callback {
  readonly #attempt: Attempt
  readonly #write: Write
  hasRun = false
  completed: Completed | null = null
  thrown: { readonly error: unknown } | null = null

  constructor(attempt: Attempt, write: Write) {
    this.#attempt = attempt
    this.#write = write
  }

  async run(transaction: Transaction): Promise<string | null> {
    this.hasRun = true
    try {
      const value: unknown = await this.#write(transaction)
      // A cancellation that came meanwhile need not wait for the store to say so.
      this.#attempt.throwIfAborted()
      this.completed = { value, text: this.#textOf(value) }
      return this.completed.text
    } catch (error) {
      this.thrown = { error }
      throw error
    }
  }

  #textOf(value: unknown): string | null {
    try {
      if (!isCanvas(value)) return resultText(value)
    } catch (error) {
      throw this.#attempt.unusable(error)
    }
    const problem = 'a canvas cannot complete its job: return it from the handler instead, to continue as it'
    throw this.#attempt.unusable(new CeleriacError('UNSUPPORTED', `completeWithin: ${problem}.`))
  }
}

/** What is to be said of an outcome that came after its job was completed; null where it says the same. */
export function tellLate(outcome: Outcome, settledAs: { readonly result: string | null }): string | null {
  switch (outcome.type) {
    case 'succeeded': {
      const isSame = outcome.result === null || outcome.result === settledAs.result
      return isSame ? null : 'gave another result afterwards'
    }
    case 'failed':
    case 'retried':
      return `threw ${outcome.failure.name} afterwards`
    case 'continued':
      return 'gave a canvas afterwards'
    case 'snoozed':
      return 'asked to be put off afterwards'
    case 'released':
    case 'cancelled':
      return null
  }
}
