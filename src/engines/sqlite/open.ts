import {
  existsSync,
  mkdirSync,
  readSync,
  openSync,
  closeSync,
  statSync,
  statfsSync,
  accessSync,
  constants,
} from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CeleriacError } from '../../core/errors.ts'
import { supportedNode } from '../../core/node-version.ts'
import type { Runtime } from '../../core/runtime.ts'
import { storeError } from './database.ts'

/** Since this version a WAL with several connections is sound: https://sqlite.org/wal.html#walresetbug */
export const soundVersion = '3.51.3'

/** `durable`: an accepted job survives a power loss, by an fsync for each commit. `fast`: only a crash of the process. */
export type Mode = 'durable' | 'fast'

/** How long SQLite itself may wait for another process, blocking the event loop, before the wait goes on without blocking. */
const blockingWait = 20

/**
 * Opens a file for reading and writing, checking first, without touching it, that it can hold the store.
 *
 * @param version of SQLite; an older one than is sound with several connections gets the file for itself alone
 */
export function openFile(path: string, mode: Mode, version: string): DatabaseSync {
  checkPath(path)
  try {
    const db = new DatabaseSync(path)
    try {
      prepare(db, mode, isSound(version))
      return db
    } catch (error) {
      db.close()
      throw error
    }
  } catch (error) {
    throw openError(error, path, version)
  }
}

/** How long a file that others are making, or mending after a crash, is waited for: nobody else gets in then. In milliseconds. */
const openingPatience = 4_000
const openingPause = 25

/** The same, again and again while another process has the file for itself, as it does for a moment when it begins. */
export async function openPatiently(
  path: string,
  mode: Mode,
  version: string,
  runtime: Runtime,
): Promise<DatabaseSync> {
  const giveUpAt = runtime.elapsed() + openingPatience
  for (;;) {
    try {
      return openFile(path, mode, version)
    } catch (error) {
      const isBusy = error instanceof CeleriacError && error.code === 'STORE_BUSY'
      if (!isBusy || runtime.elapsed() > giveUpAt) throw error
    }
    await new Promise<void>((resolve) => runtime.after(openingPause, resolve))
  }
}

export function openMemory(): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  checkBinding(db)
  db.exec('pragma foreign_keys = off')
  return db
}

/** Whether there is a store in the file. Neither the file nor anything in it is made. */
export function holdsStore(path: string): boolean {
  if (!existsSync(path)) return false
  try {
    checkHead(path)
    // Not as one that may only read: that would leave the files of a WAL beside it.
    const db = new DatabaseSync(path)
    try {
      return hasTables(db)
    } finally {
      db.close()
    }
  } catch {
    // What is wrong with it is told when it is opened.
    return true
  }
}

export const hasTables = (db: DatabaseSync): boolean =>
  db.prepare("select 1 from sqlite_schema where name = 'celeriac_meta'").get() !== undefined

/** Settings of a connection; the journal mode is the file's. */
export function prepare(db: DatabaseSync, mode: Mode, isShared: boolean): void {
  checkBinding(db)
  db.exec(`pragma busy_timeout = ${blockingWait}`)
  if (!isShared) db.exec('pragma locking_mode = exclusive')
  // Reading first: a damaged or foreign file is refused before anything is written to it.
  db.prepare('select count(*) from sqlite_schema').get()
  db.exec('pragma journal_mode = wal')
  // 8 MB: the next links of some hundred chains lie on as many pages.
  db.exec('pragma cache_size = -8000')
  db.exec(`pragma synchronous = ${mode === 'durable' ? 'full' : 'normal'}`)
}

/** SQLITE_RANGE: https://sqlite.org/rescode.html#range */
const outOfRange = 25

/** Refuses a Node whose SQLite fails at a parameter that is named twice, rather than fail at the first workflow. */
export function checkBinding(db: Pick<DatabaseSync, 'prepare'>): void {
  try {
    db.prepare('select ?1 as one, ?1 as other').get(1)
  } catch (cause) {
    if ((cause as { errcode?: number }).errcode !== outOfRange) throw cause
    throw new CeleriacError(
      'STORE_UNSUITABLE',
      `The SQLite of Node ${process.versions.node} fails at statements that the store needs: use ${supportedNode}.`,
      { cause },
    )
  }
}

