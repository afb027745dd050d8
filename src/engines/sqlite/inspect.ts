import type { CollectionDetail, CollectionRecord, JobCounts } from '../../core/collection.ts'
import { jobsPerTurn, nextTurn } from '../../core/by-pages.ts'
import type { JobDetail, JobRecord } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import { state } from '../../engine/codes.ts'
import { afterLimit, Members } from '../../engine/members.ts'
import { type QueueCount, queueRecords } from '../../engine/queues.ts'
import {
  type CollectionColumns,
  collectionIn,
  collectionRecordOf,
  type Counted,
  type Tally,
  tallyOf,
  tallyOfJobs,
} from '../../engine/records.ts'
import type { Database } from './database.ts'
import { cursorNow } from './feed.ts'
import type { FoundFailure } from '../../engine/failures.ts'
import { countJobs, failureOf, resultOf, resultsAt, wholeBudget } from './gather.ts'
import { noHistory } from '../../engine/records.ts'
import { readStored } from '../../engine/stored.ts'
import { jobColumns, jobRecord, type JobRow, jobTables, readHistory } from './record.ts'
import { pausedQueues } from './line.ts'
import { isVisible } from './submit.ts'

/** What it takes to look through a store some rows at a time. */
export interface Lister {
  /** Throws CLOSED once the store is. */
  readonly ready: () => Promise<Database>
  readonly runtime: Pick<Runtime, 'elapsed' | 'soon'>
}

/** The jobs of a collection are read so many at a time. */
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

/**
 * A collection may have 100,000 jobs, which take longer than other things of this thread should wait. Those of a large one are gone
 * through some at a time, after its state and the cursor were read: whoever goes on from there is told of what changed meanwhile again.
 */
export async function collection(
  lister: Lister,
  id: string,
  { jobs: withJobs = true, counts: withCounts = true }: { readonly jobs?: boolean; readonly counts?: boolean },
): Promise<CollectionDetail | null> {
  const db = await lister.ready()
  const found = await db.read(() => {
    const row = findCollection(db, id)
    if (row === undefined) return null
    const jobs = withJobs ? new Gathered(db, row) : null
    const record = withJobs || withCounts ? recordIn(db, row, { left: countedTogether }) : uncounted(db, row)
    if (record !== null) jobs?.read(Infinity)
    return { row, jobs, record, cursor: cursorNow(db), result: collectionResult(db, row) }
  })
  if (found === null) return null
  const { row, jobs, cursor, result } = found
  while (jobs?.isLeft === true) await inTurn(lister, () => jobs.read(rowsAtOnce))
  const list = jobs?.list() ?? []
  // Jobs read in several transactions are counted as they were read: counted apart, they would be of other instants.
  const told = found.record === null && withJobs ? tallyOfJobs(list) : null
  const record = found.record ?? (await countLarge(lister, row, told))
  return { ...record, jobs: list, cursor, shape: row.shape, result }
}

