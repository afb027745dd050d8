import { CeleriacError } from '../../src/core/errors.ts'
import type { Runtime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { instrument } from '../../src/engine/instrument.ts'

/** What happens to the chosen call: it never arrives, or it is done and the answer is lost. */
export type Fault = 'before' | 'after'

/** Counts the calls to an engine; the one of the number given goes wrong, once. */
export interface Faults {
  readonly number: number
  readonly fault: Fault
  /** Instead of an error: what ends the process. */
  readonly strike?: (method: string) => never
  count: number
}

export function faulty(engine: Engine, runtime: Runtime, faults: Faults): Engine {
  const fail = faults.strike ?? unreachable
  return instrument(engine, {
    runtime,
    async intercept(method, call) {
      if (method === 'close') return call()
      faults.count += 1
      if (faults.count !== faults.number) return call()
      if (faults.fault === 'after') await call()
      return fail(method)
    },
  })
}

function unreachable(method: string): never {
  throw new CeleriacError('STORE_UNREACHABLE', `The store is away (${method}), on purpose.`)
}

/** Does what a user does when the store is away: the same again. */
export async function persist<T>(act: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof CeleriacError && error.code === 'STORE_UNREACHABLE') || tries === 10) throw error
    }
  }
}
