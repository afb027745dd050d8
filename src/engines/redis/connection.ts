import { CeleriacError } from '../../core/errors.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'
import type { Client } from './client.ts'
import { type Address, placeOf, type Settings } from './options.ts'

/** The same, as they are called here. */
interface KnownClient {
  readonly isOpen: boolean
  connect(): Promise<unknown>
  destroy(): unknown
  /** A client takes the command; a sentinel whether it only reads before that; a cluster a key before both. */
  sendCommand(...args: unknown[]): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>
  on(event: 'error' | 'end', listener: (error: unknown) => void): unknown
  ref?(): void
  unref?(): void
  /** Of a cluster: the client of the node that has this key. */
  getNodeClientForKey?(key: string): Promise<KnownClient>
  /** Only a sentinel has it. */
  getSentinelNode?: unknown
}

const isComposite = (client: KnownClient): boolean =>
  client.getNodeClientForKey !== undefined || client.getSentinelNode !== undefined

export type Argument = string | Buffer
export type Reply = unknown

/**
 * A connection that does not answer for so long, in milliseconds, though something waits for an answer, is given up: the
 * other end may be gone without a word (a machine that lost its power, a firewall that forgot). TCP would take minutes.
 */
const longestSilence = 3_000
/** How long making a connection may take, greeting included. */
const longestGreeting = 4_000

/** Was the connection lost, rather than the command refused? */
export class ConnectionLost extends Error {
  override name = 'ConnectionLost'
}

/**
 * One client, from connected to dropped. It never comes back: whoever needs another connection makes one. So nothing is
 * ever sent twice by the driver, and nothing waits in a queue of its own.
 */
export class Connection {
  readonly #client: KnownClient
  readonly #runtime: Runtime
  readonly #key: string
  /** Whether the runtime's time passes as time does here: where a test moves it, it says nothing about who is silent. */
  readonly #isTimed: boolean
  readonly #lost = new Set<(error: unknown) => void>()
  #lostBy: { readonly error: unknown } | null = null
  #pending = 0
  #waitingSince = 0
  #watchdog: Timer | null = null
  #whenIdle: (() => void) | null = null

  private constructor(client: KnownClient, settings: Settings, runtime: Runtime, key: string) {
    this.#client = client
    this.#runtime = runtime
    this.#key = key
    this.#isTimed = settings.clock === 'store'
    client.on('error', (error) => {
      // Several servers behind one client: it tells of a single one that is away, and finds the others.
      if (!isComposite(client) || !client.isOpen) this.drop(error)
    })
    client.on('end', () => this.drop(new ConnectionLost('The connection was closed.')))
  }

  /**
   * Makes a connection.
   *
   * @param key any of the namespace's: it tells a cluster where to go
   * @throws CeleriacError DRIVER_MISSING; else what the driver says
   */
  static async open(settings: Settings, runtime: Runtime, key: string): Promise<Connection> {
    const client = (settings.client?.() ?? (await makeClient(settings))) as unknown as KnownClient
    const connection = new Connection(client, settings, runtime, key)
    await connection.#connect()
    return connection
  }

