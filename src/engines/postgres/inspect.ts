import type { CollectionDetail } from '../../core/collection.ts'
import { byPages } from '../../core/by-pages.ts'
import type { JobDetail, JobRecord, StoredResult } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import { inlineLimit, resultsPerPage } from '../../engine/limits.ts'
import { hot, runningOf } from './change.ts'
import { state } from '../../engine/codes.ts'
import { afterLimit, Members } from '../../engine/members.ts'
import { type QueueCount, queueRecords } from '../../engine/queues.ts'
import { noHistory } from '../../engine/records.ts'
import { readStored } from '../../engine/stored.ts'
import type { Database, Requests } from './database.ts'
import {
  aloneColumns,
  collectionColumns,
  collectionRecord,
  type CollectionRow,
  historyColumns,
  historyIn,
  isVisible,
  jobColumns,
  jobRecord,
  type JobRow,
  jobTables,
  memberColumns,
  type MemberRow,
  memberTables,
  toldColumns,
  toldTables,
} from './record.ts'
import { resultsIn } from './results.ts'

// ── a job ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The ids of the jobs at the barrier that the job `j` stands behind, as JSON. */
export const afterColumn = `
  case when j.behind is not null then (
    with recursive inner_barriers (number) as (
      select j.behind union all select b.number from celeriac.barriers b join inner_barriers i on b.feeds = i.number)
    select json_agg(id order by seq) from (
      select id, seq from celeriac.jobs where feeds = any (array(select number from inner_barriers)) and archived is null
      order by seq limit ${afterLimit}) inputs)::text end as after`
export const afterIn = (text: string | null): string[] => (text === null ? [] : (JSON.parse(text) as string[]))

/** The result of the job `j`; that of one which continued as a canvas is found at the end of that. */
const resultColumns = `
  case when j.state = 4 then j.result end as result, j.shape,
  case when j.state = 4 and j.continuation is not null then celeriac.results_at(j.continuation, ${inlineLimit}, ${resultsPerPage}) end as results`

interface WholeJobRow extends JobRow {
  readonly has_all_arguments: boolean
  readonly after: string | null
  readonly attempts?: string | null
  readonly log?: string | null
  readonly result: string | null
  readonly shape: string | null
  readonly results: string | null
  readonly cursor: string
}

export async function job(
  requests: Requests,
  id: string,
  withHistory: boolean,
): Promise<(JobDetail & { cursor: string }) | null> {
  const row = await requests.get<WholeJobRow>(
    `select ${jobColumns}, ${afterColumn}, ${resultColumns},
       j.input is null and j.options::json ->> 'chunked' is null as has_all_arguments,
       celeriac.feed_cursor() as cursor${withHistory ? `, ${historyColumns}` : ''}
     from ${jobTables} where j.id = $1 and c.removed_at is null and ${isVisible}`,
    id,
  )
  if (row === undefined) return null
  return {
    ...jobRecord(row, afterIn(row.after)),
    hasAllArguments: row.has_all_arguments,
    result: row.state === state.succeeded ? resultIn(row) : null,
    ...(withHistory ? historyIn(row, row) : noHistory),
    cursor: row.cursor,
  }
}

function resultIn({
  result,
  continuation,
  shape,
  results,
}: Pick<WholeJobRow, 'result' | 'continuation' | 'shape' | 'results'>): StoredResult {
  if (continuation === null) return { json: result }
  return { shape: shape ?? '0', barrier: continuation, results: resultsIn(continuation, results) }
}

// ── a collection ─────────────────────────────────────────────────────────────────────────────────────────────────

interface WholeCollectionRow extends CollectionRow {
  readonly cursor: string
  readonly result: string | null
  readonly continuation: number | null
  readonly own_shape: string | null
  readonly results: string | null
}

const whole = `
select ${toldColumns}, celeriac.feed_cursor() as cursor, o.result, o.continuation, o.shape as own_shape,
  case when n.state = 1 and coalesce(n.exit, o.continuation) is not null
    then celeriac.results_at(coalesce(n.exit, o.continuation), ${inlineLimit}, ${resultsPerPage}) end as results
from (
  select ${collectionColumns} from celeriac.collections where id = $1 and removed_at is null
  union all select ${aloneColumns} from celeriac.jobs where id = $1 and collection = seq
) n ${toldTables}
left join celeriac.jobs o on n.alone and n.state = 1 and o.seq = n.number
limit 1`

export async function collection(
  db: Database,
  runtime: Runtime,
  id: string,
  withJobs: boolean,
): Promise<CollectionDetail | null> {
  if (!withJobs) return detail(await db.get<WholeCollectionRow>(whole, id), [])
  const found = await db.read(async (requests) => {
    const row = await requests.get<WholeCollectionRow>(whole, id)
    return row && { row, read: await readMembers(requests, row) }
  })
  return found === undefined ? null : detail(found.row, await membersOf(runtime, found.row, found.read))
}

function detail(row: WholeCollectionRow | undefined, jobs: readonly JobRecord[]): CollectionDetail | null {
  if (row === undefined) return null
  return { ...collectionRecord(row), jobs, cursor: row.cursor, shape: row.shape, result: collectionResult(row) }
}

function collectionResult(row: WholeCollectionRow): CollectionDetail['result'] {
  if (row.state !== 1) return null
  if (row.exit === null) return resultIn({ ...row, shape: row.own_shape })
  return { shape: row.shape, barrier: row.exit, results: resultsIn(row.exit, row.results) }
}

