import type { StoredResult } from '../../core/job.ts'
import { reason, role, settling, state, work } from '../../engine/codes.ts'
import { inputsPerClaim, resultsPerClaim, rowsPerCall } from '../../engine/limits.ts'
import type { Database } from './database.ts'
import { collectionRetention, numbersPerRow, runsOf } from '../../engine/retention.ts'
import { Journal } from './journal.ts'

/** The most that JavaScript counts to. */
const mostCounted = Number.MAX_SAFE_INTEGER

/** What a write transaction knows while it runs, and what it still has to see to before it ends. */
export interface Change {
  readonly db: Database
  readonly now: number
  readonly journal: Journal
  /** How many more rows this call may touch. */
  left: number
  /** Inputs that became final, by the barrier they feed, not yet counted down. */
  readonly arrivals: Map<number, Arrivals>
  /** What is left to do, in order; what is not done when the call ends is kept in celeriac_work. */
  readonly pending: WorkItem[]
  readonly headers: Map<number, Header>
  /** Results at barriers, read together for the jobs of a claim. */
  readonly inputs: Map<number, readonly StoredResult[]>
  /** How many more characters of inputs come along with this claim; what does not is read by pages. */
  inputsLeft: number
  /** How many more results. */
  resultsLeft: number
  /** Fail-fast scopes that this call has begun to cancel. */
  readonly scopes: Set<number>
  /** The job that failed first in a fail-fast scope, where this call has looked it up. */
  readonly scopeCauses: Map<number, number | null>
  /** The first number not taken, where this call has taken any. */
  next: number | null
  /** Collections and jobs alone that settled, by how long they are kept. */
  readonly leaving: Map<number, Set<number>>
  hasUniqueKeys: boolean | null
}

export interface Arrivals {
  count: number
  failed: number
  cause: number | null
}

export interface WorkItem {
  /** In celeriac_work, once it is there. */
  number: number | null
  readonly kind: (typeof work)[keyof typeof work]
  readonly subject: number
  readonly detail: number
  after: number
}

/** What counts for all jobs of a collection. */
export interface Header {
  readonly number: number
  readonly id: string
  readonly alone: boolean
  readonly round: number
  readonly cancelledAt: number | null
  readonly actor: string | null
  readonly retention: number | null
}

export function newChange(db: Database, now: number): Change {
  return {
    db,
    now,
    journal: new Journal(),
    left: rowsPerCall,
    arrivals: new Map(),
    pending: [],
    headers: new Map(),
    inputs: new Map(),
    inputsLeft: inputsPerClaim,
    resultsLeft: resultsPerClaim,
    scopes: new Set(),
    scopeCauses: new Map(),
    next: null,
    leaving: new Map(),
    hasUniqueKeys: null,
  }
}

export function header(change: Change, number: number): Header {
  let known = change.headers.get(number)
  if (known === undefined) {
    known = readHeader(change, number)
    change.headers.set(number, known)
  }
  return known
}

/** Reads the headers of many collections at once. */
export function readHeaders(change: Change, numbers: Iterable<number>): void {
  const wanted = [...new Set(numbers)].filter((number) => !change.headers.has(number))
  if (wanted.length === 0) return
  const rows = change.db.lists<
    readonly [
      number: number,
      id: string,
      round: number,
      cancelledAt: number | null,
      actor: string | null,
      retention: number | null,
    ]
  >(
    `select number, id, round, cancelled_at, actor, retention from celeriac_collections where number in (select value from json_each(?))`,
    `[${wanted.join(',')}]`,
  )
  for (const [number, id, round, cancelledAt, actor, retention] of rows) {
    change.headers.set(number, { number, id, alone: false, round, cancelledAt, actor, retention })
  }
}

