import { type Runtime, systemRuntime, type Timer } from '../../core/runtime.ts'
import type { Signal } from '../../engine/feed.ts'
import { type Announcer, channelOf } from './announce.ts'
import type { Database } from './database.ts'
import type { PgClient } from './driver.ts'
import { standing } from './feed.ts'

/** How often the store is looked at where another process cannot tell of itself: with the heartbeat, two requests a second. */
const lookEvery = 600
/** How often it is looked at on the connection that listens: to find out whether that still leads anywhere, and what was not told. */
const checkEvery = 2_000
/** So long a look on that connection may take. With the time between two, what is cut off is found in less than 5 s. */
const checkPatience = 2_500
/** Waits before listening again, doubled each time. */
const firstWait = 100
const longestWait = 5_000
/** How long to go on after the last listener has gone: waiting for one result after another is no reason to connect anew each time. */
const linger = 10_000

const anything: Signal = { queued: true, changed: true, cancel: true }

/**
 * Tells listeners what this process changed at once, and what others did by listening to them, or by looking again and
 * again. While nobody listens there is no connection and no request.
 */
export class Watch {
  readonly #db: Database
  readonly #runtime: Runtime
  readonly #announcer: Announcer
  readonly #listeners = new Set<(signal: Signal) => void>()
  #run: Run | null = null
  #lingering: Timer | null = null

  constructor(db: Database, runtime: Runtime, announcer: Announcer) {
    this.#db = db
    this.#runtime = runtime
    this.#announcer = announcer
  }

  /** `listening`: others are heard. `looking`: the store is asked again and again. */
  get state(): 'resting' | 'looking' | 'connecting' | 'listening' {
    if (this.#run === null) return 'resting'
    if (!this.#run.mayListen) return 'looking'
    return this.#run.client === null ? 'connecting' : 'listening'
  }

  subscribe(listener: (signal: Signal) => void): () => void {
    // Each subscription is its own, also of the same function.
    const own = (signal: Signal): void => listener(signal)
    this.#listeners.add(own)
    this.#lingering?.cancel()
    this.#lingering = null
    this.#run ??= this.#start()
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size > 0 || this.#run === null || this.#lingering !== null) return
      this.#lingering = this.#runtime.after(linger, () => this.stop(), { unref: true })
    }
  }

  /**
   * Tells of what this process did: its own listeners at once, other processes by and by.
   *
   * @param isSaid the others know already
   */
  tell(signal: Signal, isSaid = false): void {
    if (!signal.queued && !signal.changed && !signal.cancel) return
    this.#tellOwn(signal)
    if (!isSaid) this.#announcer.announce(signal)
  }

  stop(): void {
    this.#lingering?.cancel()
    this.#lingering = null
    const run = this.#run
    this.#run = null
    run?.timer?.cancel()
    if (run?.client) end(run.client)
  }

  #tellOwn(signal: Signal): void {
    for (const listener of this.#listeners) listener(signal)
  }

  #start(): Run {
    const { listen } = this.#db.settings
    const mayListen = listen === 'auto' ? !this.#db.isPooled : listen
    const run: Run = { mayListen, client: null, timer: null, wait: firstWait, seen: null }
    if (mayListen) void this.#listen(run)
    else void this.#look(run)
    return run
  }

  // ── listening ──────────────────────────────────────────────────────────────────────────────────────────────────

  async #listen(run: Run): Promise<void> {
    const client = await this.#connect().catch(() => 'failed' as const)
    if (this.#run !== run) return client === 'failed' || client === null ? undefined : end(client)
    if (client === 'failed') return this.#listenLater(run)
    if (client === null) {
      // A pool that does not tell how it makes connections.
      run.mayListen = false
      return this.#look(run)
    }
    run.client = client
    run.wait = firstWait
    client.on('notification', ({ payload }) => {
      const signal = run.client === client && this.#run === run ? this.#announcer.heard(payload ?? '') : null
      if (signal !== null) this.#tellOwn(signal)
    })
    client.on('end', () => this.#lose(run, client))
    // What happened while nobody heard it, is found by looking.
    this.#tellOwn(anything)
    this.#checkLater(run, client)
  }

  async #connect(): Promise<PgClient | null> {
    const client = await this.#db.connect()
    if (client === null) return null
    client.unref?.()
    try {
      await this.#inTime(client.query({ text: `listen "${channelOf(this.#db.schema)}"` }))
      return client
    } catch (error) {
      end(client)
      throw error
    }
  }

  #lose(run: Run, client: PgClient): void {
    if (run.client !== client) return
    run.client = null
    end(client)
    if (this.#run === run) this.#listenLater(run)
  }

  #listenLater(run: Run): void {
    const wait = run.wait * (0.5 + this.#runtime.random() / 2)
    run.wait = Math.min(run.wait * 2, longestWait)
    run.timer?.cancel()
    run.timer = this.#runtime.after(wait, () => void this.#listen(run), { unref: true })
  }

  #checkLater(run: Run, client: PgClient): void {
    run.timer = this.#runtime.after(checkEvery, () => void this.#check(run, client), { unref: true })
  }

  /** A connection may lead nowhere without anybody being told of it: only an answer shows that it does not. */
  async #check(run: Run, client: PgClient): Promise<void> {
    try {
      this.#compare(run, await this.#inTime(standing(this.#db.on(client))))
    } catch {
      return this.#lose(run, client)
    }
    if (this.#run === run && run.client === client) this.#checkLater(run, client)
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(new Error('No answer in time.'))
      // If this process was the one that stood still, the answer is here already and is read before `soon`.
      // A server answers in real time, whatever time a test tells.
      const timer = systemRuntime.after(checkPatience, () => systemRuntime.soon(giveUp), { unref: true })
      answer.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  // ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #look(run: Run): Promise<void> {
    await standing(this.#db).then(
      (seen) => this.#compare(run, seen),
      () => undefined,
    )
    if (this.#run === run) run.timer = this.#runtime.after(lookEvery, () => void this.#look(run), { unref: true })
  }

  /** The first look may have come after what it sees happened. */
  #compare(run: Run, seen: string): void {
    const isNew = run.seen !== seen
    run.seen = seen
    if (isNew && this.#run === run) this.#tellOwn(anything)
  }
}

/** From the first listener to the last. */
interface Run {
  mayListen: boolean
  client: PgClient | null
  timer: Timer | null
  wait: number
  /** Where the feed stood when last looked at. */
  seen: string | null
}

function end(client: PgClient): void {
  client.end().catch(() => undefined)
}
