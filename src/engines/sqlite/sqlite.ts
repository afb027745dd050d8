import type { DatabaseSync } from 'node:sqlite'
import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { JobRef, StoredResult } from '../../core/job.ts'
import { nextTurn } from '../../core/by-pages.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { CancelAnswer, QueueSettings, RetryAnswer, RetryRequest, Selection } from '../../engine/control.ts'
import type { Diagnosis, Engine } from '../../engine/engine.ts'
import type { EventsPage, EventsQuery, Signal } from '../../engine/feed.ts'
import type { CollectionsQuery, JobsQuery } from '../../engine/inspect.ts'
import type { SubmitAnswer, Submission, Transaction } from '../../engine/intake.ts'
import { rowsPerCall } from '../../engine/limits.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  Heartbeat,
  HeartbeatAnswer,
  Note,
  SettleAnswer,
  Settlement,
  SweepAnswer,
} from '../../engine/work.ts'
import { refuseClosed, type Transfer } from '../../engine/transfer.ts'
import type { Values } from '../../engine/values.ts'
import { type Change, newChange, writeChange } from './change.ts'
import { claim, type Ref } from './claim.ts'
import { cancel, putQueues } from './control.ts'
import { counts } from './counts.ts'
import { Database, isOfRow } from './database.ts'
import { diagnose } from './doctor.ts'
import { cursorNow, events, Numbers } from './feed.ts'
import { loadResult } from '../../engine/results.ts'
import { resultsPage } from './gather.ts'
import { GroupCommit } from './group-commit.ts'
import { heartbeat, notesOf } from './heartbeat.ts'
import { actorsOf, collection, job, queues, workers } from './inspect.ts'
import { collections, jobs } from './list.ts'
import { migrate, migrateInside } from './migrate.ts'
import { hasTables, holdsStore, isSound, openFile, openPatiently, openMemory, prepare } from './open.ts'
import { readSettings, type Settings, settingsOfUrl, type SqliteOptions, urlOf } from './options.ts'
import { remove } from './retention.ts'
import { retry } from './retry.ts'
import { settle } from './settle.ts'
import { statistics } from './statistics.ts'
import { submit, upload } from './submit.ts'
import { Place } from './place.ts'
import { sweep } from './sweep.ts'
import { sqliteTransfer, standing } from './transfer.ts'
import { putValue, takeValue, value, values } from './values.ts'
import { Watch } from './watch.ts'
import { noteFaults } from './turn.ts'
import { checkStillOpen, openTransaction, settleOnce } from './within.ts'
import { LeftoverFault, putOff, settleWork } from './work.ts'

export type { SqliteOptions }

/**
 * The embedded store: a SQLite file that several processes of one machine may share.
 *
 * @example
 * const app = new Celeriac({ engine: sqlite({ path: '/var/lib/shop/jobs.db', mode: 'fast' }) })
 */
export function sqlite(options: SqliteOptions = {}): (runtime: Runtime) => Engine {
  const settings = readSettings(options)
  return (runtime) => new SqliteEngine(settings, runtime)
}

/** `sqlite:path`, `sqlite:///absolute/path` or `sqlite::memory:`, with `?mode=fast` or `?mode=durable`. */
export function sqliteFromUrl(url: string): (runtime: Runtime) => Engine {
  return sqlite(settingsOfUrl(url))
}

interface Made<T> {
  readonly answer: T
  readonly change: Change
  /** There is more to do than one call may. */
  readonly isLeft: boolean
}

interface Connected {
  readonly connection: DatabaseSync
  readonly db: Database
}

interface Opened extends Connected {
  readonly done: { readonly from: number; readonly to: number }
}

/** Makes a call again for as long as something fails in it that others left to do: that is put off, a piece at a time. */
async function pastLeftovers<T>(call: () => Promise<T>, setAside: (fault: LeftoverFault) => Promise<void>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof LeftoverFault)) throw error
      await setAside(error)
    }
  }
}

/** Rows that cannot be what they are: not a store that is away, locked, full or closed. */
const isFaultOfRows = (error: unknown): boolean =>
  !(error instanceof CeleriacError) || error.code === 'STORE_FAILED' || isOfRow(error.cause)

