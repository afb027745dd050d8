import { createRequire } from 'node:module'
import { connect as connectSocket } from 'node:net'
import { resolve } from 'node:path'
import { CeleriacError } from '../../core/errors.ts'

/** As much of the package `pg` as is used here, so that whatever is shaped like it will do. */
export interface PgQuery {
  readonly text: string
  readonly values?: readonly unknown[]
  readonly rowMode?: 'array'
  readonly name?: string
  readonly types?: { getTypeParser(oid: number, format?: string): (value: string) => unknown }
}
export interface PgResult {
  readonly rows: readonly unknown[]
  readonly rowCount?: number | null
}
export interface PgQueryable {
  query(query: PgQuery): Promise<PgResult>
}
export interface PgClient extends PgQueryable {
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'notification', listener: (message: { channel: string; payload?: string }) => void): unknown
  connect(): Promise<unknown>
  end(): Promise<unknown>
  unref?(): void
  /** Of the server's process, as the server or a pooler says it; with the key that cancels what it does. */
  readonly processID?: number | null
  readonly secretKey?: number | null
  readonly host?: string
  readonly port?: number
}
export interface PgPoolClient extends PgClient {
  release(destroy?: Error | boolean): void
}
/** A pool of `pg`, or what is shaped like one. */
export interface PgPool {
  connect(): Promise<PgPoolClient>
  end(): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: PgClient) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'connect', listener: (client: PgClient) => void): unknown
  readonly totalCount: number
  readonly idleCount: number
  /** What it makes its connections of; not every pool tells. */
  readonly options?: { max?: number; connectionTimeoutMillis?: number }
  readonly Client?: new (options: never) => unknown
}

export interface PgDriver {
  readonly Pool: new (options: object) => PgPool
  readonly types: { getTypeParser(oid: number, format?: string): (value: string) => unknown }
}

/** Loads `pg`, which users install only where they need it. */
export function loadDriver(): PgDriver {
  try {
    // Required, not imported: in a thread under load, the wrapper that `pg` has for imports was seen to be run before what it wraps.
    // A bundle in CommonJS does not know where it is: then `pg` is looked for from the program's own file.
    const here = (import.meta as { readonly url?: string }).url ?? resolve(process.argv[1] ?? 'main')
    return createRequire(here)('pg') as PgDriver
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'MODULE_NOT_FOUND'
    if (!isMissing) throw cause
    throw new CeleriacError(
      'DRIVER_MISSING',
      'PostgreSQL needs the package pg, which is not installed: run npm install pg.',
      { cause },
    )
  }
}

/** Tells the server to stop what it does on a connection that is being given up: it may wait for a lock, and hold others. */
export function cancel({ host, port, processID, secretKey }: PgClient): void {
  if (host === undefined || port === undefined || typeof processID !== 'number' || typeof secretKey !== 'number') return
  const message = Buffer.alloc(16)
  // https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST
  for (const [at, number] of [16, 80877102, processID, secretKey].entries()) message.writeInt32BE(number, at * 4)
  const socket = host.startsWith('/')
    ? connectSocket(`${host}/.s.PGSQL.${port}`)
    : connectSocket({ host, port, timeout: 5_000 })
  socket.on('error', () => undefined).on('timeout', () => socket.destroy())
  socket.unref().end(message)
}

// ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────

const numbers = (text: string): number[] => (text === '{}' ? [] : text.slice(1, -1).split(',').map(Number))
const asTold = (text: string): string => text

/** By the number of the type: whatever else the user has set `pg` to, our numbers are numbers and our texts texts. */
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  20: Number,
  21: Number,
  23: Number,
  26: Number,
  700: Number,
  701: Number,
  1005: numbers,
  1007: numbers,
  1016: numbers,
}
export const types = { getTypeParser: (oid: number): ((text: string) => unknown) => parsers[oid] ?? asTold }
