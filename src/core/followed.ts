import type { CollectionEvent, CollectionSnapshot, JobSummary } from './handle.ts'
import { type JobState, jobStates } from './job.ts'
import type { JobCounts } from './collection.ts'
import { isFinal } from './transitions.ts'

/**
 * A collection as it stands after the events heard so far. Events tell less than a snapshot: of a failure only that it
 * happened. `lacking` names the jobs to be looked at again for what is missing.
 */
export class Followed {
  readonly #jobs = new Map<string, JobSummary>()
  readonly #lacking = new Set<string>()
  #facts: CollectionSnapshot

  constructor(snapshot: CollectionSnapshot) {
    this.#facts = snapshot
    this.#replace(snapshot)
  }

  get snapshot(): CollectionSnapshot {
    const jobs = [...this.#jobs.values()]
    const main = jobs.filter(({ role }) => role === 'main')
    const done = main.filter(({ state }) => isFinal(state)).length
    return {
      ...this.#facts,
      jobs,
      counts: countJobs(jobs),
      progress: { done, total: main.length },
    }
  }

  get lacking(): ReadonlySet<string> {
    return this.#lacking
  }

  job(id: string): JobSummary | undefined {
    return this.#jobs.get(id)
  }

  /** What was looked up about a job that was lacking something. */
  complete(job: JobSummary): void {
    this.#lacking.delete(job.id)
    const known = this.#jobs.get(job.id)
    if (known)
      this.#jobs.set(job.id, withFailure({ ...known, failures: job.failures, ...ifGiven('dueAt', job.dueAt) }, job))
  }

  /** Nothing more is to be learnt about it. */
  giveUp(id: string): void {
    this.#lacking.delete(id)
  }

  hear(event: CollectionEvent): void {
    if (event.type === 'snapshot') this.#replace(event.collection)
    else if (event.type === 'jobs') for (const job of event.jobs) this.#jobs.set(job.id, job)
    else if (event.type === 'round') this.#begin(event.round)
    else if (event.type === 'settled') this.#settle(event)
    else if (event.type === 'progress') this.#advance(event)
    else this.#change(event)
  }

  #replace(snapshot: CollectionSnapshot): void {
    this.#facts = snapshot
    this.#jobs.clear()
    this.#lacking.clear()
    for (const job of snapshot.jobs) this.#jobs.set(job.id, job)
  }

  #begin(round: number): void {
    const { settledAt: _settledAt, failure: _failure, failedJobId: _failedJobId, ...facts } = this.#facts
    this.#facts = { ...facts, state: 'running', round, cancelling: false }
  }

  #settle({ state, at, round }: Extract<CollectionEvent, { type: 'settled' }>): void {
    this.#facts = { ...this.#facts, state, settledAt: at, round } as CollectionSnapshot
  }

  #advance({ jobId, done, total, message }: Extract<CollectionEvent, { type: 'progress' }>): void {
    const job = this.#jobs.get(jobId)
    const progress = { done, ...ifGiven('total', total), ...ifGiven('message', message) }
    if (job) this.#jobs.set(jobId, { ...job, progress })
  }

  #change({ jobId, state, attempt, at }: Extract<CollectionEvent, { type: 'state' }>): void {
    const job = this.#jobs.get(jobId)
    if (!job) return
    const { progress: _progress, startedAt, finishedAt: _finishedAt, ...facts } = job
    const hasStarted = state !== 'queued' && state !== 'scheduled' && (state !== 'waiting' || job.state === 'running')
    const begun = state === 'running' ? at : hasStarted ? startedAt : undefined
    this.#jobs.set(jobId, {
      ...facts,
      state,
      attempt,
      // A job that has run and waits is one that returned a canvas.
      continued: job.continued || (state === 'waiting' && job.state === 'running'),
      ...ifGiven('startedAt', begun),
      ...(isFinal(state) ? { finishedAt: at } : {}),
    })
    const mayBeUnneeded = state === 'skipped' && job.role !== 'main'
    if (state === 'failed' || state === 'scheduled' || mayBeUnneeded) this.#lacking.add(jobId)
  }
}

const countJobs = (jobs: readonly JobSummary[]): JobCounts => {
  const counts = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>
  for (const { state, reason } of jobs) if (reason !== 'not-needed') counts[state] += 1
  return counts
}

function withFailure(job: JobSummary, { failure, failedJobId, reason }: JobSummary): JobSummary {
  const { failure: _failure, failedJobId: _failedJobId, reason: _reason, ...rest } = job
  return {
    ...rest,
    ...ifGiven('failure', failure),
    ...ifGiven('failedJobId', failedJobId),
    ...ifGiven('reason', reason),
  }
}

const ifGiven = <K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } =>
  (value === undefined ? {} : { [key]: value }) as { [key in K]?: V }
