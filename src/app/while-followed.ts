import { Backoff } from '../core/backoff.ts'
import { StoreUnavailable } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import type { Inbox } from './inbox.ts'
import { longestPause } from './store-away.ts'

/** Repeats a read while the store is away and somebody still follows: an outage is not the end of what is followed. */
export async function whileFollowed<T>(runtime: Runtime, inbox: Inbox, call: () => Promise<T>): Promise<T> {
  let backoff: Backoff | null = null
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || inbox.isStopped) throw error
    }
    backoff ??= new Backoff(runtime, longestPause)
    await Promise.race([backoff.wait(), inbox.whenStopped()])
    if (inbox.isStopped) backoff.cancel()
  }
}

/** The reads of a follower, repeated like that once it has seen its first snapshot: one that never began may fail. */
export function persistentReads(engine: Engine, runtime: Runtime, inbox: Inbox, hasBegun: () => boolean): Engine {
  const again = <T>(call: () => Promise<T>): Promise<T> => (hasBegun() ? whileFollowed(runtime, inbox, call) : call())
  return {
    ...engine,
    job: (id, options) => again(() => engine.job(id, options)),
    jobs: (query) => again(() => engine.jobs(query)),
    collection: (id, options) => again(() => engine.collection(id, options)),
    resolve: (result) => again(() => engine.resolve(result)),
    events: (query) => again(() => engine.events(query)),
  }
}
