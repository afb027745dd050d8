import { CeleriacError } from '../../core/errors.ts'
import type { Database } from './database.ts'
import { otherIsolation, otherSettings, pinning } from './pins.ts'

/** The oldest server that knows all that is used here. */
export const oldestServer = 130_000

interface Server {
  readonly version: number
  readonly standby: boolean
  readonly readOnly: boolean
  readonly encoding: string
  readonly pid: number
  readonly otherSettings: string
  readonly otherIsolation: boolean
}

/**
 * Looks, before anything is written, whether this server can hold the store, and whether a pooler stands before it.
 *
 * @throws CeleriacError STORE_UNSUITABLE, STORE_READ_ONLY
 */
export async function checkServer(db: Database): Promise<void> {
  const { server, announced } = await db.read(async (requests, client) => {
    const server = (await requests.get<Server>(
      `select current_setting('server_version_num')::integer as version, pg_is_in_recovery() as standby,
         current_setting('default_transaction_read_only') = 'on' as "readOnly", getdatabaseencoding()::text as encoding,
         pg_backend_pid() as pid, ${otherSettings} as "otherSettings", ${otherIsolation} as "otherIsolation"`,
    )) as Server
    return { server, announced: client.processID }
  })
  const version = db.settings.version ?? server.version
  if (version < oldestServer)
    throw unsuitable(`${db.where} is version ${versionName(version)}`, 'use PostgreSQL 13 or newer')
  if (server.encoding !== 'UTF8')
    throw unsuitable(
      `The database of ${db.where} keeps text as ${server.encoding}, which not every text fits in`,
      'make another one with createdb --encoding UTF8 --template template0, and name it in the url',
    )
  if (server.standby)
    throw readOnly(`${db.where} is a standby, which can only be read: give the address of the primary.`)
  if (server.readOnly)
    throw readOnly(
      `${db.where} lets this user only read (default_transaction_read_only): name another user in the url, or alter role … set default_transaction_read_only = off.`,
    )
  if (server.otherIsolation || server.otherSettings !== '{}') db.pins = pinning(server.otherSettings)
  // A pooler tells its own number for the connection, and the server tells that of its process.
  db.isPooled = announced !== server.pid
}

/** As in `15.4`, from the number that the server tells. */
export function versionName(version: number): string {
  const major = Math.floor(version / 10_000)
  return major < 10 ? `${major}.${Math.floor(version / 100) % 100}` : `${major}.${version % 100}`
}

const unsuitable = (found: string, advice: string): CeleriacError =>
  new CeleriacError('STORE_UNSUITABLE', `${found}. It was not touched: ${advice}.`)
const readOnly = (message: string): CeleriacError => new CeleriacError('STORE_READ_ONLY', message)
