import {
  type Arrivals,
  arrive,
  type Change,
  type End,
  type Ending,
  endingColumns,
  endJob,
  type Header,
  header,
  later,
  leaves,
  oneMore,
  releaseUnique,
  type WorkItem,
} from './change.ts'
import { inputsAtOnce } from '../../engine/limits.ts'
import { collectionState, decided, reason, role, state, when, work } from '../../engine/codes.ts'

interface Barrier {
  readonly number: number
  readonly collection: number
  readonly inputs: number
  readonly pending: number
  readonly failed: number
  readonly decided: number
  readonly cause: number | null
  readonly feeds: number | null
  readonly gate: number | null
  readonly continues: number | null
  /** It is its collection's exit. */
  readonly settles: number
}
const barrierColumns = 'number, collection, inputs, pending, failed, decided, cause, feeds, gate, continues, settles'

/** What must be known of a waiting job to let it go. */
export interface Waiting extends Ending {
  readonly behind: number | null
  readonly fit: number
  readonly start_in: number | null
  readonly due_at: number | null
  readonly marked_at: number | null
  readonly reason: number | null
}
export const waitingColumns = `${endingColumns}, behind, fit, start_in, due_at, marked_at, reason`

/** What a barrier came to, as the jobs behind it see it. */
interface Decision {
  readonly succeeded: boolean
  /** The canvas that the barrier closes had begun: only then do its side branches run on failure. */
  readonly began: boolean
  readonly cause: number | null
}
type Decisions = ReadonlyMap<number, { readonly barrier: Barrier; readonly decision: Decision }>

/**
 * Counts down every barrier that something arrived at, decides those that came to zero, lets go what stands behind them,
 * and so on outward. All barriers of a wave together: a batch of settlements mostly moves that many chains by one link.
 */
export function settleBarriers(change: Change): void {
  while (change.arrivals.size > 0) {
    const decisions = countDown(change)
    release(change, decisions)
    for (const { barrier, decision } of decisions.values()) conclude(change, barrier, decision)
  }
}

/** Has a barrier decided that nothing needs to arrive at. */
export function decideBarrier(change: Change, number: number): void {
  if (!change.arrivals.has(number)) change.arrivals.set(number, { count: 0, failed: 0, cause: null })
}

function countDown(change: Change): Decisions {
  const arrivals = new Map(change.arrivals)
  change.arrivals.clear()
  const decisions = new Map<number, { barrier: Barrier; decision: Decision }>()
  for (const row of readBarriers(change, [...arrivals.keys()])) {
    const { count, failed, cause } = arrivals.get(row.number) as Arrivals
    const barrier = { ...row, pending: row.pending - count, failed: row.failed + failed, cause: row.cause ?? cause }
    const isOver = barrier.pending === 0 && row.decided === decided.no
    const decision = isOver ? decisionOf(change, barrier) : null
    if (decision !== null) decisions.set(row.number, { barrier, decision })
    else if (isOver) later(change, work.cause, row.number, barrier.failed)
    change.left--
    change.db.run(
      'update celeriac_barriers set pending = ?, failed = ?, cause = ?, decided = ? where number = ?',
      barrier.pending,
      barrier.failed,
      decision === null ? barrier.cause : decision.cause,
      decision === null ? row.decided : decision.succeeded ? decided.success : decided.failure,
      row.number,
    )
  }
  return decisions
}

function conclude(change: Change, barrier: Barrier, decision: Decision): void {
  if (barrier.continues !== null) settleParked(change, barrier.continues, barrier.number, decision)
  if (barrier.settles === 1) settleCollection(change, barrier, decision)
  if (barrier.feeds !== null) arrive(change, barrier.feeds, decision.succeeded, decision.cause)
}