function readHeader(change: Change, number: number): Header {
  readHeaders(change, [number])
  const known = change.headers.get(number)
  if (known !== undefined) return known
  const job = change.db.get<Omit<Header, 'alone'>>(
    'select seq as number, id, round, marked_at as cancelledAt, actor, retention from celeriac_jobs where seq = ?',
    number,
  )
  return { number, id: '', round: 1, cancelledAt: null, actor: null, retention: null, ...job, alone: true }
}

export function later(change: Change, kind: WorkItem['kind'], subject: number, detail = 0): void {
  change.pending.push({ number: null, kind, subject, detail, after: 0 })
}

/** Notes that a collection, or a job alone, may be removed when this time is over. */
export function leaves(change: Change, collection: number, retention: number | null): void {
  const kept = retention ?? collectionRetention
  const noted = change.leaving.get(kept)
  if (noted === undefined) change.leaving.set(kept, new Set([collection]))
  else noted.add(collection)
}

/** Stores what the call noted: what leaves, and the events. */
export function writeChange({ db, now, journal, next, leaving }: Change): void {
  for (const [kept, noted] of leaving) {
    const numbers = [...noted]
    for (let at = 0; at < numbers.length; at += numbersPerRow)
      db.run(
        'insert into celeriac_leaving (due_at, runs) values (?, ?) on conflict do nothing',
        now + kept,
        runsOf(numbers.slice(at, at + numbersPerRow)),
      )
  }
  journal.write(db, now, next)
}

/** Takes `count` numbers, never given before: the first of them. */
export function takeNumbers(change: Change, count: number): number {
  const first = change.next ?? nextNumber(change.db)
  change.next = first + count
  return first
}

/** The first number that has not been taken. */
export function nextNumber(db: Database): number {
  const next = db.get<{ next: number }>('select next from celeriac_events order by number desc limit 1')?.next ?? 1
  if (next >= 1 && next < Number.MAX_SAFE_INTEGER) return next
  // Damaged: all rows tell as well.
  return (db.get<{ last: number | null }>(lastTaken)?.last ?? 0) + 1
}
const lastTaken = `select max(last) as last from (${['jobs.seq', 'collections.number', 'barriers.number']
  .map((column) => column.split('.'))
  .map(([table, number]) => `select max(${number}) as last from celeriac_${table} where ${number} < ${mostCounted}`)
  .join(' union all ')})`

/** An input of a barrier became final. Counted down by `settleBarriers` before the call ends. */
export function arrive(change: Change, barrier: number, succeeded: boolean, cause: number | null): void {
  let arrivals = change.arrivals.get(barrier)
  if (arrivals === undefined) change.arrivals.set(barrier, (arrivals = { count: 0, failed: 0, cause: null }))
  arrivals.count++
  if (succeeded) return
  arrivals.failed++
  arrivals.cause ??= cause
}

/**
 * SQL for one more of a number that is counted up. One that is damaged and beyond what JavaScript holds is the largest that it does: what
 * cannot be stored, or read again, would stop all that are written with it.
 */
export const oneMore = (column: string): string => `min(${column}, ${mostCounted - 1}) + 1`
/** What a write gives back is not read twice (see `Database`): SQL for a number that JavaScript holds. */
export const readable = (column: string): string => `max(min(${column}, ${mostCounted}), ${-mostCounted}) as ${column}`

/** The facts of a job that its end depends on. */
export interface Ending {
  readonly seq: number
  readonly collection: number
  readonly attempt: number
  readonly version: number
  readonly role: number
  readonly feeds: number | null
  readonly scope: number | null
  /** Of a job alone. */
  readonly retention: number | null
}
export const endingColumns = 'seq, collection, attempt, version, role, feeds, scope, retention'

export interface End {
  readonly state: number
  readonly reason: number | null
  /** Whose failure it is; null when there is none. */
  readonly cause: number | null
  /** Its own failure, as JSON text; null keeps what is there. */
  readonly failure?: string | null
  /** Its worker said so, or that it continues: the token stays, so that the worker may say it again. */
  readonly settled?: true
}

