import { CeleriacError } from '../../core/errors.ts'
import { badOption, isTrue, oneOf, type OptionReaders, readOptions, shortText, wholeNumber } from '../../core/option.ts'
import { shown } from '../../core/text.ts'
import { type Duration, milliseconds } from '../../core/time.ts'
import type { Client } from './client.ts'

export interface RedisOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://…` for TLS. Default `redis://localhost:6379`. */
  readonly url?: string | undefined
  /**
   * Makes a client of your own instead, of the packages `@redis/client` or `redis`: a client, a cluster or a sentinel,
   * not connected yet. It is asked for two, one of them to listen, and for another one where one does not answer.
   */
  readonly client?: (() => Client) | undefined
  /** Several stores may share a server, each with a namespace of its own: what all its keys begin with. Default `celeriac`. */
  readonly namespace?: string | undefined
  /** The number of the database, in place of the one in the url. */
  readonly database?: number | undefined
  /** Takes a server that throws keys away when its memory is full. Jobs may then vanish without a trace. */
  readonly allowEviction?: boolean | undefined
  /** How long a call goes on trying while the server is away. Default 5 s. */
  readonly timeout?: Duration | undefined
  /** Whose time counts: the server's (`store`), or that of this process; for tests. */
  readonly clock?: 'store' | 'process' | undefined
  /** The version of the server; for tests. */
  readonly version?: string | undefined
  /** Loads the driver; for tests. */
  readonly driver?: (() => Promise<unknown>) | undefined
}

/** Options, checked and filled in. */
export interface Settings {
  /** Null with clients of the user's own. */
  readonly address: Address | null
  readonly client?: () => Client
  readonly namespace: string
  readonly allowEviction: boolean
  /** In milliseconds. */
  readonly timeout: number
  readonly clock: 'store' | 'process'
  readonly version?: string
  readonly driver?: () => Promise<unknown>
}

export interface Address {
  readonly tls: boolean
  readonly host: string
  readonly port: number
  readonly username: string | null
  readonly password: string | null
  readonly database: number
}

interface Given {
  readonly url?: string
  readonly client?: () => Client
  readonly namespace?: string
  readonly database?: number
  readonly allowEviction?: boolean
  readonly timeout?: number
  readonly clock?: 'store' | 'process'
  readonly version?: string
  readonly driver?: () => Promise<unknown>
}

const mostDatabases = 1_000_000

/** @throws CeleriacError BAD_OPTION, BAD_URL, BAD_DURATION */
export function readSettings(options: RedisOptions): Settings {
  const { url, database, client, ...read } = readOptions<Given>(options, readers, 'redis')
  if (client !== undefined && (url ?? database) !== undefined) {
    const other = url === undefined ? 'database' : 'url'
    throw badOption('redis', `client and ${other} both say where the jobs are kept: give one of them`)
  }
  const named = url === undefined ? { address: local } : readUrl(url)
  const address = client ? null : { ...named.address, database: database ?? named.address.database }
  return { ...defaults, ...named, ...read, address, ...(client && { client }) }
}

const local: Address = { tls: false, host: 'localhost', port: 6379, username: null, password: null, database: 0 }
const defaults = { namespace: 'celeriac', allowEviction: false, timeout: 5_000, clock: 'store' } as const

const functionOf =
  <F>(needed: string) =>
  (value: unknown, what: string): F => {
    if (typeof value === 'function') return value as F
    throw badOption(what, `${needed}, not ${shown(value)}`)
  }

const readers: OptionReaders<Given> = {
  url: shortText(2048),
  client: functionOf('a function that makes a client is needed, such as () => createClient({ url })'),
  namespace(value, what) {
    if (typeof value === 'string' && isNamespace(value)) return value
    throw badOption(what, `${ofNamespace}, this is ${shown(value)}`)
  },
  database: wholeNumber(0, mostDatabases),
  allowEviction: isTrue,
  timeout: readTimeout,
  clock: oneOf('store', 'process'),
  version: shortText(100),
  driver: functionOf('a function that loads the driver is needed'),
}

const isNamespace = (text: string): boolean => /^[A-Za-z0-9_.-]{1,48}$/.test(text)
const ofNamespace = 'a namespace has 1 to 48 letters, digits, dots, hyphens and underscores'