/** Null where the cause has to be looked for, as far as the call may: then `item` says how far it came. */
function decisionOf(change: Change, barrier: Barrier, item: WorkItem | null = null): Decision | null {
  const gate = barrier.gate === null ? null : readBarrier(change, barrier.gate)
  const isOpen = gate === null || gate.decided === decided.success
  if (!isOpen) return { succeeded: false, began: false, cause: barrier.cause ?? gate.cause }
  if (barrier.failed === 0) return { succeeded: true, began: true, cause: null }
  const known = knownCause(change, barrier)
  if (known === null && item === null && barrier.inputs > inputsAtOnce) return null
  const cause = known ?? otherCause(change, barrier.number, item)
  if (cause === undefined) return null
  // Inputs that were all "not needed" failed for no cause: then nothing on this canvas has begun.
  return { succeeded: false, began: cause !== null, cause }
}

/** The job that failed first, unless a retry has put it back to work since. It may have failed anew, by another one inside it. */
function knownCause({ db }: Change, { cause }: Barrier): number | null {
  if (cause === null) return null
  const sql = 'select cause from celeriac_jobs where seq = ? and state > 4'
  return db.get<{ cause: number | null }>(sql, cause)?.cause ?? null
}

/** The cause of another input, in the order of their numbers: jobs come before barriers. Undefined where not all could be looked at. */
function otherCause(change: Change, barrier: number, item: WorkItem | null): number | null | undefined {
  let after = item?.after ?? 0
  for (const page of [jobInputs, barrierInputs]) {
    for (;;) {
      const limit = item === null ? inputsAtOnce : 10 * Math.ceil(change.left)
      if (limit <= 0) return undefined
      const found = change.db.get<InputPage>(page, barrier, after, limit) as InputPage
      if (found.cause !== null) return found.cause
      change.left -= found.count / 10 // reading costs a tenth of writing
      after = found.last ?? after
      if (item !== null) item.after = after
      if (found.count < limit) break
    }
  }
  return null
}

interface InputPage {
  readonly count: number
  readonly last: number | null
  readonly cause: number | null
}
const inputPage = (number: string, outcome: string, table: string, isLost: string): string => `
  with page as materialized (
    select ${number} as number, ${outcome} as outcome, cause from ${table} where feeds = ? and ${number} > ? order by ${number} limit ? + 0)
  select count(*) as count, max(number) as last,
    (select cause from page where ${isLost} and cause is not null order by number limit 1) as cause from page`
const jobInputs = inputPage('seq', 'state', 'celeriac_jobs', 'outcome > 4')
const barrierInputs = inputPage('number', 'decided', 'celeriac_barriers', 'outcome = 2')

/** Goes on with a barrier whose cause has to be looked for. True when it has decided, or waits for an input again. */
export function decideBySearch(change: Change, item: WorkItem): boolean {
  const barrier = readBarriers(change, [item.subject])[0]
  const isOpen = barrier?.pending === 0 && barrier.decided === decided.no && barrier.failed === item.detail
  if (!isOpen) return true
  const decision = decisionOf(change, barrier, item)
  if (decision === null) return false
  change.left--
  change.db.run(
    'update celeriac_barriers set cause = ?, decided = ? where number = ?',
    decision.cause,
    decision.succeeded ? decided.success : decided.failure,
    barrier.number,
  )
  release(change, new Map([[barrier.number, { barrier, decision }]]))
  conclude(change, barrier, decision)
  return true
}

function readBarrier(change: Change, number: number): Barrier {
  return readBarriers(change, [number])[0] as Barrier
}

type BarrierRow = readonly [
  number: number,
  collection: number,
  inputs: number,
  pending: number,
  failed: number,
  decided: number,
  cause: number | null,
  feeds: number | null,
  gate: number | null,
  continues: number | null,
  settles: number,
]

function readBarriers(change: Change, numbers: readonly number[]): Barrier[] {
  const rows = change.db.lists<BarrierRow>(
    `select ${barrierColumns} from celeriac_barriers where number in (select value from json_each(?))`,
    `[${numbers.join(',')}]`,
  )
  return rows.map(([number, collection, inputs, pending, failed, decided, cause, feeds, gate, continues, settles]) => {
    return { number, collection, inputs, pending, failed, decided, cause, feeds, gate, continues, settles }
  })
}

// ── what stands behind ───────────────────────────────────────────────────────────────────────────────────────────

