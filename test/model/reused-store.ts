import type { Engine } from '../../src/engine/engine.ts'
import type { Place } from '../engines.ts'
import { type ManualRuntime, manualRuntime } from '../fixtures/clock.ts'

/**
 * A store that one sequence after the other is played on, as long as all is well: making one may take longer than
 * a sequence does. After a failure the next, which repeats it or a part of it, is played on a new one.
 */
export function reusedStore(makePlace: () => Place | Promise<Place>) {
  let current: { engine: Engine; clock: ManualRuntime; close(): Promise<void> } | null = null
  const close = async (): Promise<void> => {
    const last = current
    current = null
    await last?.close()
  }
  return {
    async use<T>(body: (engine: Engine, clock: ManualRuntime) => Promise<T>): Promise<T> {
      current ??= await openStore(await makePlace())
      try {
        return await body(current.engine, current.clock)
      } catch (error) {
        await close()
        throw error
      }
    },
    close,
  }
}

async function openStore(place: Place) {
  const clock = manualRuntime()
  const engine = place.connect(clock)
  const close = async (): Promise<void> => {
    await engine.close()
    await place.remove()
  }
  return { engine, clock, close }
}