/** Reads in a turn of the event loop of its own. */
async function inTurn<T>({ ready, runtime }: Lister, body: (db: Database) => T): Promise<T> {
  await nextTurn(runtime)
  const db = await ready()
  return db.read(() => body(db))
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

/** So many jobs are counted together, those of several collections where a page tells of several. */
export const countedTogether = 2_000
/** Those of larger ones so many at a time: some milliseconds. */
const countedAtOnce = 5_000

interface Counts {
  readonly counted: readonly Counted[]
  /** Who failed or was cancelled first among them. */
  readonly unlucky: Unlucky | null
  /** Behind which to go on; null where there are no more. */
  readonly next: number | null
}
interface Unlucky {
  readonly cause: number | null
  readonly at: number
}

const between = 'collection = ? and collection <> seq and seq > ? and seq <= ?'
const firstUnlucky = `select cause, finished_at as at from celeriac_jobs
  where ${between} and role = 0 and state in (5, 6) and archived is null order by finished_at, seq limit 1`

/** The jobs of a collection behind a number, at most so many. A job alone comes before what it continued as. */
function countPage(db: Database, { number, alone }: CollectionRow, after: number, limit: number): Counts {
  const page = db.get<{ count: number; last: number | null }>(
    `select count(*) as count, max(seq) as last from (
       select seq from celeriac_jobs where collection = ? and collection <> seq and seq > ? order by seq limit ? + 0)`,
    number,
    after,
    limit,
  )
  const last = page?.last ?? after
  const own = alone === 1 && after < number ? countJobs(db, 'seq = ?', number) : []
  const counted = [...own, ...countJobs(db, between, number, after, last)]
  const isUnlucky = counted.some(([code]) => code === state.failed || code === state.cancelled)
  const unlucky = isUnlucky ? db.get<Unlucky>(firstUnlucky, number, after, last) : undefined
  return {
    counted,
    unlucky: unlucky ?? null,
    next: page === undefined || page.count < limit ? null : last,
  }
}

/** Null where its jobs are more than there is room for: then `countLarge` tells of it. */
export function recordIn(db: Database, row: CollectionRow, room: { left: number }): CollectionRecord | null {
  const { counted, unlucky, next } = countPage(db, row, 0, Math.max(room.left, 1))
  if (next !== null) return null
  const tally = tallyOf(counted)
  room.left -= counted.reduce((sum, [, , count]) => sum + count, 0)
  return recordOf(db, row, tally, unlucky)
}

/** @param told the tally of its jobs, where they have been read */
export async function countLarge(
  lister: Lister,
  row: CollectionRow,
  told: Tally | null = null,
): Promise<CollectionRecord> {
  const counted: Counted[] = []
  let first: Unlucky | null = null
  for (let after: number | null = 0; after !== null;) {
    const from: number = after
    const page: Counts = await inTurn(lister, (db) => countPage(db, row, from, countedAtOnce))
    counted.push(...page.counted)
    if (page.unlucky !== null && (first === null || page.unlucky.at < first.at)) first = page.unlucky
    after = page.next
  }
  return inTurn(lister, (db) => recordOf(db, row, told ?? tallyOf(counted), first))
}

const recordOf = (db: Database, row: CollectionRow, tally: Tally, unlucky: Unlucky | null): CollectionRecord =>
  collectionRecordOf(collectionIn(row), tally, failureIn(db, row, tally.counts, unlucky))

/** Without its counts. A failure is told of one that is over all the same. */
function uncounted(db: Database, row: CollectionRow): CollectionRecord | null {
  if (row.state === 2 || row.state === 3) return recordIn(db, row, { left: countedTogether })
  return collectionRecordOf(collectionIn(row), tallyOf([]), null)
}

/** The failure that came first; none while everything goes well. */
function failureIn(db: Database, row: CollectionRow, counts: JobCounts, unlucky: Unlucky | null): FoundFailure | null {
  if (row.state === 1 || counts.failed + counts.cancelled === 0) return null
  const barrier =
    row.exit === null
      ? undefined
      : db.get<Pick<Unlucky, 'cause'>>('select cause from celeriac_barriers where number = ?', row.exit)
  const own = db.get<Pick<Unlucky, 'cause'>>(
    'select cause from celeriac_jobs where seq = ? and collection = seq and state in (5, 6)',
    row.number,
  )
  const cause = barrier?.cause ?? (own ?? unlucky)?.cause ?? null
  return cause === null ? null : failureOf(db, cause)
}

function collectionResult(db: Database, row: CollectionRow): CollectionDetail['result'] {
  if (row.state !== 1) return null
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

/** The jobs of a collection as a snapshot has them, read some at a time. Of what is too large for a snapshot no more than that is in memory. */
class Gathered {
  readonly #db: Database
  readonly #row: CollectionRow
  readonly #members = new Members()
  readonly #outer = new Map<number, number>()
  #lastJob: number | null
  #lastBarrier: number | null = 0

  constructor(db: Database, row: CollectionRow) {
    this.#db = db
    this.#row = row
    this.#lastJob = row.number - 1
  }

  get isLeft(): boolean {
    return this.#lastJob !== null || this.#lastBarrier !== null
  }

  /** Reads about so many more jobs and barriers: of a small collection all at once. */
  read(most: number): void {
    let rows = 0
    while (this.isLeft && rows < most) rows += this.#lastJob === null ? this.#readBarriers() : this.#readJobs()
  }

  list(): JobRecord[] {
    return this.#members.list((barrier) => this.#outer.get(barrier) ?? null)
  }

  #readJobs(): number {
    const db = this.#db
    const { number, alone } = this.#row
    const after = this.#lastJob as number
    const add = (row: JobRow): void => this.#members.add(jobRecord(db, row, []), row.behind, row.feeds)
    if (alone === 1 && after < number)
      db.all<JobRow>(`select ${jobColumns} from ${jobTables} where j.seq = ?`, number).forEach(add)
    const rows = db.all<JobRow>(
      `select ${jobColumns} from ${jobTables}
       where j.collection = ? and j.collection <> j.seq and j.archived is null and ${isVisible} and j.seq > ? order by j.seq limit ? + 0`,
      number,
      after,
      rowsAtOnce,
    )
    rows.forEach(add)
    this.#lastJob = rows.length < rowsAtOnce ? null : (rows.at(-1) as JobRow).seq
    return rowsAtOnce
  }

  #readBarriers(): number {
    const rows = this.#db.lists<readonly [number: number, feeds: number | null]>(
      'select number, feeds from celeriac_barriers where collection = ? and number > ? order by number limit ? + 0',
      this.#row.number,
      this.#lastBarrier,
      countedTogether,
    )
    for (const [number, feeds] of rows) if (feeds !== null) this.#outer.set(number, feeds)
    this.#lastBarrier = rows.length < countedTogether ? null : (rows.at(-1)?.[0] ?? null)
    return rows.length
  }
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
    queues: readStored<string[] | null>(row.queues, null),
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
