import { CeleriacError, StoreUnavailable } from '../../core/errors.ts'
import { shown } from '../../core/text.ts'
import type { Transaction } from '../../engine/intake.ts'
import type { SettleAnswer } from '../../engine/work.ts'
import { channelOf } from './announce.ts'
import type { Ref } from './claim.ts'
import type { Database, Requests, Value } from './database.ts'
import type { PgClient } from './driver.ts'
import { storeError, troubleOf } from './errors.ts'
import { otherSettings, pinning, unpinning } from './pins.ts'
import { uploadGone } from './upload.ts'

// ── transactions of the user's ───────────────────────────────────────────────────────────────────────────────────────

/** How a statement is sent by what the user gave: rows as objects, with the values that its own settings make of them. */
type Run = (text: string, values: readonly Value[]) => Promise<readonly unknown[]>

interface Way {
  readonly run: Run
  /** It is known that a transaction is open on it. */
  readonly isOpen: boolean
}

/**
 * Calls functions of the schema in a transaction of the user's: on a client of `pg` or what is shaped like one, or through
 * Kysely or Drizzle. What comes back is one text, so that nobody's settings change what is in it.
 */
export class Guest implements Pick<Requests, 'call'> {
  readonly #given: object
  readonly #way: Way
  readonly #db: Database
  readonly #database: string

  /**
   * @param database the name of the database that the store is in
   * @throws CeleriacError BAD_ARGUMENT where it is no transaction
   */
  constructor(given: Transaction, db: Database, database: string) {
    this.#way = wayOf(given)
    this.#given = given as object
    this.#db = db
    this.#database = database
  }

