import type { CollectionRecord } from '../../core/collection.ts'
import { collectionStates } from '../../core/collection.ts'
import { sizeOfFailure } from '../../core/failure.ts'
import { jobStates, type JobRecord } from '../../core/job.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { lowerAscii } from '../../core/text.ts'
import { createdMargin, pageBytes, position, sizeOfJob, Window } from '../../engine/listing.ts'
import type { CollectionsQuery, JobsQuery, RecordPage } from '../../engine/inspect.ts'
import type { Requests, Value } from './database.ts'
import { afterColumn, afterIn } from './inspect.ts'
import {
  aloneColumns,
  collectionColumns,
  collectionRecord,
  type CollectionRow,
  isVisible,
  jobColumns,
  jobRecord,
  type JobRow,
  jobTables,
  toldColumns,
  toldTables,
} from './record.ts'

/** Conditions, with $1 and so on counted up from those that are there already. */
class Conditions {
  readonly values: Value[]
  readonly #sql: string[] = []

  constructor(...values: Value[]) {
    this.values = values
  }
  add(sql: (value: string) => string, value: Value): void {
    this.values.push(value)
    this.#sql.push(sql(`$${this.values.length}`))
  }
  get sql(): string {
    return this.#sql.map((sql) => ` and ${sql}`).join('')
  }
}

type Top = readonly [number: number, createdAt: number]

interface Listing<Row, T> {
  /** The newest row below a number. */
  readonly top: (before: number) => Promise<readonly Top[]>
  readonly rowsIn: (from: number, before: number, limit: number) => Promise<Row[]>
  readonly numberOf: (row: Row) => number
  readonly tell: (row: Row) => T
  readonly sizeOf: (item: T) => number
}

/** Reads window after window, newest first, each in a request of its own, until the page is full or there is nothing more. */
async function page<Row, T>(
  query: JobsQuery | CollectionsQuery,
  { top, rowsIn, numberOf, tell, sizeOf }: Listing<Row, T>,
): Promise<RecordPage<T>> {
  const items: T[] = []
  const window = new Window(systemRuntime, { first: 5_000, most: 50_000, milliseconds: 100 })
  let left = pageBytes
  for (let before = query.cursor === undefined ? latest : position(query.cursor); ;) {
    const [newest] = await top(before)
    // A damaged number below all others has nothing below it, and no window that it is in.
    if (newest === undefined || newest[0] < 0) return { items, next: null }
    if (newest[1] < (query.createdFrom ?? 0) - createdMargin) return { items, next: null }
    const wanted = query.limit + 1 - items.length
    const from = Math.max(newest[0] + 1 - window.size, 0)
    const rows = await window.time(() => rowsIn(from, newest[0] + 1, wanted))
    for (const row of rows) {
      if (items.length === query.limit || left < 0) return { items, next: String(before) }
      const item = tell(row)
      items.push(item)
      left -= sizeOf(item)
      before = numberOf(row)
    }
    if (rows.length < wanted) before = from
  }
}
const latest = Number.MAX_SAFE_INTEGER

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export async function jobs(requests: Requests, query: JobsQuery): Promise<RecordPage<JobRecord>> {
  type Row = JobRow & { readonly after: string | null }
  const nothing = { items: [], next: null }
  if (hasNul(query)) return nothing
  const collection = query.collectionId === undefined ? null : await numberOf(requests, query.collectionId)
  if (collection === undefined) return nothing
  return page<Row, JobRecord>(query, {
    top: (before) =>
      collection === null ? requests.lists<Top>(topJob, before) : requests.lists<Top>(topMember, before, collection),
    rowsIn(from, before, limit) {
      const conditions = jobConditions(query, [from, before, limit])
      if (collection !== null) conditions.add(inCollection, collection)
      return requests.all<Row>(
        `select ${jobColumns}, ${afterColumn} from ${jobTables}
         where j.seq >= $1 and j.seq < $2 and c.removed_at is null and ${isVisible}${conditions.sql} order by j.seq desc limit $3`,
        ...conditions.values,
      )
    },
    numberOf: ({ seq }) => seq,
    tell: (row) => jobRecord(row, afterIn(row.after)),
    sizeOf: sizeOfJob,
  })
}

/** PostgreSQL keeps no NUL, so there is none to be found; asking for it would be an error. A cursor with one is refused as any other that is none. */
const hasNul = ({ cursor: _, ...filters }: JobsQuery | CollectionsQuery): boolean =>
  Object.values(filters).some((value) => typeof value === 'string' && value.includes('\0'))

