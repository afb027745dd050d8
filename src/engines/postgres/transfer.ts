import type { JobState } from '../../core/job.ts'
import { jobStates } from '../../core/job.ts'
import { CeleriacError } from '../../core/errors.ts'
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
import { jobsPerStep } from '../../engine/recovery.ts'
import { rankOf, runningOf } from './change.ts'
import type { Database, Requests } from './database.ts'
import { anywhere } from './line.ts'
import { isSealed } from './record.ts'

/** Closing a store waits for what is under way in it, and counting takes its time. In milliseconds. */
const patience = 600_000

/** @param open the store, whether it is closed to all other use or not */
export function postgresTransfer(open: () => Promise<Database>): Transfer {
  const within = async <T>(body: (requests: Requests, db: Database) => Promise<T>): Promise<T> => {
    const db = await open()
    return db.transaction((requests) => body(requests, db), patience)
  }
  return {
    standing: () => within(standing),
    census: () => within(census),
    async leave(copy, isFinished) {
      const db = await open()
      for (let isLeft = true; isLeft;) {
        isLeft = await patiently(() => within((requests) => leave(requests, db.now(), copy, isFinished)))
      }
    },
    stay: () => within(stay),
    exportRows: (kind, after, limit) => within((requests) => exportRows(requests, kind, after, limit)),
    begin: (copy) => patiently(() => within((requests, db) => begin(requests, db.now(), copy))),
    importRows: (kind, rows, position) => within((requests) => importRows(requests, kind, rows, position)),
    finish: (next) => within((requests, db) => finish(requests, db.now(), next)),
    abandon: () => within(abandon),
  }
}

/** Taking all tables at once may meet somebody who has some of them and wants another: one of the two gives way. */
async function patiently<T>(body: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await body()
    } catch (error) {
      const isAgain = error instanceof CeleriacError && error.code === 'STORE_BUSY' && error.cause !== undefined
      if (!isAgain || tries === 20) throw error
    }
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

/**
 * A store is empty if it has neither jobs nor paused queues. Values do not count: whoever looks at the new store beforehand
 * leaves a secret or a key there, and what is copied takes their place.
 */
export async function standing(requests: Requests): Promise<Standing> {
  const rows = await requests.all<{ key: string; value: string | null }>(
    `select key, value from celeriac.meta where key in ('leaving', 'arriving', 'arrived')
     union all select 'filled', null where exists (select 1 from celeriac.jobs) or exists (select 1 from celeriac.collections)
       or exists (select 1 from celeriac.queues)`,
  )
  const found = new Map(rows.map(({ key, value }) => [key, value]))
  const leaving = read<Leaving>(found.get('leaving'))
  if (leaving !== null) return { type: 'leaving', ...leaving }
  const arriving = read<Arriving>(found.get('arriving'))
  if (arriving !== null) return { type: 'arriving', ...arriving }
  return found.has('filled') ? { type: 'used', copy: read<Copy>(found.get('arrived')) } : { type: 'empty' }
}

const read = <T>(text: string | null | undefined): T | null => (text ? (JSON.parse(text) as T) : null)

async function mark(requests: Requests, key: string, value: unknown): Promise<void> {
  await requests.all(
    'insert into celeriac.meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
    key,
    JSON.stringify(value),
  )
}
async function unmark(requests: Requests, key: string): Promise<void> {
  await requests.all('delete from celeriac.meta where key = $1', key)
}

// ── the lock on a closed store ───────────────────────────────────────────────────────────────────────────────────

const tableOf = (kind: RowKind): string => (kind === 'unique' ? 'celeriac.unique_keys' : `celeriac.${kind}`)
/** Derived from what is copied, or of no use in another store. */
const otherTables = ['ready', 'suspects', 'claims', 'events', 'tallies', 'uploads', 'work'].map(
  (name) => `celeriac.${name}`,
)
const tables = [...rowKinds.map(tableOf), ...otherTables]

/** A setting of the transaction, so nobody else ever has it. */
const key = 'celeriac_transfer.key'
const takeKey = `select set_config('${key}', 'open', true)`

