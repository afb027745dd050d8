import { CeleriacError, StoreUnavailable } from '../../core/errors.ts'
import { type Runtime, systemRuntime } from '../../core/runtime.ts'
import {
  cancel,
  loadDriver,
  type PgClient,
  type PgDriver,
  type PgPool,
  type PgPoolClient,
  type PgQuery,
  type PgQueryable,
  type PgResult,
  types,
} from './driver.ts'
import { Failed, isRepeatable, isUseless, Late, storeError, troubleOf } from './errors.ts'
import { statementsIn } from './in-schema.ts'
import type { Settings } from './options.ts'
import { pinnedBegin, withoutLimits } from './pins.ts'

/** Stands for whether the request has been sent before: then what was sent first may still be on its way. */
export const isSentAgain = Symbol('is sent again')
export type Value =
  string | number | boolean | null | Buffer | typeof isSentAgain | readonly (string | number | boolean | null)[]

/**
 * Asks the store, each request for itself or all of them in one transaction. Statements name what is ours as if the schema
 * were called `celeriac`.
 */
export interface Requests {
  /** The name of the schema. */
  readonly schema: string
  all<Row>(sql: string, ...values: Value[]): Promise<Row[]>
  get<Row>(sql: string, ...values: Value[]): Promise<Row | undefined>
  /** Rows as lists of values, in the order of the columns. */
  lists<Row>(sql: string, ...values: Value[]): Promise<Row[]>
  /** Calls a function of the schema; rows as lists of values. */
  call<Row>(name: string, ...values: Value[]): Promise<Row[]>
}

/** A request that could not be sent, or got no answer, is sent so many times in all. Every request may be repeated. */
const mostTries = 4
/** Before the first connection nobody waits so long: the address is mostly wrong then. In milliseconds. */
const firstPatience = 3_000
/** So long to let requests under way come to their end when the store is closed, in milliseconds. */
const closePatience = 1_000
/** A server answers in real time, whatever time a test tells. */
const real = systemRuntime
/** How long to go without opening more connections once the server has said that it has none left. */
const narrowFor = 30_000

abstract class Asking implements Requests {
  abstract readonly schema: string
  protected abstract ask(query: PgQuery): Promise<PgResult>
  protected abstract readonly mayPrepare: boolean
  #inSchema: ((sql: string) => string) | null = null

  async all<Row>(sql: string, ...values: Value[]): Promise<Row[]> {
    return (await this.#ask({ text: this.#in(sql), values, types })).rows as Row[]
  }
  async get<Row>(sql: string, ...values: Value[]): Promise<Row | undefined> {
    return (await this.all<Row>(sql, ...values))[0]
  }
  async lists<Row>(sql: string, ...values: Value[]): Promise<Row[]> {
    return (await this.#ask({ text: this.#in(sql), values, types, rowMode: 'array' })).rows as Row[]
  }
  async call<Row>(name: string, ...values: Value[]): Promise<Row[]> {
    const text = `select * from "${this.schema}".${name}(${values.map((_, at) => `$${at + 1}`).join(', ')})`
    return (await this.#ask({ text, values, types, rowMode: 'array' })).rows as Row[]
  }

  #in(sql: string): string {
    this.#inSchema ??= statementsIn(this.schema)
    return this.#inSchema(sql)
  }

  #ask(query: PgQuery): Promise<PgResult> {
    const name = this.mayPrepare ? nameOf(query.text) : null
    return this.ask(name === null ? query : { ...query, name })
  }
}

/**
 * The narrow way to `pg`: a pool, requests that are bounded in time and sent again when their connection was lost, and
 * errors in words. Nothing is set on a connection, so that a pooler may give each request another one.
 */
export class Database extends Asking {
  readonly schema: string
  /** The name of the server for people: host, port and database. */
  readonly where: string
  readonly settings: Settings
  /** A pooler stands between, which may give each transaction another connection. Known once the store is open. */
  isPooled = true
  /**
   * What sets the settings of this user right for one transaction; null where they are right, so that each request may go by
   * itself. Known once the store is open.
   */
  pins: string | null = null
  readonly #runtime: Pick<Runtime, 'now'>
  readonly #known = new WeakSet<PgClient>()
  #driver: PgDriver | null = null
  #pool: PgPool | null = null
  #isClosed = false
  #isNarrow = false
  #hasConnected = false

