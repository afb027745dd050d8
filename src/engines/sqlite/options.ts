import { resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { CeleriacError } from '../../core/errors.ts'
import { badOption, oneOf, type OptionReaders, readOptions, shortText } from '../../core/option.ts'
import { shown } from '../../core/text.ts'
import type { Mode } from './open.ts'

export interface SqliteOptions {
  /** The file; made if it is not there. Default `celeriac.db` in the working folder; `:memory:` keeps everything in this process. */
  readonly path?: string | undefined
  /** A connection of your own instead: the tables, all named `celeriac_…`, then live beside yours. It stays yours to close. */
  readonly database?: DatabaseSync | undefined
  /** Whether accepted jobs survive a power loss (`durable`, the default) or a crash of the process only (`fast`). */
  readonly mode?: Mode | undefined
  /** The version of SQLite; for tests. */
  readonly version?: string | undefined
}

/** Options, checked and filled in. */
export interface Settings {
  readonly path: string
  readonly mode: Mode
  readonly database?: DatabaseSync
  readonly version?: string
}

/** @throws CeleriacError BAD_OPTION */
export function readSettings(options: SqliteOptions): Settings {
  const read = readOptions<Partial<Settings>>(options, readers, 'sqlite')
  if (read.database !== undefined && read.path !== undefined) {
    throw badOption('sqlite', 'path and database both say where the jobs are kept: give one of them')
  }
  return { path: 'celeriac.db', mode: 'durable', ...read }
}

const readers: OptionReaders<Partial<Settings>> = {
  path: shortText(4096),
  database(value, what) {
    const isDatabase = typeof value === 'object' && value !== null && 'prepare' in value && 'isTransaction' in value
    if (isDatabase) return value as DatabaseSync
    throw badOption(what, `a DatabaseSync of node:sqlite is needed, not ${shown(value)}`)
  },
  mode: oneOf('durable', 'fast'),
  version: shortText(100),
}

/**
 * What `sqlite:path`, `sqlite:///absolute/path` or `sqlite::memory:` names, with `?mode=fast` or `?mode=durable`. In the
 * path `%`, `?` and `#` are written as in any url.
 *
 * @throws CeleriacError BAD_URL
 */
export function settingsOfUrl(url: string): Settings {
  const [address = '', query = ''] = url.split('?', 2) as [string, string?]
  const settings = new URLSearchParams(query)
  for (const name of settings.keys()) {
    if (name !== 'mode')
      throw badUrl(
        `"${name}" is not a setting of a SQLite url: there is only "mode", as in sqlite:celeriac.db?mode=fast.`,
      )
  }
  const mode = settings.get('mode') ?? 'durable'
  if (mode !== 'durable' && mode !== 'fast')
    throw badUrl(`The mode of a SQLite url is "durable" or "fast", not "${mode}": sqlite:celeriac.db?mode=fast.`)
  return { path: pathOf(address), mode }
}

/** The url that names this file, from any working folder. */
export const urlOf = ({ path, mode }: Settings): string =>
  `sqlite:${resolve(path).replace(/[%?#]/g, encodeURIComponent)}?mode=${mode}`

function pathOf(address: string): string {
  // What stands behind two slashes is a host in every other url, and would be a file in the root folder here.
  if (/^sqlite:\/\/[^/]/i.test(address))
    throw badUrl(
      'A SQLite url has no host: write sqlite:celeriac.db for a file in the working folder, or sqlite:///absolute/path.',
    )
  const path = decoded(address.replace(/^sqlite:(\/\/(?=\/))?/i, ''))
  if (path === '') throw badUrl('A SQLite url names a file, as in sqlite:celeriac.db, or sqlite::memory:.')
  return path
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw badUrl('In a url % begins the number of a character: write %25 for the sign itself.')
  }
}

const badUrl = (message: string): CeleriacError => new CeleriacError('BAD_URL', message)