export const transferFunctions = `
create or replace function celeriac.refuse_closed() returns trigger language plpgsql as $$
begin
  if current_setting('${key}', true) is distinct from 'open' then raise exception '%', tg_argv[0]; end if;
  return null;
end $$;

-- Goes on with what large changes left to do; then gives back what is marked as running though no worker lives, in whole claims up to
-- about so many jobs. True while there may be more to do.
create or replace function celeriac.come_to_rest(a_now bigint) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
  c celeriac.change;
  v_claims celeriac.claims[];
begin
  if exists (select 1 from celeriac.work) then
    perform celeriac.go_on_with(a_now, (select collection from celeriac.work order by number limit 1));
    return true;
  end if;
  c := celeriac.begin_change(a_now);
  v_claims := array(
    select w.claim from (
      select k as claim, sum(cardinality(k.seqs)) over (order by k.session, k.token) - cardinality(k.seqs) as before
      from (select * from celeriac.claims order by session, token limit ${jobsPerStep}) k) w
    where w.before < ${jobsPerStep});
  if cardinality(v_claims) > 0 then
    c := celeriac.give_back(c, array(
      select j.seq from unnest(v_claims) k cross join ${runningOf} order by j.seq));
    delete from celeriac.claims k using unnest(v_claims) d where k.session = d.session and k.token = d.token;
    perform celeriac.finish(c);
    return true;
  end if;
  update celeriac.sessions set ended_at = c.now, lost = 1 where ended_at is null;
  update celeriac.sessions set losing = null where losing is not null;
  -- Whoever goes on, here or at the copy, begins its turns anew.
  delete from celeriac.meta where key in ('swept_at', 'sweep_at', 'calm_at', 'calm_until', 'chores_at');
  return false;
end $$;
`

/**
 * Refuses every write with this text, to processes that have the store open as well, whatever their version. While
 * nothing is moved there are no triggers and nothing to pay.
 */
async function lock(requests: Requests, text: string): Promise<void> {
  const raised = `'${text.replaceAll("'", "''")}'`
  for (const table of tables) {
    await requests.all(
      `create trigger closed before insert or update or delete on ${table} for each statement execute function celeriac.refuse_closed(${raised})`,
    )
  }
}

async function unlock(requests: Requests): Promise<void> {
  for (const table of tables) await requests.all(`drop trigger if exists closed on ${table}`)
}

/** From here to the end of the transaction nobody else writes, and who is writing has come to an end. */
const holdAll = (requests: Requests): Promise<unknown> =>
  requests.all(`lock table celeriac.meta, ${tables.join(', ')} in share row exclusive mode`)

// ── the source ───────────────────────────────────────────────────────────────────────────────────────────────────

/** True while there is more to do before the store may close. */
async function leave(requests: Requests, now: number | null, copy: Copy, isFinished: boolean): Promise<boolean> {
  await holdAll(requests)
  const found = await standing(requests)
  if (found.type === 'leaving' && found.copy.id !== copy.id) throw movedError(found.copy.to)
  if (found.type !== 'leaving') {
    await refuseLive(requests, now)
    const [isLeft] = (await requests.lists<[boolean]>('select celeriac.come_to_rest($1)', now))[0] ?? []
    if (isLeft) return true
    await lock(requests, movedText(copy.to))
  }
  await mark(requests, 'leaving', { copy, isFinished } satisfies Leaving)
  return false
}

async function refuseLive(requests: Requests, now: number | null): Promise<void> {
  const live = await requests.get<{ name: string; host: string; pid: number }>(
    `select name, host, pid from celeriac.sessions where ended_at is null and expires_at > celeriac.instant($1)
     order by number limit 1`,
    now,
  )
  if (live !== undefined) throw liveError(live)
}

async function stay(requests: Requests): Promise<void> {
  await holdAll(requests)
  if ((await standing(requests)).type !== 'leaving') return
  await unlock(requests)
  await unmark(requests, 'leaving')
}

// ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Uploads that were never sealed stay behind: whoever sends one begins again. */
const isCopied = (kind: RowKind): string =>
  kind === 'jobs' ? isSealed('seq') : kind === 'barriers' ? isSealed('number') : 'true'