  constructor(settings: Settings, runtime: Pick<Runtime, 'now'>) {
    super()
    this.settings = settings
    this.schema = settings.schema
    this.where = whereOf(settings)
    this.#runtime = runtime
  }

  /** Loads the driver. Every other method needs it. */
  async open(): Promise<void> {
    if (this.#pool !== null) return
    if (this.settings.pool === undefined) this.#driver ??= loadDriver()
    this.#pool ??= this.#newPool()
  }

  /** The instant that requests are given as theirs; null where the server reads its own clock. */
  now(): number | null {
    return this.settings.clock === 'process' ? this.#runtime.now() : null
  }

  /** Runs `body` on one consistent state of the store. */
  async read<T>(body: (requests: Requests, client: PgClient) => Promise<T>): Promise<T> {
    const snapshot = 'begin isolation level repeatable read read only'
    return this.#repeated(() => this.#inTransaction(snapshot, this.settings.timeout, body))
  }

  /**
   * Runs `body` in a transaction on a connection of its own, which it may hand on. Not repeated.
   *
   * @param timeout how long each request may take, in milliseconds. Given for what must finish: no limit of the user's counts
   */
  async transaction<T>(body: (requests: Requests, client: PgClient) => Promise<T>, timeout?: number): Promise<T> {
    const unlimited: typeof body = async (requests, client) => {
      await requests.all(withoutLimits)
      return body(requests, client)
    }
    try {
      if (timeout === undefined) return await this.#inTransaction(this.#begin, this.settings.timeout, body)
      return await this.#inTransaction(this.#begin, timeout, unlimited)
    } catch (error) {
      throw this.#asStoreError(error, false)
    }
  }

  /** A connection of its own, outside of the pool; null where a user's own pool does not tell how it makes them. */
  async connect(): Promise<PgClient | null> {
    const pool = this.#opened()
    if (pool.Client === undefined || pool.options === undefined) return null
    const client = new pool.Client(pool.options as never) as PgClient
    client.on('error', ignore)
    try {
      await client.connect()
      return client
    } catch (error) {
      throw this.#asStoreError(new Failed(error, false), false)
    }
  }

  /** Requests on a connection that was made by `connect`. */
  on(client: PgClient): Requests {
    return new Connection(client, this.schema)
  }

  /** Free and taken connections of the pool, and the most there may be. */
  get connections(): { readonly open: number; readonly idle: number; readonly most: number } {
    const pool = this.#opened()
    return { open: pool.totalCount, idle: pool.idleCount, most: pool.options?.max ?? this.settings.size }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const pool = this.#pool
    this.#pool = null
    if (pool === null) return
    // A user's own pool is the user's to end.
    if (pool === this.settings.pool) {
      pool.removeListener('error', ignore)
      return void pool.removeListener('connect', this.#standBreaking)
    }
    // Requests without an answer would hold it up for ever.
    await new Promise<void>((resolve) => {
      const timer = real.after(closePatience, resolve)
      void pool
        .end()
        .catch(ignore)
        .then(() => {
          timer.cancel()
          resolve()
        })
    })
  }

  protected get mayPrepare(): boolean {
    return !this.isPooled
  }

  /** Requests that have so many times the time of any other: what they bring takes it. */
  times(count: number): Requests {
    return count === 1 ? this : new Connection({ query: (query) => this.ask(query, count) }, this.schema)
  }

  protected ask(query: PgQuery, times = 1): Promise<PgResult> {
    return this.#repeated(async (giveUpAt, tries) => {
      if (this.pins !== null)
        return this.#transaction(this.#begin, giveUpAt - real.elapsed(), (run) => run(sentAs(query, tries > 1)))
      const client = await this.#checkOut()
      try {
        const result = await this.#answer(client, sentAs(query, tries > 1), giveUpAt)
        client.release()
        return result
      } catch (error) {
        client.release(isUseless(error))
        throw error
      }
    }, times)
  }

