import { Patience } from './problem.ts'
import type { AnyEvent } from './received.ts'

/** What is followed: one collection, one job, or everything one may see. */
export type Subject = { readonly collection: string } | { readonly job: string } | { readonly all: true }

export interface FollowOptions {
  /** A cursor from an event seen before: changes since then come first, without a snapshot unless they are gone. */
  readonly after?: string | undefined
  /** Go on after it settled: side branches still run, somebody may retry it. Ends by `signal` or `break`. */
  readonly live?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Called when the connection to the server comes and goes. What is missed meanwhile comes later: it is for people who look on. */
  readonly onConnection?: ((connection: Connection) => void) | undefined
}

export interface Connection {
  readonly isLive: boolean
  /** For how long nothing has come from the server, in milliseconds, as far as it is known. */
  readonly silentFor: number
}

/** More than this, unread, and nothing more is asked for until it is read. */
const mostHeld = 2_000
/** More than a server tells again to one who resumes. */
const mostRemembered = 500

/** What one follower has been told and not yet read, and where it goes on from. */
export class Inbox {
  readonly subject: Subject
  readonly live: boolean
  /** With what answers in place of the API, until this is told something. */
  readonly patience = new Patience()
  /** The cursor of the last event told. */
  after: string | undefined
  /** What it is called on the line just now. */
  name: string | undefined
  #events: AnyEvent[] = []
  #end: { readonly error?: unknown } | undefined
  #isStopped = false
  #wake: (() => void) | undefined
  readonly #onConnection: FollowOptions['onConnection']
  #isLive = false
  #recent = new Set<string>()
  #before = new Set<string>()

  constructor(subject: Subject, { after, live = false, onConnection }: FollowOptions) {
    this.subject = subject
    this.#onConnection = onConnection
    this.after = after
    this.live = live
  }

  get isFull(): boolean {
    return this.#events.length >= mostHeld
  }

  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** Nothing more is to be read from it. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  hear(event: AnyEvent): void {
    this.after = event.cursor
    this.patience.reset()
    if (!this.#isNews(event)) return
    this.#events.push(event)
    this.#wake?.()
  }

  /** @param silentFor where it is gone: for how long nothing had come */
  connected(isLive: boolean, silentFor = 0): void {
    if (this.#isLive === isLive || this.#isStopped) return
    this.#isLive = isLive
    this.#onConnection?.({ isLive, silentFor })
  }

  /** Nothing more will come: what is there is still to be read, then the error, if there is one. */
  end(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end
    this.#wake?.()
  }

  /** Nobody reads any more. */
  stop(): void {
    this.#isStopped = true
    this.end()
  }

  /** Waits for something to read; null: it is over. */
  async take(): Promise<readonly AnyEvent[] | null> {
    if (this.#events.length === 0 && !this.#end) await new Promise<void>((resolve) => (this.#wake = resolve))
    const events = this.#events
    if (this.#isStopped) return null
    if (events.length === 0 && this.#end && 'error' in this.#end) throw this.#end.error
    this.#events = []
    return events.length === 0 ? null : events
  }

  /** Where a late transaction has slipped in, a server rather tells again what came behind it than leave it out. */
  #isNews({ cursor, ...event }: AnyEvent): boolean {
    // These tell how things stand, whatever was told before.
    if (event.type === 'snapshot' || event.type === 'start' || event.type === 'jobs') return true
    const text = textOf(event) ?? cursor
    if (this.#recent.has(text) || this.#before.has(text)) return false
    if (this.#recent.size >= mostRemembered) {
      this.#before = this.#recent
      this.#recent = new Set()
    }
    this.#recent.add(text)
    return true
  }
}

/** null: nested too deeply to be written. Nothing of the API's is, and it must not end the process that hears it. */
function textOf(event: object): string | null {
  try {
    return JSON.stringify(event)
  } catch {
    return null
  }
}
