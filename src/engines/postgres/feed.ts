import type { Change } from '../../core/event.ts'
import type { Progress } from '../../core/job.ts'
import type { EventsPage, EventsQuery } from '../../engine/feed.ts'
import { collectionStateName, settling, state, stateName } from '../../engine/codes.ts'
import { readStored } from '../../engine/stored.ts'
import type { Requests } from './database.ts'

/** Rows of events read at a time. */
const rowsRead = 256
/** At most so many in one call, also where nothing in them is asked for. */
const mostRowsRead = 1_024
/** A new cursor looks so far back for numbers that are taken and not there yet. */
const lookBack = 500
/** More numbers missing in one place are not transactions under way: a server that crashed skips some. */
const mostMissing = 1_000

/**
 * Numbers of events are taken by calls that run side by side, and are there once those commit: in another order, or never.
 * So a reader who has come to a number keeps those that were missing below it, and nothing waits for anybody: what is
 * there is read at once. A number is given up when every transaction is over that can have taken it: who takes one holds a
 * lock on the sequence to its end. (Waiting for the oldest transaction of the server instead would stand still while
 * somebody in another database keeps one open.)
 *
 * Changes of one job are in order all the same. Who changes it after another waited for that one's commit, and takes a
 * number after it.
 */
export const feedFunctions = `
-- The last number, and those missing below it that may still come. The same text means that nothing has happened.
create or replace function celeriac.feed_standing() returns text language plpgsql stable as $$
#variable_conflict use_column
declare
  v_last bigint := coalesce((select number from celeriac.events order by number desc limit 1), 0);
  v_first bigint := greatest(v_last - ${lookBack}, coalesce((select number from celeriac.events order by number limit 1), v_last + 1));
  v_missing text;
begin
  if (select count(*) from celeriac.events where number >= v_first) <= v_last - v_first then
    select string_agg(n::text, ',' order by n) into v_missing from (
      select generate_series(v_first, v_last) as n except all select number from celeriac.events where number >= v_first) missing;
  end if;
  return v_last || coalesce('.' || v_missing || ':', '');
end $$;

create or replace function celeriac.feed_cursor() returns text language sql stable as $$
  select (select value from celeriac.meta where key = 'epoch') || '.' || celeriac.feed_standing()
$$;
`

// ── cursors ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where the feed stands, as a text that differs once something happened. */
export async function standing(requests: Requests): Promise<string> {
  return (await requests.lists<[string]>('select celeriac.feed_standing()'))[0]?.[0] ?? ''
}

export async function cursorNow(requests: Requests): Promise<string> {
  return (await requests.lists<[string]>('select celeriac.feed_cursor()'))[0]?.[0] ?? ''
}

interface Cursor {
  readonly epoch: string
  /** The highest number read. */
  readonly last: number
  /** Numbers below it that were not there, with the transactions that may have taken them; null where none were noted yet. */
  readonly missing: ReadonlyMap<number, Transactions | null>
}
type Transactions = ReadonlySet<string>

/** `epoch.last`, and for numbers that the same transactions may bring `.number,number:transaction_transaction`. */
const cursorForm = /^([0-9a-f]+)\.(\d{1,15})((?:\.\d{1,15}(?:,\d{1,15})*:[-\d/_]*)*)$/

/** Null where it is none of ours. */
function parseCursor(text: string): Cursor | null {
  const [, epoch = '', last, rest = ''] = cursorForm.exec(text) ?? []
  if (last === undefined) return null
  const missing = new Map<number, Transactions | null>()
  for (const group of rest.split('.').slice(1)) {
    const [numbers = '', noted = ''] = group.split(':')
    const transactions = noted === '' ? null : new Set(noted.split('_'))
    for (const number of numbers.split(',')) missing.set(Number(number), transactions)
  }
  return { epoch, last: Number(last), missing }
}

