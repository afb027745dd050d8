import { type CollectionState, collectionStates } from '../core/collection.ts'
import { type JobState, jobStates } from '../core/job.ts'
import { collectionState, collectionStateName, settling, state, stateName } from './codes.ts'
import type { StateCounts } from './inspect.ts'

/** What an engine counts by state: jobs of collections, jobs alone, which are collections as well, and collections. */
export const counted = { member: 0, alone: 1, collection: 2 } as const

/** So many of this kind were in this state, as the engine's code for it. */
export type Count = readonly [what: number, state: number, count: number]

export function stateCounts(counts: Iterable<Count>): StateCounts {
  const jobs = Object.fromEntries(jobStates.map((name) => [name, 0])) as Record<JobState, number>
  const collections = Object.fromEntries(collectionStates.map((name) => [name, 0])) as Record<CollectionState, number>
  for (const [what, code, count] of counts) {
    if (what === counted.collection) collections[collectionStateName(code)] += count
    else jobs[stateName(code)] += count
    if (what === counted.alone) collections[stateAlone(code)] += count
  }
  return { jobs, collections }
}

/** The state of a collection that is one job in this state. */
const stateAlone = (code: number): CollectionState =>
  collectionStateName(code < state.succeeded ? collectionState.running : settling(code))
