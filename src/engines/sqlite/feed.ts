import type { Change } from '../../core/event.ts'
import type { Progress } from '../../core/job.ts'
import type { EventsPage, EventsQuery } from '../../engine/feed.ts'
import { collectionStateName, settling, state, stateName } from '../../engine/codes.ts'
import { readStored } from '../../engine/stored.ts'
import type { Database } from './database.ts'

/** Rows of events read at a time. */
const rowsRead = 64
/** At most so many in one call, also where nothing in them is asked for: it would block the event loop. */
const mostRowsRead = 512

// ── cursors: the store's epoch and the number of the last row read ───────────────────────────────────────────────

export function cursorNow(db: Database): string {
  return `${epochOf(db)}.${lastNumber(db)}`
}
function epochOf(db: Database): string {
  return (db.get<{ value: string }>("select value from celeriac_meta where key = 'epoch'") as { value: string }).value
}
const lastNumber = (db: Database): number =>
  db.get<{ number: number | null }>('select max(number) as number from celeriac_events')?.number ?? 0

/** The number a cursor stands for; null where what came after it is not here. */
function numberIn(db: Database, cursor: string): number | null {
  const [epoch, number] = cursor.split('.')
  const after = Number(number)
  if (epoch !== epochOf(db) || !Number.isSafeInteger(after) || after < 0 || after > lastNumber(db)) return null
  const oldest = db.get<{ number: number | null }>('select min(number) as number from celeriac_events')?.number ?? 0
  return after + 1 < oldest ? null : after
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Row {
  readonly number: number
  readonly at: number
  readonly changes: string
  readonly payloads: string | null
}

export function events(db: Database, query: EventsQuery, numbers: Numbers): EventsPage {
  const after = numberIn(db, query.after)
  if (after === null) return { changes: [], cursor: cursorNow(db), more: false, gap: true }
  const wanted = query.collections === null ? null : numbers.of(db, query.collections)
  const changes: Change[] = []
  let number = after
  for (let looked = 0; ; looked += rowsRead) {
    const rows = db.all<Row>(
      'select number, at, changes, payloads from celeriac_events where number > ? order by number limit ? + 0',
      number,
      rowsRead,
    )
    for (const row of rows) {
      read(db, row, wanted, changes)
      number = row.number
      if (changes.length >= query.limit) return { changes, cursor: `${epochOf(db)}.${number}`, more: true, gap: false }
    }
    const more = rows.length === rowsRead
    if (!more || looked >= mostRowsRead) return { changes, cursor: `${epochOf(db)}.${number}`, more, gap: false }
  }
}

/** Takes the flat list of a row apart (see the journal), keeping what belongs to the collections wanted. */
function read(db: Database, row: Row, wanted: ReadonlySet<number> | null, into: Change[]): void {
  const flat = readStored<number[]>(row.changes, [])
  const payloads = readStored<Progress[]>(row.payloads, [])
  let payload = 0
  for (let at = 0; at < flat.length;) {
    const kind = flat[at] as number
    const length = kind < 10 ? 5 : kind < 20 ? 3 : 4
    const collection =
      (kind < 10 || kind === 20) && flat[at + 1] === 0 ? (flat[at + 2] as number) : (flat[at + 1] as number)
    const progress = kind === 20 ? payloads[payload++] : undefined
    const next = flat[at + length] ?? 0
    const isTold = next >= 10 && next < 20 && flat[at + length + 1] === collection
    if (wanted === null || wanted.has(collection))
      tell(db, row.at, flat.slice(at, at + length), { collection, progress, isTold }, into)
    at += length
  }
}

interface Context {
  readonly collection: number
  readonly progress: Progress | undefined
  /** The next change tells of the collection itself. */
  readonly isTold: boolean
}

function tell(
  db: Database,
  at: number,
  change: readonly number[],
  { collection, progress, isTold }: Context,
  into: Change[],
): void {
  const [kind, own, seq, attempt, version] = change as [number, number, number, number, number]
  if (kind >= 10 && kind < 20) {
    const collectionId = collectionIdOf(db, collection)
    if (collectionId !== null)
      into.push({ type: 'collection', at, collectionId, state: collectionStateName(kind - 10), round: seq })
    return
  }
  const job = db.get<{ id: string }>('select id from celeriac_jobs where seq = ?', seq)
  const collectionId = own === 0 ? (job?.id ?? null) : collectionIdOf(db, collection)
  if (job === undefined || collectionId === null) return
  if (progress !== undefined) {
    into.push({ type: 'progress', at, collectionId, jobId: job.id, attempt, progress })
    return
  }
  into.push({ type: 'job', at, collectionId, jobId: job.id, state: stateName(kind), attempt, version })
  // A job alone is its own collection, and settles it. Of a later round the journal says so itself.
  if (own === 0 && kind >= state.succeeded && !isTold) {
    into.push({ type: 'collection', at, collectionId, state: collectionStateName(settling(kind)), round: 1 })
  }
}

function collectionIdOf(db: Database, number: number): string | null {
  const row =
    db.get<{ id: string }>('select id from celeriac_collections where number = ?', number) ??
    db.get<{ id: string }>('select id from celeriac_jobs where seq = ?', number)
  return row?.id ?? null
}

/** Numbers of collections by their ids, for those that are followed now. */
export class Numbers {
  #known = new Map<string, number>()

  of(db: Database, ids: readonly string[]): Set<number> {
    if (this.#known.size > ids.length + 1_000)
      this.#known = new Map(ids.flatMap((id) => (this.#known.has(id) ? [[id, this.#known.get(id) as number]] : [])))
    const numbers = new Set<number>()
    for (const id of ids) {
      const number = this.#known.get(id) ?? numberOf(db, id)
      if (number === undefined) continue
      this.#known.set(id, number)
      numbers.add(number)
    }
    return numbers
  }
}

function numberOf(db: Database, id: string): number | undefined {
  return (
    db.get<{ number: number }>('select number from celeriac_collections where id = ?', id) ??
    db.get<{ number: number }>('select seq as number from celeriac_jobs where id = ? and collection = seq', id)
  )?.number
}