/** Nobody is null; what is not stored is left out. */
export async function actorsOf(requests: Requests, ids: readonly string[]): Promise<Map<string, string | null>> {
  const rows = await requests.lists<readonly [id: string, actor: string | null]>(
    `select id, actor from celeriac.collections where removed_at is null and id = any ($1::text[])
     union all select id, actor from celeriac.jobs where collection = seq and id = any ($1::text[])`,
    ids,
  )
  return new Map(rows)
}

interface ReadMembers {
  readonly jobs: readonly MemberRow[]
  /** By the number of a barrier, the one that it feeds. */
  readonly outer: ReadonlyMap<number, number | null>
}

async function readMembers(requests: Requests, { number, alone, cancelled_at }: CollectionRow): Promise<ReadMembers> {
  const told = `select ${memberColumns} from ${memberTables}`
  const all = `${told} where j.collection = $1 and j.collection <> j.seq and j.archived is null and ${isVisible}`
  const jobs = await requests.all<MemberRow>(
    alone ? `${all} union all ${told} where j.seq = $1 order by seq` : `${all} order by j.seq`,
    number,
    alone ? null : cancelled_at,
  )
  const outer = new Map(
    await requests.lists<[number: number, feeds: number | null]>(
      'select number, feeds from celeriac.barriers where collection = $1',
      number,
    ),
  )
  return { jobs, outer }
}

/** Once they are read, and nobody else is kept from the connection. */
async function membersOf(
  runtime: Runtime,
  { id, actor }: CollectionRow,
  { jobs, outer }: ReadMembers,
): Promise<JobRecord[]> {
  const members = new Members()
  for await (const page of byPages(runtime, jobs)) {
    for (const row of page) {
      const job = jobRecord(Object.assign(row, { collection_id: id, actor }), [])
      members.add(row.is_over ? { ...job, shortened: true } : job, row.behind, row.feeds)
    }
  }
  return members.list((barrier) => outer.get(barrier) ?? null)
}

// ── queues and workers ───────────────────────────────────────────────────────────────────────────────────────────

/** Each state is counted where its jobs are found. */
const counted = `
  select queue, 2 as state, count(*) from celeriac.ready group by queue
  union all select queue, 2, count(*) from celeriac.suspects group by queue
  union all select j.queue, 3, count(*) from celeriac.claims k cross join ${runningOf} group by j.queue
  union all select queue, 1, count(*) from celeriac.jobs where due_at is not null and state = 1 group by queue
  union all select queue, 0, count from celeriac.count_waiting()`

const isWaiting = `j.state = 0 and j.archived is null and ${isVisible}`

/**
 * What waits stands in no index, for one that a settlement changed would cost every job. But where anything waits there is a
 * job of the same collection that it waits for, queued, running or scheduled, or something that is left to do: so only what
 * is not over yet is gone through, and nothing of what is.
 */
export const inspectFunctions = `
create or replace function celeriac.count_waiting() returns table (queue text, count bigint) language plpgsql stable ${hot} as $$
#variable_conflict use_column
begin
  return query
  with going as materialized (
    select collection from celeriac.ready where collection <> seq
    union select collection from celeriac.suspects where collection <> seq
    union select j.collection from celeriac.claims k cross join ${runningOf}
      where j.collection <> j.seq
    union select collection from celeriac.jobs where due_at is not null and collection <> seq
    union select collection from celeriac.work
  )
  select w.queue, count(*) from going g cross join lateral (
    select j.queue from celeriac.jobs j where j.collection = g.collection and j.collection <> j.seq and ${isWaiting}
    -- A job alone that continued as a canvas waits for its end.
    union all select j.queue from celeriac.jobs j where j.seq = g.collection and ${isWaiting}
  ) w group by w.queue;
end $$;
`

export async function queues(requests: Requests): Promise<QueueRecord[]> {
  const rows = await requests.lists<readonly [queue: string, state: number | null, count: number]>(
    `select name, null::integer, 0 from celeriac.queues where paused = 1 union all ${counted}`,
  )
  return queueRecords(
    rows.flatMap(([name, code]) => (code === null ? [name] : [])),
    rows.filter((row): row is QueueCount & typeof row => row[1] !== null),
  )
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
  readonly is_over: boolean
  readonly is_lost: boolean
  readonly running: number
}

export async function workers(db: Database): Promise<WorkerRecord[]> {
  const rows = await db.all<SessionRow>(
    `select s.id, s.name, s.host, s.pid, s.queues, s.concurrency, s.started_at, s.seen_at, s.ended_at is not null as is_over,
       s.lost = 1 or (s.ended_at is null and s.expires_at <= n.now) as is_lost,
       (select count(*) from celeriac.claims k cross join ${runningOf}
        where k.session = s.number) as running
     from (select celeriac.instant($1) as now offset 0) n join celeriac.sessions s on s.ended_at is null or s.ended_at > n.now - 86400000
     order by s.number desc`,
    db.now(),
  )
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    host: row.host,
    pid: row.pid,
    concurrency: row.concurrency,
    queues: readStored<string[] | null>(row.queues, null),
    state: row.is_lost ? 'lost' : row.is_over ? 'ended' : 'running',
    startedAt: row.started_at,
    seenAt: row.seen_at,
    runningCount: row.running,
  }))
}
