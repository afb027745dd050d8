import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { JobRef, StoredResult } from '../../core/job.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { CancelAnswer, QueueSettings, RetryAnswer, RetryRequest, Selection } from '../../engine/control.ts'
import type { Diagnosis, Engine } from '../../engine/engine.ts'
import type { EventsPage, EventsQuery, Signal } from '../../engine/feed.ts'
import type { CollectionsQuery, JobsQuery } from '../../engine/inspect.ts'
import type { SubmitAnswer, Submission, Transaction } from '../../engine/intake.ts'
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
import { Pair } from '../../engine/pair.ts'
import { refuseClosed, type Transfer } from '../../engine/transfer.ts'
import type { Values } from '../../engine/values.ts'
import { partSize } from './scripts.ts'
import { claim, isAlone, type Ref } from './claim.ts'
import { cancel, putQueues } from './control.ts'
import { counts } from './counts.ts'
import { Database, type Script, type ScriptArgument } from './database.ts'
import { diagnose } from './doctor.ts'
import { cursorAt, cursorNow, endOf, events, Names } from './feed.ts'
import { loadResult } from '../../engine/results.ts'
import { resultsPage } from './gather.ts'
import { heartbeat, notesOf } from './heartbeat.ts'
import { collection } from './collection.ts'
import { actorsOf, job } from './inspect.ts'
import { collections, jobs } from './list.ts'
import { greet, look, type Memory, newMemory } from './open.ts'
import { readSettings, type RedisOptions, type Settings, settingsOfUrl, urlOf } from './options.ts'
import { remove } from './retention.ts'
import { retry } from './retry.ts'
import type { Runs } from './scripts.ts'
import { settle, settleAndClaim } from './settle.ts'
import { statistics } from './statistics.ts'
import { submit } from './submit.ts'
import { upload } from './upload.ts'
import { sweep } from './sweep.ts'
import { redisTransfer, standing } from './transfer.ts'
import { putValue, takeValue, value, values } from './values.ts'
import { Watch } from './watch.ts'
import { goOn } from './work.ts'
import { queues, workers } from './workers.ts'

export type { RedisOptions }

/**
 * A store on a Redis 7 or Valkey server, which any number of processes may share.
 *
 * @example
 * const app = new Celeriac({ engine: redis({ url: 'redis://localhost', namespace: 'shop' }) })
 * const app = new Celeriac({ engine: redis({ client: () => createCluster({ rootNodes }) }) })
 */
export function redis(options: RedisOptions = {}): (runtime: Runtime) => Engine {
  const settings = readSettings(options)
  return (runtime) => new RedisEngine(settings, runtime)
}

/** `redis://user:password@host:6379/0`, `rediss://…` for TLS, with `?namespace=…`, `&timeout=5s`, `&allowEviction=true`. */
export function redisFromUrl(url: string): (runtime: Runtime) => Engine {
  const settings = settingsOfUrl(url)
  return (runtime) => new RedisEngine(settings, runtime)
}

/** A call that writes, while it is under way. */
interface Call {
  /** Whoever listens in this process was told already that jobs are queued. */
  isForetold: boolean
}
const plain: Call = { isForetold: false }

const mayStartAtOnce = ({ graph }: Submission): boolean =>
  graph.jobs.some(
    ({ behind, options }) => behind === null && options.startIn === undefined && options.startAt === undefined,
  )

class RedisEngine implements Engine {
  readonly name = 'redis'
  readonly url: string | null
  readonly partSize = partSize
  readonly transfer: Transfer
  readonly #runtime: Runtime
  readonly #db: Database
  readonly #memory: Memory = newMemory()
  readonly #names = new Names()
  readonly #runs: Runs
  readonly #pair: Pair
  #opening: Promise<{ from: number; to: number }> | null = null
  #watch: Watch | null = null
  #goingOn = false
  #isClosed = false