  /** Where nothing is to be set right, the default isolation is the one that is needed. */
  get #begin(): string {
    return this.pins === null ? 'begin' : pinnedBegin
  }

  // ── how it is sent ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends again what was lost or gave way, at once, until its time is over. */
  async #repeated<T>(send: (giveUpAt: number, tries: number) => Promise<T>, times = 1): Promise<T> {
    const beganAt = real.elapsed()
    let mayBeStored = false
    for (let tries = 1; ; tries++) {
      try {
        return await send(beganAt + this.settings.timeout * times, tries)
      } catch (error) {
        const isSpent = tries >= mostTries && !this.#isQueuing(error)
        // Timers may ring a moment early.
        const isOver = isSpent || this.#isClosed || real.elapsed() - beganAt >= this.#patience * times - 5
        mayBeStored ||= error instanceof Failed && error.isSent && troubleOf(error.cause).kind === 'lost'
        if (isOver || !isRepeatable(error)) throw this.#asStoreError(error, mayBeStored)
      }
      await new Promise<void>((resolve) => real.soon(resolve))
    }
  }

  #inTransaction<T>(
    begin: string,
    timeout: number,
    body: (requests: Requests, client: PgClient) => Promise<T>,
  ): Promise<T> {
    return this.#transaction(begin, timeout, (query, client) => body(new Connection({ query }, this.schema), client))
  }

  async #transaction<T>(
    begin: string,
    timeout: number,
    body: (run: PgQueryable['query'], client: PgClient) => Promise<T>,
  ): Promise<T> {
    const client = await this.#checkOut()
    const run = (query: PgQuery): Promise<PgResult> => this.#answer(client, query, real.elapsed() + timeout)
    try {
      await run({ text: this.pins === null ? begin : `${begin}; ${this.pins}` })
      const answer = await body(run, client)
      await run({ text: 'commit' })
      client.release()
      return answer
    } catch (error) {
      const isGone =
        isUseless(error) ||
        (await run({ text: 'rollback' }).then(
          () => false,
          () => true,
        ))
      client.release(isGone)
      throw error
    }
  }

  /** An answer that does not come in time: the connection is given up, and the server told to stop what it does for it. */
  async #answer(client: PgClient, query: PgQuery, giveUpAt: number): Promise<PgResult> {
    const bound = Math.max(giveUpAt - real.elapsed(), 50)
    let isOver = false
    const answer = client.query(query).finally(() => (isOver = true))
    const late = new Promise<never>((_, reject) => {
      const giveUp = (): void => {
        if (isOver) return
        cancel(client)
        this.#renew()
        reject(new Failed(new Late(bound), true))
      }
      // If this process was the one that stood still, the answer is here already and is read before `soon`.
      const timer = real.after(bound, () => real.soon(giveUp), { unref: true })
      answer.then(
        () => timer.cancel(),
        () => timer.cancel(),
      )
    })
    return Promise.race([answer.catch((error: unknown) => Promise.reject(new Failed(error, true))), late])
  }

  async #checkOut(): Promise<PgPoolClient> {
    const pool = this.#opened()
    try {
      const client = await pool.connect()
      if (!this.#hasConnected) this.#meet(pool)
      this.#standBreaking(client)
      return client
    } catch (error) {
      this.#narrow(error, pool)
      throw new Failed(error, false)
    }
  }

  /** Without a listener, a connection that breaks while nothing is asked of it ends the process. */
  readonly #standBreaking = (client: PgClient): void => {
    if (this.#known.has(client)) return
    this.#known.add(client)
    client.on('error', ignore)
  }

  #meet(pool: PgPool): void {
    this.#hasConnected = true
    const own = pool === this.settings.pool ? undefined : pool.options
    if (own) own.connectionTimeoutMillis = Math.min(this.settings.timeout, 5_000)
  }
  get #patience(): number {
    return this.#hasConnected ? this.settings.timeout : Math.min(this.settings.timeout, firstPatience)
  }

  /** A server without connections left: go on with those that are open rather than ask for more. */
  #narrow(error: unknown, pool: PgPool): void {
    if (pool === this.settings.pool || pool.options === undefined || pool.totalCount === 0) return
    if (!isCrowded(error)) return
    pool.options.max = pool.totalCount
    if (this.#isNarrow) return
    this.#isNarrow = true
    const widen = (): void => {
      this.#isNarrow = false
      if (pool.options !== undefined) pool.options.max = this.settings.size
    }
    real.after(narrowFor, widen, { unref: true })
  }

  /** The next try waits for a connection that is open, rather than ask for one more. */
  #isQueuing(error: unknown): boolean {
    return this.#isNarrow && (this.#pool?.totalCount ?? 0) > 0 && error instanceof Failed && isCrowded(error.cause)
  }

  /** After an answer that did not come, no other connection is trusted: all may lead to where nobody is any more. */
  #renew(): void {
    const old = this.#pool
    if (old === null || old === this.settings.pool || this.#isClosed) return
    this.#pool = this.#newPool()
    old.end().catch(ignore)
  }

  #opened(): PgPool {
    if (this.#pool === null || this.#isClosed) throw new CeleriacError('CLOSED', 'The store has been closed.')
    return this.#pool
  }

  #newPool(): PgPool {
    const { url, size } = this.settings
    const pool =
      this.settings.pool ??
      new (this.#driver as PgDriver).Pool({
        connectionString: url,
        max: size,
        connectionTimeoutMillis: Math.min(this.#patience, 5_000),
        keepAlive: true,
        keepAliveInitialDelayMillis: 5_000,
        idleTimeoutMillis: 30_000,
        // Open connections do not keep a process alive that has nothing else to do.
        allowExitOnIdle: true,
        fallback_application_name: 'celeriac',
      })
    pool.on('error', ignore)
    // A server that lets in and at once goes away may say both in one breath, before who asked for the connection has it.
    pool.on('connect', this.#standBreaking)
    return pool
  }

  #asStoreError(error: unknown, mayBeStored: boolean): unknown {
    if (!(error instanceof Failed)) return error
    if (error.cause instanceof Late)
      return new StoreUnavailable(
        `${this.where} gave no answer within ${error.cause.bound} ms: check the network, and what the server is doing with celeriac doctor.`,
        { cause: error.cause, mayBeStored: true },
      )
    const trouble = troubleOf(error.cause)
    const wasLost = error.isSent && trouble.kind === 'lost'
    return storeError(trouble, this.where, error.cause, mayBeStored || wasLost)
  }
}