const storeEnd = `update celeriac_jobs set state = ?, reason = ?, cause = ?, failure = coalesce(?, failure), failures = iif(?, ${oneMore('failures')}, failures), finished_at = ?,
       version = ${oneMore('version')}, token = iif(?, token, null), deadline_at = null,
       -- One that has not begun is held again by a retry: until the same instant, or not at all where that has come.
       start_in = iif(state in (1, 2) and attempt = 0, null, start_in), due_at = iif(attempt = 0, due_at, null) where seq = ?`

/** Makes a job final, whatever it was, and everything that follows from that. */
export function endJob(change: Change, job: Ending, given: End): void {
  change.left--
  const end = given.reason === reason.failFast ? { ...given, cause: causeOfScope(change, job) ?? given.cause } : given
  change.db.run(
    storeEnd,
    end.state,
    end.reason,
    end.cause,
    end.failure ?? null,
    isFailedAttempt(end) ? 1 : 0,
    change.now,
    end.settled ? 1 : 0,
    job.seq,
  )
  ended(change, job, end, job.version + 1)
}

/** Not so a parked job whose canvas failed, nor one whose worker died. */
const isFailedAttempt = (end: End): boolean =>
  end.state === state.failed && end.failure !== undefined && (end.settled === true || end.reason === reason.timeout)

/** What follows from a job having become final, the row itself being written already. */
export function ended(change: Change, job: Ending, end: End, version: number): void {
  change.journal.job(end.state, job.collection, job.seq, job.attempt, version)
  if (job.feeds !== null) arrive(change, job.feeds, end.state === state.succeeded, end.cause)
  if (job.collection === job.seq) settledAlone(change, job, end, version)
  // Its collection may have settled before, and could not be removed for it.
  else if (job.role !== role.main) leaves(change, job.collection, header(change, job.collection).retention)
  if (job.scope !== null && job.role === role.main && end.state !== state.succeeded) failScope(change, job, end)
}

/** Readers know that a job alone settles its collection with its end. The round is said where it is not the first. */
function settledAlone(change: Change, job: Ending, end: End, version: number): void {
  releaseUnique(change, job.collection)
  leaves(change, job.collection, job.retention)
  // A second round takes more changes than this: queued, running, over.
  if (version <= 3) return
  const { round } = header(change, job.collection)
  if (round > 1) change.journal.collection(settling(end.state), job.collection, round)
}

/** The job that a fail-fast scope failed by: what it cancelled tells that one's failure. */
function causeOfScope(change: Change, { collection, scope }: Ending): number | null {
  if (scope === null) return null
  let cause = change.scopeCauses.get(scope)
  if (cause === undefined) {
    const first = change.db.get<{ cause: number | null }>(
      `select cause from celeriac_jobs where collection = ? and collection <> seq and scope = ? and role = 0
         and state in (5, 6) and reason <> ? and archived is null order by finished_at, seq limit 1`,
      collection,
      scope,
      reason.failFast,
    )
    change.scopeCauses.set(scope, (cause = first?.cause ?? null))
  }
  return cause
}

/** The first failed or cancelled main job of a scope cancels the rest. */
function failScope(change: Change, job: Ending, end: End): void {
  const isCause = end.state === state.failed || (end.state === state.cancelled && end.reason !== reason.failFast)
  if (!isCause || change.scopes.has(job.scope as number)) return
  change.scopes.add(job.scope as number)
  later(change, work.cancelScope, job.scope as number, job.collection)
}

export function hasUniqueKeys(change: Change): boolean {
  return (change.hasUniqueKeys ??= change.db.get('select 1 from celeriac_unique limit 1') !== undefined)
}

export function releaseUnique(change: Change, collection: number): void {
  if (hasUniqueKeys(change))
    change.db.run("delete from celeriac_unique where collection = ? and until <> 'time'", collection)
}
