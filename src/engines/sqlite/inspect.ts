import type { CollectionDetail, CollectionRecord, JobCounts } from '../../core/collection.ts'
import { jobsPerTurn, nextTurn } from '../../core/by-pages.ts'
import type { JobDetail, JobRecord } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import { state } from '../../engine/codes.ts'
import { afterLimit, Members } from '../../engine/members.ts'
import { type QueueCount, queueRecords } from '../../engine/queues.ts'
import { type CollectionColumns, collectionIn, collectionRecordOf, tallyOf, tallyOfJobs } from '../../engine/records.ts'
import type { Database } from './database.ts'
import { cursorNow } from './feed.ts'
import type { FoundFailure } from '../../engine/failures.ts'
import { countJobs, failureOf, resultOf, resultsAt, wholeBudget } from './gather.ts'
import { noHistory } from '../../engine/records.ts'
import { jobColumns, jobRecord, type JobRow, jobTables, readHistory } from './record.ts'
import { pausedQueues } from './line.ts'
import { isVisible } from './submit.ts'

/** The jobs of a collection are read so many at a time: as many as are told in one turn of the event loop. */
const rowsAtOnce = jobsPerTurn

export function job(db: Database, id: string, withHistory: boolean): (JobDetail & { cursor: string }) | null {
  const row = db.get<JobRow & { readonly has_all_arguments: number }>(
    `select ${jobColumns}, j.result, j.input is null and j.options ->> 'chunked' is null as has_all_arguments
     from ${jobTables} where j.id = ? and c.removed_at is null and ${isVisible}`,
    id,
  )
  if (row === undefined) return null
  const result = row.state === state.succeeded ? resultOf(db, row, wholeBudget()) : null
  return {
    ...jobRecord(db, row, afterOf(db, row.behind)),
    hasAllArguments: row.has_all_arguments === 1,
    result,
    ...(withHistory ? readHistory(db, row) : noHistory),
    cursor: cursorNow(db),
  }
}

/** The ids of the jobs at a barrier. */
export function afterOf(db: Database, barrier: number | null): string[] {
  if (barrier === null) return []
  const rows = db.all<{ id: string }>(
    `with recursive inner_barriers (number) as (
       select ?1 union all select b.number from celeriac_barriers b join inner_barriers i on b.feeds = i.number)
     select id from celeriac_jobs where feeds in (select number from inner_barriers) and archived is null order by seq limit ?2`,
    barrier,
    afterLimit,
  )
  return rows.map(({ id }) => id)
}

interface Store {
  /** Throws CLOSED once the store is. */
  readonly ready: () => Promise<Database>
  readonly runtime: Runtime
}

/**
 * Of many jobs some are read in each turn of the event loop, by reads of their own: the state and the cursor are of the instant before
 * any of them, so whoever goes on from there is told again of what changed meanwhile.
 */
export async function collection(
  { ready, runtime }: Store,
  id: string,
  withJobs: boolean,
): Promise<CollectionDetail | null> {
  const db = await ready()
  const begun = await db.read(() => {
    const row = findCollection(db, id)
    if (row === undefined) return null
    const record = collectionRecord(db, row)
    const members = new Members()
    const last = withJobs ? addMembers(db, row, members, row.number - 1) : null
    const detail = { ...record, cursor: cursorNow(db), shape: row.shape, result: collectionResult(db, row, record) }
    return { row, detail, members, last, jobs: last === null ? listOf(db, row, members) : null }
  })
  if (begun === null) return null
  const { row, detail, members, jobs } = begun
  if (jobs !== null) return { ...detail, jobs }
  for (let { last } = begun; last !== null;) {
    await nextTurn(runtime)
    await ready()
    const from = last
    last = await db.read(() => addMembers(db, row, members, from))
  }
  return db.read(() => {
    const jobs = listOf(db, row, members)
    const tally = tallyOfJobs(jobs)
    return { ...detail, ...collectionRecordOf(collectionIn(row), tally, failureIn(db, row, tally.counts)), jobs }
  })
}

export interface CollectionRow extends CollectionColumns {
  readonly alone: number
}
export const collectionColumns =
  'number, id, 0 as alone, state, round, exit, shape, created_at, settled_at, cancelled_at, description, actor, tags, callback_url, callback_results'
/** A job alone, told as a collection of one: its states map onto a collection's. */
export const aloneColumns = `seq as number, id, 1 as alone, iif(state < 4, 0, min(state - 3, 3)) as state, round, null as exit, '0' as shape, created_at,
  iif(state < 4, null, finished_at) as settled_at, iif(state < 4 or state = 6, marked_at, null) as cancelled_at, description, actor, tags, null as callback_url, null as callback_results`

function findCollection(db: Database, id: string): CollectionRow | undefined {
  return (
    db.get<CollectionRow>(
      `select ${collectionColumns} from celeriac_collections where id = ? and removed_at is null`,
      id,
    ) ?? db.get<CollectionRow>(`select ${aloneColumns} from celeriac_jobs where id = ? and collection = seq`, id)
  )
}

export function collectionRecord(db: Database, row: CollectionRow): CollectionRecord {
  const tally = tallyOf([
    ...countJobs(db, 'collection = ? and collection <> seq', row.number),
    ...(row.alone === 0 ? [] : countJobs(db, 'seq = ?', row.number)),
  ])
  return collectionRecordOf(collectionIn(row), tally, failureIn(db, row, tally.counts))
}

