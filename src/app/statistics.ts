import { CeleriacError } from '../core/errors.ts'
import { nextTurn } from '../core/by-pages.ts'
import { Window } from '../engine/listing.ts'
import type { Tally } from '../engine/work.ts'
import type { Connection } from './events.ts'
import type { Page } from './listing.ts'

const minute = 60_000
/** About so many tallies are told on one page: a megabyte. */
const talliesPerPage = 5_000

interface Asked {
  /** How many minutes back, from now. */
  readonly minutes: number
  readonly task: string | undefined
  /** The `next` of the page before. */
  readonly cursor: string | undefined
}

/**
 * A page of what the attempts of every task came to, whole minutes, oldest first. They are read a stretch of time at a time, each in a
 * turn of the event loop of its own: hundreds of tasks that ran in every minute of two days are tens of megabytes.
 *
 * @throws CeleriacError BAD_CURSOR
 */
export async function readStatistics(
  { engine, runtime }: Pick<Connection, 'engine' | 'runtime'>,
  { minutes, task, cursor }: Asked,
): Promise<Page<Tally>> {
  const to = runtime.now() + minute
  const stretch = new Window(runtime, { first: 10, most: 480, milliseconds: 20 })
  const items: Tally[] = []
  for (let from = Math.max(to - (minutes + 1) * minute, instantOf(cursor)); from < to;) {
    const until = (Math.floor(from / minute) + stretch.size) * minute
    const query = { from, to: Math.min(until, to), ...(task !== undefined && { task }) }
    for (const tally of await stretch.time(() => engine.statistics(query))) items.push(tally)
    from = until
    if (items.length >= talliesPerPage && from < to) return { items, next: String(from) }
    await nextTurn(runtime)
  }
  return { items }
}

function instantOf(cursor = '0'): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor)
  throw new CeleriacError('BAD_CURSOR', 'cursor: give the "next" of the page before, as it was.')
}