  constructor(settings: Settings, runtime: Runtime) {
    this.#runtime = runtime
    this.url = urlOf(settings)
    this.#db = new Database(settings, runtime, (connection) => greet(connection, settings, runtime, this.#memory))
    this.#runs = {
      read: async (script, args) => (await this.#ready()).read(script, args),
      write: (script, args) => this.#write(script, args),
    }
    this.#pair = new Pair({
      settle: (settlements) => settle(this.#runs, settlements),
      claim: (request) => claim(this.#runs, request, runtime),
      mayLetGo: ({ ref }) => !isAlone(ref as Ref),
      settleAndClaim: (settlements, request) => settleAndClaim(this.#runs, settlements, request, runtime),
    })
    this.transfer = redisTransfer(() => this.#greeted(), this.#runs)
  }

  /** By a connection of its own: whoever is greeted on the other one makes the store. */
  async isThere(): Promise<boolean> {
    if (this.#memory.opened !== null) return true
    const { settings } = this.#db
    const db = new Database(settings, this.#runtime, async (connection) => void (await look(connection, settings)))
    try {
      // Writes nothing, but a replica says that it could not, and a user that they may not.
      await db.send('HDEL', `${db.prefix}meta`, 'foot')
      return (await db.send('EXISTS', `${db.prefix}meta`)) === 1
    } finally {
      await db.close()
    }
  }

  migrate(): Promise<{ from: number; to: number }> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = null
      throw error
    })
    return this.#opening
  }

  async #open(): Promise<{ from: number; to: number }> {
    refuseClosed(await standing(await this.#greeted()))
    const { opened } = this.#memory
    if (opened === null) throw new CeleriacError('STORE_FAILED', 'The store was not opened.')
    this.#watch = new Watch(this.#db, `${this.#db.prefix}signal`, String(opened.process), () => this.#look())
    return { from: opened.from, to: opened.to }
  }

  /** The store as it is, also where it is closed to all use but copying: whoever is there is greeted before anything is asked. */
  async #greeted(): Promise<Database> {
    if (this.#isClosed) throw new CeleriacError('CLOSED', 'The store has been closed.')
    if (this.#memory.opened === null) await this.#db.ask('PING')
    return this.#db
  }

  async #ready(): Promise<Database> {
    if (this.#watch === null) await this.migrate()
    if (this.#isClosed) throw new CeleriacError('CLOSED', 'The store has been closed.')
    return this.#db
  }

  /** Where the feed stands. Should the store have been emptied under our feet, it is made anew. */
  async #look(): Promise<string> {
    const { epoch, end } = await endOf(this.#db)
    if (epoch !== this.#memory.opened?.epoch) await this.#db.greetAgain()
    return this.#saw(cursorAt(epoch, end))
  }

  /** Remembers how far the feed went: should it end earlier some time, changes were lost. */
  #saw(cursor: string): string {
    const [epoch, end] = cursor.split('.')
    if (epoch === this.#memory.opened?.epoch) this.#memory.end = Math.max(this.#memory.end, Number(end))
    return cursor
  }

  /** Runs a script that writes; then whoever listens is told. */
  async #write<T>(script: Script, args: readonly ScriptArgument[] = [], call: Call = plain): Promise<T> {
    const db = this.#isClosed || this.#watch === null ? await this.#ready() : this.#db
    const watch = this.#watch as Watch
    const { mask } = watch
    const may = `${mask} ${watch.origin}`
    const [bits, left, answer, said] = await db.run<[number, number, T, number]>(script, [db.now, may, ...args], () => {
      call.isForetold = false
    })
    if (left === 1) this.#goOn()
    watch.changed(bits, said, call.isForetold)
    return answer
  }

  /** Sees to what a large change left to do. Should this process die, the sweep of another one does. */
  #goOn(): void {
    if (this.#goingOn || this.#isClosed) return
    this.#goingOn = true
    this.#runtime.soon(() => {
      this.#goingOn = false
      if (!this.#isClosed) goOn(this.#runs).catch(() => undefined)
    })
  }

  async submit(
    submissions: readonly Submission[],
    transaction?: Transaction,
    calls?: readonly number[],
  ): Promise<SubmitAnswer[]> {
    refuseTransaction(transaction)
    const call = { isForetold: false }
    const runs: Runs = { ...this.#runs, write: (script, args) => this.#write(script, args, call) }
    const answers = submit(runs, submissions, calls)
    // It is on its way, and what a worker of this process asks now comes to the server behind it: that saves the time until the
    // answer is here.
    if (this.#watch !== null && submissions.some(mayStartAtOnce)) {
      call.isForetold = true
      this.#watch.foretell()
    }
    return answers
  }
  async upload(
    graph: Graph,
    part: number,
    within: { ref: JobRef; token: number } | null,
    transaction?: Transaction,
  ): Promise<void> {
    refuseTransaction(transaction)
    return upload(this.#runs, graph, part, within)
  }

  claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return this.#pair.claim(request)
  }
  settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
    return this.#pair.settle(settlements)
  }
  settleWithin(): Promise<SettleAnswer> {
    return Promise.reject(unsupported('completeWithin'))
  }
  heartbeat(beat: Heartbeat): Promise<HeartbeatAnswer> {
    return heartbeat(this.#runs, beat)
  }
  async sweep(): Promise<SweepAnswer> {
    return sweep({ db: await this.#ready(), runs: this.#runs, runtime: this.#runtime, isClosed: () => this.#isClosed })
  }
  notes(job: unknown): Promise<readonly Note[]> {
    return notesOf(this.#runs, (job as Ref).seq)
  }
  results(barrier: unknown, after: string | null): Promise<{ results: readonly StoredResult[]; next: string | null }> {
    return resultsPage(this.#runs, barrier as number, after)
  }

  cancel(selection: Selection): Promise<CancelAnswer> {
    return cancel(this.#runs, selection)
  }
  retry(request: RetryRequest): Promise<RetryAnswer> {
    return retry(this.#runs, request)
  }
  remove(collectionId: string): Promise<'removed' | 'unsettled' | 'not-found'> {
    return remove(this.#runs, collectionId)
  }
  async putQueues(settings: readonly QueueSettings[]): Promise<void> {
    await putQueues(this.#runs, settings)
    this.#watch?.changed(1, 0)
  }

  async jobs(query: JobsQuery): ReturnType<Engine['jobs']> {
    return jobs(await this.#ready(), query)
  }
  async job(id: string, options: { history?: boolean } = {}): ReturnType<Engine['job']> {
    return job(await this.#ready(), id, options.history ?? true)
  }
  async collections(query: CollectionsQuery): ReturnType<Engine['collections']> {
    return collections(await this.#ready(), query)
  }
  async collection(id: string, options: { jobs?: boolean; counts?: boolean } = {}): ReturnType<Engine['collection']> {
    return collection(await this.#ready(), id, options)
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
  resolve(result: StoredResult): Promise<StoredResult> {
    return loadResult(result, (barrier, after) => resultsPage(this.#runs, barrier, after))
  }

  readonly value: Values['value'] = async (kind, id) => value(await this.#ready(), kind, id)
  readonly values: Values['values'] = async (kind, after = null) => values(await this.#ready(), kind, after)
  readonly putValue: Values['putValue'] = (given, conflict) => putValue(this.#runs, given, conflict === 'keep')
  readonly takeValue: Values['takeValue'] = (kind, id) => takeValue(this.#runs, kind, id)

  async events(query: EventsQuery): Promise<EventsPage> {
    const page = await events(await this.#ready(), query, this.#names)
    this.#saw(page.cursor)
    return page
  }
  async cursor(): Promise<string> {
    return this.#saw(await cursorNow(await this.#ready()))
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
    return diagnose(await this.#ready())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    this.#watch?.stop()
    await this.#db.close()
  }
}

function refuseTransaction(transaction: Transaction): void {
  if (transaction !== undefined) throw unsupported('within')
}

const unsupported = (what: string): CeleriacError =>
  new CeleriacError(
    'UNSUPPORTED',
    `${what}: Redis has no transactions that yours could share with a job; PostgreSQL and SQLite have: keep the jobs there.`,
  )