  async #connect(): Promise<void> {
    const timer = this.#isTimed
      ? this.#runtime.after(longestGreeting, () => this.drop(silent(longestGreeting)))
      : undefined
    try {
      if (!this.#client.isOpen)
        await this.#unlessLost(
          () => this.#client.connect(),
          () => undefined,
        )
      this.#client.unref?.()
    } catch (error) {
      this.drop(error)
      throw error
    } finally {
      timer?.cancel()
    }
  }

  get isLost(): boolean {
    return this.#lostBy !== null
  }

  /** Calls once when the connection is lost; at once where it is. */
  onLost(call: (error: unknown) => void): void {
    if (this.#lostBy === null) this.#lost.add(call)
    else call(this.#lostBy.error)
  }

  /** Sends a command that touches the namespace's keys. */
  send(command: readonly Argument[]): Promise<Reply> {
    const { getNodeClientForKey, getSentinelNode } = this.#client
    if (getNodeClientForKey !== undefined)
      return this.#answered(() => this.#client.sendCommand(this.#key, false, command))
    if (getSentinelNode !== undefined) return this.#answered(() => this.#client.sendCommand(false, command))
    return this.#answered(() => this.#client.sendCommand(command))
  }

  /** Asks the server itself: of a cluster, the one that has the namespace's keys. */
  ask(command: readonly Argument[]): Promise<Reply> {
    if (this.#client.getNodeClientForKey === undefined) return this.send(command)
    return this.#answered(async () => (await this.#client.getNodeClientForKey?.(this.#key))?.sendCommand(command))
  }

  subscribe(channel: string, listener: (message: string) => void): Promise<unknown> {
    return this.#answered(() => this.#client.subscribe(channel, listener))
  }

  /** Gives the connection up. What waits for an answer learns that it will not come. */
  drop(error: unknown): void {
    if (this.#lostBy !== null) return
    this.#lostBy = { error }
    this.#watchdog?.cancel()
    for (const call of this.#lost) call(error)
    this.#lost.clear()
    try {
      this.#client.destroy()
    } catch {
      // It was never open, or is gone already.
    }
    this.#whenIdle?.()
  }

  /** Waits for the answers under way, then closes. */
  async close(): Promise<void> {
    if (this.#pending > 0 && this.#lostBy === null) await new Promise<void>((resolve) => (this.#whenIdle = resolve))
    this.drop(new ConnectionLost('The connection was closed.'))
  }

  #answered<T>(send: () => Promise<T>): Promise<T> {
    this.#begin()
    return this.#unlessLost(send, () => this.#end())
  }

  /** Some drivers leave a command without an answer when they are destroyed at the wrong moment. */
  #unlessLost<T>(send: () => Promise<T>, ended: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const lost = (error: unknown): void => reject(lostError(error))
      const end = (): void => {
        this.#lost.delete(lost)
        ended()
      }
      this.onLost(lost)
      // One promise for all: this is on the way of every call.
      send().then(
        (answer) => {
          end()
          resolve(answer)
        },
        (error: unknown) => {
          end()
          reject(error)
        },
      )
    })
  }

  // ── silence ────────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(): void {
    this.#pending++
    if (this.#pending > 1) return
    this.#waitingSince = this.#runtime.elapsed()
    // While something waits for it the connection keeps the process alive, and only then.
    this.#client.ref?.()
    if (this.#isTimed && this.#watchdog === null) this.#watch(longestSilence)
  }

  #end(): void {
    this.#pending--
    // Whatever came says that the other end is there.
    this.#waitingSince = this.#runtime.elapsed()
    if (this.#pending > 0 || this.#lostBy !== null) return
    this.#client.unref?.()
    this.#whenIdle?.()
  }

  /** Looks only now and then, rather than setting a timer for each command. */
  #watch(after: number): void {
    const look = (): void => {
      this.#watchdog = null
      if (this.#pending === 0 || this.#lostBy !== null) return
      const silence = this.#runtime.elapsed() - this.#waitingSince
      if (silence < longestSilence) return this.#watch(longestSilence - silence)
      // Where this process itself was held up, answers may have come that were not read yet.
      this.#runtime.soon(() => {
        if (this.#pending > 0 && this.#runtime.elapsed() - this.#waitingSince >= longestSilence)
          this.drop(silent(silence))
        else if (this.#pending > 0 && this.#watchdog === null) this.#watch(longestSilence)
      })
    }
    this.#watchdog = this.#runtime.after(after, look, { unref: true })
  }
}

const silent = (ms: number): ConnectionLost =>
  new ConnectionLost(`There was no answer for ${Math.round(ms / 100) / 10} s.`)

function lostError(error: unknown): ConnectionLost {
  if (error instanceof ConnectionLost) return error
  return new ConnectionLost(error instanceof Error ? error.message : String(error), { cause: error })
}

// ── the driver ───────────────────────────────────────────────────────────────────────────────────────────────────

interface Driver {
  createClient(options: object): Client
}

async function makeClient(settings: Settings): Promise<Client> {
  const { createClient } = await loadDriver(settings)
  const { tls, host, port, username, password, database } = settings.address as Address
  return createClient({
    socket: { host, port, tls, connectTimeout: longestGreeting, reconnectStrategy: false },
    ...(username !== null && { username }),
    ...(password !== null && { password }),
    database,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // Its own time-out ends when a command has been written, and costs a timer for each.
    commandOptions: { timeout: undefined },
  })
}

function loadDriver(settings: Settings): Promise<Driver> {
  const explain = (cause: unknown): never => {
    // The second is that of a bundle in CommonJS.
    const isMissing = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes((cause as { code: string }).code)
    if (!isMissing) throw cause
    const place = settings.address === null ? 'Redis' : `Redis at ${placeOf(settings.address)}`
    throw new CeleriacError(
      'DRIVER_MISSING',
      `To keep jobs in ${place}, the package @redis/client is needed and not installed: npm install @redis/client.`,
      { cause },
    )
  }
  if (settings.driver !== undefined) return (settings.driver() as Promise<Driver>).catch(explain)
  // The `catch` stands at the import itself: bundlers leave to run time only what they see handled.
  return (import('@redis/client') as Promise<unknown> as Promise<Driver>).catch(explain)
}