/** Goes on where a call had to leave the jobs behind a decided barrier waiting. True when none is left. */
export function releaseRest(change: Change, number: number): boolean {
  const barrier = readBarriers(change, [number])[0]
  if (barrier === undefined || barrier.decided === decided.no) return true
  return releaseSome(change, new Map([[number, { barrier, decision: standingDecision(change, barrier) }]]))
}

/** The decision of a barrier that has decided. */
function standingDecision(change: Change, barrier: Barrier): Decision {
  const gate = barrier.gate === null ? null : readBarrier(change, barrier.gate)
  const succeeded = barrier.decided === decided.success
  return {
    succeeded,
    began: succeeded || (barrier.cause !== null && (gate?.decided ?? decided.success) === decided.success),
    cause: barrier.cause,
  }
}

function release(change: Change, decisions: Decisions): void {
  if (decisions.size === 0 || releaseSome(change, decisions)) return
  for (const number of decisions.keys()) later(change, work.release, number)
}

/** True when nothing behind these barriers is left waiting. */
function releaseSome(change: Change, decisions: Decisions): boolean {
  const limit = Math.ceil(change.left)
  if (limit <= 0) return false
  const rows = change.db.lists<WaitingRow>(
    `select ${waitingColumns} from celeriac_jobs where behind in (select value from json_each(?)) and state = 0
       and continuation is null and archived is null order by behind, seq limit ? + 0`,
    `[${[...decisions.keys()].join(',')}]`,
    limit,
  )
  for (const row of rows) {
    const job = waitingIn(row)
    letGo(change, job, (decisions.get(job.behind as number) as { decision: Decision }).decision)
  }
  return rows.length < limit
}

type WaitingRow = readonly [
  seq: number,
  collection: number,
  attempt: number,
  version: number,
  role: number,
  feeds: number | null,
  scope: number | null,
  retention: number | null,
  behind: number,
  fit: number,
  startIn: number | null,
  dueAt: number | null,
  markedAt: number | null,
  reason: number | null,
]

function waitingIn(row: WaitingRow): Waiting {
  const [seq, collection, attempt, version, role, feeds, scope, retention, ...waiting] = row
  const [behind, fit, start_in, due_at, marked_at, reason] = waiting
  const ending = { seq, collection, attempt, version, role, feeds, scope, retention }
  return { ...ending, behind, fit, start_in, due_at, marked_at, reason }
}

/** A job whose barrier has decided, or that stands behind none. */
function letGo(change: Change, job: Waiting, decision: Decision): void {
  const isMain = job.role === role.main
  if (job.marked_at !== null || (isMain && header(change, job.collection).cancelledAt !== null)) {
    // What did not succeed before a main job came first, and is what a report names.
    const cause = (isMain ? decision.cause : null) ?? job.seq
    return endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause })
  }
  if (fits(job.fit, decision)) return enqueue(change, job)
  const upstream = isMain || (job.fit === when.success && isSide(change, decision.cause))
  const end = upstream
    ? { state: state.skipped, reason: reason.upstream, cause: decision.cause }
    : { state: state.skipped, reason: reason.notNeeded, cause: null }
  endJob(change, job, end)
}

function fits(fit: number, decision: Decision): boolean {
  if (fit === when.success) return decision.succeeded
  return fit === when.always ? decision.began : !decision.succeeded && decision.began
}

const isSide = (change: Change, seq: number | null): boolean =>
  seq !== null &&
  change.db.get<{ role: number }>('select role from celeriac_jobs where seq = ?', seq)?.role !== role.main

const storeEnqueued = `update celeriac_jobs set state = ?, due_at = ?, version = ${oneMore('version')} where seq = ?`

function enqueue(change: Change, job: Waiting): void {
  change.left--
  const due = job.start_in === null ? job.due_at : change.now + job.start_in
  const code = due !== null && due > change.now ? state.scheduled : state.queued
  change.db.run(storeEnqueued, code, code === state.scheduled ? due : null, job.seq)
  change.journal.job(code, job.collection, job.seq, job.attempt, job.version + 1)
}

/** Lets go a waiting job if nothing holds it up (any more): its barrier has decided, or there is none. */
export function letGoIfFree(change: Change, job: Waiting): void {
  const barrier = job.behind === null ? null : readBarrier(change, job.behind)
  if (barrier === null) return letGo(change, job, { succeeded: true, began: true, cause: null })
  if (barrier.decided !== decided.no) letGo(change, job, standingDecision(change, barrier))
}