/** Changes when another connection has written, and when the file has gone: whoever then looks is told. */
const versionOf = (db: Database, place: Place | null): number =>
  place?.isSame === false ? -1 : (db.get<{ data_version: number }>('pragma data_version')?.data_version ?? 0)

class SqliteEngine implements Engine {
  readonly name = 'sqlite'
  readonly transfer: Transfer
  readonly url: string | null
  readonly partSize = rowsPerCall
  readonly #settings: Settings
  readonly #runtime: Runtime
  readonly #numbers = new Numbers()
  #opened: Promise<Opened> | null = null
  #opening: Promise<{ from: number; to: number }> | null = null
  #db: Database | null = null
  #commits: GroupCommit | null = null
  #watch: Watch | null = null
  #place: Place | null = null
  /** For transactions that stay open for a while: everything else goes on beside them, but for writing. */
  #second: Connected | null = null
  #goingOn = false
  #isClosed = false

  constructor(settings: Settings, runtime: Runtime) {
    this.#settings = settings
    this.#runtime = runtime
    const isFile = settings.database === undefined && settings.path !== ':memory:'
    const mayShare = isFile && isSound(this.#version)
    this.url = mayShare ? urlOf(settings) : null
    this.transfer = sqliteTransfer(async () => (await this.#open()).db, runtime)
  }

  get #version(): string {
    return this.#settings.version ?? process.versions.sqlite ?? '0'
  }

  async isThere(): Promise<boolean> {
    const { database, path } = this.#settings
    if (this.#db !== null) return true
    if (database !== undefined) return hasTables(database)
    return path === ':memory:' || holdsStore(path)
  }

  migrate(): Promise<{ from: number; to: number }> {
    this.#opening ??= this.#enter().catch((error: unknown) => {
      this.#opening = null
      throw error
    })
    return this.#opening
  }

  async #enter(): Promise<{ from: number; to: number }> {
    const { db, done } = await this.#open()
    refuseClosed(await db.read(() => standing(db)))
    this.#db = db
    return done
  }

