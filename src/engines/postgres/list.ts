import type { CollectionRecord } from '../../core/collection.ts'
import { collectionStates } from '../../core/collection.ts'
import { CeleriacError } from '../../core/errors.ts'
import { jobStates, type JobRecord } from '../../core/job.ts'
import { lowerAscii } from '../../core/text.ts'
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

/**
 * A filter may match few of very many rows, and no index stands behind most filters. So a list looks at so many numbers at
 * a time, each in a request of its own.
 */
const window = 50_000

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

/** Reads window after window, newest first, until the page is full or there is nothing more. */
async function page<Row, T>(
  requests: Requests,
  query: { readonly limit: number; readonly cursor?: string },
  rowsIn: (from: number, before: number, limit: number) => Promise<Row[]>,
  numberOf: (row: Row) => number,
  tell: (row: Row) => T,
): Promise<RecordPage<T>> {
  let before = query.cursor === undefined ? await nextNumber(requests) : position(query.cursor)
  const items: T[] = []
  while (before > 0) {
    const from = Math.max(before - window, 0)
    const wanted = query.limit + 1 - items.length
    const rows = await rowsIn(from, before, wanted)
    for (const row of rows) {
      if (items.length === query.limit) return { items, next: String(before) }
      items.push(tell(row))
      before = numberOf(row)
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

/** The first number that has not been taken. */
async function nextNumber(requests: Requests): Promise<number> {
  const [row] = await requests.lists<[number]>('select last_value + 1 from celeriac.numbers')
  return row?.[0] ?? 0
}

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export function jobs(requests: Requests, query: JobsQuery): Promise<RecordPage<JobRecord>> {
  type Row = JobRow & { readonly after: string | null }
  // PostgreSQL keeps no NUL, so there is none to be found; asking for it would be an error.
  if (query.text?.includes('\0')) return Promise.resolve({ items: [], next: null })
  return page<Row, JobRecord>(
    requests,
    query,
    (from, before, limit) => {
      const conditions = jobConditions(query, [from, before, limit])
      return requests.all<Row>(
        `select ${jobColumns}, ${afterColumn} from ${jobTables}
         where j.seq >= $1 and j.seq < $2 and c.removed_at is null and ${isVisible}${conditions.sql} order by j.seq desc limit $3`,
        ...conditions.values,
      )
    },
    ({ seq }) => seq,
    (row) => jobRecord(row, afterIn(row.after)),
  )
}

function jobConditions(query: JobsQuery, first: readonly Value[]): Conditions {
  const conditions = new Conditions(...first)
  if (query.states !== undefined)
    conditions.add(
      (codes) => `j.state = any (${codes}::smallint[])`,
      query.states.map((name) => jobStates.indexOf(name)),
    )
  if (query.task !== undefined) conditions.add((pattern) => `j.task like ${pattern}`, likePattern(query.task))
  if (query.queue !== undefined) conditions.add((queue) => `j.queue = ${queue}`, query.queue)
  if (query.collectionId !== undefined) conditions.add((id) => `coalesce(c.id, h.id) = ${id}`, query.collectionId)
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
  if (tag !== undefined)
    conditions.add((text) => `${text} = any (array(select json_array_elements_text(${table}tags::json)))`, tag)
  if (createdFrom !== undefined) conditions.add((at) => `${table}created_at >= ${at}`, createdFrom)
  if (createdBefore !== undefined) conditions.add((at) => `${table}created_at < ${at}`, createdBefore)
}

/** `*` stands for any characters; whatever else LIKE knows stands for itself. */
const likePattern = (pattern: string): string => pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%')

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export function collections(requests: Requests, query: CollectionsQuery): Promise<RecordPage<CollectionRecord>> {
  return page<CollectionRow, CollectionRecord>(
    requests,
    query,
    (from, before, limit) => {
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
    ({ number }) => number,
    collectionRecord,
  )
}
