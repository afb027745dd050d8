import { CeleriacError, type ErrorCode, NotFound } from '../core/errors.ts'
import type { RetryAnswer, RetryRequest, Selection } from '../engine/control.ts'
import type { Engine } from '../engine/engine.ts'
import { lookAtCollection } from './collection-events.ts'
import type { Connection } from './events.ts'

const passing: readonly ErrorCode[] = ['STORE_BUSY', 'STORE_UNREACHABLE', 'STORE_FAILED']

/**
 * Retries what is selected, in the round that its collection is in now. If the answer is lost the request is sent once
 * more: the next round having begun is then what was asked for.
 *
 * @throws CeleriacError NOT_SETTLED, NOT_RETRYABLE, UNIQUE_CONFLICT, NotFound
 */
export async function retrySelection(
  connection: Connection,
  selection: Selection,
  collectionId: string,
  mode: 'failed' | 'all',
  what: string,
): Promise<void> {
  if (mode !== 'failed' && mode !== 'all') {
    throw new CeleriacError('BAD_OPTION', `retry: mode is 'failed' or 'all', not ${String(mode)}`)
  }
  const { round } = await lookAtCollection(connection, collectionId, false)
  const answer = await askTwice(connection.engine, { selection, expectedRound: round, mode })
  if (answer !== 'retried') throw refusal(answer, what)
}

async function askTwice(engine: Engine, request: RetryRequest): Promise<RetryAnswer> {
  try {
    return await engine.retry(request)
  } catch (error) {
    if (!(error instanceof CeleriacError && passing.includes(error.code))) throw error
    const answer = await engine.retry(request)
    return answer === 'round' ? 'retried' : answer
  }
}

function refusal(answer: Exclude<RetryAnswer, 'retried'>, what: string): CeleriacError {
  switch (answer) {
    case 'round':
      return new CeleriacError('NOT_SETTLED', `${what} was retried by somebody else just now: this changed nothing.`)
    case 'running':
      return new CeleriacError('NOT_SETTLED', `${what} is not over yet: wait for it, or cancel it, and then retry.`)
    case 'cancelling':
      return new CeleriacError('NOT_SETTLED', `${what} is still being cancelled: retry when that is done.`)
    case 'succeeded':
      return new CeleriacError(
        'NOT_RETRYABLE',
        `${what} succeeded, so there is nothing to retry: a whole collection runs again in mode 'all'.`,
      )
    case 'blocked':
      return new CeleriacError(
        'NOT_RETRYABLE',
        `${what} waits for something that failed or is not over: retry that, or the whole collection.`,
      )
    case 'unique':
      return new CeleriacError(
        'UNIQUE_CONFLICT',
        `${what} holds a unique key that another submission holds now: retry when that one is over.`,
      )
    case 'not-found':
      return new NotFound(`${what} is not there any more: it was removed when its retention ended.`)
  }
}
