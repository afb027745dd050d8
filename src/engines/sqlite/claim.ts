import type { StoredOptions } from '../../core/job.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest } from '../../engine/work.ts'
import { type Change, endJob, endingColumns, type Ending, hasUniqueKeys, header } from './change.ts'
import { reason, role, roleName, state } from './codes.ts'
import type { Database, Value } from './database.ts'
import { readInput } from './gather.ts'

/** What this engine wants to be told again of a job that was claimed. None of it changes while the job runs. */
export interface Ref {
  readonly seq: number
  readonly collection: number
  readonly attempt: number
  readonly version: number
  readonly role: number
  readonly feeds: number | null
  readonly scope: number | null
  readonly depth: number
}

/** At most so many due or expired jobs are moved by one claim. */
const movedPerCall = 500

export function claim(change: Change, request: ClaimRequest): ClaimAnswer {
  const session = change.db.get<{ number: number }>(
    'select number from celeriac_sessions where id = ? and ended_at is null',
    request.session,
  )
  if (session === undefined) return { jobs: [], nextAt: null }
  const repeated = runningUnder(change.db, session.number, request.token)
  if (repeated.length > 0) return { jobs: repeated.map((row) => claimed(change, row)), nextAt: nextDueAt(change.db) }
  releaseDue(change)
  expire(change)
  const queues = openQueues(change.db, request.queues)
  if (queues.length === 0) return { jobs: [], nextAt: nextDueAt(change.db) }
  const rows = take(change, session.number, request, queues)
  return { jobs: rows.map((row) => claimed(change, row)), nextAt: nextDueAt(change.db) }
}

// ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Queues the jobs whose time has come. */
export function releaseDue(change: Change): number {
  const { db, now } = change
  const due = nextDueAt(db)
  if (due === null || due > now) return 0
  const rows = db.all<{ seq: number; collection: number; attempt: number; version: number }>(
    `update celeriac_jobs set state = 2, due_at = null, version = version + 1
     where seq in (select seq from celeriac_jobs where state = 1 and due_at <= ? order by due_at limit ?)
     returning seq, collection, attempt, version`,
    now,
    movedPerCall,
  )
  for (const { seq, collection, attempt, version } of rows)
    change.journal.job(state.queued, collection, seq, attempt, version)
  return rows.length
}

export function nextDueAt(db: Database): number | null {
  return (
    db.get<{ due_at: number }>('select due_at from celeriac_jobs where state = 1 order by due_at limit 1')?.due_at ??
    null
  )
}

/** Cancels the jobs that did not start in time. */
export function expire(change: Change): number {
  const rows = change.db.all<Ending>(
    `select ${endingColumns} from celeriac_jobs where expires_at <= ? and expires_at is not null and state in (1, 2) limit ?`,
    change.now,
    movedPerCall,
  )
  for (const job of rows) endJob(change, job, { state: state.cancelled, reason: reason.expired, cause: job.seq })
  return rows.length
}

function openQueues(db: Database, wanted: readonly string[] | null): string[] {
  const open = db.all<{ name: string }>('select name from celeriac_queues where paused = 0')
  const names = open.map(({ name }) => name)
  return wanted === null ? names : names.filter((name) => wanted.includes(name))
}

// ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Row extends Ref {
  readonly id: string
  readonly task: string
  readonly queue: string
  readonly args: string
  readonly options: string | null
  readonly round: number
  readonly failures: number
  readonly crashes: number
  readonly input: string | null
  readonly behind: number | null
  readonly token: number
  readonly created_at: number
  readonly deadline_at: number | null
  readonly priority: number
  readonly actor: string | null
}
const columns = `seq, collection, attempt, version, role, feeds, scope, depth, id, task, queue, args, options, round, failures, crashes,
  input, behind, token, created_at, deadline_at, priority, actor`

function runningUnder(db: Database, session: number, token: number): Row[] {
  return db.all<Row>(
    `select ${columns} from celeriac_jobs where state = 3 and session = ? and token = ? order by priority desc, collection, seq`,
    session,
    token,
  )
}

