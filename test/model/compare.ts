import type { CollectionDetail } from '../../src/core/collection.ts'
import type { JobRecord } from '../../src/core/job.ts'
import { type Expected, type ExpectedJob, lineOf, listJobs } from './evaluate.ts'

export interface Compared {
  /** Side branches too; they may tell of rounds that are over. */
  readonly branches: boolean
  readonly attempts: boolean
}

/** Where what the store tells of a collection differs from what the model expects, in words. */
export function differences(
  detail: CollectionDetail,
  calls: ReadonlyMap<string, readonly unknown[]>,
  expected: Expected,
  compared: Compared,
): string[] {
  const found: string[] = []
  compareLevel(detail.jobs, null, expected)
  const { outcome } = expected
  if (outcome.type !== detail.state) found.push(`the collection is ${detail.state}, not ${outcome.type}`)
  if (outcome.type === 'failed') {
    const failed = detail.jobs.find((job) => job.id === detail.failedJobId)
    const isKnown = outcome.causes.some(
      ({ task, message }) => task === failed?.task && detail.failure?.message.startsWith(message),
    )
    if (!isKnown)
      found.push(
        `it failed by ${failed?.task} (${detail.failure?.message}), which is none of ${JSON.stringify(outcome.causes)}`,
      )
  }
  return found

  function compareLevel(all: readonly JobRecord[], parentId: string | null, level: Expected): void {
    const jobs = all.filter((job) => job.parentId === parentId)
    const wanted = compared.branches ? listJobs(level) : lineOf(level)
    const listed = listJobs(level).map(({ task }) => task)
    const there = jobs.map(({ task }) => task)
    if (there.join() !== listed.join())
      found.push(`the jobs in ${parentId ?? 'it'} are ${there.join()}, not ${listed.join()}`)
    else wanted.forEach((job, index) => compareJob(all, jobs[index] as JobRecord, job))
  }

  function compareJob(all: readonly JobRecord[], job: JobRecord, wanted: ExpectedJob): void {
    const name = `${job.task} ${job.id}`
    if (!(wanted.states as readonly string[]).includes(job.state))
      found.push(`${name} is ${job.state}, not ${wanted.states.join(' or ')}`)
    const isCertain = wanted.states.length === 1
    if (compared.attempts && isCertain && job.attempt !== wanted.attempts)
      found.push(`${name} took ${job.attempt} attempts, not ${wanted.attempts}`)
    const args = calls.get(job.id)
    if (
      args &&
      wanted.args &&
      isCertain &&
      job.state === 'succeeded' &&
      JSON.stringify(args) !== JSON.stringify(wanted.args)
    ) {
      found.push(`${name} was called with ${JSON.stringify(args)}, not ${JSON.stringify(wanted.args)}`)
    }
    if (wanted.continuation && job.continued) compareLevel(all, job.id, wanted.continuation)
  }
}
