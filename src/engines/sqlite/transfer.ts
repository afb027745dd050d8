import type { Runtime } from '../../core/runtime.ts'
import type { JobState } from '../../core/job.ts'
import { jobStates } from '../../core/job.ts'
import {
  arrivingText,
  type Cell,
  type Census,
  type Copy,
  type ExportPage,
  keyOf,
  liveError,
  movedError,
  movedText,
  notEmptyError,
  pageSize,
  type Position,
  type Row,
  rowColumns,
  type RowKind,
  rowKinds,
  type Standing,
  type Transfer,
} from '../../engine/transfer.ts'
import { newChange, nextNumber, writeChange } from './change.ts'
import type { Database } from './database.ts'
import { giveBackSome } from './heartbeat.ts'
import { isSealed } from './submit.ts'
import { settleWork } from './work.ts'

/** @param open the store, whether it is closed to all other use or not */
export function sqliteTransfer(open: () => Promise<Database>, runtime: Runtime): Transfer {
  const read = async <T>(body: (db: Database) => T): Promise<T> => {
    const db = await open()
    return db.read(() => body(db))
  }
  const write = async <T>(body: (db: Database) => T): Promise<T> => {
    const db = await open()
    return db.write(() => body(db))
  }
  return {
    standing: () => read(standing),
    census: () => read(census),
    async leave(copy, isFinished) {
      for (let isLeft = true; isLeft;) isLeft = await write((db) => leave(db, runtime.now(), copy, isFinished))
    },
    stay: () => write(stay),
    exportRows: (kind, after, limit) => read((db) => exportRows(db, kind, after, limit)),
    begin: (copy) => write((db) => begin(db, runtime.now(), copy)),
    importRows: (kind, rows, position) => write((db) => importRows(db, kind, rows, position)),
    finish: (next) => write((db) => finish(db, runtime.now(), next)),
    abandon: () => write(abandon),
  }
}

// ── standing ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Leaving {
  readonly copy: Copy
  readonly isFinished: boolean
}
interface Arriving {
  readonly copy: Copy
  readonly position: Position | null
}

export function standing(db: Database): Standing {
  const leaving = readMark<Leaving>(db, 'leaving')
  if (leaving !== null) return { type: 'leaving', ...leaving }
  const arriving = readMark<Arriving>(db, 'arriving')
  if (arriving !== null) return { type: 'arriving', ...arriving }
  return isEmpty(db) ? { type: 'empty' } : { type: 'used', copy: readMark<Copy>(db, 'arrived') }
}

/** Marks are rows of celeriac_meta, which is also what the triggers below leave alone. */
function readMark<T>(db: Database, key: string): T | null {
  const row = db.get<{ value: string }>('select value from celeriac_meta where key = ?', key)
  return row === undefined ? null : (JSON.parse(row.value) as T)
}
function mark(db: Database, key: string, value: unknown): void {
  const text = JSON.stringify(value)
  db.run(
    'insert into celeriac_meta (key, value) values (?, ?) on conflict do update set value = excluded.value',
    key,
    text,
  )
}
function unmark(db: Database, key: string): void {
  db.run('delete from celeriac_meta where key = ?', key)
}

/**
 * A store is empty if it has neither jobs nor paused queues. Values do not count: whoever looks at the new store beforehand
 * leaves a secret or a key there, and what is copied takes their place.
 */
const isEmpty = (db: Database): boolean =>
  db.get('select 1 from celeriac_jobs limit 1') === undefined &&
  db.get('select 1 from celeriac_collections limit 1') === undefined &&
  db.get('select 1 from celeriac_queues limit 1') === undefined

// ── the lock on a closed store ───────────────────────────────────────────────────────────────────────────────────

const tables = [
  'jobs',
  'collections',
  'barriers',
  'attempts',
  'log',
  'notes',
  'events',
  'sessions',
  'queues',
  'unique',
  'idempotency',
  'leaving',
  'values',
  'tallies',
  'uploads',
  'work',
].map((name) => `celeriac_${name}`)
const triggers = tables.flatMap((table) =>
  ['insert', 'update', 'delete'].map((action) => ({ name: `${table}_closed_${action}`, table, action })),
)

/**
 * Refuses every write with this text, to processes that have the file open as well, whatever their version. While
 * nothing is moved there are no triggers and nothing to pay. What this part writes itself goes by a mark that no other
 * connection ever sees: it is gone when the transaction ends.
 */
function lock(db: Database, text: string): void {
  const raised = text.replaceAll("'", "''")
  for (const { name, table, action } of triggers) {
    db.exec(`create trigger if not exists ${name} before ${action} on ${table}
      when not exists (select 1 from celeriac_meta where key = 'key') begin select raise(abort, '${raised}'); end`)
  }
}

function unlock(db: Database): void {
  for (const { name } of triggers) db.exec(`drop trigger if exists ${name}`)
}

function withKey(db: Database, body: () => void): void {
  mark(db, 'key', 1)
  body()
  unmark(db, 'key')
}

// ── the source ───────────────────────────────────────────────────────────────────────────────────────────────────

/** True while there is more to do before the store may close. */
function leave(db: Database, now: number, copy: Copy, isFinished: boolean): boolean {
  const leaving = readMark<Leaving>(db, 'leaving')
  if (leaving !== null && leaving.copy.id !== copy.id) throw movedError(leaving.copy.to)
  if (leaving === null) {
    refuseLive(db, now)
    if (bringToRest(db, now)) return true
    lock(db, movedText(copy.to))
  }
  mark(db, 'leaving', { copy, isFinished } satisfies Leaving)
  return false
}

