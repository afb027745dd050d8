import { nextTurn } from '../../core/by-pages.ts'
import type { CollectionRecord } from '../../core/collection.ts'
import { collectionStates } from '../../core/collection.ts'
import { sizeOfFailure } from '../../core/failure.ts'
import { jobStates, type JobRecord } from '../../core/job.ts'
import { lowerAscii } from '../../core/text.ts'
import type { CollectionsQuery, JobsQuery, RecordPage } from '../../engine/inspect.ts'
import { createdMargin, pageBytes, position, sizeOfJob, Window } from '../../engine/listing.ts'
import type { Database, Value } from './database.ts'
import {
  afterOf,
  aloneColumns,
  collectionColumns,
  type CollectionRow,
  countedTogether,
  countLarge,
  type Lister,
  recordIn,
} from './inspect.ts'
import { jobColumns, jobRecord, type JobRow, jobTables } from './record.ts'
import { isVisible } from './submit.ts'

type Condition = readonly [sql: string, ...values: Value[]]
const joined = (conditions: readonly Condition[]): string => conditions.map(([sql]) => sql).join(' and ')
const valuesOf = (conditions: readonly Condition[]): Value[] => conditions.flatMap(([, ...values]) => values)

/** The newest row below a number. */
interface Top {
  readonly number: number
  readonly createdAt: number
}

interface Listing<Row, T> {
  readonly top: (before: number) => Top | undefined
  readonly rowsIn: (from: number, before: number, limit: number) => Row[]
  /** Where to begin at the earliest, for the texts of what is looked through not to be too much. */
  readonly notBefore?: (from: number, before: number) => number
  readonly numberOf: (row: Row) => number
  /** In the transaction that found the rows; null where it takes too long for that. */
  readonly tell: (row: Row, room: { left: number }) => T | null
  readonly tellLarge?: (row: Row) => Promise<T>
  readonly sizeOf: (item: T) => number
}

/** Reads window after window, newest first, until the page is full or there is nothing more. */
async function page<Row, T>(
  { ready, runtime }: Lister,
  query: JobsQuery | CollectionsQuery,
  { top, rowsIn, notBefore, numberOf, tell, tellLarge, sizeOf }: Listing<Row, T>,
): Promise<RecordPage<T>> {
  const items: T[] = []
  const window = new Window(runtime, { first: 1_000, most: 20_000, milliseconds: 10 })
  let left = pageBytes
  for (let before = query.cursor === undefined ? Infinity : position(query.cursor); ;) {
    const wanted = query.limit + 1 - items.length
    const db = await ready()
    const found = await window.time(() =>
      db.read(() => {
        const newest = top(Math.min(before, latest))
        // A damaged number below all others has nothing below it, and no window that it is in.
        if (newest === undefined || newest.number < 0) return null
        if (newest.createdAt < (query.createdFrom ?? 0) - createdMargin) return null
        const [earliest, end] = [Math.max(newest.number + 1 - window.size, 0), newest.number + 1]
        const from = notBefore?.(earliest, end) ?? earliest
        const rows = rowsIn(from, end, wanted)
        const room = { left: countedTogether }
        return { from, rows: rows.map((row) => ({ row, told: tell(row, room) })) }
      }),
    )
    if (found === null) return { items, next: null }
    for (const { row, told } of found.rows) {
      if (items.length === query.limit || left < 0) return { items, next: String(before) }
      const item = told ?? ((await tellLarge?.(row)) as T)
      items.push(item)
      left -= sizeOf(item)
      before = numberOf(row)
    }
    if (found.rows.length < wanted) before = found.from
    // This thread has other things to do, too.
    await nextTurn(runtime)
  }
}
const latest = Number.MAX_SAFE_INTEGER

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export async function jobs(lister: Lister, query: JobsQuery): Promise<RecordPage<JobRecord>> {
  const db = await lister.ready()
  const collection = query.collectionId === undefined ? null : await db.read(() => numberOf(db, query.collectionId!))
  if (collection === undefined) return { items: [], next: null }
  const conditions = jobConditions(query)
  const [sql, values] = [jobsSql(collection === null ? '' : inCollection, conditions), valuesOf(conditions)]
  return page<JobRow, JobRecord>(lister, query, {
    top: (before) =>
      collection === null
        ? db.get<Top>(topJob, before)
        : db.get<Top>(topMember, collection, before, collection, before),
    rowsIn(from, before, limit) {
      const which = collection === null ? [] : [collection, collection, from, before]
      return db.all<JobRow>(sql, from, before, ...which, ...values, limit)
    },
    ...(query.text !== undefined && {
      notBefore: (from, before) => db.get<{ first: number }>(firstSearched, from, before)?.first ?? from,
    }),
    numberOf: ({ seq }) => seq,
    tell: (row) => jobRecord(db, row, afterOf(db, row.behind)),
    sizeOf: sizeOfJob,
  })
}

const numberOf = (db: Database, id: string): number | undefined =>
  db.get<{ number: number }>(
    `select number from celeriac_collections where id = ?1 and removed_at is null
     union all select seq from celeriac_jobs where id = ?1 and collection = seq`,
    id,
  )?.number

