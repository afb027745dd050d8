import { CeleriacError } from '../../src/core/errors.ts'
import type { EventsPage } from '../../src/engine/feed.ts'
import type { Engine } from '../../src/engine/engine.ts'

interface Meanwhile {
  /** After how many more changes to act. */
  readonly pause: () => number
  readonly act: () => Promise<void>
}

/** Follows the feed until so many collections have settled, and acts each time a number of changes has gone by. */
export async function followUntilSettled(
  engine: Engine,
  from: string,
  count: number,
  { pause, act }: Meanwhile,
): Promise<void> {
  let cursor = from
  let wake: () => void = () => {}
  const stop = engine.subscribe(() => wake())
  let left = pause()
  for (let settled = 0; settled < count;) {
    const changed = new Promise<void>((resolve) => (wake = resolve))
    const page = await eventsAfter(engine, cursor)
    if (page.gap && inEpochOf(page.cursor, cursor) === cursor) throw new Error('The feed has a gap.')
    cursor = page.gap ? inEpochOf(page.cursor, cursor) : page.cursor
    settled += page.changes.filter((change) => change.type === 'collection' && change.state !== 'running').length
    left -= page.changes.length
    if (left <= 0 && settled < count) {
      await act()
      left = pause()
    } else if (page.changes.length === 0 && !page.gap) await changed
  }
  stop()
}

/** The store may be away for a while: whoever follows asks again. */
async function eventsAfter(engine: Engine, after: string): Promise<EventsPage> {
  for (;;) {
    try {
      return await engine.events({ after, collections: null, limit: 500 })
    } catch (error) {
      if (!(error instanceof CeleriacError && error.code === 'STORE_UNREACHABLE')) throw error
    }
  }
}

/**
 * A Redis that was started again, or another one that has taken its place, may have lost the last changes: so its feed
 * has a new epoch, and tells readers to begin anew. Where nothing was lost, what it holds is numbered as before.
 */
export function inEpochOf(now: string, cursor: string): string {
  const [, epoch] = /^(\w+)\.\d+$/.exec(now) ?? []
  return epoch === undefined ? cursor : cursor.replace(/^\w+/, epoch)
}
