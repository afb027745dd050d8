import { Backoff } from '../core/backoff.ts'
import { StoreUnavailable } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import { formatDuration } from '../core/time.ts'

/** The longest pause before a store that is away is asked again, in milliseconds. */
export const longestPause = 1_000

/**
 * Repeats what fails because the store is away, and so may only be what is safe to send again. Gives up after `patience`
 * milliseconds without an answer.
 *
 * @throws StoreUnavailable, or what the call throws otherwise
 */
export async function whileAway<T>(runtime: Runtime, patience: number, call: () => Promise<T>): Promise<T> {
  const backoff = new Backoff(runtime, longestPause)
  let lastError: StoreUnavailable | null = null
  let giveUp: (error: unknown) => void = () => {}
  let isOver = false
  const given = new Promise<never>((_, reject) => (giveUp = reject))
  const clock = runtime.after(patience, () => {
    isOver = true
    backoff.cancel()
    giveUp(gaveUp(patience, true, lastError))
  })
  const repeat = async (): Promise<T> => {
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || isOver) throw error
        lastError = error
      }
      await backoff.wait()
    }
  }
  try {
    return await Promise.race([repeat(), given])
  } finally {
    clock.cancel()
  }
}

/** Reads what somebody has waited for: should the store be away just now, that is waited for too. */
export async function steadily<T>(runtime: Runtime, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof StoreUnavailable) return whileAway(runtime, 60_000, read)
    throw error
  }
}

/** What is thrown when the store has been away for too long. */
export function gaveUp(patience: number, mayBeStored: boolean, cause: StoreUnavailable | null): StoreUnavailable {
  const found = cause === null ? '' : ` (${cause.message.replace(/\.$/, '')})`
  const advice = mayBeStored
    ? 'What was sent may have been stored all the same: send it again under the same idempotencyKey.'
    : 'Nothing was stored: send it again later.'
  const message = `The store has not answered for ${formatDuration(patience)}${found}. ${advice}`
  return new StoreUnavailable(message, { mayBeStored, ...(cause && { cause }) })
}
