import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import type { CeleriacError } from '../../core/errors.ts'
import { type Runtime, systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { checkBinding, isSound, networkFileSystem, soundVersion } from './open.ts'
import { sqlite, sqliteFromUrl, type SqliteOptions } from './sqlite.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-open-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function connect(options: SqliteOptions): Engine {
  const engine = sqlite(options)(systemRuntime)
  closing.push(async () => engine.close())
  return engine
}

/** A store with one queued job in it, closed. */
async function madeStore(): Promise<string> {
  const path = join(freshFolder(), 'store.db')
  const engine = sqlite({ path })(systemRuntime)
  await engine.submit([submission(alone('kept'))])
  await engine.close()
  return path
}

const contentOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

async function refusal(act: Promise<unknown>): Promise<CeleriacError> {
  return act.then(
    () => expect.fail('Expected an error.'),
    (error: unknown) => error as CeleriacError,
  )
}

/** The store refuses, in these words, whatever it is asked; nothing in the folder has changed afterwards. */
async function expectRefused(path: string, options: SqliteOptions, code: string, words: RegExp): Promise<void> {
  const folder = join(path, '..')
  const before = [contentOf(path), readdirSync(folder)]
  const engine = connect({ path, ...options })
  // What is wrong with it is told when it is opened.
  expect(await engine.isThere()).toBe(true)
  for (const act of [
    () => engine.migrate(),
    () => engine.submit([submission(alone())]),
    () => engine.collections({ limit: 1 }),
  ]) {
    const error = await refusal(act())
    expect(error).toMatchObject({ name: 'CeleriacError', code })
    expect(error.message).toMatch(words)
    expect(error.message).toContain(path)
  }
  await engine.close()
  expect([contentOf(path), readdirSync(folder)]).toEqual(before)
}

test('a file that is not a database is refused and not touched', async () => {
  const path = join(freshFolder(), 'notes.txt')
  writeFileSync(path, 'These are my notes, and they are longer than sixteen bytes.\n'.repeat(50))
  await expectRefused(path, {}, 'STORE_CORRUPT', /not a SQLite database.*another file/)
})

test('a short file that is not a database is refused too', async () => {
  const path = join(freshFolder(), 'short')
  writeFileSync(path, 'x')
  await expectRefused(path, {}, 'STORE_CORRUPT', /not a SQLite database/)
})

test('an empty file becomes a store', async () => {
  const path = join(freshFolder(), 'empty.db')
  writeFileSync(path, '')
  expect((await connect({ path }).migrate()).from).toBe(0)
})

test('whether there is a store is asked without leaving anything in a file of somebody else, or beside it', async () => {
  const folder = freshFolder()
  const path = join(folder, 'theirs.db')
  const theirs = new DatabaseSync(path)
  theirs.exec('pragma journal_mode = wal; create table notes (text text)')
  theirs.close()
  const before = contentOf(path)
  expect(await connect({ path }).isThere()).toBe(false)
  expect(await connect({ path: join(folder, 'none', 'store.db') }).isThere()).toBe(false)
  expect(readdirSync(folder)).toEqual(['theirs.db'])
  expect(contentOf(path)).toBe(before)
})

test('a store that was not written into its file yet is found', async () => {
  const path = join(freshFolder(), 'store.db')
  await connect({ path }).migrate()
  expect(await connect({ path }).isThere()).toBe(true)
})

test('a damaged file is refused and not touched', async () => {
  const path = await madeStore()
  const bytes = readFileSync(path)
  bytes.fill(0x5a, 100, bytes.length)
  writeFileSync(path, bytes)
  await expectRefused(path, {}, 'STORE_CORRUPT', /damaged.*(backup|recover)/)
})

test('damage that comes to light later is told as such, and what was asked is not half done', async () => {
  const path = await madeStore()
  const bytes = readFileSync(path)
  // Page 1 holds the schema, which stays readable; everything else is gone.
  bytes.fill(0x5a, 4096, bytes.length)
  writeFileSync(path, bytes)
  const engine = connect({ path })
  const error = await refusal(engine.submit([submission(alone())]))
  expect(error).toMatchObject({ code: 'STORE_CORRUPT' })
  expect(error.message).toMatch(/backup|recover/)
  await engine.close()
  expect(contentOf(path)).toBe(createHash('sha256').update(bytes).digest('hex'))
})

