import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { JobRef, StoredResult } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { CancelAnswer, QueueSettings, RetryAnswer, RetryRequest, Selection } from '../../engine/control.ts'
import type { Diagnosis, Engine } from '../../engine/engine.ts'
import type { EventsPage, EventsQuery, Signal } from '../../engine/feed.ts'
import type { CollectionsQuery, JobsQuery } from '../../engine/inspect.ts'
import type { SubmitAnswer, Submission, Transaction } from '../../engine/intake.ts'
import { rowsPerCall } from '../../engine/limits.ts'
import { Pair } from '../../engine/pair.ts'
import { refuseClosed, type Transfer } from '../../engine/transfer.ts'
import type { Values } from '../../engine/values.ts'
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
import { Announcer } from './announce.ts'
import { readSignals } from './change.ts'
import { Careful } from './careful.ts'
import { isAlone, type Ref } from './claim.ts'
import { cancel, putQueues } from './control.ts'
import { counts } from './counts.ts'
import { Database } from './database.ts'
import { diagnose } from './doctor.ts'
import { cursorNow, events, Numbers } from './feed.ts'
import { resultsPage } from './gather.ts'
import { notesOf } from './heartbeat.ts'
import { actorsOf, collection, job, queues, workers } from './inspect.ts'
import { collections, jobs } from './list.ts'
import { migrate, stateOf } from './migrate.ts'
import { checkServer } from './open.ts'
import { type PoolOfYours, type PostgresOptions, readSettings, type Settings, settingsOfUrl, urlOf } from './options.ts'
import { loadResult } from '../../engine/results.ts'
import { remove } from './retention.ts'
import { retry } from './retry.ts'
import { statistics } from './statistics.ts'
import { submit } from './submit.ts'
import { sweep } from './sweep.ts'
import { postgresTransfer, standing } from './transfer.ts'
import { Turns } from './turns.ts'
import { upload } from './upload.ts'
import { putValue, takeValue, value, values } from './values.ts'
import { Watch } from './watch.ts'
import { Gate, Guest, settleWithin } from './within.ts'
import { goOn } from './work.ts'

export type { PoolOfYours, PostgresOptions }

/**
 * The store in a schema of a PostgreSQL database, 13 or newer, that processes on many machines share.
 *
 * @example
 * const app = new Celeriac({ engine: postgres({ pool, schema: 'jobs' }) })
 */
export function postgres(options: PostgresOptions): (runtime: Runtime) => Engine {
  const settings = readSettings(options)
  return (runtime) => new PostgresEngine(settings, runtime)
}

/** `postgres://user:password@host:5432/database`, with `?schema=`, `&listen=`, `&size=`, `&timeout=` and what `pg` takes. */
export function postgresFromUrl(url: string): (runtime: Runtime) => Engine {
  const settings = settingsOfUrl(url)
  return (runtime) => new PostgresEngine(settings, runtime)
}

/** A call's own answer, and what it tells besides. */
interface Changed<T> {
  readonly answer: T
  readonly bits: number
  /** Others were told of it by the call itself. */
  readonly isSaid?: boolean
}

const queued: Signal = { queued: true, changed: true, cancel: false }

/** Waits before opening the store again for those who listen. */
const reopenAfter = 1_000

class PostgresEngine implements Engine {
  readonly name = 'postgres'
  readonly url: string | null
  readonly partSize = rowsPerCall
  readonly transfer: Transfer
  readonly #runtime: Runtime
  readonly #own: Database
  readonly #numbers = new Numbers()
  readonly #careful: Careful
  readonly #announcer: Announcer
  readonly #watch: Watch
  readonly #turns = new Turns(() => this.#own.connections.most - 1)
  #opened: Promise<{ from: number; to: number }> | null = null
  #opening: Promise<{ from: number; to: number }> | null = null
  #db: Database | null = null
  #held: { readonly db: Database; readonly gate: Gate } | null = null
  /** The name of the database, once it was asked for. */
  #database: string | null = null
  #goingOn = false
  #isClosed = false

  constructor(settings: Settings, runtime: Runtime) {
    this.#runtime = runtime
    this.#careful = new Careful(runtime)
    this.url = urlOf(settings)
    this.#own = new Database(settings, runtime)
    this.#announcer = new Announcer(this.#own, runtime)
    this.#watch = new Watch(this.#own, runtime, this.#announcer)
    this.transfer = postgresTransfer(async () => {
      await this.#open()
      return this.#own
    })
  }

  async isThere(): Promise<boolean> {
    await this.#reach()
    return (await stateOf(this.#own)).version > 0
  }

  migrate(): Promise<{ from: number; to: number }> {
    this.#opening ??= this.#enter().catch((error: unknown) => {
      this.#opening = null
      throw error
    })
    return this.#opening
  }

