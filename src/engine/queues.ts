import { state } from './codes.ts'
import type { QueueRecord } from './inspect.ts'

/** The queue of jobs that name none. It is always listed. */
export const defaultQueue = 'default'

/** So many jobs of this queue are in this state, as the engine's code for it. */
export type QueueCount = readonly [queue: string, state: number, count: number]

/**
 * Lists queues by name: those that are paused, those with unfinished jobs, and the default queue. No store keeps a row for a
 * queue without settings, so an empty queue that is not paused needs no removal.
 *
 * @param counts several entries of one queue and state add up
 */
export function queueRecords(paused: Iterable<string>, counts: Iterable<QueueCount>): QueueRecord[] {
  const found = new Map<string, number[]>()
  const of = (name: string): number[] => {
    let known = found.get(name)
    if (known === undefined) found.set(name, (known = [0, 0, 0, 0]))
    return known
  }
  of(defaultQueue)
  const isPaused = new Set(paused)
  isPaused.forEach(of)
  for (const [name, code, count] of counts) {
    if (count <= 0) continue
    const own = of(name)
    own[code] = (own[code] ?? 0) + count
  }
  return [...found]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, by]) => ({ name, paused: isPaused.has(name), counts: countsIn(by) }))
}

const countsIn = (by: readonly number[]): QueueRecord['counts'] => ({
  waiting: by[state.waiting] as number,
  scheduled: by[state.scheduled] as number,
  queued: by[state.queued] as number,
  running: by[state.running] as number,
})
