import type { Graph } from '../../core/graph.ts'
import type { AttemptRecord } from '../../core/job.ts'
import type { Outcome } from '../../core/outcome.ts'
import { firstKept, lastKept } from '../../engine/limits.ts'
import type { SettleAnswer, Settlement } from '../../engine/work.ts'
import { type Change, type End, endJob, ended, header, oneMore, readable, readHeaders, takeNumbers } from './change.ts'
import type { Ref } from './claim.ts'
import { attemptOutcomeCode, reason, reasonCode, role, state } from '../../engine/codes.ts'
import { insertGraph } from './insert.ts'
import { isLarge, sealContinuation } from './submit.ts'

type OutcomeOf<T extends Outcome['type']> = Extract<Outcome, { type: T }>

interface Standing {
  readonly state: number
  readonly token: number | null
  readonly marked_at: number | null
  readonly reason: number | null
}

/** What mostly follows from one settlement: its row, a barrier, the job behind it. */
const rowsPerSettlement = 3

export function settle(change: Change, settlements: readonly Settlement[]): SettleAnswer[] {
  change.left += rowsPerSettlement * settlements.length
  readHeaders(
    change,
    settlements.flatMap(({ ref }) => collectionOf(ref as Ref)),
  )
  return settlements.map(({ ref, token, outcome }) => {
    const job = ref as Ref
    if (outcome.type === 'succeeded' && succeed(change, job, token, outcome.result)) return 'accepted'
    const row = change.db.get<Standing>(
      'select state, token, marked_at, reason from celeriac_jobs where seq = ?',
      job.seq,
    )
    if (row === undefined || row.token !== token) return 'superseded'
    // The token stays until the next claim, or until somebody else decides about the job: so this one was sent before.
    if (row.state !== state.running) return row.state === state.cancelled ? 'cancelled' : 'accepted'
    if (isCancelled(change, job, row)) {
      endJob(change, job, {
        state: state.cancelled,
        reason: row.reason ?? reason.cancelled,
        cause: job.seq,
        settled: true,
      })
      return 'cancelled'
    }
    store(change, job, outcome)
    return 'accepted'
  })
}

const collectionOf = ({ seq, collection }: Ref): number[] => (collection === seq ? [] : [collection])

/** The common case, in one statement: the job still runs under this token, and nobody wants it cancelled. */
function succeed(change: Change, job: Ref, token: number, result: string | null): boolean {
  if (job.collection !== job.seq && job.role === role.main && header(change, job.collection).cancelledAt !== null)
    return false
  const changed = change.db.run(storeSuccess, result, change.now, job.seq, token)
  if (changed === 0) return false
  change.left--
  ended(change, job, succeeded, job.version + 1)
  return true
}
const storeSuccess = `update celeriac_jobs set state = 4, result = ?, finished_at = ?, version = ${oneMore('version')}
  where seq = ? and state = 3 and token = ? and marked_at is null`
const succeeded: End = { state: state.succeeded, reason: null, cause: null }

function isCancelled(change: Change, job: Ref, row: Standing): boolean {
  return (
    row.marked_at !== null ||
    (job.role === role.main && job.collection !== job.seq && header(change, job.collection).cancelledAt !== null)
  )
}

function store(change: Change, job: Ref, outcome: Outcome): void {
  switch (outcome.type) {
    case 'succeeded':
      throw new Error('A success of a job that runs under its token and is not cancelled is stored at once.')
    case 'failed':
      return endJob(change, job, {
        state: state.failed,
        reason: reasonCode(outcome.reason),
        cause: job.seq,
        failure: JSON.stringify(outcome.failure),
        settled: true,
      })
    case 'cancelled':
      return endJob(change, job, { state: state.cancelled, reason: reason.cancelled, cause: job.seq, settled: true })
    case 'retried':
      return retryLater(change, job, outcome)
    case 'snoozed':
      recordAttempt(change, job.seq, 'snoozed', null)
      return putBack(change, job, outcome.delay, 'crashes = 0')
    case 'released':
      if (outcome.started) recordAttempt(change, job.seq, 'released', null)
      return putBack(
        change,
        job,
        outcome.delay,
        outcome.started ? '' : 'attempt = max(attempt, 1) - 1, started_at = null, session = null',
      )
    case 'continued':
      return continueAs(change, job, outcome.graph)
  }
}

