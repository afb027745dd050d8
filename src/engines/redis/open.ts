import { CeleriacError } from '../../core/errors.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { Connection } from './connection.ts'
import { runOn } from './database.ts'
import { modelVersion } from './keys.ts'
import { placeOf, type Settings } from './options.ts'
import { reading } from './scripts.ts'

/** What INFO tells: https://redis.io/docs/latest/commands/info/ */
export type Info = Readonly<Record<string, string>>

export const parseInfo = (text: unknown): Info =>
  Object.fromEntries(
    String(text)
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )

const oldestVersion = 7

/** A name and a version for people. Valkey also tells which version of Redis it is like. */
export function productOf(info: Info): { readonly name: string; readonly version: string } {
  const valkey = info['valkey_version']
  return valkey === undefined
    ? { name: 'Redis', version: info['redis_version'] ?? '0' }
    : { name: 'Valkey', version: valkey }
}

/** What was there when this process last looked. */
export interface Opened {
  readonly from: number
  readonly to: number
  readonly epoch: string
  /** A number that no other process was given, for as long as the store has been there. */
  readonly process: number
}

/** How much of the feed this process knows to have been there. */
export interface Memory {
  opened: Opened | null
  /** The furthest end of the feed that this process has seen. */
  end: number
}

export const newMemory = (): Memory => ({ opened: null, end: 0 })

/**
 * Looks at the server behind a connection: that it can hold the store.
 *
 * @throws CeleriacError STORE_UNSUITABLE
 */
export async function look(connection: Connection, settings: Settings): Promise<Info> {
  const info = parseInfo(await connection.ask(['INFO']))
  checkServer(info, settings)
  return info
}

/**
 * Looks at the server behind a new connection: that it can hold the store, and that it still is the one that held it. Makes
 * the store where there is none.
 *
 * @throws CeleriacError STORE_UNSUITABLE, STORE_TOO_NEW
 */
export async function greet(
  connection: Connection,
  settings: Settings,
  runtime: Runtime,
  memory: Memory,
): Promise<void> {
  const info = await look(connection, settings)
  const known = memory.opened?.epoch ?? ''
  const now = settings.clock === 'store' ? '' : String(runtime.now())
  const rest = [now, '', String(modelVersion), info['run_id'] ?? '', newEpoch(runtime), known, String(memory.end)]
  const [version, epoch, lost, process] = (await runOn(connection, openScript, [
    `{${settings.namespace}}:`,
    ...rest,
  ])) as [number, string, string, number]
  if (version > modelVersion) throw tooNew(version)
  if (lost === 'all' || lost === 'some') tellLoss(settings, lost)
  if (epoch !== known) memory.end = 0
  memory.opened = memory.opened ? { ...memory.opened, epoch } : { from: version, to: modelVersion, epoch, process }
}

/** Such a number as no other process draws. */
function newEpoch(runtime: Runtime): string {
  const bytes = new Uint8Array(6)
  runtime.randomBytes(bytes)
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * A server has a run id of its own for each time that it was started. Where it is another one, the server was restarted, or
 * a replica has taken its place: either may have lost the last changes, and their numbers are then given anew. So the feed
 * gets a new epoch, and whoever follows it begins with a snapshot.
 */
const openScript = reading(
  'open',
  `
local known, run, fresh, knownEpoch, seen = number(), arg(), arg(), arg(), number()
local meta = P .. 'meta'
-- Where memory is full, Redis refuses a script at its first command that may need more, and at none after it has written: this one needs none.
call('HDEL', meta, 'foot')
local version, epoch, was, moved = unpack(call('HMGET', meta, 'version', 'epoch', 'run', 'moved'))
if version and tonumber(version) > known then return {tonumber(version), '', '', 0} end
local lost = ''
if not version then
  call('HSET', meta, 'epoch', fresh, 'run', run, 'sweptAt', '0', 'calmUntil', '0')
  if knownEpoch ~= '' then lost = 'all' end
  epoch = fresh
elseif was ~= run then
  lost = 'unknown'
  if knownEpoch == epoch and tonumber(call('GET', P .. 'events-end') or '0') < seen then lost = 'some' end
  call('HSET', meta, 'epoch', fresh, 'run', run)
  epoch = fresh
end
if tonumber(version or '0') < known then call('HSET', meta, 'version', known) end
if lost ~= '' then call('HSET', meta, 'lostAt', string.format('%.0f', now), 'lost', lost) end
return {tonumber(version or '0'), epoch, lost, call('HINCRBY', meta, 'processes', 1)}
`,
)

// ── what cannot hold it ──────────────────────────────────────────────────────────────────────────────────────────

function checkServer(info: Info, settings: Settings): void {
  const { name, version } = productOf(info)
  const found = settings.version ?? version
  const at = settings.address === null ? '' : ` at ${placeOf(settings.address)}`
  if (Number.parseInt(found, 10) < oldestVersion)
    throw new CeleriacError(
      'STORE_UNSUITABLE',
      `The server${at} is ${name} ${found}, and celeriac needs Redis ${oldestVersion} or Valkey: update it. Nothing was stored.`,
    )
  const policy = info['maxmemory_policy'] ?? 'noeviction'
  if (policy !== 'noeviction' && !settings.allowEviction)
    throw new CeleriacError(
      'STORE_UNSUITABLE',
      `The Redis server${at} may throw jobs away when its memory is full (maxmemory-policy ${policy}): set it to noeviction (CONFIG SET maxmemory-policy noeviction), or take the risk with allowEviction. Nothing was stored.`,
    )
}

function tooNew(found: number): CeleriacError {
  return new CeleriacError(
    'STORE_TOO_NEW',
    `The store has schema ${found}, made by a newer version of celeriac; this one knows schemas up to ${modelVersion}. It was not touched: update the package celeriac.`,
  )
}

/** Nobody asked, and it must not go unnoticed. */
function tellLoss({ address, namespace }: Settings, lost: 'all' | 'some'): void {
  const what = lost === 'all' ? 'without the jobs that were in it' : 'without its last changes'
  const at = address === null ? '' : ` at ${placeOf(address)}`
  process.emitWarning(
    `The Redis server${at} has come back ${what} (namespace ${namespace}): it does not keep them on a disk, or not at once. Turn its append-only file on (appendonly yes) to keep jobs over a restart.`,
    { code: 'CELERIAC_DATA_LOST' },
  )
}