// ── what it closes ───────────────────────────────────────────────────────────────────────────────────────────────

interface Parked extends Ending {
  readonly state: number
  readonly marked_at: number | null
  readonly reason: number | null
}

/** The canvas that a job continued as is over, and so is the job: its result stays where it is, and is found from there. */
function settleParked(change: Change, seq: number, continuation: number, decision: Decision): void {
  const job = change.db.get<Parked>(
    `select ${endingColumns}, state, marked_at, reason from celeriac_jobs where seq = ? and state = 0 and continuation = ?`,
    seq,
    continuation,
  )
  if (job === undefined) return
  const isCancelled =
    job.marked_at !== null || (job.role === role.main && header(change, job.collection).cancelledAt !== null)
  endJob(change, job, { ...endOfParked(job, isCancelled, decision), settled: true })
}

function endOfParked(job: Parked, isCancelled: boolean, decision: Decision): End {
  if (isCancelled) return { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq }
  if (decision.succeeded) return { state: state.succeeded, reason: null, cause: null }
  return { state: state.failed, reason: reason.failed, cause: decision.cause ?? job.seq }
}

/** Settles a parked job whose canvas is over already. */
export function settleParkedIfOver(change: Change, seq: number, continuation: number): void {
  const barrier = readBarrier(change, continuation)
  if (barrier.decided !== decided.no) settleParked(change, seq, continuation, standingDecision(change, barrier))
}

function settleCollection(change: Change, barrier: Barrier, decision: Decision): void {
  const about = header(change, barrier.collection)
  if (decision.succeeded) return close(change, about, collectionState.succeeded)
  if (about.cancelledAt !== null) return close(change, about, collectionState.cancelled)
  const cause = change.db.get<Closing>('select state, role, archived from celeriac_jobs where seq = ?', decision.cause)
  if (cause !== undefined && isFailedMain(cause)) return close(change, about, collectionState.failed)
  // Others are looked through, and of a large collection not all in this call.
  later(change, work.settle, about.number, about.round)
}

interface Closing {
  readonly state: number
  readonly role: number
  readonly archived: number | null
}
const isFailedMain = (job: Closing): boolean =>
  job.state === state.failed && job.role === role.main && job.archived === null

function close(change: Change, about: Header, code: number): void {
  change.left--
  change.db.run(
    'update celeriac_collections set state = ?, settled_at = ? where number = ?',
    code,
    change.now,
    about.number,
  )
  change.journal.collection(code, about.number, about.round)
  releaseUnique(change, about.number)
  leaves(change, about.number, about.retention)
}

/** Settles a collection that did not succeed by whether a job of it failed. True when it is settled, or at work again. */
export function settleBySearch(change: Change, item: WorkItem): boolean {
  const exit = change.db.get<{ state: number; round: number; decided: number }>(
    `select c.state, c.round, b.decided from celeriac_collections c join celeriac_barriers b on b.number = c.exit where c.number = ?`,
    item.subject,
  )
  const isOpen = exit?.state === collectionState.running && exit.decided === decided.failure
  if (!isOpen || exit.round !== item.detail) return true
  const about = header(change, item.subject)
  if (about.cancelledAt !== null) {
    close(change, about, collectionState.cancelled)
    return true
  }
  while (change.left > 0) {
    const limit = 10 * Math.ceil(change.left)
    const page = change.db.all<Closing & { seq: number }>(
      `select seq, state, role, archived from celeriac_jobs indexed by celeriac_jobs_together
       where collection = ? and collection <> seq and seq > ? order by seq limit ? + 0`,
      item.subject,
      item.after,
      limit,
    )
    const hasFailed = page.some(isFailedMain)
    change.left -= page.length / 10 // reading costs a tenth of writing
    if (hasFailed || page.length < limit) {
      close(change, about, hasFailed ? collectionState.failed : collectionState.cancelled)
      return true
    }
    item.after = page.at(-1)?.seq ?? item.after
  }
  return false
}