test('a newer schema is refused and not touched', async () => {
  const path = await madeStore()
  const db = new DatabaseSync(path)
  db.exec("update celeriac_meta set value = 999 where key = 'schema'")
  db.close()
  await expectRefusedBySchema(path)
})

async function expectRefusedBySchema(path: string): Promise<void> {
  const before = contentOf(path)
  const engine = connect({ path })
  const error = await refusal(engine.submit([submission(alone())]))
  expect(error).toMatchObject({ code: 'STORE_TOO_NEW' })
  expect(error.message).toMatch(/999.*not touched.*update/)
  await engine.close()
  expect(contentOf(path)).toBe(before)
}

test('a folder in the place of the file is refused', async () => {
  const folder = freshFolder()
  const error = await refusal(connect({ path: folder }).migrate())
  expect(error).toMatchObject({ name: 'CeleriacError', code: 'STORE_UNREACHABLE' })
  expect(error.message).toMatch(/not a file/)
  expect(error.message).toContain(folder)
})

/** Opens the store in a process that is not allowed everything, which root is. */
function openAsAnybody(path: string): { readonly code?: string; readonly message?: string } {
  const child = spawnSync(
    process.execPath,
    [join(import.meta.dirname, '../../../test/fixtures/open-as-anybody.ts'), path],
    { encoding: 'utf8' },
  )
  expect(child.stderr).toBe('')
  return JSON.parse(child.stdout) as { code?: string; message?: string }
}

test('a file that may not be written is refused and not touched', async () => {
  const path = await madeStore()
  chmodSync(path, 0o444)
  chmodSync(join(path, '..'), 0o777)
  const before = contentOf(path)
  const { code, message } = openAsAnybody(path)
  expect(code).toBe('STORE_READ_ONLY')
  expect(message).toMatch(/cannot be written: give this user the right/)
  expect(message).toContain(path)
  expect(contentOf(path)).toBe(before)
})

test('a file that may not be read is refused and not touched', async () => {
  const path = await madeStore()
  chmodSync(path, 0o200)
  chmodSync(join(path, '..'), 0o777)
  const { code, message } = openAsAnybody(path)
  expect(code).toBe('STORE_UNREACHABLE')
  expect(message).toMatch(/cannot be read: give this user the right/)
})

test('a folder that may not be written is refused', () => {
  const folder = freshFolder()
  chmodSync(folder, 0o555)
  for (const path of [join(folder, 'store.db'), join(folder, 'deeper', 'store.db')]) {
    const { code, message } = openAsAnybody(path)
    expect(code).toBe('STORE_READ_ONLY')
    expect(message).toMatch(/permissions/)
  }
  expect(readdirSync(folder)).toEqual([])
})

test('a file in a folder that may not be written is refused and not touched', async () => {
  const path = await madeStore()
  chmodSync(path, 0o666)
  chmodSync(join(path, '..'), 0o555)
  const before = contentOf(path)
  const { code, message } = openAsAnybody(path)
  expect(code).toMatch(/STORE_READ_ONLY|STORE_UNREACHABLE/)
  expect(message).toContain(path)
  expect(contentOf(path)).toBe(before)
})