  /** One behind the other: `pg` warns of what is sent on one connection at once, and its next version refuses that. */
  call<Row>(name: string, now: Value, ...values: Value[]): Promise<Row[]> {
    const made = (ends.get(this.#given) ?? Promise.resolve()).then(() => this.#call<Row>(name, now, values))
    ends.set(this.#given, made.then(ignore, ignore))
    return made
  }

  async #call<Row>(name: string, now: Value, values: readonly Value[]): Promise<Row[]> {
    const { schema } = this.#db
    const places = values.map((_, at) => `$${at + 3}`).join(', ')
    // Whoever listens is told by the server when it is committed. Not what it is: it may be nothing.
    const text = `select '=' || json_agg(answer)::text as answer, pg_notify('${channelOf(schema)}', 'qcx')
      from (select * from "${schema}".${name}("${schema}".in_transaction_of($2, $1)${places && ', '}${places})) answer`
    const [row] = await this.#inside(() => this.#pinned(() => this.#way.run(text, [now, this.#database, ...values])))
    const { answer } = row as { readonly answer: string }
    return (JSON.parse(answer.slice(1)) as object[]).map((each) => Object.values(each) as Row)
  }

  /** Settings of the user's that a call cannot have: they are back behind it. An error leaves nothing to put back. */
  async #pinned<T>(body: () => Promise<T>): Promise<T> {
    const { run } = this.#way
    const [row] = await run(`select '=' || ${otherSettings} as answer`, [])
    const found = (row as { readonly answer: string }).answer.slice(1)
    if (found === '{}') return body()
    for (const statement of pinning(found).split('; ')) await run(statement, [])
    const answer = await body()
    await run(unpinning(found), [])
    return answer
  }

  /** A savepoint can be set in a transaction only. Where one is needed to find that out, what fails is undone with it. */
  async #inside<T>(body: () => Promise<T>): Promise<T> {
    const { run, isOpen } = this.#way
    if (isOpen) return body().catch((error: unknown) => this.#refuse(error))
    await run('savepoint celeriac', []).catch((error: unknown) => this.#refuse(error))
    try {
      const answer = await body()
      await run('release savepoint celeriac', [])
      return answer
    } catch (error) {
      await run('rollback to savepoint celeriac', []).catch(() => undefined)
      return this.#refuse(error)
    }
  }

  #refuse(error: unknown): never {
    const { code = '' } = error instanceof Error ? (error as { code?: unknown }) : {}
    if (code === '25P01') throw notBegun()
    if (code === '25P02')
      throw refusal('a statement in this transaction has failed, so that it can only be rolled back')
    const { schema } = this.#db
    if (code === '3F000' || code === '42883')
      throw refusal(
        `there is no store in the schema "${schema}" of the database that this transaction is open on`,
        error,
      )
    if (code === elsewhere) throw refusal((error as Error).message, error)
    if (code === uploadGone) throw error
    // It went with its connection, so nothing can have been stored.
    throw storeError(troubleOf(error), 'Your connection to PostgreSQL', error, false)
  }
}

/** When the last call in a transaction of a user's is over. */
const ends = new WeakMap<object, Promise<void>>()
const ignore = (): void => undefined

const elsewhere = 'CEL02'

function wayOf(given: Transaction): Way {
  if (isLike(given, 'executeQuery', 'isTransaction')) return wayOfKysely(given)
  if (isLike(given, 'execute', '_')) return wayOfDrizzle(given)
  if (!isLike(given, 'query') || typeof given.query !== 'function') throw refusal(notATransaction(given))
  if ('totalCount' in given)
    throw refusal(
      'this is a pool, whose queries go this way and that: give a client of it on which you began a transaction',
    )
  const client = given as unknown as PgLike
  return {
    run: async (text, values) => (await client.query(text, values)).rows,
    isOpen: client.getTransactionStatus?.() === 'T',
  }
}

interface PgLike {
  query(text: string, values: readonly Value[]): Promise<{ readonly rows: readonly unknown[] }>
  /** `T` in a transaction. What was sent and not yet answered is not in it. */
  getTransactionStatus?(): string | null
}

function wayOfKysely(given: Record<'executeQuery' | 'isTransaction', unknown>): Way {
  if (given.isTransaction !== true)
    throw notBegun('of this Kysely, and give what it hands you: db.transaction().execute(async (trx) => …)')
  const kysely = given as unknown as { executeQuery(query: object): Promise<{ readonly rows: readonly unknown[] }> }
  const run: Run = async (sql, parameters) => {
    const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
    return (await kysely.executeQuery({ sql, parameters, query, queryId: { queryId: 'celeriac' } })).rows
  }
  return { run, isOpen: true }
}

function wayOfDrizzle(given: Record<'execute' | '_', unknown>): Way {
  if (!('rollback' in given))
    throw notBegun('of this Drizzle, and give what it hands you: db.transaction(async (tx) => …)')
  const { session } = given._ as { readonly session?: DrizzleSession }
  if (typeof session?.prepareQuery !== 'function')
    throw refusal('this version of Drizzle is not known: give its client')
  const run: Run = async (sql, params) => {
    const answer = await session.prepareQuery({ sql, params }, undefined, undefined, false).execute()
    return Array.isArray(answer) ? (answer as unknown[]) : (answer as { readonly rows: readonly unknown[] }).rows
  }
  return { run, isOpen: true }
}

interface DrizzleSession {
  prepareQuery(
    query: { readonly sql: string; readonly params: readonly Value[] },
    fields: undefined,
    name: undefined,
    isArrayMode: false,
  ): { execute(): Promise<unknown> }
}

function isLike<Name extends string>(given: unknown, ...names: readonly Name[]): given is Record<Name, unknown> {
  return typeof given === 'object' && given !== null && names.every((name) => name in given)
}

function notATransaction(given: unknown): string {
  const wanted = 'PostgreSQL takes a client of pg, or a transaction of Kysely or Drizzle'
  return isLike(given, 'prepare', 'isTransaction') ? `${wanted}, not one of SQLite` : `${wanted}, not ${shown(given)}`
}

const notBegun = (how = "on this connection, by query('begin')"): CeleriacError =>
  refusal(`no transaction is open: begin one ${how}`)

const refusal = (problem: string, cause?: unknown): CeleriacError =>
  new CeleriacError('BAD_ARGUMENT', `within: ${problem}.`, cause === undefined ? undefined : { cause })

// ── jobs that their handlers complete ────────────────────────────────────────────────────────────────────────────────

export interface Completed {
  readonly answer: SettleAnswer
  readonly bits: number
}

const answers: readonly SettleAnswer[] = ['accepted', 'superseded', 'cancelled']

/**
 * Settles a job as succeeded in one transaction with what `write` does on its connection: both are kept, or neither is.
 *
 * @throws what `write` throws; StoreUnavailable where the connection was lost, `mayBeStored` only where nobody can be asked
 */
export async function settleWithin(
  db: Database,
  { ref, token }: { readonly ref: Ref; readonly token: number },
  write: (transaction: Transaction) => Promise<string | null>,
): Promise<Completed> {
  let done: Completed | null = null
  try {
    await db.transaction(async (requests, client) => {
      const result = await write(client)
      await checkStillOpen(requests, client)
      const collection = ref.collection === ref.seq ? null : [ref.collection]
      const [row] = await requests
        .call<readonly [bits: number, answer: number]>(
          'settle_within',
          db.now(),
          ref.seq,
          token,
          result,
          collection,
          ref.session,
        )
        .catch(asSpoilt)
      const [bits, code] = row as NonNullable<typeof row>
      done = { answer: answers[code] as SettleAnswer, bits }
      if (done.answer !== 'accepted') throw new NotKept(done)
    })
    return done as unknown as Completed
  } catch (error) {
    if (error instanceof NotKept) return error.completed
    // Up to here nothing was committed; from here on it may have been, and the answer lost.
    if (done === null || !(error instanceof StoreUnavailable)) throw error
    return askAfter(db, ref, token, done, error)
  }
}

/** Rolls back. */
class NotKept extends Error {
  readonly completed: Completed
  constructor(completed: Completed) {
    super(completed.answer)
    this.completed = completed
  }
}

/** The job tells what became of the transaction; as long as that is not over, its row is locked. */
async function askAfter(
  db: Database,
  { seq }: Ref,
  token: number,
  done: Completed,
  lost: StoreUnavailable,
): Promise<Completed> {
  const [state, holder] = await standingOf(db, seq, lost)
  if (holder !== token) return { answer: 'superseded', bits: 0 }
  if (state === succeeded) return done
  throw new StoreUnavailable(lost.message, { mayBeStored: false, cause: lost })
}
const succeeded = 4

type Standing = readonly [state: number | null, holder: number | null]

async function standingOf(db: Database, seq: number, lost: StoreUnavailable): Promise<Standing> {
  for (let tries = 1; ; tries++) {
    try {
      const [row] = await db.call<Standing>('standing_of', seq)
      return row ?? [null, null]
    } catch (error) {
      if (tries < mostTries) continue
      throw error instanceof StoreUnavailable
        ? new StoreUnavailable(lost.message, { mayBeStored: true, cause: lost })
        : error
    }
  }
}
/** How often the store is asked: each of them may wait for as long as any request. */
const mostTries = 5

/** Lets so many in at once, the others one behind the other: handlers at work must leave connections to the rest. */
export class Gate {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async pass<T>(body: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await body()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/** Callbacks must leave the end of the transaction to the store: half of it would be kept whatever the job comes to. */
async function checkStillOpen(requests: Requests, client: PgClient): Promise<void> {
  const status = (client as Pick<PgLike, 'getTransactionStatus'>).getTransactionStatus?.()
  if (status === 'I') throw ended()
  if (status === undefined || status === null) await requests.all('savepoint celeriac').catch(asSpoilt)
}

function asSpoilt(error: unknown): never {
  const cause: unknown = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const { code } = cause as { readonly code?: unknown }
  if (code === '25P01') throw ended()
  if (code !== '25P02') throw error
  const problem = 'a statement of the callback failed and it went on all the same, so that nothing of it can be kept'
  throw new CeleriacError('BAD_ARGUMENT', `completeWithin: ${problem}: let it throw.`)
}

const ended = (): CeleriacError =>
  new CeleriacError(
    'BAD_ARGUMENT',
    'completeWithin: the callback ended the transaction itself, so the job is not completed: leave out commit and rollback, and throw to undo it all.',
  )

export const withinFunctions = `
-- Calls within a transaction of a user's begin with this, so that they are made in the right place.
create or replace function celeriac.in_transaction_of(a_database text, a_now bigint) returns bigint language plpgsql volatile as $$
begin
  if current_database() <> a_database then
    raise exception using errcode = '${elsewhere}',
      message = concat('this transaction is open on the database "', current_database(), '", and the jobs are kept in "', a_database, '"');
  end if;
  return a_now;
end $$;

-- Not as \`settle\`, which says of an outcome that came before that it was accepted: what the transaction wrote belongs to
-- no outcome but this one. Answers 0 accepted, 1 superseded, 2 cancelled.
create or replace function celeriac.settle_within(
  a_now bigint, a_seq bigint, a_token bigint, a_result text, a_collections bigint[], a_session bigint
) returns table (bits integer, answer integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_state smallint;
  v_token bigint;
begin
  if a_collections is not null then perform celeriac.hold_collections(a_collections); end if;
  select state, token into v_state, v_token from celeriac.jobs where seq = a_seq for update;
  if v_token is distinct from a_token or v_state not in (3, 6) then return query select 0, 1; return; end if;
  if v_state = 6 then return query select 0, 2; return; end if;
  return query select s.bits, coalesce(s.answers[1], 0) from celeriac.settle(
    a_now, array[a_seq], array[a_token], array[a_result], a_collections, array[a_session], array[a_token], array[1], null, null, null) s;
end $$;

-- How a job stands once nobody is changing it.
create or replace function celeriac.standing_of(a_seq bigint) returns table (state integer, token bigint) language sql as $$
  select state::integer, token from celeriac.jobs where seq = a_seq for update
$$;
`