  async #enter(): Promise<{ from: number; to: number }> {
    const done = await this.#open()
    refuseClosed(await standing(this.#own))
    this.#db = this.#own
    return done
  }

  /** The store as it is, also where it is closed to all use but copying. */
  #open(): Promise<{ from: number; to: number }> {
    this.#opened ??= this.#connect().catch((error: unknown) => {
      this.#opened = null
      throw error
    })
    return this.#opened
  }

  async #connect(): Promise<{ from: number; to: number }> {
    await this.#reach()
    return migrate(this.#own)
  }

  async #reach(): Promise<void> {
    if (this.#isClosed) throw closed()
    await this.#own.open()
    await checkServer(this.#own)
  }

  async #ready(): Promise<Database> {
    if (this.#isClosed) throw closed()
    if (this.#db === null) await this.migrate()
    return this.#db ?? Promise.reject(closed())
  }

  /** What is asked for; then whoever listens is told, and what it left to do is gone on with. */
  async #write<T>(send: (db: Database) => Promise<Changed<T>>): Promise<T> {
    return this.#tell(await send(this.#db ?? (await this.#ready())))
  }

  #tell<T>({ answer, bits, isSaid = false }: Changed<T>): T {
    const { signal, isLeft } = readSignals(bits)
    if (isLeft) this.#goOn()
    this.#watch.tell(signal, isSaid)
    return answer
  }

  /** Sees to what a large change left to do. Should this process die, the sweep of another one does. */
  #goOn(): void {
    if (this.#goingOn || this.#isClosed) return
    this.#goingOn = true
    this.#runtime.soon(() => {
      void this.#more()
        .catch(() => undefined)
        .finally(() => (this.#goingOn = false))
    })
  }

  async #more(): Promise<void> {
    for (let isLeft = true; isLeft && !this.#isClosed;) {
      const bits = await goOn(await this.#ready(), this.#own.now())
      const told = readSignals(bits)
      isLeft = told.isLeft
      this.#watch.tell(told.signal)
    }
  }

  /** In its turn. One connection of the pool is left to everything else. */
  async #read<T>(read: (db: Database) => Promise<T>): Promise<T> {
    const db = await this.#ready()
    return this.#turns.take(() => read(db))
  }

  submit(
    submissions: readonly Submission[],
    transaction?: Transaction,
    calls?: readonly number[],
  ): Promise<SubmitAnswer[]> {
    if (transaction !== undefined) return this.#submitWithin(submissions, transaction, calls)
    return this.#write(async (db) => {
      // With keys the server looks at each by itself: every thousand has the whole time, as it has of whoever waits for it.
      const requests = db.times(Math.max(Math.ceil(submissions.length / rowsPerCall), 1))
      const { answers, ...about } = await submit(requests, db.now(), submissions, calls, () =>
        this.#announcer.take(queued),
      )
      return { answer: answers, ...about }
    })
  }
  upload(
    graph: Graph,
    part: number,
    within: { ref: JobRef; token: number } | null,
    transaction?: Transaction,
  ): Promise<void> {
    if (transaction !== undefined) return this.#uploadWithin(graph, part, within, transaction)
    return this.#write(async (db) => {
      const about = await upload(db, db.now(), graph, part, within)
      return { answer: undefined, ...about }
    })
  }

  async #submitWithin(
    submissions: readonly Submission[],
    transaction: Transaction,
    calls: readonly number[] | undefined,
  ): Promise<SubmitAnswer[]> {
    const guest = await this.#guest(transaction)
    return (await submit(guest, this.#own.now(), submissions, calls)).answers
  }

  async #uploadWithin(
    graph: Graph,
    part: number,
    within: { ref: JobRef; token: number } | null,
    transaction: Transaction,
  ): Promise<void> {
    const guest = await this.#guest(transaction)
    await upload(guest, this.#own.now(), graph, part, within)
  }

  async #guest(transaction: Transaction): Promise<Guest> {
    const db = await this.#ready()
    this.#database ??= (await db.get<{ name: string }>('select current_database()::text as name'))?.name ?? ''
    return new Guest(transaction, db, this.#database)
  }

  /** Connections that handlers hold for a while are not those that everything else goes by. */
  async #forHandlers(): Promise<{ readonly db: Database; readonly gate: Gate }> {
    const own = await this.#ready()
    const { settings } = own
    if (this.#held === null) {
      const db = settings.pool === undefined ? new Database(settings, this.#runtime) : own
      db.pins = own.pins
      this.#held = { db, gate: new Gate(db === own ? Math.max(1, own.connections.most - 1) : settings.size) }
    }
    await this.#held.db.open()
    return this.#held
  }

  claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return this.#pair.claim(request)
  }
  settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
    return this.#pair.settle(settlements)
  }
  readonly #pair = new Pair({
    claim: (request) => this.#write((db) => this.#careful.claim(db, request)),
    settle: (settlements) => this.#write((db) => this.#careful.settle(db, settlements)),
    mayLetGo: ({ ref }) => !isAlone(ref as Ref),
    settleAndClaim: (settlements, request) =>
      this.#write((db) => this.#careful.settleAndClaim(db, settlements, request)),
  })
  async settleWithin(
    { ref, token }: { ref: JobRef; token: number },
    write: (transaction: Transaction) => Promise<string | null>,
  ): Promise<SettleAnswer> {
    const { db, gate } = await this.#forHandlers()
    const { answer, bits } = await gate.pass(() => settleWithin(db, { ref: ref as Ref, token }, write))
    return answer === 'accepted' ? this.#tell({ answer, bits }) : answer
  }
  heartbeat(beat: Heartbeat): Promise<HeartbeatAnswer> {
    return this.#write((db) => this.#careful.heartbeat(db, beat))
  }
  async sweep(): Promise<SweepAnswer> {
    const tell = (bits: number): void => this.#tell({ answer: undefined, bits })
    return sweep({ db: await this.#ready(), runtime: this.#runtime, tell, isClosed: () => this.#isClosed })
  }
  async notes(job: unknown): Promise<readonly Note[]> {
    return notesOf(await this.#ready(), (job as Ref).seq)
  }
  async results(
    barrier: unknown,
    after: string | null,
  ): Promise<{ results: readonly StoredResult[]; next: string | null }> {
    return resultsPage(await this.#ready(), barrier as number, after)
  }

  cancel(selection: Selection): Promise<CancelAnswer> {
    return this.#write((db) => cancel(db, db.now(), selection))
  }
  retry(request: RetryRequest): Promise<RetryAnswer> {
    return this.#write((db) => retry(db, db.now(), request))
  }
  remove(collectionId: string): Promise<'removed' | 'unsettled' | 'not-found'> {
    return this.#write((db) => remove(db, collectionId))
  }
  async putQueues(settings: readonly QueueSettings[]): Promise<void> {
    const db = await this.#ready()
    await putQueues(db, db.now(), settings)
    this.#watch.tell({ queued: true, changed: false, cancel: false })
  }

  async jobs(query: JobsQuery): ReturnType<Engine['jobs']> {
    return jobs(await this.#ready(), query)
  }
  async job(id: string, options: { history?: boolean } = {}): ReturnType<Engine['job']> {
    return this.#read((db) => job(db, id, options.history ?? true))
  }
  async collections(query: CollectionsQuery): ReturnType<Engine['collections']> {
    return collections(await this.#ready(), query)
  }
  async collection(id: string, options: { jobs?: boolean } = {}): ReturnType<Engine['collection']> {
    return this.#read((db) => collection(db, this.#runtime, id, options.jobs ?? true))
  }
  async queues(): ReturnType<Engine['queues']> {
    return queues(await this.#ready())
  }
  async workers(): ReturnType<Engine['workers']> {
    return workers(await this.#ready())
  }
  readonly counts: Engine['counts'] = async (query) => counts(await this.#ready(), query)
  readonly statistics: Engine['statistics'] = async (query) => statistics(await this.#ready(), query)
  readonly actorsOf: Engine['actorsOf'] = async (ids) => actorsOf(await this.#ready(), ids)
  async resolve(result: StoredResult): Promise<StoredResult> {
    return loadResult(result, (barrier, after) => this.results(barrier, after))
  }

  readonly value: Values['value'] = async (kind, id) => value(await this.#ready(), kind, id)
  readonly values: Values['values'] = async (kind, after = null) => values(await this.#ready(), kind, after)
  readonly putValue: Values['putValue'] = async (given, conflict) =>
    putValue(await this.#ready(), given, conflict === 'keep')
  readonly takeValue: Values['takeValue'] = async (kind, id) => takeValue(await this.#ready(), kind, id)

  async events(query: EventsQuery): Promise<EventsPage> {
    return events(await this.#ready(), query, this.#numbers)
  }
  async cursor(): Promise<string> {
    return cursorNow(await this.#ready())
  }
  subscribe(listener: (signal: Signal) => void): () => void {
    if (this.#db !== null) return this.#watch.subscribe(listener)
    let stop: (() => void) | null = null
    let isStopped = false
    // The store opens on first use; whoever subscribes before is told once it is open.
    const begin = (): void => {
      if (isStopped || this.#isClosed) return
      this.#ready().then(
        () => {
          if (isStopped) return
          stop = this.#watch.subscribe(listener)
          listener({ queued: true, changed: true, cancel: true })
        },
        () => void this.#runtime.after(reopenAfter, begin, { unref: true }),
      )
    }
    begin()
    return () => {
      isStopped = true
      stop?.()
    }
  }

  async diagnose(): Promise<readonly Diagnosis[]> {
    return diagnose(await this.#ready(), this.#watch, this.#runtime)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    await this.#opened?.catch(() => undefined)
    await this.#announcer.end()
    this.#watch.stop()
    await this.#held?.db.close()
    await this.#own.close()
    this.#db = null
  }
}

const closed = (): CeleriacError => new CeleriacError('CLOSED', 'The store has been closed.')
