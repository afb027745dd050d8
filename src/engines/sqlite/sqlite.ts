import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { JobRef, StoredResult } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { CancelAnswer, QueueSettings, RetryAnswer, RetryRequest, Selection } from '../../engine/control.ts'
import type { Diagnosis, Engine } from '../../engine/engine.ts'
import type { EventsPage, EventsQuery, Signal } from '../../engine/feed.ts'
import type { CollectionsQuery, JobsQuery } from '../../engine/inspect.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  Heartbeat,
  HeartbeatAnswer,
  SettleAnswer,
  Settlement,
  SweepAnswer,
} from '../../engine/work.ts'
import { refuseClosed, type Transfer } from '../../engine/transfer.ts'
import { type Change, newChange, rowsPerCall } from './change.ts'
import { claim } from './claim.ts'
import { cancel, putQueues } from './control.ts'
import { Database } from './database.ts'
import { diagnose } from './doctor.ts'
import { cursorNow, events, Numbers } from './feed.ts'
import { loadResult, resultsPage } from './gather.ts'
import { GroupCommit } from './group-commit.ts'
import { heartbeat } from './heartbeat.ts'
import { collection, job, queues, workers } from './inspect.ts'
import { collections, jobs } from './list.ts'
import { migrate } from './migrate.ts'
import { isSound, openFile, openMemory, prepare } from './open.ts'
import { readSettings, type Settings, settingsOfUrl, type SqliteOptions, urlOf } from './options.ts'
import { newRetentionPass, remove, retain } from './retention.ts'
import { retry } from './retry.ts'
import { settle } from './settle.ts'
import { submit, upload } from './submit.ts'
import { nextSweepAt, sweep } from './sweep.ts'
import { sqliteTransfer, standing } from './transfer.ts'
import { Watch } from './watch.ts'
import { settleWork } from './work.ts'

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

interface Opened {
  readonly db: Database
  readonly done: { readonly from: number; readonly to: number }
}

class SqliteEngine implements Engine {
  readonly name = 'sqlite'
  readonly transfer: Transfer
  readonly url: string | null
  readonly partSize = rowsPerCall
  readonly #settings: Settings
  readonly #runtime: Runtime
  readonly #queues = new Set<string>()
  readonly #numbers = new Numbers()
  readonly #pass = newRetentionPass()
  #opened: Promise<Opened> | null = null
  #opening: Promise<{ from: number; to: number }> | null = null
  #db: Database | null = null
  #commits: GroupCommit | null = null
  #watch: Watch | null = null
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
    if (database !== undefined) prepare(database, mode, true)
    const connection = database ?? (path === ':memory:' ? openMemory() : openFile(path, mode, this.#version))
    const db = new Database(connection, this.#runtime)
    try {
      const done = await migrate(db)
      this.#commits = new GroupCommit(db)
      const isShared = path !== ':memory:' || database !== undefined
      this.#watch = new Watch(
        this.#runtime,
        isShared ? () => db.get<{ data_version: number }>('pragma data_version')?.data_version ?? 0 : null,
      )
      return { db, done }
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
    const [answer, change, isLeft] = await (this.#commits as GroupCommit).add(() => {
      const change = newChange(db, this.#runtime.now(), this.#queues)
      const said = body(change)
      const isLeft = settleWork(change)
      change.journal.write(db, change.now, change.next)
      return [said, change, isLeft] as const
    })
    for (const queue of change.newQueues) this.#queues.add(queue)
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

  submit(submissions: readonly Submission[]): Promise<SubmitAnswer[]> {
    return this.#write((change) => submit(change, submissions))
  }
  upload(graph: Graph, part: number, within: { ref: JobRef; token: number } | null): Promise<void> {
    return this.#write((change) => upload(change, graph, part, within))
  }

  claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return this.#write((change) => claim(change, request))
  }
  settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
    return this.#write((change) => settle(change, settlements))
  }
  settleWithin(): Promise<SettleAnswer> {
    return Promise.reject(new CeleriacError('UNSUPPORTED', 'completeWithin is not built for SQLite yet.'))
  }
  heartbeat(beat: Heartbeat): Promise<HeartbeatAnswer> {
    return this.#write((change) => heartbeat(change, beat))
  }
  async sweep(): Promise<SweepAnswer> {
    const released = await this.#write((change) => {
      const count = sweep(change, this.#runtime)
      retain(change, this.#pass)
      return count
    })
    return { released, nextAt: await this.#read(nextSweepAt) }
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
    return jobs(await this.#ready(), query)
  }
  job(id: string, options: { history?: boolean } = {}): ReturnType<Engine['job']> {
    return this.#read((db) => job(db, id, options.history ?? true))
  }
  async collections(query: CollectionsQuery): ReturnType<Engine['collections']> {
    return collections(await this.#ready(), query)
  }
  collection(id: string, options: { jobs?: boolean } = {}): ReturnType<Engine['collection']> {
    return this.#read((db) => collection(db, id, options.jobs ?? true))
  }
  queues(): ReturnType<Engine['queues']> {
    return this.#read(queues)
  }
  workers(): ReturnType<Engine['workers']> {
    return this.#read((db) => workers(db, this.#runtime.now()))
  }
  resolve(result: StoredResult): Promise<StoredResult> {
    return this.#read((db) => loadResult(db, result))
  }

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
    return diagnose(db, { ...this.#settings, version: this.#version })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    const opened = await this.#opened?.catch(() => undefined)
    this.#watch?.stop()
    if (this.#settings.database === undefined) opened?.db.close()
    this.#db = null
  }
}
