import { CeleriacError } from '../../src/core/errors.ts'

/** Does what callers do when the store is away: the same again. */
export async function untilStored<T>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await send()
    } catch (error) {
      if (!(error instanceof CeleriacError && error.code === 'STORE_UNREACHABLE')) throw error
    }
  }
}