/** The failed attempt goes to history, the job back in line. */
export function retryLater(change: Change, job: Ref, { failure, delay }: OutcomeOf<'retried'>): void {
  const text = JSON.stringify(failure)
  recordAttempt(change, job.seq, 'retried', text)
  change.db.run('update celeriac_jobs set failure = ? where seq = ?', text, job.seq)
  putBack(change, job, delay, `failures = ${oneMore('failures')}, crashes = 0`)
}

/** Keeps an attempt that did not end the job. */
export function recordAttempt(
  change: Change,
  seq: number,
  outcome: AttemptRecord['outcome'],
  failure: string | null,
): void {
  change.left--
  const kept = change.db.get<{ attempt: number }>(
    `insert into celeriac_attempts (job, attempt, round, session, started_at, finished_at, outcome, failure)
     select seq, attempt, round, session, started_at, ?, ?, ? from celeriac_jobs where seq = ? and started_at is not null
     on conflict do nothing returning ${readable('attempt')}`,
    change.now,
    attemptOutcomeCode(outcome),
    failure,
    seq,
  )
  if (kept !== undefined) forgetAttempts(change, seq, kept.attempt)
}

/** Of the attempts up to this one the first and the last are kept. */
export function forgetAttempts({ db }: Change, seq: number, attempt: number): void {
  if (attempt <= firstKept + lastKept) return
  const sql = 'delete from celeriac_attempts where job = ? and attempt > ? and attempt <= ?'
  db.run(sql, seq, firstKept, attempt - lastKept)
}

/**
 * Ends an attempt without ending the job: it is queued, or scheduled where it is to wait. It keeps its place in line. Unless the attempt
 * had not begun, the job has started in time, and expires no more.
 */
export function putBack(change: Change, job: Ref, delay: number, also: string): void {
  change.left--
  const isUnstarted = also.startsWith('attempt')
  const code = delay > 0 ? state.scheduled : state.queued
  change.db.run(
    `update celeriac_jobs set state = ?, due_at = ?, deadline_at = null, version = ${oneMore('version')}${isUnstarted ? '' : ', expires_at = null'}${also && ', '}${also} where seq = ?`,
    code,
    delay > 0 ? change.now + Math.ceil(delay) : null,
    job.seq,
  )
  const attempt = isUnstarted ? job.attempt - 1 : job.attempt
  change.journal.job(code, job.collection, job.seq, attempt, job.version + 1)
}

/** The job waits for the canvas that its handler returned, holding no slot; the graph is inserted, or sealed if it was uploaded. */
function continueAs(change: Change, job: Ref, graph: Graph): void {
  recordAttempt(change, job.seq, 'continued', null)
  const numbers = isLarge(graph) ? 0 : takeNumbers(change, graph.jobs.length + graph.barriers.length)
  const firstBarrier = numbers + graph.jobs.length
  park(change, job, graph, isLarge(graph) ? null : firstBarrier + (graph.exit as number))
  // Before anything that happens to them, and before the end, should there be no jobs at all.
  change.journal.collection(0, job.collection, header(change, job.collection).round)
  if (isLarge(graph)) {
    const exit = sealContinuation(change, graph, job)
    change.db.run('update celeriac_jobs set continuation = ? where seq = ?', exit, job.seq)
  } else {
    insertGraph(change, graph, {
      collection: job.collection,
      firstJob: numbers,
      firstBarrier,
      start: null,
      round: header(change, job.collection).round,
      parent: job.seq,
      depth: job.depth + 1,
      scope: job.scope,
    })
  }
}

function park(change: Change, job: Ref, graph: Graph, continuation: number | null): void {
  change.left--
  change.db.run(
    `update celeriac_jobs set state = 0, continuation = ?, shape = ?, deadline_at = null, crashes = 0, version = ${oneMore('version')} where seq = ?`,
    continuation,
    graph.shape,
    job.seq,
  )
  change.journal.job(state.waiting, job.collection, job.seq, job.attempt, job.version + 1)
}