/** The failure that came first; none while everything goes well. */
function failureIn(db: Database, row: CollectionRow, counts: JobCounts): FoundFailure | null {
  if (row.state === 1 || counts.failed + counts.cancelled === 0) return null
  const barrier =
    row.exit === null
      ? undefined
      : db.get<{ cause: number | null }>('select cause from celeriac_barriers where number = ?', row.exit)
  const cause = barrier?.cause ?? firstUnlucky(db, row.number)
  return cause === null ? null : failureOf(db, cause)
}

function firstUnlucky(db: Database, number: number): number | null {
  const own = db.get<{ cause: number | null }>(
    'select cause from celeriac_jobs where seq = ? and collection = seq and state in (5, 6)',
    number,
  )
  if (own !== undefined) return own.cause
  const first = db.get<{ cause: number | null }>(
    `select cause from celeriac_jobs where collection = ? and collection <> seq and role = 0 and state in (5, 6) and archived is null
     order by finished_at, seq limit 1`,
    number,
  )
  return first?.cause ?? null
}

function collectionResult(db: Database, row: CollectionRow, record: CollectionRecord): CollectionDetail['result'] {
  if (record.state !== 'succeeded') return null
  if (row.exit !== null) return { shape: row.shape, barrier: row.exit, results: resultsAt(db, row.exit, wholeBudget()) }
  const own = db.get<JobRow>('select result, continuation, shape from celeriac_jobs where seq = ?', row.number)
  return own === undefined ? null : resultOf(db, own, wholeBudget())
}

/** Nobody is null; what is not stored is left out. */
export function actorsOf(db: Database, ids: readonly string[]): Map<string, string | null> {
  const rows = db.lists<readonly [id: string, actor: string | null]>(
    `select id, actor from celeriac_collections where removed_at is null and id in (select value from json_each(?1))
     union all select id, actor from celeriac_jobs where collection = seq and id in (select value from json_each(?1))`,
    JSON.stringify(ids),
  )
  return new Map(rows)
}

// ── the jobs of a collection ─────────────────────────────────────────────────────────────────────────────────────

const membersSql = `select ${jobColumns} from ${jobTables}
  where j.collection = ? and j.collection <> j.seq and j.archived is null and ${isVisible} and j.seq > ? order by j.seq limit ? + 0`

/**
 * Adds the jobs behind a number, so many that others need not wait long. Gives the number to go on behind; null when none is left.
 *
 * @param after the job before them; less than the collection's own number: none
 */
function addMembers(db: Database, { number, alone }: CollectionRow, members: Members, after: number): number | null {
  const add = (row: JobRow): void => members.add(jobRecord(db, row, []), row.behind, row.feeds)
  if (alone === 1 && after < number)
    db.all<JobRow>(`select ${jobColumns} from ${jobTables} where j.seq = ?`, number).forEach(add)
  const rows = db.all<JobRow>(membersSql, number, Math.max(after, number), rowsAtOnce)
  rows.forEach(add)
  return rows.length < rowsAtOnce ? null : (rows.at(-1) as JobRow).seq
}

function listOf(db: Database, { number }: CollectionRow, members: Members): JobRecord[] {
  const outer = new Map(
    db.lists<[number: number, feeds: number | null]>(
      'select number, feeds from celeriac_barriers where collection = ?',
      number,
    ),
  )
  return members.list((barrier) => outer.get(barrier) ?? null)
}

// ── queues and workers ───────────────────────────────────────────────────────────────────────────────────────────

export function queues(db: Database): QueueRecord[] {
  const counts = db.lists<QueueCount>(
    `select queue, 2, count(*) from celeriac_jobs where state = 2 and crashes = 0 group by queue
     union all select queue, 2, count(*) from celeriac_jobs where state = 2 and crashes > 0 group by queue
     union all select queue, 3, count(*) from celeriac_jobs where state = 3 group by queue
     union all select queue, 1, count(*) from celeriac_jobs where state = 1 group by queue
     union all select queue, 0, count(*) from celeriac_jobs j where state = 0 and archived is null and ${isVisible} group by queue`,
  )
  return queueRecords(pausedQueues(db), counts)
}

interface SessionRow {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly pid: number
  readonly queues: string | null
  readonly concurrency: number
  readonly started_at: number
  readonly seen_at: number
  readonly expires_at: number
  readonly ended_at: number | null
  readonly lost: number
  readonly running: number
}

export function workers(db: Database, now: number): WorkerRecord[] {
  const rows = db.all<SessionRow>(
    `select *, (select count(*) from celeriac_jobs where state = 3 and session = s.number) as running from celeriac_sessions s
     where ended_at is null or ended_at > ? order by number desc`,
    now - 24 * 60 * 60_000,
  )
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    host: row.host,
    pid: row.pid,
    concurrency: row.concurrency,
    queues: row.queues === null ? null : (JSON.parse(row.queues) as string[]),
    state:
      row.lost === 1 || (row.ended_at === null && row.expires_at <= now)
        ? 'lost'
        : row.ended_at === null
          ? 'running'
          : 'ended',
    startedAt: row.started_at,
    seenAt: row.seen_at,
    runningCount: row.running,
  }))
}