function formatCursor({ epoch, last, missing }: Cursor): string {
  const groups = new Map<string, number[]>()
  for (const [number, transactions] of missing) {
    const noted = [...(transactions ?? [])].join('_')
    groups.set(noted, [...(groups.get(noted) ?? []), number])
  }
  const told = [...groups].map(([noted, numbers]) => `.${numbers.join(',')}:${noted}`)
  return `${epoch}.${last}${told.join('')}`
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Row {
  readonly number: number
  readonly at: number
  readonly changes: string
  readonly payloads: string | null
}

/** What one read found, all in one state of the store. */
interface Found {
  readonly epoch: string
  readonly oldest: number
  readonly newest: number
  readonly rows: readonly Row[]
}

const reading = `
select (select value from celeriac.meta where key = 'epoch'), (select number from celeriac.events order by number limit 1),
  (select number from celeriac.events order by number desc limit 1), e.number, e.at, e.changes, e.payloads
from (select) one left join lateral (
  (select number, at, changes, payloads from celeriac.events where number = any ($2::bigint[]))
  union all (select number, at, changes, payloads from celeriac.events where number > $1::bigint order by number limit $3)
) e on true order by e.number`

async function find(requests: Requests, { last, missing }: Cursor): Promise<Found> {
  const lists = await requests.lists<
    [string, number | null, number | null, number | null, number, string, string | null]
  >(reading, last, [...missing.keys()], rowsRead)
  const [epoch, oldest, newest] = lists[0] as (typeof lists)[0]
  const rows = lists.flatMap(([, , , number, at, changes, payloads]) =>
    number === null ? [] : [{ number, at, changes, payloads }],
  )
  return { epoch, oldest: oldest ?? 0, newest: newest ?? 0, rows }
}

export async function events(requests: Requests, query: EventsQuery, numbers: Numbers): Promise<EventsPage> {
  let cursor = parseCursor(query.after)
  const wanted = query.collections === null ? null : await numbers.of(requests, query.collections)
  const raw: Raw[] = []
  // Before the rows are read: who is gone by then, has left what it had to leave.
  const open = cursor === null || cursor.missing.size === 0 ? none : await takers(requests)
  for (let looked = 0; cursor !== null; looked += rowsRead) {
    const found: Found = await find(requests, cursor)
    if (isGap(cursor, found)) break
    const read = found.rows.slice(0, take(found.rows, wanted, raw, query.limit))
    cursor = goOn(cursor, found, read, looked === 0 ? open : null)
    const more = read.length < found.rows.length || found.newest > cursor.last
    const isEnough = raw.length >= query.limit || looked + rowsRead >= mostRowsRead
    if (!more || isEnough) return { changes: await tell(requests, raw), cursor: formatCursor(cursor), more, gap: false }
  }
  return { changes: [], cursor: await cursorNow(requests), more: false, gap: true }
}

const isGap = ({ epoch, last }: Cursor, found: Found): boolean =>
  epoch !== found.epoch || last > found.newest || last + 1 < found.oldest

/** Takes the changes of rows apart until there are enough. Gives how many rows it took. */
function take(rows: readonly Row[], wanted: ReadonlySet<number> | null, into: Raw[], limit: number): number {
  let count = 0
  for (; count < rows.length && into.length < limit; count++) read(rows[count] as Row, wanted, into)
  return count
}

/**
 * The cursor behind these rows.
 *
 * @param open the transactions that may bring a number, as seen before the rows were read; null where nobody looked
 */
function goOn({ epoch, last, missing }: Cursor, found: Found, read: readonly Row[], open: Transactions | null): Cursor {
  const seen = new Set(read.map(({ number }) => number))
  const isThere = new Set(found.rows.map(({ number }) => number))
  const left = new Map<number, Transactions | null>()
  for (const [number, noted] of missing) {
    if (seen.has(number)) continue
    const standing = open === null ? noted : noted === null ? open : new Set([...noted].filter((one) => open.has(one)))
    // A number that came, but whose row was not taken for want of room, stays on the list.
    if (isThere.has(number) || standing === null || standing.size > 0) left.set(number, standing)
  }
  let reached = last
  for (const { number } of read) {
    if (number <= last) continue
    if (number - reached <= mostMissing) for (let gap = reached + 1; gap < number; gap++) left.set(gap, null)
    reached = number
  }
  return { epoch, last: reached, missing: new Map([...left].slice(-mostMissing)) }
}

const none: Transactions = new Set()

/** The transactions under way that have taken a number of the feed. */
async function takers(requests: Requests): Promise<Transactions> {
  const rows = await requests.lists<[string]>(
    `select distinct virtualtransaction from pg_locks where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
       and database = (select oid from pg_database where datname = current_database())
       and relation = 'celeriac.event_numbers'::regclass`,
  )
  return new Set(rows.map(([transaction]) => transaction))
}

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A change as the journal has it: numbers, some for each. */
interface Raw {
  readonly at: number
  readonly change: readonly number[]
  readonly collection: number
  readonly progress: Progress | undefined
  /** The next change tells of the collection itself. */
  readonly isTold: boolean
}

/** Takes the flat list of a row apart (see the journal), keeping what belongs to the collections wanted. */
function read(row: Row, wanted: ReadonlySet<number> | null, into: Raw[]): void {
  const flat = readStored<number[]>(row.changes, [])
  const payloads = readStored<Progress[]>(row.payloads, [])
  let payload = 0
  for (let at = 0; at < flat.length;) {
    const kind = flat[at] as number
    const length = lengthOf(kind)
    if (kind >= 30) {
      readRun(row.at, flat.slice(at, (at += length)), wanted, into)
      continue
    }
    const isAlone = (kind < 10 || kind === 20) && flat[at + 1] === 0
    const collection = flat[at + (isAlone ? 2 : 1)] as number
    const progress = kind === 20 ? payloads[payload++] : undefined
    const next = flat[at + length] ?? 0
    const isTold = next >= 10 && next < 20 && flat[at + length + 1] === collection
    if (wanted === null || wanted.has(collection))
      into.push({ at: row.at, change: flat.slice(at, at + length), collection, progress, isTold })
    at += length
  }
}

const lengthOf = (kind: number): number => (kind < 10 || kind >= 30 ? 5 : kind < 20 ? 3 : 4)

function readRun(at: number, run: readonly number[], wanted: ReadonlySet<number> | null, into: Raw[]): void {
  const [kind, first, last, attempt, version] = run as [number, number, number, number, number]
  for (let job = first; job <= last; job++) {
    if (wanted !== null && !wanted.has(job)) continue
    into.push({
      at,
      change: [kind - 30, 0, job, attempt, version],
      collection: job,
      progress: undefined,
      isTold: false,
    })
  }
}

async function tell(requests: Requests, raw: readonly Raw[]): Promise<Change[]> {
  if (raw.length === 0) return []
  const jobs = new Set(
    raw.flatMap(({ change }) => ((change[0] as number) >= 10 && change[0] !== 20 ? [] : [change[2] as number])),
  )
  const ids = await idsOf(requests, jobs, new Set(raw.map(({ collection }) => collection)))
  return raw.flatMap((each) => changesIn(each, ids))
}

interface Ids {
  readonly jobs: ReadonlyMap<number, string>
  readonly collections: ReadonlyMap<number, string>
}

async function idsOf(requests: Requests, jobs: ReadonlySet<number>, collections: ReadonlySet<number>): Promise<Ids> {
  const rows = await requests.lists<[number, string, boolean]>(
    `select seq, id, true from celeriac.jobs where seq = any ($1::bigint[])
     union all select number, id, false from celeriac.collections where number = any ($2::bigint[])`,
    [...new Set([...jobs, ...collections])],
    [...collections],
  )
  const known = { jobs: new Map<number, string>(), collections: new Map<number, string>() }
  for (const [number, id, isJob] of rows) {
    if (isJob) known.jobs.set(number, id)
    // A job alone is its own collection, and the number of one is never that of another.
    if (!isJob || !known.collections.has(number)) known.collections.set(number, id)
  }
  return known
}

function changesIn({ at, change, collection, progress, isTold }: Raw, ids: Ids): Change[] {
  const [kind, own, seq, attempt, version] = change as [number, number, number, number, number]
  const collectionId = ids.collections.get(collection)
  if (collectionId === undefined) return []
  if (kind >= 10 && kind < 20)
    return [{ type: 'collection', at, collectionId, state: collectionStateName(kind - 10), round: seq }]
  const jobId = ids.jobs.get(seq)
  if (jobId === undefined) return []
  if (progress !== undefined) return [{ type: 'progress', at, collectionId, jobId, attempt, progress }]
  const told: Change = { type: 'job', at, collectionId, jobId, state: stateName(kind), attempt, version }
  // A job alone is its own collection, and settles it. Of a later round the journal says so itself.
  if (own !== 0 || kind < state.succeeded || isTold) return [told]
  return [told, { type: 'collection', at, collectionId, state: collectionStateName(settling(kind)), round: 1 }]
}

/** Numbers of collections by their ids, for those that are followed now. */
export class Numbers {
  #known = new Map<string, number>()

  async of(requests: Requests, ids: readonly string[]): Promise<Set<number>> {
    if (this.#known.size > ids.length + 1_000)
      this.#known = new Map(ids.flatMap((id) => (this.#known.has(id) ? [[id, this.#known.get(id) as number]] : [])))
    const unknown = ids.filter((id) => !this.#known.has(id))
    for (const [id, number] of unknown.length === 0 ? [] : await numbersOf(requests, unknown))
      this.#known.set(id, number)
    return new Set(ids.flatMap((id) => this.#known.get(id) ?? []))
  }
}

const numbersOf = (requests: Requests, ids: readonly string[]): Promise<[string, number][]> =>
  requests.lists(
    `select id, number from celeriac.collections where id = any ($1::text[])
     union all select id, seq from celeriac.jobs where id = any ($1::text[]) and collection = seq`,
    ids,
  )