function take(change: Change, session: number, request: ClaimRequest, queues: readonly string[]): Row[] {
  const { db, now } = change
  // A job whose worker died is taken singly, one in a session at a time, so that another crash counts only for it.
  const suspect = mayTakeSuspect(db, session) ? first(db, queues, 'crashes > 0', 1) : []
  const others = first(db, queues, 'crashes = 0', request.limit - suspect.length)
  if (suspect.length + others.length === 0) return []
  const seqs = [...suspect, ...others]
  mark(db, seqs, session, request.token, now)
  const rows = runningUnder(db, session, request.token)
  for (const { seq, collection, attempt, version } of rows)
    change.journal.job(state.running, collection, seq, attempt, version)
  if (hasUniqueKeys(change)) {
    for (const { collection } of rows)
      db.run("delete from celeriac_unique where collection = ? and until = 'started'", collection)
  }
  return rows
}

function mayTakeSuspect(db: Database, session: number): boolean {
  if (db.get('select 1 from celeriac_jobs where state = 2 and crashes > 0 limit 1') === undefined) return false
  return (
    db.get('select 1 from celeriac_jobs where state = 3 and session = ? and crashes > 0 limit 1', session) === undefined
  )
}

/** The first jobs of these queues, in the order in which they are to run. */
function first(db: Database, queues: readonly string[], which: string, limit: number): number[] {
  if (limit <= 0) return []
  const index = which === 'crashes = 0' ? 'celeriac_jobs_queued' : 'celeriac_jobs_suspect'
  const one = `select seq, priority, collection from celeriac_jobs indexed by ${index} where state = 2 and ${which} and queue = ?
    order by priority desc, collection, seq limit ?`
  if (queues.length === 1) return db.all<{ seq: number }>(one, queues[0] as string, limit).map(({ seq }) => seq)
  const values = queues.flatMap((queue): Value[] => [queue, limit])
  const all = `select seq from (${queues.map(() => `select * from (${one})`).join(' union all ')}) order by priority desc, collection, seq limit ?`
  return db.all<{ seq: number }>(all, ...values, limit).map(({ seq }) => seq)
}

function mark(db: Database, seqs: readonly number[], session: number, token: number, now: number): void {
  db.run(
    `update celeriac_jobs set state = 3, session = ?, token = ?, attempt = attempt + 1, version = version + 1, started_at = ?,
       deadline_at = ? + timeout, finished_at = null, progress = null
     where seq in (select value from json_each(?))`,
    session,
    token,
    now,
    now,
    `[${seqs.join(',')}]`,
  )
}

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

function claimed(change: Change, row: Row): ClaimedJob {
  const about = row.collection === row.seq ? null : header(change, row.collection)
  return {
    ref: {
      seq: row.seq,
      collection: row.collection,
      attempt: row.attempt,
      version: row.version,
      role: row.role,
      feeds: row.feeds,
      scope: row.scope,
      depth: row.depth,
    } satisfies Ref,
    token: row.token,
    id: row.id,
    collectionId: about === null ? row.id : about.id,
    task: row.task,
    args: row.args,
    role: row.role === role.main ? 'main' : roleName(row.role),
    attempt: row.attempt,
    failures: row.failures,
    round: row.round,
    queue: row.queue,
    options: readOptions(row.options),
    actor: actorOf(change, row),
    depth: row.depth,
    createdAt: row.created_at,
    deadlineAt: row.deadline_at,
    input: readInput(change, row),
  }
}

function actorOf(change: Change, row: Row): ClaimedJob['actor'] {
  if (row.collection === row.seq) return row.actor === null ? null : { id: row.actor }
  const actor = header(change, row.collection).actor
  return actor === null ? null : { id: actor }
}

/** Most jobs of a task carry the same options, so the text is read once. */
const known = new Map<string, StoredOptions>()
const none: StoredOptions = {}
export function readOptions(text: string | null): StoredOptions {
  if (text === null) return none
  let options = known.get(text)
  if (options === undefined) {
    if (known.size > 1_000) known.clear()
    known.set(text, (options = JSON.parse(text) as StoredOptions))
  }
  return options
}
