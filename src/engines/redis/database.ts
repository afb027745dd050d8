import { createHash } from 'node:crypto'
import { CeleriacError, StoreUnavailable } from '../../core/errors.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'
import { formatDuration } from '../../core/time.ts'
import { type Argument, Connection, type Reply } from './connection.ts'
import { placeOf, type Settings } from './options.ts'
import { isReply, meaningOf, replyError, tooLarge } from './reply.ts'

/** Stands for whether the script has been sent before (1, else 0): then what was sent first may still be on its way. */
export const isSentAgain = Symbol('is sent again')
export type ScriptArgument = Argument | number | typeof isSentAgain

/** A program in Lua, run by the server at one go. */
export interface Script {
  readonly name: string
  readonly source: string
  /** What the server knows it by. */
  readonly sha: string
}

export function defineScript(name: string, source: string): Script {
  return { name, source, sha: createHash('sha1').update(source).digest('hex') }
}

/** Before the first connection nobody waits so long: the address is mostly wrong then. */
const firstPatience = 3_000
const shortestPause = 25
const noted = (): void => undefined
const longestPause = 2_000

/**
 * The narrow way to the server: scripts go in, answers come out. A call goes on for as long as `timeout` allows while the
 * server is away, loading, busy or no longer the primary: every one of them may be sent again.
 */
export class Database {
  readonly settings: Settings
  readonly runtime: Runtime
  /** What every key begins with: one hash tag, so that a cluster keeps them together. */
  readonly prefix: string
  readonly #greet: (connection: Connection) => Promise<void>
  #connection: Connection | null = null
  #connecting: Promise<Connection> | null = null
  #hasConnected = false
  #failures = 0
  #lastFailure: unknown = null
  #isClosed = false

  /** @param greet looks at the server behind every new connection, before anything else is asked of it */
  constructor(settings: Settings, runtime: Runtime, greet: (connection: Connection) => Promise<void>) {
    this.settings = settings
    this.runtime = runtime
    this.#greet = greet
    this.prefix = `{${settings.namespace}}:`
  }

  /** The instant that scripts are given: empty where they are to read the server's clock. */
  get now(): string {
    return this.settings.clock === 'store' ? '' : String(this.runtime.now())
  }

  /** Where the server is, for people. */
  get place(): string {
    const { address, namespace } = this.settings
    return address === null ? `of the namespace ${namespace}` : `at ${placeOf(address)}`
  }