async function census(requests: Requests): Promise<Census> {
  const count = async (kind: RowKind): Promise<number> =>
    (await requests.lists<[number]>(`select count(*) from ${tableOf(kind)} where ${isCopied(kind)}`))[0]?.[0] ?? 0
  const rows: Partial<Record<RowKind, number>> = {}
  for (const kind of rowKinds) rows[kind] = await count(kind)
  const states = await requests.lists<[number, number]>(
    `select state, count(*) from celeriac.jobs where ${isCopied('jobs')} group by state`,
  )
  const inState = (name: JobState): number => states.find(([state]) => state === jobStates.indexOf(name))?.[1] ?? 0
  const [next = 1] =
    (await requests.lists<[number]>('select last_value + is_called::integer from celeriac.numbers'))[0] ?? []
  return {
    rows: rows as Census['rows'],
    jobs: Object.fromEntries(jobStates.map((name) => [name, inState(name)])) as Census['jobs'],
    next,
  }
}

/** Texts among the columns; the others are numbers. */
const isText = (kind: RowKind, column: string): boolean =>
  column === 'scope' ? kind === 'idempotency' : texts.has(column)
const texts: ReadonlySet<string> = new Set([
  ...['id', 'name', 'host', 'queues', 'queue', 'task', 'args', 'options', 'input', 'shape', 'progress', 'failure'],
  ...['result', 'actor', 'description', 'tags', 'unique_claim', 'callback_url', 'callback_results', 'key', 'until'],
  ...['fingerprint', 'collection_id', 'level', 'message', 'data', 'kind', 'text', 'value', 'runs'],
])

/** Read of the first rows only what fits into a page, by the sizes that the server knows without looking into them. */
async function exportRows(requests: Requests, kind: RowKind, after: string | null, limit: number): Promise<ExportPage> {
  const columns = rowColumns[kind]
  const keys = keyOf(kind)
  const given = after === null ? [] : (JSON.parse(after) as Cell[])
  const marks = keys.map((column, at) => `$${at + 2}${isText(kind, column) ? '::text' : '::bigint'}`)
  const behind = after === null ? 'true' : `(${keys.join(', ')}) > (${marks.join(', ')})`
  const size = columns.filter((column) => isText(kind, column)).map((column) => `coalesce(octet_length(${column}), 0)`)
  const order = keys.join(', ')
  const rows = await requests.lists<Row>(
    `select ${columns.map((column) => exported(kind, column)).join(', ')} from (
       select *, sum(${['0', ...size].join(' + ')}) over (order by ${order}) - (${['0', ...size].join(' + ')}) as before
       from (select * from ${tableOf(kind)} where ${behind} and ${isCopied(kind)} order by ${order} limit $1) page
     ) sized where before < ${pageSize} order by ${order}`,
    limit,
    ...given,
  )
  return { rows, after: rows.length === 0 ? null : JSON.stringify(rows.at(-1)?.slice(0, keys.length)) }
}

/** When a job may start that waits, or ended before it had begun, stands in a column of its own here. */
const exported = (kind: RowKind, column: string): string =>
  kind === 'jobs' && column === 'due_at'
    ? 'case when state = 0 or (state > 3 and attempt = 0 and archived is null) then start_at else due_at end'
    : column

async function importRows(requests: Requests, kind: RowKind, rows: readonly Row[], position: Position): Promise<void> {
  const arriving = read<Arriving>(
    (await requests.get<{ value: string }>("select value from celeriac.meta where key = 'arriving' for update"))?.value,
  )
  if (arriving === null) throw new Error('No copy has begun here.')
  await requests.all(takeKey)
  if (rows.length > 0) await insertRows(requests, kind, rows)
  if (kind === 'jobs') {
    await lineUp(
      requests,
      rows.map(([seq]) => seq as number),
    )
  }
  await mark(requests, 'arriving', { ...arriving, position } satisfies Arriving)
}