export function isSound(version: string): boolean {
  const numbers = (text: string): number[] => text.split('.').map(Number)
  const [a = 0, b = 0, c = 0] = numbers(version)
  const [x = 0, y = 0, z = 0] = numbers(soundVersion)
  return a !== x ? a > x : b !== y ? b > y : c >= z
}

// ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

function checkPath(path: string): void {
  const folder = dirname(path)
  if (!existsSync(path)) {
    makeFolder(folder)
    checkFileSystem(folder)
    return
  }
  checkFileSystem(path)
  checkHead(path)
  try {
    accessSync(path, constants.W_OK)
  } catch (cause) {
    throw new CeleriacError(
      'STORE_READ_ONLY',
      `The store ${path} cannot be written: give this user the right to write it, or name another file in the url.`,
      { cause },
    )
  }
}

function makeFolder(folder: string): void {
  try {
    makeFolders(folder)
    accessSync(folder, constants.W_OK)
  } catch (cause) {
    throw new CeleriacError(
      'STORE_READ_ONLY',
      `The folder ${folder} cannot be written, so the store cannot be made in it: check its permissions, or name another file in the url.`,
      { cause },
    )
  }
}

/** One after the other: with `recursive`, Node comes to no end where a file system says "no such folder", as /proc does. */
function makeFolders(folder: string): void {
  if (existsSync(folder)) return
  makeFolders(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (error) {
    // Another process may have been quicker.
    if (!existsSync(folder)) throw error
  }
}

/** The first bytes of every SQLite file: https://sqlite.org/fileformat.html#the_database_header */
const head = 'SQLite format 3\0'

function checkHead(path: string): void {
  const buffer = Buffer.alloc(head.length)
  const file = openToRead(path)
  try {
    const length = readSync(file, buffer, 0, head.length, 0)
    if (length === 0 || buffer.toString('latin1') === head) return
  } finally {
    closeSync(file)
  }
  throw new CeleriacError(
    'STORE_CORRUPT',
    `${path} is not a SQLite database, so it cannot hold the store. It was not touched: name another file in the url.`,
  )
}

function openToRead(path: string): number {
  if (!statSync(path).isFile())
    throw new CeleriacError(
      'STORE_UNREACHABLE',
      `${path} is not a file: name one in the url, such as ${path}/celeriac.db.`,
    )
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new CeleriacError(
      'STORE_UNREACHABLE',
      `The store ${path} cannot be read: give this user the right to read and write it, or name another file in the url.`,
      { cause },
    )
  }
}

/** Network file systems by their magic number (statfs(2)): there WAL's shared memory does not work. */
const networkFileSystems: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB2',
  0x01021997: '9p',
  0x5346414f: 'AFS',
  0x6b414653: 'AFS',
  0x73757245: 'Coda',
  0x00c36400: 'Ceph',
  0x47504653: 'GPFS',
  0x0bd00bd0: 'Lustre',
  0x65735543: 'FUSE control',
  0x564c: 'NCP',
  0x19830326: 'BeeGFS',
}

/** The name of a network file system; null for a local one. */
export const networkFileSystem = (magic: number): string | null => networkFileSystems[magic >>> 0] ?? null

function checkFileSystem(path: string): void {
  const name = networkFileSystem(Number(statfsSync(path).type))
  if (name === null) return
  throw new CeleriacError(
    'STORE_UNSUITABLE',
    `${path} lies on a network file system (${name}), where SQLite cannot be shared safely. It was not touched: name a file on a local disk, or use a database server.`,
  )
}

function openError(error: unknown, path: string, version: string): unknown {
  const said = storeError(error, `${path}: `)
  if (isSound(version) || !(said instanceof CeleriacError) || said.code !== 'STORE_BUSY') return said
  return new CeleriacError(
    'STORE_UNSUITABLE',
    `${path} is open in another process, and this Node's SQLite ${version} can damage a file that several processes share: use SQLite ${soundVersion} or newer (${supportedNode}), or one process.`,
    { cause: error },
  )
}
