import { briefFailure, sizeOfFailure } from '../core/failure.ts'
import type { JobRecord } from '../core/job.ts'

/** A job behind a large group names at most so many of the jobs it waits for. */
export const afterLimit = 1_000

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
    const after = this.#afterByBarrier(outerOf)
    return inOrder(
      this.#found.map(({ job, behind }) => (behind === null ? job : { ...job, after: after.get(behind) ?? [] })),
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

  /** The ids of the jobs at each barrier; one list for all the jobs behind it. */
  #afterByBarrier(outerOf: (barrier: number) => number | null): Map<number, string[]> {
    const after = new Map<number, string[]>()
    for (const { job, feeds } of this.#found) {
      for (let barrier = feeds; barrier !== null; barrier = outerOf(barrier)) {
        const ids = after.get(barrier) ?? []
        if (ids.length < afterLimit) ids.push(job.id)
        after.set(barrier, ids)
      }
    }
    return after
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