async function insertRows(requests: Requests, kind: RowKind, rows: readonly Row[]): Promise<void> {
  const columns = rowColumns[kind]
  const lists = columns.map((column, at) =>
    rows.map((row) => (isText(kind, column) ? storable(row[at] as string | null) : (row[at] as number | null))),
  )
  const marks = columns.map((column, at) => `$${at + 1}::${isText(kind, column) ? 'text' : 'bigint'}[]`)
  const more = kind === 'jobs' ? { columns: ', start_at, lapses_at', values: `, ${startAt}, ${lapsesAt}` } : none
  await requests.all(
    `insert into ${tableOf(kind)} (${columns.join(', ')}${more.columns}) overriding system value
     select ${columns.map((column) => (kind === 'jobs' && column === 'due_at' ? dueAt : column)).join(', ')}${more.values}
     from unnest(${marks.join(', ')}) r (${columns.join(', ')}) on conflict do nothing`,
    ...lists,
  )
}
const none = { columns: '', values: '' }
const startAt = 'case when state <> 1 then due_at end'
const dueAt = 'case when state = 1 then due_at end'
const lapsesAt = 'case when state in (1, 2) then expires_at end'

/** The one character that PostgreSQL cannot keep. */
const storable = (text: string | null): string | null => text?.replaceAll('\0', '\ufffd') ?? null

async function lineUp(requests: Requests, seqs: readonly number[]): Promise<void> {
  for (const [table, which] of [
    ['celeriac.ready', 'crashes = 0'],
    ['celeriac.suspects', 'crashes > 0'],
  ]) {
    await requests.all(
      `insert into ${table} (queue, rank, collection, seq) select queue, ${rankOf('priority')}, collection, seq from celeriac.jobs
       where seq = any ($1::bigint[]) and state = 2 and ${which} on conflict do nothing`,
      seqs,
    )
  }
}

// ── the target ───────────────────────────────────────────────────────────────────────────────────────────────────

async function begin(requests: Requests, now: number | null, copy: Copy): Promise<void> {
  await holdAll(requests)
  const found = await standing(requests)
  if (found.type === 'arriving' && found.copy.id === copy.id) return
  if (found.type !== 'empty') throw notEmptyError()
  await refuseLive(requests, now)
  await clear(requests)
  await mark(requests, 'arriving', { copy, position: null } satisfies Arriving)
  await lock(requests, arrivingText(copy.from))
}

/** Cursors into what was told before lead nowhere from here on: readers begin anew with a snapshot. */
async function clear(requests: Requests): Promise<void> {
  await requests.all(`truncate ${tables.join(', ')}`)
  await mark(requests, 'epoch', null)
  await requests.all(
    "update celeriac.meta set value = substr(replace(gen_random_uuid()::text, '-', ''), 1, 12) where key = 'epoch'",
  )
  await tell(requests, 0)
}

/** Tells claims where lines begin: those that know the store as empty look up only what was put in line since. */
async function tell(requests: Requests, now: number | null): Promise<void> {
  await requests.all(
    `insert into celeriac.events (number, at, changes, heads, due_at, lapses_at)
     select nextval('celeriac.event_numbers'), celeriac.instant($1), '[]', array[${anywhere}], min(due_at), min(lapses_at)
     from celeriac.jobs`,
    now,
  )
}

async function finish(requests: Requests, now: number | null, next: number): Promise<void> {
  await holdAll(requests)
  const found = await standing(requests)
  if (found.type !== 'arriving') return
  await unlock(requests)
  await requests.all("select setval('celeriac.numbers', $1, false)", next)
  for (const table of ['celeriac.sessions', 'celeriac.log']) {
    await requests.all(
      `select setval(pg_get_serial_sequence('${table}', 'number'), (select coalesce(max(number), 0) + 1 from ${table}), false)`,
    )
  }
  await tell(requests, now)
  await unmark(requests, 'arriving')
  await mark(requests, 'arrived', found.copy)
}

async function abandon(requests: Requests): Promise<void> {
  await holdAll(requests)
  if ((await standing(requests)).type !== 'arriving') return
  await unlock(requests)
  await clear(requests)
  await unmark(requests, 'arriving')
}
