import { briefFailure, sizeOfFailure } from '../core/failure.ts'
import type { JobRecord } from '../core/job.ts'

/** A job behind a large group names at most so many of the jobs it waits for. */
export const afterLimit = 1_000
/** Names of jobs waited for in one snapshot beyond the first of each job: so many of jobs first behind theirs, so many of the others. */
export const namesPerSnapshot = 25_000

/** So many characters of arguments, failures and messages are told whole in a snapshot; of the jobs behind them only the beginning. */
export const snapshotBytes = 4 * 1024 * 1024
/** Longer arguments and messages than these are shortened there, in characters. */
export const briefLimit = 200

/** The jobs of a collection as a snapshot has them, added in the order of their numbers, and bounded in size as they come. */
export class Members {
  readonly #found: { readonly job: JobRecord; readonly behind: number | null; readonly feeds: number | null }[] = []
  #left = snapshotBytes

  /**
   * @param behind the barrier that it stands behind
   * @param feeds the barrier that it feeds
   */
  add(job: JobRecord, behind: number | null, feeds: number | null): void {
    this.#found.push({ job: this.#fit(job), behind, feeds })
  }

  /**
   * As written; the jobs of a continuation behind the job that continued.
   *
   * @param outerOf the barrier that a barrier feeds
   */
  list(outerOf: (barrier: number) => number | null): JobRecord[] {
    const inputs = this.#inputsByBarrier(outerOf)
    const left = { first: namesPerSnapshot, again: namesPerSnapshot }
    const seen = new Set<number>()
    return inOrder(
      this.#found.map(({ job, behind }) => {
        if (behind === null) return job
        const { ids, count } = inputs.get(behind) ?? { ids: [], count: 0 }
        const which = seen.has(behind) ? 'again' : 'first'
        seen.add(behind)
        // A thousand jobs behind a thousand others would name a million.
        const after = ids.length - 1 > left[which] ? ids.slice(0, 1) : ids
        left[which] -= Math.max(0, after.length - 1)
        return { ...job, after, ...(after.length < count && { afterCount: count }) }
      }),
    )
  }

  #fit(job: JobRecord): JobRecord {
    const { args, failure, progress } = job
    const message = progress?.message ?? ''
    const size = args.length + message.length + (failure === null ? 0 : sizeOfFailure(failure))
    this.#left -= size
    if (this.#left >= 0 || size <= briefLimit) return job
    return {
      ...job,
      args: args.length > briefLimit ? '[]' : args,
      failure: failure === null ? null : briefFailure(failure, briefLimit),
      progress:
        progress === null ? null : { ...progress, ...(message !== '' && { message: message.slice(0, briefLimit) }) },
      shortened: true,
    }
  }

  /** The jobs at each barrier: the ids of the first, one list for all the jobs behind it; and how many there are. */
  #inputsByBarrier(outerOf: (barrier: number) => number | null): Map<number, { ids: string[]; count: number }> {
    const inputs = new Map<number, { ids: string[]; count: number }>()
    for (const { job, feeds } of this.#found) {
      for (let barrier = feeds; barrier !== null; barrier = outerOf(barrier)) {
        const known = inputs.get(barrier) ?? { ids: [], count: 0 }
        if (known.ids.length < afterLimit) known.ids.push(job.id)
        known.count++
        inputs.set(barrier, known)
      }
    }
    return inputs
  }
}

function inOrder(jobs: readonly JobRecord[]): JobRecord[] {
  const inside = new Map<string, JobRecord[]>()
  for (const job of jobs) {
    if (job.parentId === null) continue
    const list = inside.get(job.parentId)
    if (list === undefined) inside.set(job.parentId, [job])
    else list.push(job)
  }
  if (inside.size === 0) return [...jobs]
  const ordered: JobRecord[] = []
  const left = jobs.filter(({ parentId }) => parentId === null).reverse()
  for (let job = left.pop(); job !== undefined; job = left.pop()) {
    ordered.push(job)
    for (const each of (inside.get(job.id) ?? []).reverse()) left.push(each)
  }
  return ordered
}