function refuseLive(db: Database, now: number): void {
  const live = db.get<{ name: string; host: string; pid: number }>(
    'select name, host, pid from celeriac_sessions where ended_at is null and expires_at > ? order by number limit 1',
    now,
  )
  if (live !== undefined) throw liveError(live)
}

/** Sees to some of what is left of large changes, and gives back some of what no worker runs any more. True while there is more. */
function bringToRest(db: Database, now: number): boolean {
  const change = newChange(db, now)
  const mayRun = giveBackSome(change)
  const isLeft = settleWork(change) || mayRun
  writeChange(change)
  if (!isLeft) {
    db.run('update celeriac_sessions set ended_at = ?, lost = 1 where ended_at is null', now)
    db.run('update celeriac_sessions set losing = null where losing is not null')
    // Whoever goes on, here or at the copy, begins its turns anew.
    db.run("delete from celeriac_meta where key in ('swept_at', 'sweep_at', 'calm_at', 'calm_until', 'chores_at')")
  }
  return isLeft
}

function stay(db: Database): void {
  if (readMark(db, 'leaving') === null) return
  unlock(db)
  unmark(db, 'leaving')
}

// ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const tableOf = (kind: RowKind): string => `celeriac_${kind}`
/** Uploads that were never sealed stay behind: whoever sends one begins again. */
const isCopied = (kind: RowKind): string =>
  kind === 'jobs' ? isSealed('seq') : kind === 'barriers' ? isSealed('number') : 'true'

function census(db: Database): Census {
  const count = (kind: RowKind): number =>
    db.get<{ count: number }>(`select count(*) as count from ${tableOf(kind)} where ${isCopied(kind)}`)?.count ?? 0
  const states = db.all<{ state: number; count: number }>(
    `select state, count(*) as count from celeriac_jobs where ${isCopied('jobs')} group by state`,
  )
  const inState = (name: JobState): number => states.find(({ state }) => state === jobStates.indexOf(name))?.count ?? 0
  return {
    rows: Object.fromEntries(rowKinds.map((kind) => [kind, count(kind)])) as Census['rows'],
    jobs: Object.fromEntries(jobStates.map((name) => [name, inState(name)])) as Census['jobs'],
    next: nextNumber(db),
  }
}

function exportRows(db: Database, kind: RowKind, after: string | null, limit: number): ExportPage {
  const keys = keyOf(kind).map(quoted)
  const behind = after === null ? 'true' : `(${keys.join(', ')}) > (${keys.map(() => '?').join(', ')})`
  const columns = rowColumns[kind].map(quoted).join(', ')
  const statement = db.statement(
    `select ${columns} from ${tableOf(kind)} where ${behind} and ${isCopied(kind)} order by ${keys.join(', ')} limit ? + 0`,
  )
  statement.setReturnArrays(true)
  const rows: Row[] = []
  let size = 0
  for (const found of statement.iterate(...(after === null ? [] : (JSON.parse(after) as Cell[])), limit)) {
    const row = found as unknown as Cell[]
    rows.push(row)
    size += sizeOf(row)
    if (size >= pageSize) break
  }
  const isFull = rows.length === limit || size >= pageSize
  return { rows, after: isFull ? JSON.stringify(rows.at(-1)?.slice(0, keys.length)) : null }
}

const quoted = (column: string): string => `"${column}"`
const sizeOf = (row: Row): number =>
  row.reduce((sum: number, cell) => sum + (typeof cell === 'string' ? cell.length : 8), 0)

function importRows(db: Database, kind: RowKind, rows: readonly Row[], position: Position): void {
  const columns = rowColumns[kind]
  const insert = db.statement(
    `insert into ${tableOf(kind)} (${columns.map(quoted).join(', ')}) values (${columns.map(() => '?').join(', ')}) on conflict do nothing`,
  )
  const arriving = readMark<Arriving>(db, 'arriving')
  if (arriving === null) throw new Error('No copy has begun here.')
  withKey(db, () => {
    for (const row of rows) insert.run(...row)
  })
  mark(db, 'arriving', { ...arriving, position } satisfies Arriving)
}

// ── the target ───────────────────────────────────────────────────────────────────────────────────────────────────

function begin(db: Database, now: number, copy: Copy): void {
  const found = standing(db)
  if (found.type === 'arriving' && found.copy.id === copy.id) return
  if (found.type !== 'empty') throw notEmptyError()
  refuseLive(db, now)
  clear(db)
  mark(db, 'arriving', { copy, position: null } satisfies Arriving)
  lock(db, arrivingText(copy.from))
}

/** Cursors into what was told before lead nowhere from here on: readers begin anew with a snapshot. */
function clear(db: Database): void {
  for (const table of tables) db.exec(`delete from ${table}`)
  db.exec(`update celeriac_meta set value = lower(hex(randomblob(6))) where key = 'epoch'`)
  tellNext(db, 0, 1)
}

/** The newest row of events says which number is the next: see the migrations. */
function tellNext(db: Database, now: number, next: number): void {
  db.run("insert into celeriac_events (at, changes, next, total) values (?, '[]', ?, 0)", now, next)
}

function finish(db: Database, now: number, next: number): void {
  const arriving = readMark<Arriving>(db, 'arriving')
  if (arriving === null) return
  unlock(db)
  tellNext(db, now, next)
  unmark(db, 'arriving')
  mark(db, 'arrived', arriving.copy)
}

function abandon(db: Database): void {
  if (readMark(db, 'arriving') === null) return
  unlock(db)
  clear(db)
  unmark(db, 'arriving')
}