  /** The store as it is, also where it is closed to all use but copying. */
  #open(): Promise<Opened> {
    this.#opened ??= this.#openFile().catch((error: unknown) => {
      this.#opened = null
      throw error
    })
    return this.#opened
  }

  async #openFile(): Promise<Opened> {
    const { database, path, mode } = this.#settings
    const connection =
      database ?? (path === ':memory:' ? openMemory() : await openPatiently(path, mode, this.#version, this.#runtime))
    const file = connection.location()
    const place = file === null || file === '' ? null : new Place(file)
    const db = new Database(connection, this.#runtime, place)
    try {
      await db.untilFree()
      if (database !== undefined) prepare(database, mode, true)
      const done = await migrate(db)
      this.#commits = new GroupCommit(db)
      const isShared = path !== ':memory:' || database !== undefined
      this.#watch = new Watch(this.#runtime, isShared ? () => versionOf(db, place) : null)
      this.#place = place
      return { connection, db, done }
    } catch (error) {
      if (database === undefined) db.close()
      throw error
    }
  }

  async #ready(): Promise<Database> {
    if (this.#db === null) await this.migrate()
    if (this.#isClosed || this.#db === null) throw new CeleriacError('CLOSED', 'The store has been closed.')
    return this.#db
  }

  /** What it asks for, what follows from that, the events of it all; then whoever listens is told. */
  async #write<T>(body: (change: Change) => T): Promise<T> {
    const db = this.#db ?? (await this.#ready())
    const add = (): Promise<Made<T>> => (this.#commits as GroupCommit).add(() => this.#change(db, body))
    return this.#tell(await pastLeftovers(add, (fault) => db.write(() => this.#putOff(db, fault))))
  }

  /** The same in a transaction of the user's. What it stored is there for others once that one is committed. */
  async #writeWithin<T>(transaction: Transaction, body: (change: Change) => T): Promise<T> {
    if (this.#isClosed) throw new CeleriacError('CLOSED', 'The store has been closed.')
    const { database, path } = this.#settings
    const guest = openTransaction(transaction, { path, ...(database && { database }) }, this.#runtime)
    const add = (): Promise<Made<T>> =>
      guest.inside(() => {
        // Not opened first: a store that is not there yet could not be made while this transaction is open.
        if (this.#db === null) migrateInside(guest)
        this.#place?.check()
        return this.#change(guest, body)
      })
    const made = await pastLeftovers(add, (fault) => guest.inside(() => this.#putOff(guest, fault)))
    this.#db?.waitFor(guest)
    // Told at once: whoever looks waits for the transaction to end.
    return this.#tell(made)
  }

  #change<T>(db: Database, body: (change: Change) => T): Made<T> {
    const change = newChange(db, this.#runtime.now())
    const answer = body(change)
    const isLeft = settleWork(change)
    writeChange(change)
    return { answer, change, isLeft }
  }

  #putOff(db: Database, fault: LeftoverFault): void {
    const change = newChange(db, this.#runtime.now())
    putOff(change, fault)
    noteFaults(change, [{ item: fault.item, message: fault.message }])
  }

  #tell<T>({ answer, change, isLeft }: Made<T>): T {
    if (isLeft) this.#goOn()
    this.#watch?.tell(change.journal.signal())
    return answer
  }

  /** Sees to what a large change left to do. Should this process die, the sweep of another one does. */
  #goOn(): void {
    if (this.#goingOn || this.#isClosed) return
    this.#goingOn = true
    this.#runtime.soon(() => {
      this.#goingOn = false
      if (!this.#isClosed) this.#write(() => undefined).catch(() => undefined)
    })
  }

  async #read<T>(body: (db: Database) => T): Promise<T> {
    const db = await this.#ready()
    return db.read(() => body(db))
  }

  submit(
    submissions: readonly Submission[],
    transaction?: Transaction,
    calls?: readonly number[],
  ): Promise<SubmitAnswer[]> {
    const body = (change: Change): SubmitAnswer[] => submit(change, submissions, calls)
    return transaction === undefined ? this.#write(body) : this.#writeWithin(transaction, body)
  }
  upload(
    graph: Graph,
    part: number,
    within: { ref: JobRef; token: number } | null,
    transaction?: Transaction,
  ): Promise<void> {
    const body = (change: Change): void => upload(change, graph, part, within)
    // The store answers in the same turn of the event loop: without one in between, all parts would be one.
    if (part > 0 && transaction === undefined) return nextTurn(this.#runtime).then(() => this.#write(body))
    return transaction === undefined ? this.#write(body) : this.#writeWithin(transaction, body)
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    try {
      return await this.#write((change) => claim(change, request))
    } catch (error) {
      if (!isFaultOfRows(error)) throw error
      return this.#write((change) => claim(change, request, true))
    }
  }
  settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
    return this.#write((change) => settle(change, settlements))
  }
  async settleWithin(
    { ref, token }: { ref: JobRef; token: number },
    write: (transaction: Transaction) => Promise<string | null>,
  ): Promise<SettleAnswer> {
    const own = await this.#ready()
    const { connection, db } = await this.#writer()
    const made = await db.hold(
      async () => {
        own.waitFor(db)
        const result = await write(connection)
        checkStillOpen(connection)
        return this.#change(db, (change) => settleOnce(change, ref as Ref, token, result))
      },
      ({ answer }) => answer === 'accepted',
    )
    return made.answer === 'accepted' ? this.#tell(made) : made.answer
  }

  /** A connection that a transaction may be open on for a while: one of its own where there can be a second one. */
  async #writer(): Promise<Connected> {
    if (this.url === null) return this.#open()
    // What is there now may be another file than the one that everything else here has open.
    this.#place?.check()
    if (this.#second?.connection.isOpen !== true) {
      const connection = openFile(this.#settings.path, this.#settings.mode, this.#version)
      this.#second = { connection, db: new Database(connection, this.#runtime, this.#place) }
    }
    return this.#second
  }
  heartbeat(beat: Heartbeat): Promise<HeartbeatAnswer> {
    const runtime = this.#runtime
    return heartbeat(
      {
        read: (body) => this.#read(body),
        write: (body) => this.#write(body),
        pause: () => nextTurn(runtime),
        now: () => runtime.now(),
      },
      beat,
    )
  }
  sweep(): Promise<SweepAnswer> {
    return sweep({
      runtime: this.#runtime,
      write: (body) => this.#write(body),
      read: (body) => this.#read(body),
      isClosed: () => this.#isClosed,
    })
  }
  notes(job: unknown): Promise<readonly Note[]> {
    return this.#read((db) => notesOf(db, (job as Ref).seq))
  }
  results(barrier: unknown, after: string | null): Promise<{ results: readonly StoredResult[]; next: string | null }> {
    return this.#read((db) => resultsPage(db, barrier as number, after))
  }

  cancel(selection: Selection): Promise<CancelAnswer> {
    return this.#write((change) => cancel(change, selection))
  }
  retry(request: RetryRequest): Promise<RetryAnswer> {
    return this.#write((change) => retry(change, request))
  }
  remove(collectionId: string): Promise<'removed' | 'unsettled' | 'not-found'> {
    return this.#write((change) => remove(change, collectionId))
  }
  async putQueues(settings: readonly QueueSettings[]): Promise<void> {
    await this.#write((change) => putQueues(change.db, settings))
    this.#watch?.tell({ queued: true, changed: false, cancel: false })
  }

  async jobs(query: JobsQuery): ReturnType<Engine['jobs']> {
    return jobs({ ready: () => this.#ready(), runtime: this.#runtime }, query)
  }
  job(id: string, options: { history?: boolean } = {}): ReturnType<Engine['job']> {
    return this.#read((db) => job(db, id, options.history ?? true))
  }
  async collections(query: CollectionsQuery): ReturnType<Engine['collections']> {
    return collections({ ready: () => this.#ready(), runtime: this.#runtime }, query)
  }
  async collection(id: string, options: { jobs?: boolean; counts?: boolean } = {}): ReturnType<Engine['collection']> {
    return collection({ ready: () => this.#ready(), runtime: this.#runtime }, id, options)
  }
  queues(): ReturnType<Engine['queues']> {
    return this.#read(queues)
  }
  workers(): ReturnType<Engine['workers']> {
    return this.#read((db) => workers(db, this.#runtime.now()))
  }
  readonly counts: Engine['counts'] = async (query) => counts(await this.#ready(), this.#runtime, query)
  readonly statistics: Engine['statistics'] = (query) => this.#read((db) => statistics(db, this.#runtime.now(), query))
  readonly actorsOf: Engine['actorsOf'] = (ids) => this.#read((db) => actorsOf(db, ids))
  resolve(result: StoredResult): Promise<StoredResult> {
    return loadResult(result, async (barrier, after) => {
      await nextTurn(this.#runtime)
      return this.results(barrier, after)
    })
  }

  readonly value: Values['value'] = (kind, id) => this.#read((db) => value(db, this.#runtime.now(), kind, id))
  readonly values: Values['values'] = (kind, after = null) =>
    this.#read((db) => values(db, this.#runtime.now(), kind, after))
  readonly putValue: Values['putValue'] = (given, conflict) =>
    this.#write((change) => putValue(change, given, conflict === 'keep'))
  readonly takeValue: Values['takeValue'] = (kind, id) => this.#write((change) => takeValue(change, kind, id))

  events(query: EventsQuery): Promise<EventsPage> {
    return this.#read((db) => events(db, query, this.#numbers))
  }
  cursor(): Promise<string> {
    return this.#read(cursorNow)
  }
  subscribe(listener: (signal: Signal) => void): () => void {
    if (this.#watch !== null) return this.#watch.subscribe(listener)
    let stop: (() => void) | null = null
    let isStopped = false
    // The store opens on first use; whoever subscribes before is told once it is open.
    this.#ready().then(
      () => {
        if (isStopped || this.#watch === null) return
        stop = this.#watch.subscribe(listener)
        listener({ queued: true, changed: true, cancel: true })
      },
      () => undefined,
    )
    return () => {
      isStopped = true
      stop?.()
    }
  }

  async diagnose(): Promise<readonly Diagnosis[]> {
    const db = await this.#ready()
    return diagnose(db, { ...this.#settings, version: this.#version, now: this.#runtime.now(), place: this.#place })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    const opened = await this.#opened?.catch(() => undefined)
    this.#watch?.stop()
    this.#second?.db.close()
    if (this.#settings.database === undefined) opened?.db.close()
    this.#db = null
  }
}