/** Requests on one connection, in whatever transaction it is. What goes wrong is thrown as it comes. */
export class Connection extends Asking {
  readonly schema: string
  protected readonly mayPrepare = false
  readonly #client: PgQueryable

  constructor(client: PgQueryable, schema: string) {
    super()
    this.#client = client
    this.schema = schema
  }
  protected ask(query: PgQuery): Promise<PgResult> {
    return this.#client.query(query)
  }
}

const ignore = (): void => undefined
const isCrowded = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '53300'

/** For people, and without the password. */
function whereOf({ url, pool }: Settings): string {
  if (pool !== undefined || url === undefined) return 'PostgreSQL'
  const { host, pathname, searchParams } = new URL(url)
  return `PostgreSQL at ${searchParams.get('host') ?? (host || 'localhost')}${pathname}`
}

/**
 * Names of the statements that connections keep, with their plans: the same for all connections, whoever uses the pool
 * besides. Lists with many filters come in many forms, so a statement is kept from its third time on, and not too many.
 */
const known = new Map<string, { readonly name: string; uses: number }>()
const mostNames = 200
function nameOf(text: string): string | null {
  let statement = known.get(text)
  if (statement === undefined) {
    if (known.size === mostNames) return null
    known.set(text, (statement = { name: `celeriac_${known.size}`, uses: 0 }))
  }
  return ++statement.uses > 2 ? statement.name : null
}

function sentAs(query: PgQuery, isAgain: boolean): PgQuery {
  if (query.values?.includes(isSentAgain) !== true) return query
  return { ...query, values: query.values.map((value) => (value === isSentAgain ? isAgain : value)) }
}
