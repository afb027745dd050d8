import { CeleriacError } from '../../core/errors.ts'
import { didYouMean } from '../../core/misspelling.ts'
import { badOption, oneOf, type OptionReader, type OptionReaders, readOptions, wholeNumber } from '../../core/option.ts'
import { shown } from '../../core/text.ts'
import type { PgPool } from './driver.ts'

/** A `Pool` of `pg`, or what is shaped like one. */
export interface PoolOfYours {
  connect(): Promise<unknown>
  end(): Promise<unknown>
  readonly totalCount: number
}

export interface PostgresOptions {
  /** `postgres://user:password@host:5432/database`; what the url does not say comes from PGHOST, PGUSER and so on. */
  readonly url?: string | undefined
  /** A pool of `pg` of your own instead. It stays yours to end. */
  readonly pool?: PoolOfYours | undefined
  /** The schema that holds the store; made if it is not there. Two schemas are two stores. Default `celeriac`. */
  readonly schema?: string | undefined
  /** The most connections that requests share. One more listens, while anybody follows or works. Default 5. */
  readonly size?: number | undefined
  /**
   * Whether to LISTEN for what other processes do, on a connection of its own. `auto`, the default, does so unless a
   * pooler such as PgBouncer stands between: then, and with `false`, the store is asked again and again.
   */
  readonly listen?: boolean | 'auto' | undefined
  /** How long a request may take before it counts as lost, in milliseconds. Default 5,000. */
  readonly timeout?: number | undefined
  /** Whose time counts: the server's, the default, or this process's, for tests. */
  readonly clock?: 'store' | 'process' | undefined
  /** The version of the server, as a number such as 150004; for tests. */
  readonly version?: number | undefined
}

/** Options, checked and filled in. */
export interface Settings {
  /** Without the settings that are ours. */
  readonly url?: string
  readonly pool?: PgPool
  readonly schema: string
  readonly size: number
  readonly listen: boolean | 'auto'
  readonly timeout: number
  readonly clock: 'store' | 'process'
  readonly version?: number
}

const defaults = { schema: 'celeriac', size: 5, listen: 'auto', timeout: 5_000, clock: 'store' } as const
const schemaForm = /^[a-z_][a-z0-9_]{0,47}$/
const schemaRule = 'a schema is named with small letters, digits and "_", no digit first, at most 48 in all'

/** @throws CeleriacError BAD_OPTION, BAD_URL */
export function readSettings(options: PostgresOptions): Settings {
  const { url, ...read } = readOptions<Partial<Settings>>(options, readers, 'postgres')
  if (url !== undefined && read.pool !== undefined)
    throw badOption('postgres', 'url and pool both say where the jobs are kept: give one of them')
  if (url === undefined && read.pool === undefined)
    throw badOption('postgres', 'a url such as postgres://user@host/database is needed, or a pool of your own')
  return { ...(url === undefined ? defaults : settingsOfUrl(url)), ...read }
}

const isSwitch: OptionReader<boolean | 'auto'> = (value, what) => {
  if (typeof value === 'boolean' || value === 'auto') return value
  throw badOption(what, `true, false or 'auto' is needed, not ${shown(value)}`)
}

const readers: OptionReaders<Partial<Settings>> = {
  url(value, what) {
    if (typeof value === 'string') return value
    throw badOption(what, 'a text such as postgres://user@host/database is needed')
  },
  pool(value, what) {
    const isPool = typeof value === 'object' && value !== null && 'connect' in value && 'totalCount' in value
    if (isPool) return value as PgPool
    throw badOption(what, 'a Pool of the package pg is needed')
  },
  schema(value, what) {
    if (typeof value === 'string' && schemaForm.test(value) && !value.startsWith('pg_')) return value
    throw badOption(what, `${schemaRule}, and not "pg_" first: ${shown(value)} is not`)
  },
  size: wholeNumber(1, 1_000),
  listen: isSwitch,
  timeout: wholeNumber(100, 86_400_000),
  clock: oneOf('store', 'process'),
  version: wholeNumber(0, 9_999_999),
}

// ── urls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What `pg` itself reads from a url. */
const ofTheDriver = [
  'application_name',
  'client_encoding',
  'fallback_application_name',
  'host',
  'options',
  'port',
  'ssl',
  'sslcert',
  'sslkey',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'uselibpqcompat',
]
/** What libpq reads from a url and `pg` does without. */
const harmless = ['channel_binding', 'connect_timeout', 'gssencmode', 'target_session_attrs']
const ours = ['schema', 'size', 'listen', 'timeout', 'clock'] as const

/**
 * What `postgres://user:password@host:port/database` names, with `?schema=`, `&listen=`, `&size=`, `&timeout=` and what
 * `pg` takes, such as `sslmode`. No error tells the url: there is a password in it.
 *
 * @throws CeleriacError BAD_URL
 */
export function settingsOfUrl(url: string): Settings {
  const address = addressOf(url)
  const given: Record<string, unknown> = {}
  for (const name of ours) {
    const value = address.searchParams.get(name)
    address.searchParams.delete(name)
    if (value !== null) given[name] = valueOf(name, value)
  }
  for (const name of harmless) address.searchParams.delete(name)
  for (const name of address.searchParams.keys()) if (!ofTheDriver.includes(name)) throw unknownSetting(name)
  return {
    ...defaults,
    ...asUrlError(() => readOptions<Partial<Settings>>(given, readers, 'postgres')),
    url: address.href,
  }
}

function addressOf(url: string): URL {
  const advice = 'write postgres://user:password@host:5432/database'
  if (!/^postgres(ql)?:\/\//i.test(url)) throw badUrl(`A PostgreSQL url begins with postgres://: ${advice}.`)
  const hosts = /^[^/]*\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(url)?.[1] ?? ''
  if (hosts.includes(','))
    throw badUrl(
      'A PostgreSQL url names one host here: name the one that may be written, or an address that leads to it.',
    )
  try {
    const address = new URL(url)
    decodeURIComponent(address.username + address.password + address.pathname)
    return address
  } catch {
    throw badUrl(
      `The PostgreSQL url cannot be read: ${advice}, with %40 for "@", %2F for "/", %23 for "#" and %25 for "%" in a name or password.`,
    )
  }
}

function valueOf(name: (typeof ours)[number], value: string): unknown {
  if (name === 'size' || name === 'timeout') return /^\d{1,9}$/.test(value) ? Number(value) : value
  if (name === 'listen' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

function unknownSetting(name: string): CeleriacError {
  const guess = didYouMean(name, [...ours, ...ofTheDriver])
  return badUrl(
    `"${name.slice(0, 60)}" is not a setting of a PostgreSQL url${guess || `: there are ${ours.slice(0, 4).join(', ')}, and those of pg, such as sslmode.`}`,
  )
}

function asUrlError<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof CeleriacError ? badUrl(`In the PostgreSQL url: ${error.message}.`) : error
  }
}

/** The url that opens the same store in the same way, from another thread or process; null for a user's own pool. */
export function urlOf(settings: Settings): string | null {
  if (settings.url === undefined) return null
  const url = new URL(settings.url)
  for (const name of ours) if (settings[name] !== defaults[name]) url.searchParams.set(name, String(settings[name]))
  return url.href
}

const badUrl = (message: string): CeleriacError => new CeleriacError('BAD_URL', message)
