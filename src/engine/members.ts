import { briefFailure, sizeOfFailure } from '../core/failure.ts'
import type { JobRecord } from '../core/job.ts'

/** A job behind a large group names at most so many of the jobs it waits for. */
export const afterLimit = 1_000
/** Names of jobs waited for in one snapshot beyond the first of each job: so many of jobs first behind theirs, so many of the others. */
export const namesPerSnapshot = 25_000

/** So many characters of arguments, tags, failures and messages are told whole in a snapshot; of the jobs behind them only the beginning. */
export const snapshotBytes = 4 * 1024 * 1024
/** Longer arguments and messages than these are shortened there, in characters. */
export const briefLimit = 200

/** The jobs of a collection as a snapshot has them, added in the order of their numbers, and bounded in size as they come. */
export class Members {
  readonly #found: { readonly job: JobRecord; readonly behind: number | null; readonly feeds: number | null }[] = []
  readonly #room = new SnapshotRoom()

  /**
   * @param behind the barrier that it stands behind
   * @param feeds the barrier that it feeds
   */
  add(job: JobRecord, behind: number | null, feeds: number | null): void {
    this.#found.push({ job: this.#room.fit(job), behind, feeds })
  }

  /**
   * As written; the jobs of a continuation behind the job that continued.
   *
   * @param outerOf the barrier that a barrier feeds
   */
  list(outerOf: (barrier: number) => number | null): JobRecord[] {
    const inputs = this.#inputsByBarrier(outerOf)
    const naming = new Naming()
    return inOrder(
      this.#found.map(({ job, behind }) => {
        if (behind === null) return job
        return { ...job, ...naming.of(behind, inputs.get(behind) ?? noInputs) }
      }),
    )
  }

  /** The jobs at each barrier: the ids of the first, one list for all the jobs behind it; and how many there are. */
  #inputsByBarrier(outerOf: (barrier: number) => number | null): Map<number, Inputs> {
    const inputs = new Map<number, Inputs>()
    for (const { job, feeds } of this.#found) {
      for (let barrier = feeds; barrier !== null; barrier = outerOf(barrier)) {
        const known = inputs.get(barrier) ?? { ids: [], count: 0 }
        addInput(known, job.id)
        inputs.set(barrier, known)
      }
    }
    return inputs
  }
}

/** What a snapshot has room for: beyond it, of what is long in a job only the beginning is told. */
export class SnapshotRoom {
  #left = snapshotBytes

  /** To be asked for the jobs in the order of their numbers. */
  fit(job: JobRecord): JobRecord {
    const { args, failure, progress, tags } = job
    const message = progress?.message ?? ''
    const tagged = tags.reduce((sum, tag) => sum + tag.length, 0)
    const size = args.length + message.length + tagged + (failure === null ? 0 : sizeOfFailure(failure))
    this.#left -= size
    if (this.#left >= 0 || size <= briefLimit) return job
    return {
      ...job,
      args: args.length > briefLimit ? '[]' : args,
      // One submission may tag each of its jobs with kilobytes.
      tags: tagged > briefLimit ? [] : tags,
      failure: failure === null ? null : briefFailure(failure, briefLimit),
      progress:
        progress === null ? null : { ...progress, ...(message !== '' && { message: message.slice(0, briefLimit) }) },
      shortened: true,
    }
  }
}

/** The jobs at a barrier: the ids of the first, and how many there are. */
export interface Inputs {
  readonly ids: string[]
  count: number
}

const noInputs: Inputs = { ids: [], count: 0 }

export function addInput(inputs: Inputs, id: string): void {
  if (inputs.ids.length < afterLimit) inputs.ids.push(id)
  inputs.count++
}

/** Which of the jobs that it waits for each job of a collection names: a thousand jobs behind a thousand others would name a million. */
export class Naming {
  readonly #left = { first: namesPerSnapshot, again: namesPerSnapshot }
  readonly #seen = new Set<number>()

  /** To be asked for the jobs in the order in which they are told. */
  of(behind: number, { ids, count }: Inputs): Pick<JobRecord, 'after' | 'afterCount'> {
    const which = this.#seen.has(behind) ? 'again' : 'first'
    this.#seen.add(behind)
    const after = ids.length - 1 > this.#left[which] ? ids.slice(0, 1) : ids
    this.#left[which] -= Math.max(0, after.length - 1)
    return { after, ...(after.length < count && { afterCount: count }) }
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
