import { systemRuntime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import type { Connection } from './events.ts'

/** How long a result is waited for before a store without a worker is worth a word, in milliseconds. */
const patience = 3_000
const said = new WeakSet<Engine>()

/**
 * Says on stderr, once for each store, that no worker lives on it, if a result is waited for longer than three seconds.
 * Only while somebody develops: not with NODE_ENV=production.
 *
 * @returns ends the watch
 */
export function watchForNoWorker({ engine, runtime }: Connection, what: string): () => void {
  if (process.env['NODE_ENV'] === 'production' || runtime !== systemRuntime || said.has(engine)) return () => {}
  const timer = runtime.after(patience, () => void sayIfNone(engine, what), { unref: true })
  return () => timer.cancel()
}

async function sayIfNone(engine: Engine, what: string): Promise<void> {
  try {
    const workers = await engine.workers()
    if (said.has(engine) || workers.some(({ state }) => state === 'running')) return
    said.add(engine)
    const advice = 'Start one: npx celeriac dev tasks.ts, or new Worker(app).start().'
    process.stderr.write(`celeriac: Waiting for ${what}, but no worker runs on this store. ${advice}\n`)
  } catch {
    // The wait itself tells what is wrong with the store.
  }
}