test('on a full disk nothing is half stored, and work goes on when there is space again', async () => {
  const db = new DatabaseSync(join(freshFolder(), 'store.db'))
  closing.push(() => db.close())
  const engine = connect({ database: db })
  await engine.submit([submission(alone('first'))])
  const pages = (db.prepare('pragma page_count').get() as { page_count: number }).page_count
  db.exec(`pragma max_page_count = ${pages + 20}`)
  const accepted: string[] = ['first']
  let full: CeleriacError | null = null
  for (let count = 0; full === null && count < 1_000; count++) {
    const pair = [alone(`job-${count}-a`), alone(`job-${count}-b`)]
    const graphs = pair.map((graph) => ({
      ...graph,
      jobs: graph.jobs.map((job) => ({ ...job, args: JSON.stringify(['x'.repeat(3_000)]) })),
    }))
    try {
      await engine.submit(graphs.map((graph) => submission(graph)))
      accepted.push(...pair.map((graph) => graph.jobs[0]?.task ?? ''))
    } catch (error) {
      full = error as CeleriacError
    }
  }
  expect(full).toMatchObject({ name: 'CeleriacError', code: 'STORE_FULL' })
  expect(full?.message).toMatch(/disk is full.*nothing was stored.*make room/)
  const stored = (await engine.jobs({ limit: 1_000 })).items.map((job) => job.task)
  expect(stored.toSorted()).toEqual(accepted.toSorted())
  db.exec('pragma max_page_count = 1000000')
  await engine.submit([submission(alone('after'))])
  expect(await (await hand(engine)).drain()).toEqual([...accepted, 'after'])
})

test('a settlement refused by a full disk can be sent again', async () => {
  const db = new DatabaseSync(join(freshFolder(), 'store.db'))
  closing.push(() => db.close())
  const engine = connect({ database: db })
  const graph = alone('large')
  await engine.submit([submission(graph)])
  const worker = await hand(engine)
  const job = await worker.take()
  const pages = (db.prepare('pragma page_count').get() as { page_count: number }).page_count
  db.exec(`pragma max_page_count = ${pages + 5}`)
  const result = 'r'.repeat(200_000)
  expect(await refusal(worker.succeed(job, result))).toMatchObject({ code: 'STORE_FULL' })
  expect(await engine.job(graph.id)).toMatchObject({ state: 'running', result: null })
  db.exec('pragma max_page_count = 1000000')
  expect(await worker.succeed(job, result)).toBe('accepted')
  expect((await engine.job(graph.id))?.result).toEqual({ json: JSON.stringify(result) })
})

test('network file systems are known by their magic number, local ones pass', () => {
  const network = {
    0x6969: 'NFS',
    0x517b: 'SMB',
    0xff534d42: 'CIFS',
    0xfe534d42: 'SMB2',
    0x01021997: '9p',
    0x00c36400: 'Ceph',
  }
  for (const [magic, name] of Object.entries(network)) {
    expect(networkFileSystem(Number(magic))).toBe(name)
    // statfs gives a signed number on some systems.
    expect(networkFileSystem(Number(magic) | 0)).toBe(name)
  }
  const local = {
    ext4: 0xef53,
    xfs: 0x58465342,
    btrfs: 0x9123683e,
    tmpfs: 0x01021994,
    overlay: 0x794c7630,
    zfs: 0x2fc12fc1,
    apfs: 0x1a,
  }
  for (const magic of Object.values(local)) expect(networkFileSystem(magic)).toBeNull()
  expect(networkFileSystem(Number(statfsSync(tmpdir()).type))).toBeNull()
})

test('versions are compared number by number', () => {
  expect(
    [soundVersion, '3.51.4', '3.52.0', '3.53.1', '4.0.0', '3.100.0'].filter((version) => !isSound(version)),
  ).toEqual([])
  expect(['3.51.2', '3.51.0', '3.50.9', '3.9.99', '2.99.99'].filter(isSound)).toEqual([])
})

test('a SQLite that can damage a shared file has the file for itself alone', async () => {
  const path = await madeStore()
  const old = connect({ path, version: '3.51.2' })
  await old.submit([submission(alone())])
  for (const version of ['3.51.2', undefined]) {
    const other = connect({ path, version })
    const error = await refusal(other.submit([submission(alone())]))
    expect(error.code).toBe(version === undefined ? 'STORE_BUSY' : 'STORE_UNSUITABLE')
    if (version) expect(error.message).toMatch(new RegExp(`SQLite ${version}.*${soundVersion}.*one process`))
    await other.close()
  }
  expect((await old.jobs({ limit: 10 })).items).toHaveLength(2)
  await old.close()
  expect((await connect({ path }).jobs({ limit: 10 })).items).toHaveLength(2)
})