function readTimeout(value: unknown, what: string): number {
  const ms = milliseconds(value as Duration, what)
  if (ms >= 1) return ms
  throw badOption(what, `a call that may take no time at all can only fail: give it some, such as '5s'`)
}

// ── urls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What `redis://…` or `rediss://…` names, with `?namespace=…`, `&timeout=5s` and `&allowEviction=true`.
 *
 * @throws CeleriacError BAD_URL
 */
export const settingsOfUrl = (url: string): Settings => ({ ...defaults, ...readUrl(url) })

/** The url that names the same store in another thread or process; null with clients of the user's own. */
export function urlOf(settings: Settings): string | null {
  if (settings.address === null) return null
  const { tls, host, port, username, password, database } = settings.address
  const who =
    username === null && password === null
      ? ''
      : `${encodeURIComponent(username ?? '')}:${encodeURIComponent(password ?? '')}@`
  const query = new URLSearchParams({ namespace: settings.namespace, timeout: `${settings.timeout}ms` })
  if (settings.allowEviction) query.set('allowEviction', 'true')
  if (settings.clock === 'process') query.set('clock', 'process')
  const at = host.includes(':') ? `[${host}]` : host
  return `${tls ? 'rediss' : 'redis'}://${who}${at}:${port}/${database}?${query}`
}

/** Where a server is, as errors tell it: without user and password. */
export const placeOf = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

type Named = { readonly address: Address } & Partial<
  Pick<Settings, 'namespace' | 'allowEviction' | 'timeout' | 'clock'>
>

function readUrl(text: string): Named {
  const url = parsed(text)
  const named = { address: addressOf(url) }
  return Object.assign(named, ...[...url.searchParams].map(([name, value]) => readParameter(name, value))) as Named
}

const form = 'redis://user:password@host:6379/0'

function parsed(text: string): URL {
  if (!/^rediss?:\/\//i.test(text)) throw badUrl(`A Redis url begins with redis:// or rediss://, as in ${form}.`)
  let url: URL | null = null
  try {
    url = new URL(text)
  } catch {
    // What is wrong is said below, without the url: it may hold a password.
  }
  if (url === null)
    throw badUrl(
      `This is not a Redis url: write ${form}. In a password, the signs / ? # @ : % are written %2F %3F %23 %40 %3A %25.`,
    )
  if (url.hash !== '') throw badUrl('A Redis url has no part behind #: in a password, that sign is written %23.')
  return url
}

function addressOf(url: URL): Address {
  const number = url.pathname.replace(/^\//, '')
  if (!/^\d{0,7}$/.test(number))
    throw badUrl(
      `Behind the host of a Redis url comes the number of the database, as in ${form}: ${shown(number)} is none.`,
    )
  return {
    tls: url.protocol === 'rediss:',
    host: decoded(url.hostname).replace(/^\[(.*)\]$/, '$1') || local.host,
    port: url.port === '' ? local.port : Number(url.port),
    username: decoded(url.username) || null,
    password: decoded(url.password) || null,
    database: Number(number),
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw badUrl('In a url % begins the number of a character: write %25 for the sign itself.')
  }
}

function readParameter(name: string, value: string): Partial<Named> {
  switch (name) {
    case 'namespace':
      if (isNamespace(value)) return { namespace: value }
      throw badUrl(`In a Redis url ${ofNamespace}: ${shown(value)} is none.`)
    case 'allowEviction':
      if (value === 'true' || value === 'false') return { allowEviction: value === 'true' }
      throw badUrl(`"allowEviction" of a Redis url is true or false, not ${shown(value)}.`)
    case 'clock':
      if (value === 'store' || value === 'process') return { clock: value }
      throw badUrl(`"clock" of a Redis url is store or process, not ${shown(value)}.`)
    case 'timeout':
      return { timeout: timeoutIn(value) }
    default:
      throw badUrl(
        `${shown(name)} is not a setting of a Redis url: there are "namespace", "timeout" and "allowEviction", as in ${form}?namespace=shop.`,
      )
  }
}

function timeoutIn(value: string): number {
  try {
    return readTimeout(/^\d+$/.test(value) ? Number(value) : value, 'timeout')
  } catch {
    throw badUrl(`"timeout" of a Redis url is a duration such as 5s, not ${shown(value)}.`)
  }
}

const badUrl = (message: string): CeleriacError => new CeleriacError('BAD_URL', message)