  /**
   * Runs a script with the prefix as its one key. It is sent at once where there is a connection, in the order of the calls.
   *
   * @param sentAgain called when it had to be sent another time, and so may have come to the server behind later calls
   * @throws StoreUnavailable, CeleriacError STORE_…
   */
  run<T = Reply>(script: Script, args: readonly ScriptArgument[], sentAgain = noted): Promise<T> {
    const rest = [
      this.prefix,
      ...args.map((arg) => (arg === isSentAgain ? '0' : typeof arg === 'number' ? String(arg) : arg)),
    ]
    const at = args.indexOf(isSentAgain) + 1
    const greet = (connection: Connection): Promise<void> => {
      sentAgain()
      return this.#greet(connection)
    }
    let tries = 0
    return this.#persist((connection) => {
      if (++tries > 1) {
        sentAgain()
        if (at > 0) rest[at] = '1'
      }
      return runOn(connection, script, rest, greet)
    }) as Promise<T>
  }

  /** Runs one that only reads. */
  read<T = Reply>(script: Script, args: readonly ScriptArgument[] = []): Promise<T> {
    return this.run<T>(script, [this.now, '', ...args])
  }

  /** Sends a command that touches keys of the namespace. */
  send<T = Reply>(...command: Argument[]): Promise<T> {
    return this.#persist((connection) => connection.send(command)) as Promise<T>
  }

  /** Asks the server about itself. */
  ask<T = Reply>(...command: Argument[]): Promise<T> {
    return this.#persist((connection) => connection.ask(command)) as Promise<T>
  }

  /** Has the server looked at anew, as behind a new connection. */
  async greetAgain(): Promise<void> {
    if (this.#connection !== null) await this.#greet(this.#connection)
  }

  /** One more connection, that the caller watches over. */
  connect(): Promise<Connection> {
    return Connection.open(this.settings, this.runtime, this.prefix)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#connection?.close()
    this.#connection = null
  }

  // ── trying again ───────────────────────────────────────────────────────────────────────────────────────────────

  #persist(send: (connection: Connection) => Promise<Reply>): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      const attempt = new Attempt(this, reject)
      this.#try(attempt, send)
        .then(resolve, reject)
        .finally(() => attempt.end())
    })
  }

  async #try(attempt: Attempt, send: (connection: Connection) => Promise<Reply>): Promise<Reply> {
    for (let pause = shortestPause; ; pause = Math.min(pause * 2, longestPause)) {
      const connection = this.#connection ?? (await this.#ready(attempt))
      try {
        attempt.wasSent = true
        return await send(connection)
      } catch (error) {
        // A mistake of ours in what was to be sent: nothing was.
        if (error instanceof TypeError) throw error
        // Node makes no text that long, so the driver could not write the command: nothing was sent either.
        if (error instanceof RangeError) throw tooLarge(error)
        attempt.lastError = error
        const meaning = isReply(error) ? meaningOf(error) : 'lost'
        if (meaning === 'refused' || attempt.isOver) throw replyError(error, this.place)
        // A server that was the primary may have left its name to another one.
        if (meaning === 'elsewhere') connection.drop(error)
        else if (meaning === 'lost' && !connection.isLost) connection.drop(error)
      }
      await this.pause(pause)
    }
  }

  async #ready(attempt: Attempt): Promise<Connection> {
    for (;;) {
      if (this.#isClosed) throw new CeleriacError('CLOSED', 'The store has been closed.')
      if (attempt.isOver) throw attempt.error()
      if (this.#connection !== null) return this.#connection
      try {
        return await (this.#connecting ??= this.#open().finally(() => (this.#connecting = null)))
      } catch (error) {
        attempt.lastError = error
        if (error instanceof CeleriacError || (isReply(error) && meaningOf(error) === 'refused'))
          throw replyError(error, this.place)
      }
    }
  }

  /** Makes the connection, after a pause that grows with every failure. */
  async #open(): Promise<Connection> {
    const longest = Math.min(longestPause, this.patience / 4)
    if (this.#failures > 0) await this.pause(Math.min(shortestPause * 2 ** this.#failures, longest))
    let connection: Connection | null = null
    try {
      connection = await this.connect()
      await this.#greet(connection)
      if (this.#isClosed) await connection.close()
      this.#failures = 0
      this.#lastFailure = null
      this.#hasConnected = true
      this.#connection = connection
      connection.onLost(() => {
        if (this.#connection === connection) this.#connection = null
      })
      return connection
    } catch (error) {
      this.#failures++
      this.#lastFailure = error
      connection?.drop(error)
      throw error
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.runtime.after(ms * (0.5 + this.runtime.random() / 2), resolve))
  }

  /** Why there is no connection, as far as is known. */
  get lastFailure(): unknown {
    return this.#lastFailure
  }

  get patience(): number {
    return this.#hasConnected ? this.settings.timeout : Math.min(this.settings.timeout, firstPatience)
  }
}

/** Runs a script with one key, which comes first in `rest`. */
export async function runOn(
  connection: Connection,
  script: Script,
  rest: readonly Argument[],
  greet?: (connection: Connection) => Promise<void>,
): Promise<Reply> {
  try {
    return await connection.send(['EVALSHA', script.sha, '1', ...rest])
  } catch (error) {
    if (!isReply(error) || !error.message.startsWith('NOSCRIPT')) throw error
    // It may be another server than the one that was greeted: those of a cluster take turns behind one client.
    await greet?.(connection)
    // Unlike SCRIPT LOAD this goes where the keys are, and has the script kept there.
    return connection.send(['EVAL', script.source, '1', ...rest])
  }
}

/** What is known of a call while it goes on. */
class Attempt {
  wasSent = false
  isOver = false
  lastError: unknown = null
  readonly #database: Database
  readonly #patience: number
  readonly #timer: Timer | null

  constructor(database: Database, reject: (error: unknown) => void) {
    this.#database = database
    this.#patience = database.patience
    // A clock that a test moves does not say how long an answer takes.
    const isTimed = database.settings.clock === 'store'
    this.#timer = isTimed
      ? database.runtime.after(this.#patience, () => {
          this.isOver = true
          // The answer may have come while this process was held up by something else, and be read only now.
          database.runtime.soon(() => reject(this.error()))
        })
      : null
  }

  end(): void {
    this.isOver = true
    this.#timer?.cancel()
  }

  error(): unknown {
    const { place, lastFailure } = this.#database
    const cause = this.lastError ?? lastFailure
    if (isReply(cause)) return replyError(cause, place)
    const tried = formatDuration(this.#patience)
    const why = cause === null ? '' : ` (${saidBy(cause)})`
    const stored = this.wasSent ? 'What was sent may have been stored.' : 'Nothing was stored.'
    return new StoreUnavailable(
      `The Redis server ${place} did not answer within ${tried}${why}. ${stored} See that it runs and can be reached from here.`,
      { mayBeStored: this.wasSent, cause },
    )
  }
}

/** The words of an error; those of several at once, as for a host with two addresses, are in its parts. */
function saidBy(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return saidBy(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}