const jobsSql = (which: string, conditions: readonly Condition[]): string =>
  `select ${jobColumns} from ${jobTables} where j.seq >= ? and j.seq < ? ${which} and ${joined(conditions)} order by j.seq desc limit ? + 0`
/** The job that the collection is, if it is one, and the others by their index. */
const inCollection = `and j.seq in (
  select ? union all select seq from celeriac_jobs where collection = ? and collection <> seq and seq >= ? and seq < ?)`

/** A search reads every letter, which takes some ten milliseconds for each million. Their lengths are known without reading them. */
const searchedAtOnce = 1024 * 1024
const firstSearched = `
  select min(seq) as first from (
    select seq, sum(octet_length(args) + coalesce(octet_length(failure), 0))
      over (order by seq desc rows between unbounded preceding and 1 preceding) as newer
    from celeriac_jobs where seq >= ? and seq < ?)
  where newer is null or newer < ${searchedAtOnce}`

const topJob =
  'select seq as number, created_at as createdAt from celeriac_jobs where seq < ? order by seq desc limit 1'
const topMember = `select * from (
    select * from (select seq as number, created_at as createdAt from celeriac_jobs
      where collection = ? and collection <> seq and seq < ? order by seq desc limit 1)
    union all select seq, created_at from celeriac_jobs where seq = ? and seq < ?)
  order by number desc limit 1`

const hasTag = (tags: string): string =>
  `exists (select 1 from json_each(iif(json_valid(${tags}), ${tags}, '[]')) where value = ?)`

function jobConditions(query: JobsQuery): Condition[] {
  const conditions: Condition[] = [[`c.removed_at is null and ${isVisible}`]]
  if (query.states !== undefined)
    conditions.push([
      'j.state in (select value from json_each(?))',
      JSON.stringify(query.states.map((name) => jobStates.indexOf(name))),
    ])
  if (query.task !== undefined) conditions.push(['j.task glob ?', glob(query.task)])
  if (query.queue !== undefined) conditions.push(['j.queue = ?', query.queue])
  if (query.actor !== undefined) conditions.push(['coalesce(c.actor, h.actor) = ?', query.actor])
  if (query.tag !== undefined) conditions.push([hasTag('j.tags'), query.tag])
  if (query.text !== undefined) conditions.push([mentions, lowerAscii(query.text)])
  return [...conditions, ...timeConditions(query, 'j.created_at')]
}

/** SQLite knows the small letters of ASCII alone. A failure that was followed by success is told no more. */
const mentions = `exists (select 1 from (
    select j.task as part union all select j.description union all select j.tags union all select j.args
    union all select iif(j.state = 4, null, j.failure)) where instr(lower(part), ?) > 0)`

function timeConditions({ createdFrom, createdBefore }: JobsQuery | CollectionsQuery, column: string): Condition[] {
  const conditions: Condition[] = []
  if (createdFrom !== undefined) conditions.push([`${column} >= ?`, createdFrom])
  if (createdBefore !== undefined) conditions.push([`${column} < ?`, createdBefore])
  return conditions
}

/** `*` stands for any characters; whatever else GLOB knows stands for itself. GLOB takes time by pattern times text, no more. */
const glob = (pattern: string): string => pattern.replace(/[?[]/g, '[$&]').replace(/\*+/g, '*')

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export async function collections(lister: Lister, query: CollectionsQuery): Promise<RecordPage<CollectionRecord>> {
  const db = await lister.ready()
  const conditions = collectionConditions(query)
  const sql = `select * from (
      select ${collectionColumns} from celeriac_collections where removed_at is null and number >= ? and number < ?
      union all select ${aloneColumns} from celeriac_jobs where collection = seq and seq >= ? and seq < ?)
    where ${joined(conditions)} order by number desc limit ? + 0`
  return page<CollectionRow, CollectionRecord>(lister, query, {
    top: (before) => db.get<Top>(topCollection, before, before),
    rowsIn: (from, before, limit) =>
      db.all<CollectionRow>(sql, from, before, from, before, ...valuesOf(conditions), limit),
    numberOf: ({ number }) => number,
    tell: (row, room) => recordIn(db, row, room),
    tellLarge: (row) => countLarge(lister, row),
    sizeOf: ({ failure }) => (failure === null ? 0 : sizeOfFailure(failure)),
  })
}

/** Of any job or collection: which of the jobs are collections themselves is in no index. */
const topCollection = `select * from (
    select * from (select number, created_at as createdAt from celeriac_collections where number < ? order by number desc limit 1)
    union all select * from (select seq, created_at from celeriac_jobs where seq < ? order by seq desc limit 1))
  order by number desc limit 1`

function collectionConditions(query: CollectionsQuery): Condition[] {
  const conditions: Condition[] = [['1']]
  if (query.state !== undefined) conditions.push(['state = ?', collectionStates.indexOf(query.state)])
  if (query.actor !== undefined) conditions.push(['actor = ?', query.actor])
  if (query.tag !== undefined) conditions.push([hasTag('tags'), query.tag])
  return [...conditions, ...timeConditions(query, 'created_at')]
}
