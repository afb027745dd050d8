import { argumentsPerClaim, endlessSpan, movedPerCall, shortResult } from '../../engine/limits.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest } from '../../engine/work.ts'
import {
  type Change,
  endJob,
  endingColumns,
  type Ending,
  hasUniqueKeys,
  header,
  oneMore,
  readable,
  readHeaders,
} from './change.ts'
import { reason, roleName, state } from '../../engine/codes.ts'
import { readOptions } from '../../engine/job-options.ts'
import { jobsPerStep, type NamedJob, suspectsToTake, suspectsTogether } from '../../engine/recovery.ts'
import type { Database, Value } from './database.ts'
import { readInput, readShortInputs } from './gather.ts'
import { firstOf, firstOfOne, onlyQueue, pausedQueues, type Which } from './line.ts'
import { isCalm } from './turn.ts'

/** What this engine wants to be told again of a job that was claimed. None of it changes while the job runs. */
export interface Ref extends Ending {
  readonly depth: number
}
export const refColumns = `${endingColumns}, depth`

/**
 * @param isCareful a row is damaged, and a claim failed for it: what is due and what has expired is left to the sweep, and an input
 * that cannot be read fails its job alone
 */
export function claim(change: Change, request: ClaimRequest, isCareful = false): ClaimAnswer {
  const session = change.db.get<{ number: number }>(
    'select number from celeriac_sessions where id = ? and ended_at is null',
    request.session,
  )
  if (session === undefined) return { jobs: [], nextAt: null }
  const tell = isCareful ? toldCarefully : claimed
  const before = takenBefore(change, session.number, request, tell)
  if (before.length > 0) return { jobs: before, nextAt: nextDueAt(change.db) }
  if (!isCareful) {
    releaseDue(change)
    expire(change)
  }
  const { jobs, isCut } = take(change, session.number, request, tell)
  return { jobs, nextAt: isCut ? change.now : nextDueAt(change.db) }
}

// ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Queues the jobs whose time has come. */
export function releaseDue(change: Change): number {
  const { db, now } = change
  const due = nextDueAt(db)
  if (due === null || due > now) return 0
  const rows = db.all<{ seq: number; collection: number; attempt: number; version: number }>(
    `update celeriac_jobs set state = 2, due_at = null, version = ${oneMore('version')}
     where seq in (select seq from celeriac_jobs where state = 1 and due_at <= ? order by due_at limit ? + 0)
     returning ${['seq', 'collection', 'attempt', 'version'].map(readable).join(', ')}`,
    now,
    movedPerCall,
  )
  for (const { seq, collection, attempt, version } of rows)
    change.journal.job(state.queued, collection, seq, attempt, version)
  return rows.length
}

export function nextDueAt(db: Database): number | null {
  const first = 'select due_at from celeriac_jobs where state = 1 and due_at is not null order by due_at limit 1'
  return db.get<{ due_at: number }>(first)?.due_at ?? null
}

/** Cancels the jobs that did not start in time; after a gap in time, only once it is sure that the clock is right. */
export function expire(change: Change): number {
  const rows = change.db.all<Ending>(
    `select ${endingColumns} from ${expired} order by expires_at, seq limit ? + 0`,
    change.now,
    movedPerCall,
  )
  return endExpired(change, rows)
}

const expired = 'celeriac_jobs where expires_at <= ? and expires_at is not null and state in (1, 2)'

/** The same by pages, where one of them may fail for itself. */
export const expiredAfter = ({ db, now }: Change, after: number): NamedJob[] =>
  db.all<NamedJob>(`select seq, id from ${expired} and seq > ? order by seq limit ? + 0`, now, after, jobsPerStep)
export function expireThese(change: Change, jobs: readonly NamedJob[]): number {
  const list = `[${jobs.map(({ seq }) => seq).join(',')}]`
  const rows = change.db.all<Ending>(
    `select ${endingColumns} from ${expired} and seq in (select value from json_each(?)) order by expires_at, seq`,
    change.now,
    list,
  )
  return endExpired(change, rows)
}

function endExpired(change: Change, rows: readonly Ending[]): number {
  if (rows.length === 0 || isCalm(change)) return 0
  for (const job of rows) endJob(change, job, { state: state.cancelled, reason: reason.expired, cause: job.seq })
  return rows.length
}

// ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Long arguments are read one by one, as far as they fit (see `fitting`). */
const columns = `seq, collection, attempt, version, role, feeds, scope, depth, id, task, queue,
  iif(octet_length(args) > ${shortResult}, null, args), options, round, failures,
  input, behind, token, created_at, timeout, deadline_at, actor, retention`
type Row = readonly [
  seq: number,
  collection: number,
  attempt: number,
  version: number,
  role: number,
  feeds: number | null,
  scope: number | null,
  depth: number,
  id: string,
  task: string,
  queue: string,
  args: string | null,
  options: string | null,
  round: number,
  failures: number,
  input: string | null,
  behind: number | null,
  token: number | null,
  createdAt: number,
  timeout: number | null,
  deadlineAt: number | null,
  actor: string | null,
  retention: number | null,
]

/** What a claim asked for before already holds: asked again because its answer was lost. */
function takenBefore(change: Change, session: number, { token, limit }: ClaimRequest, tell: Tell): ClaimedJob[] {
  const rows = change.db.lists<Row>(
    `select ${columns} from celeriac_jobs where state = 3 and session = ? and token = ? order by priority desc, collection, seq limit ? + 0`,
    session,
    token,
    limit,
  )
  return fitting(change.db, rows).map((row) =>
    tell(change, row, { token, attempt: row[2], version: row[3], deadlineAt: row[20] }),
  )
}

/** The first of these jobs, with their arguments, as many as one claim may bring. */
function fitting(db: Database, rows: readonly Row[]): Row[] {
  const found: Row[] = []
  let left = argumentsPerClaim
  for (const row of rows) {
    const args =
      row[11] ?? (db.get<{ args: string }>('select args from celeriac_jobs where seq = ?', row[0])?.args as string)
    left -= args.length
    if (left < 0 && found.length > 0) break
    found.push(row[11] === null ? (row.with(11, args) as unknown as Row) : row)
  }
  return found
}

interface Taken {
  readonly jobs: ClaimedJob[]
  /** There were more, which did not fit. */
  readonly isCut: boolean
}

function take(change: Change, session: number, request: ClaimRequest, tell: Tell): Taken {
  const { db, now } = change
  const open = openQueues(db, request.queues)
  const late = isAnyLate(db, now) ? now : null
  const suspects = takeSuspects(db, session, request.limit, (limit) => first(db, open, { crashes: '> 0', late }, limit))
  const candidates = [...suspects, ...first(db, open, { crashes: '= 0', late }, request.limit - suspects.length)]
  const rows = fitting(db, candidates)
  if (rows.length === 0) return { jobs: [], isCut: false }
  db.run(
    // `or fail`: with the usual `abort` SQLite keeps a copy of every page it changes, to undo a statement half done.
    `update or fail celeriac_jobs set state = 3, session = ?, token = ?, attempt = ${oneMore('attempt')}, version = ${oneMore('version')}, started_at = ?,
       deadline_at = ? + min(timeout, ${endlessSpan}), finished_at = null, progress = null
     where seq in (select value from json_each(?))`,
    session,
    request.token,
    now,
    now,
    `[${rows.map(([seq]) => seq).join(',')}]`,
  )
  if (hasUniqueKeys(change)) {
    db.run(
      "delete from celeriac_unique where collection in (select value from json_each(?)) and until = 'started'",
      `[${rows.map(([, collection]) => collection).join(',')}]`,
    )
  }
  readTogether(change, rows)
  const jobs = rows.map((row) => {
    const [seq, collection, attempt, version] = row
    change.journal.job(state.running, collection, seq, attempt + 1, version + 1)
    const deadlineAt = row[19] === null ? null : now + row[19]
    return tell(change, row, { token: request.token, attempt: attempt + 1, version: version + 1, deadlineAt })
  })
  return { jobs, isCut: rows.length < candidates.length }
}

/** What else is to be told of them, in two requests rather than two for each. */
function readTogether(change: Change, rows: readonly Row[]): void {
  readHeaders(
    change,
    rows.flatMap(([seq, collection]) => (collection === seq ? [] : [collection])),
  )
  readShortInputs(
    change,
    rows.flatMap((row) => (row[16] !== null && row[15]?.startsWith('r') ? [row[16]] : [])),
  )
}

