import type { CollectionRecord } from '../../core/collection.ts'
import { collectionStates } from '../../core/collection.ts'
import { CeleriacError } from '../../core/errors.ts'
import { jobStates, type JobRecord } from '../../core/job.ts'
import { lowerAscii } from '../../core/text.ts'
import type { CollectionsQuery, JobsQuery, RecordPage } from '../../engine/inspect.ts'
import { nextNumber } from './change.ts'
import type { Database, Value } from './database.ts'
import { afterOf, aloneColumns, collectionColumns, collectionRecord, type CollectionRow } from './inspect.ts'
import { jobColumns, jobRecord, type JobRow, jobTables } from './record.ts'
import { isVisible } from './submit.ts'

/**
 * A filter may match few of very many rows, and no index stands behind most filters. So a list looks at so many numbers at
 * a time and lets the event loop turn in between.
 */
const window = 20_000

type Condition = readonly [sql: string, ...values: Value[]]
const joined = (conditions: readonly Condition[]): string => conditions.map(([sql]) => sql).join(' and ')
const valuesOf = (conditions: readonly Condition[]): Value[] => conditions.flatMap(([, ...values]) => values)

/** Reads window after window, newest first, until the page is full or there is nothing more. */
async function page<Row, T>(
  db: Database,
  query: { readonly limit: number; readonly cursor?: string },
  rowsIn: (from: number, before: number, limit: number) => Row[],
  numberOf: (row: Row) => number,
  tell: (row: Row) => T,
): Promise<RecordPage<T>> {
  let before = query.cursor === undefined ? await db.read(() => nextNumber(db)) : position(query.cursor)
  const items: T[] = []
  while (before > 0) {
    const from = Math.max(before - window, 0)
    const wanted = query.limit + 1 - items.length
    const rows = await db.read(() =>
      rowsIn(from, before, wanted).map((row) => ({ number: numberOf(row), item: tell(row) })),
    )
    for (const { number, item } of rows) {
      if (items.length === query.limit) return { items, next: String(before) }
      items.push(item)
      before = number
    }
    if (rows.length < wanted) before = from
  }
  return { items, next: null }
}

function position(cursor: string): number {
  const number = Number(cursor)
  if (/^\d{1,15}$/.test(cursor)) return number
  throw new CeleriacError(
    'BAD_CURSOR',
    `"${cursor.slice(0, 40)}" is not a cursor of this list: pass the "next" of the page before, unchanged.`,
  )
}

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export function jobs(db: Database, query: JobsQuery): Promise<RecordPage<JobRecord>> {
  const conditions = jobConditions(query)
  const sql = `select ${jobColumns} from ${jobTables} where j.seq >= ? and j.seq < ? and ${joined(conditions)} order by j.seq desc limit ?`
  return page<JobRow, JobRecord>(
    db,
    query,
    (from, before, limit) => db.all<JobRow>(sql, from, before, ...valuesOf(conditions), limit),
    ({ seq }) => seq,
    (row) => jobRecord(db, row, afterOf(db, row.behind)),
  )
}

function jobConditions(query: JobsQuery): Condition[] {
  const conditions: Condition[] = [[`c.removed_at is null and ${isVisible}`]]
  if (query.states !== undefined)
    conditions.push([`j.state in (${query.states.map((name) => jobStates.indexOf(name)).join(', ')})`])
  if (query.task !== undefined) conditions.push(['j.task glob ?', glob(query.task)])
  if (query.queue !== undefined) conditions.push(['j.queue = ?', query.queue])
  if (query.collectionId !== undefined) conditions.push(['coalesce(c.id, h.id) = ?', query.collectionId])
  if (query.actor !== undefined) conditions.push(['coalesce(c.actor, h.actor) = ?', query.actor])
  if (query.tag !== undefined) conditions.push(['exists (select 1 from json_each(j.tags) where value = ?)', query.tag])
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

/** `*` stands for any characters; whatever else GLOB knows stands for itself. */
const glob = (pattern: string): string => pattern.replace(/[?[]/g, '[$&]')

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export function collections(db: Database, query: CollectionsQuery): Promise<RecordPage<CollectionRecord>> {
  const conditions = collectionConditions(query)
  const sql = `select * from (
      select ${collectionColumns} from celeriac_collections where removed_at is null and number >= ? and number < ?
      union all select ${aloneColumns} from celeriac_jobs where collection = seq and seq >= ? and seq < ?)
    where ${joined(conditions)} order by number desc limit ?`
  return page<CollectionRow, CollectionRecord>(
    db,
    query,
    (from, before, limit) => db.all<CollectionRow>(sql, from, before, from, before, ...valuesOf(conditions), limit),
    ({ number }) => number,
    (row) => collectionRecord(db, row),
  )
}

function collectionConditions(query: CollectionsQuery): Condition[] {
  const conditions: Condition[] = [['1']]
  if (query.state !== undefined) conditions.push(['state = ?', collectionStates.indexOf(query.state)])
  if (query.actor !== undefined) conditions.push(['actor = ?', query.actor])
  if (query.tag !== undefined) conditions.push(['exists (select 1 from json_each(tags) where value = ?)', query.tag])
  return [...conditions, ...timeConditions(query, 'created_at')]
}