test('a file that another process has for itself for a moment is waited for', async () => {
  const path = await madeStore()
  const other = new DatabaseSync(path)
  other.exec('pragma locking_mode = exclusive; begin exclusive')
  const tried = Promise.withResolvers<void>()
  const after: Runtime['after'] = (ms, call, options) => {
    tried.resolve()
    return systemRuntime.after(ms, call, options)
  }
  const engine = sqlite({ path })({ ...systemRuntime, after })
  closing.push(async () => engine.close())
  const opened = engine.submit([submission(alone())])
  // It was refused, and is about to try again.
  await tried.promise
  other.exec('commit')
  other.close()
  expect(await opened).toMatchObject([{ type: 'created' }])
})

test('the tables live beside those of the user, who closes the connection', async () => {
  const db = new DatabaseSync(join(freshFolder(), 'shop.db'))
  closing.push(() => db.close())
  db.exec('create table tables (name text); insert into tables values (1)')
  const engine = connect({ database: db })
  await engine.submit([submission(alone())])
  await engine.close()
  expect(db.isOpen).toBe(true)
  expect(db.prepare('select count(*) as count from tables').get()).toEqual({ count: 1 })
  const names = (
    db.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").all() as {
      name: string
    }[]
  ).map(({ name }) => name)
  expect(names.filter((name) => !name.startsWith('celeriac_'))).toEqual(['tables'])
})

test('a folder that is not there is made, and one that cannot be is refused', async () => {
  const path = join(freshFolder(), 'deep', 'deeper', 'store.db')
  expect(await connect({ path }).migrate()).toMatchObject({ from: 0 })
  const error = await refusal(connect({ path: '/proc/celeriac/deep/store.db' }).migrate())
  expect(error.code).toBe('STORE_READ_ONLY')
})

test('a url names a file in the working folder, or one by its absolute path; what looks like a host is refused', () => {
  const urlOf = (url: string): string | null => sqliteFromUrl(url)(systemRuntime).url
  expect(urlOf('sqlite:///var/jobs.db?mode=fast')).toBe('sqlite:/var/jobs.db?mode=fast')
  expect(urlOf('sqlite:jobs.db')).toBe(`sqlite:${join(process.cwd(), 'jobs.db')}?mode=durable`)
  expect(() => urlOf('sqlite://jobs.db')).toThrow('A SQLite url has no host: write sqlite:celeriac.db')
  expect(() => urlOf('sqlite:')).toThrow('names a file')
  expect(() => urlOf('sqlite:100%.db')).toThrow('write %25')
  expect(() => urlOf('sqlite:jobs.db?mod=fast')).toThrow('"mod" is not a setting')
  expect(() => urlOf('sqlite:jobs.db?mode=quick')).toThrow('not "quick"')
})

test('the url of a file names the same file, whatever is in its name', () => {
  const { url } = sqlite({ path: '/var/100%? sure #1.db' })(systemRuntime)
  expect(sqliteFromUrl(url!)(systemRuntime).url).toBe(url)
  expect(url).toBe('sqlite:/var/100%25%3F sure %231.db?mode=durable')
})

test('options that are none are refused', () => {
  const made = (options: object): unknown => sqlite(options)
  expect(() => made({ paht: 'jobs.db' })).toThrow('did you mean "path"?')
  expect(() => made({ path: 5 })).toThrow('sqlite: path: a text is needed, not 5')
  expect(() => made({ mode: 'quick' })).toThrow("one of 'durable', 'fast' is needed, not 'quick'")
  expect(() => made({ database: {} })).toThrow('a DatabaseSync of node:sqlite is needed')
  expect(() => made({ database: new DatabaseSync(':memory:'), path: 'jobs.db' })).toThrow('give one of them')
})

test('a Node that fails at a parameter named twice is refused when a store is opened, not at the first workflow', () => {
  const failing = (errcode: number) => {
    const get = (): never => {
      throw Object.assign(new Error('column index out of range'), { errcode })
    }
    return { prepare: () => ({ get }) } as unknown as DatabaseSync
  }
  expect(() => checkBinding(failing(25))).toThrow(/^The SQLite of Node .+ use Node 22\.22\.3 or a later 22/)
  expect(() => checkBinding(failing(5))).toThrow(/^column index out of range$/)
})
