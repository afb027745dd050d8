import { type Runtime, systemRuntime, type Timer } from '../../core/runtime.ts'
import type { Signal } from '../../engine/feed.ts'
import type { Database } from './database.ts'

/**
 * How long after one announcement the next may follow, in milliseconds: soon where jobs are to be claimed or cancelled.
 * Commits that notify wait for one another in the server, so they are made few, and hold nothing else.
 */
const urgentPause = 10
const pause = 20
/**
 * So often an announcement may go along with the call that it tells of, in milliseconds: it is there the sooner for it, but
 * until the disk has the commit no other that notifies can be made.
 */
const quiet = 20

export const channelOf = (schema: string): string => `celeriac:${schema}`

/** So long the end waits for the last announcement, in milliseconds. */
const endPatience = 500

const say = "select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"

let made = 0

export interface Announcement {
  readonly channel: string
  readonly payload: string
}

/** Tells other processes that there is something to look for: at once, then at most once in a while. */
export class Announcer {
  readonly #db: Database
  readonly #runtime: Runtime
  /** Stands in every announcement, so that a process does not wake itself. */
  readonly #origin: string
  #kept: Signal | null = null
  #saidAt = -Infinity
  #planned: { readonly at: number; readonly timer: Timer } | null = null
  #tookAt = -Infinity
  #saying: Promise<void> = Promise.resolve()

  constructor(db: Database, runtime: Runtime) {
    this.#db = db
    this.#runtime = runtime
    const bytes = new Uint8Array(6)
    runtime.randomBytes(bytes)
    this.#origin = `${Buffer.from(bytes).toString('base64url')}.${process.pid}.${++made}`
  }

  announce(signal: Signal): void {
    this.#kept = this.#kept === null ? signal : either(this.#kept, signal)
    const at = this.#saidAt + (isUrgent(this.#kept) ? urgentPause : pause)
    const wait = at - this.#runtime.elapsed()
    if (wait <= 0) return this.#say()
    if (this.#planned !== null && this.#planned.at <= at) return
    this.#planned?.timer.cancel()
    this.#planned = { at, timer: this.#runtime.after(wait, () => this.#say(), { unref: true }) }
  }

  /** The announcement that a call is to make itself, where that may be. Should the call fail, it was lost. */
  take(signal: Signal): Announcement | null {
    const now = this.#runtime.elapsed()
    if (now - this.#tookAt < quiet) return null
    const all = this.#kept === null ? signal : either(this.#kept, signal)
    this.#kept = null
    this.#tookAt = this.#saidAt = now
    return { channel: channelOf(this.#db.schema), payload: this.#payload(all) }
  }

  /** Says what it has kept back. */
  async end(): Promise<void> {
    this.#say()
    await Promise.race([
      this.#saying,
      new Promise<void>((resolve) => systemRuntime.after(endPatience, resolve, { unref: true })),
    ])
  }

  /** What came from another process; null for what this one said. */
  heard(payload: string): Signal | null {
    const [kinds = '', origin] = payload.split(' ')
    if (origin === this.#origin) return null
    return { queued: kinds.includes('q'), changed: kinds.includes('c'), cancel: kinds.includes('x') }
  }

  #payload(signal: Signal): string {
    return `${signal.queued ? 'q' : ''}${signal.changed ? 'c' : ''}${signal.cancel ? 'x' : ''} ${this.#origin}`
  }

  #say(): void {
    this.#planned?.timer.cancel()
    this.#planned = null
    const signal = this.#kept
    this.#kept = null
    if (signal === null) return
    this.#saidAt = this.#runtime.elapsed()
    // Its commit need not wait for the disk, as what it tells of is stored. Lost, it is found by those who look from time to time.
    this.#saying = this.#db.all(say, channelOf(this.#db.schema), this.#payload(signal)).then(ignore, ignore)
  }
}

const ignore = (): void => undefined
const either = (one: Signal, other: Signal): Signal => ({
  queued: one.queued || other.queued,
  changed: one.changed || other.changed,
  cancel: one.cancel || other.cancel,
})
const isUrgent = (signal: Signal): boolean => signal.queued || signal.cancel
