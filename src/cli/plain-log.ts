import type { CollectionEvent, CollectionSnapshot, JobSummary } from '../core/handle.ts'
import type { Followed } from '../core/followed.ts'
import { describeFailure } from './job-line.ts'
import { formatCount, describeCounts } from './state.ts'
import { formatDuration } from '../core/time.ts'
import { formatTimeOfDay } from './instant.ts'
import { printable } from './text.ts'

/** Progress is told in such steps, in percent: a line for every report would bury the rest. */
const step = 25

/**
 * What happens, a line for each change, for where nothing can be drawn over: a log file, the output of a build.
 *
 * ```
 * 09:00:01 backup.pack running
 * 09:00:01 backup.pack 50%: 1.2 of 2.4 MB
 * 09:00:02 backup.pack failed: ENOSPC: no space left on device
 * ```
 */
export class PlainLog {
  readonly #followed: Followed
  readonly #steps = new Map<string, number>()

  constructor(followed: Followed) {
    this.#followed = followed
  }

  /** The lines of an event that was heard just now. */
  tell(event: CollectionEvent): string[] {
    switch (event.type) {
      case 'snapshot':
        return [tellStart(event.collection), ...event.collection.jobs.flatMap(tellFailed)]
      case 'jobs':
        return [`${event.jobs.length === 1 ? 'a job joined' : `${formatCount(event.jobs.length)} jobs joined`}`]
      case 'round':
        return [`round ${event.round} began`]
      case 'settled':
        return [`${formatTimeOfDay(event.at)} ${tellEnd(this.#followed.snapshot)}`]
      case 'progress':
        return this.#tellProgress(event)
      case 'state':
        return this.#tellState(event)
    }
  }

  #tellState({ jobId, state, attempt, at }: Extract<CollectionEvent, { type: 'state' }>): string[] {
    const job = this.#followed.job(jobId)
    if (!job || job.reason === 'not-needed') return []
    this.#steps.delete(jobId)
    const isAgain = state === 'running' && attempt > 1 ? ` (attempt ${attempt})` : ''
    const why = state === 'failed' || state === 'scheduled' ? tellWhy(job) : ''
    return [`${formatTimeOfDay(at)} ${printable(job.task)} ${state}${isAgain}${why}`]
  }

  #tellProgress({ jobId, done, total, message, at }: Extract<CollectionEvent, { type: 'progress' }>): string[] {
    const job = this.#followed.job(jobId)
    if (!job || !total) return []
    const percent = Math.floor((done / total) * 100)
    const reached = Math.floor(percent / step)
    if (reached <= (this.#steps.get(jobId) ?? 0)) return []
    this.#steps.set(jobId, reached)
    return [`${formatTimeOfDay(at)} ${printable(job.task)} ${percent}%${message ? `: ${printable(message)}` : ''}`]
  }
}

function tellStart({ id, description, progress }: CollectionSnapshot): string {
  const about = description === undefined ? '' : ` ${printable(description)}`
  return `following ${id}${about}: ${formatCount(progress.done)} of ${formatCount(progress.total)} done`
}

/** What had failed before anybody listened: else nobody would be told why. */
function tellFailed(job: JobSummary): string[] {
  if (job.state !== 'failed') return []
  const time = job.finishedAt === undefined ? '' : `${formatTimeOfDay(job.finishedAt)} `
  return [`${time}${printable(job.task)} failed${tellWhy(job)}`]
}

const tellWhy = ({ failure }: JobSummary): string => (failure ? `: ${printable(describeFailure(failure))}` : '')

function tellEnd({ state, counts, createdAt, settledAt, round }: CollectionSnapshot): string {
  const took = settledAt && round === 1 ? ` after ${formatDuration(settledAt.getTime() - createdAt.getTime())}` : ''
  return `${state}${took}: ${describeCounts(counts, ', ')}`
}