/** Jobs whose worker died come first, few at a time, so that it can be told which of them ended it (see engine/recovery.ts). */
function takeSuspects(db: Database, session: number, limit: number, queued: (limit: number) => Row[]): Row[] {
  if (db.get('select 1 from celeriac_jobs where state = 2 and crashes > 0 limit 1') === undefined) return []
  const levels = (where: string, ...values: Value[]): Map<number, number> =>
    new Map(db.lists<[number, number]>(`select seq, crashes from celeriac_jobs where ${where}`, ...values))
  const running = levels('state = 3 and session = ? and crashes > 0', session)
  const rows = queued(Math.min(limit, suspectsTogether))
  const found = levels('seq in (select value from json_each(?))', `[${rows.map(([seq]) => seq).join(',')}]`)
  const inLine = rows.map(([seq]) => found.get(seq) ?? 0)
  return rows.slice(0, suspectsToTake([...running.values()], inLine))
}

interface Open {
  /** Those asked for that are not paused; null where every queue was. */
  readonly wanted: readonly string[] | null
  readonly paused: ReadonlySet<string>
}

/** A call ends only some of those that have expired: what is left must not start. */
const isAnyLate = (db: Database, now: number): boolean =>
  db.get(
    'select 1 from celeriac_jobs where expires_at <= ? and expires_at is not null and state in (1, 2) limit 1',
    now,
  ) !== undefined

function openQueues(db: Database, wanted: readonly string[] | null): Open {
  const paused = pausedQueues(db)
  return { wanted: wanted === null ? null : [...new Set(wanted)].filter((name) => !paused.has(name)), paused }
}

/** The first jobs of these queues, in the order in which they are to run. */
function first(db: Database, { wanted, paused }: Open, which: Which, limit: number): Row[] {
  if (limit <= 0 || wanted?.length === 0) return []
  const only = onlyQueue(db, wanted, which)
  if (only !== null) return paused.has(only) ? [] : firstOfOne<Row>(db, columns, which, { queue: only, limit })
  const numbers = firstOf(db, { wanted, paused, which, limit })
  const rows = db.lists<Row>(
    `select ${columns} from celeriac_jobs where seq in (select value from json_each(?))`,
    `[${numbers.join(',')}]`,
  )
  const place = new Map(numbers.map((number, at) => [number, at]))
  return rows.sort(([one], [other]) => (place.get(one) as number) - (place.get(other) as number))
}

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Begun {
  readonly token: number
  readonly attempt: number
  readonly version: number
  readonly deadlineAt: number | null
}

type Tell = typeof claimed

function claimed(change: Change, row: Row, { token, attempt, version, deadlineAt }: Begun): ClaimedJob {
  const [
    seq,
    collection,
    ,
    ,
    roleOf,
    feeds,
    scope,
    depth,
    id,
    task,
    queue,
    args,
    options,
    round,
    failures,
    input,
    behind,
    ,
    createdAt,
  ] = row
  const about = collection === seq ? null : header(change, collection)
  const actor = about === null ? row[21] : about.actor
  return {
    ref: { seq, collection, attempt, version, role: roleOf, feeds, scope, depth, retention: row[22] } satisfies Ref,
    token,
    id,
    collectionId: about === null ? id : about.id,
    task,
    args: args as string,
    role: roleName(roleOf),
    attempt,
    failures,
    round,
    queue,
    options: readOptions(options),
    actor: actor === null ? null : { id: actor },
    depth,
    createdAt,
    deadlineAt,
    input: input === null ? nothing : readInput(change, { seq, collection, input, behind }),
  }
}
const nothing: ClaimedJob['input'] = { from: 'nothing' }

/** One row that is damaged holds up no other job of the claim. */
function toldCarefully(change: Change, row: Row, begun: Begun): ClaimedJob {
  try {
    return claimed(change, row, begun)
  } catch {
    return { ...claimed(change, row.with(15, null) as unknown as Row, begun), input: { from: 'unreadable' } }
  }
}