async function numberOf(requests: Requests, id: string): Promise<number | undefined> {
  const [row] = await requests.lists<[number]>(
    `select number from celeriac.collections where id = $1 and removed_at is null
     union all select seq from celeriac.jobs where id = $1 and collection = seq`,
    id,
  )
  return row?.[0]
}

const topJob = 'select seq, created_at from celeriac.jobs where seq < $1 order by seq desc limit 1'
const topMember = `select * from (
    (select seq, created_at from celeriac.jobs where collection = $2 and collection <> seq and seq < $1 order by seq desc limit 1)
    union all (select seq, created_at from celeriac.jobs where seq = $2 and seq < $1)) found
  order by seq desc limit 1`
/** The job that the collection is, if it is one, and the others by their index. */
const inCollection = (number: string): string =>
  `j.seq = any (array(select ${number}::bigint union all
    select seq from celeriac.jobs where collection = ${number} and collection <> seq and seq >= $1 and seq < $2))`

function jobConditions(query: JobsQuery, first: readonly Value[]): Conditions {
  const conditions = new Conditions(...first)
  if (query.states !== undefined)
    conditions.add(
      (codes) => `j.state = any (${codes}::smallint[])`,
      query.states.map((name) => jobStates.indexOf(name)),
    )
  if (query.task !== undefined) conditions.add((pattern) => `j.task like ${pattern}`, likePattern(query.task))
  if (query.queue !== undefined) conditions.add((queue) => `j.queue = ${queue}`, query.queue)
  if (query.actor !== undefined) conditions.add((actor) => `coalesce(c.actor, h.actor) = ${actor}`, query.actor)
  if (query.text !== undefined) conditions.add(mentions, lowerAscii(query.text))
  addLabels(conditions, query, 'j.')
  return conditions
}

/** The letters of "C" are those of ASCII alone. A failure that was followed by success is told no more. */
const mentions = (text: string): string =>
  `(${['j.task', 'j.description', 'j.tags', 'j.args', 'case when j.state <> 4 then j.failure end']
    .map((part) => `strpos(lower(${part} collate "C"), ${text}) > 0`)
    .join(' or ')})`

function addLabels(conditions: Conditions, query: JobsQuery | CollectionsQuery, table: string): void {
  const { tag, createdFrom, createdBefore } = query
  if (tag !== undefined) conditions.add((text) => `${text} = any (celeriac.tags_in(${table}tags))`, tag)
  if (createdFrom !== undefined) conditions.add((at) => `${table}created_at >= ${at}`, createdFrom)
  if (createdBefore !== undefined) conditions.add((at) => `${table}created_at < ${at}`, createdBefore)
}

/** `*` stands for any characters; whatever else LIKE knows stands for itself. LIKE takes time by pattern times text, no more. */
const likePattern = (pattern: string): string => pattern.replace(/[\\%_]/g, '\\$&').replace(/\*+/g, '%')

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export async function collections(requests: Requests, query: CollectionsQuery): Promise<RecordPage<CollectionRecord>> {
  if (hasNul(query)) return { items: [], next: null }
  return page<CollectionRow, CollectionRecord>(query, {
    top: (before) => requests.lists<Top>(topCollection, before),
    rowsIn(from, before, limit) {
      const conditions = new Conditions(from, before, limit)
      if (query.state !== undefined) conditions.add((code) => `state = ${code}`, collectionStates.indexOf(query.state))
      if (query.actor !== undefined) conditions.add((actor) => `actor = ${actor}`, query.actor)
      addLabels(conditions, query, '')
      const part = (columns: string, table: string, number: string): string =>
        `(select * from (select ${columns} from ${table} and ${number} >= $1 and ${number} < $2) one
          where true${conditions.sql} order by number desc limit $3)`
      // First which, each by its own index, then all about them.
      return requests.all<CollectionRow>(
        `select ${toldColumns} from (
           ${part(collectionColumns, 'celeriac.collections where removed_at is null', 'number')}
           union all ${part(aloneColumns, 'celeriac.jobs where collection = seq', 'seq')}
           order by number desc limit $3
         ) n ${toldTables} order by n.number desc`,
        ...conditions.values,
      )
    },
    numberOf: ({ number }) => number,
    tell: collectionRecord,
    sizeOf: ({ failure }) => (failure === null ? 0 : sizeOfFailure(failure)),
  })
}

/** Of any job or collection: which of the jobs are collections themselves is in no index. */
const topCollection = `select * from (
    (select number, created_at from celeriac.collections where number < $1 order by number desc limit 1)
    union all (select seq, created_at from celeriac.jobs where seq < $1 order by seq desc limit 1)) found
  order by number desc limit 1`
