import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { manualRuntime, type ManualRuntime } from '../../../test/fixtures/clock.ts'
import type { Engine } from '../../engine/engine.ts'
import { sqlite, type SqliteOptions } from './sqlite.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Opened {
  readonly engine: Engine
  readonly path: string
  readonly clock: ManualRuntime
}

async function opened(options: (path: string) => SqliteOptions = (path) => ({ path })): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-place-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'store.db')
  const clock = manualRuntime()
  const engine = sqlite(options(path))(clock)
  closing.push(() => engine.close())
  await engine.submit([submission(alone('kept'))])
  return { engine, path, clock }
}

const gone = { code: 'STORE_REPLACED', message: expect.stringMatching(/deleted or replaced.*start this process again/) }

/** What somebody does to a file that a process has open. */
const misfortunes: Readonly<Record<string, (path: string) => void>> = {
  deleted: (path) => rmSync(path),
  'deleted with its folder': (path) => rmSync(join(path, '..'), { recursive: true }),
  moved: (path) => renameSync(path, `${path}.old`),
  'replaced by a copy': (path) => {
    copyFileSync(path, `${path}.copy`)
    renameSync(`${path}.copy`, path)
  },
}

for (const [name, happens] of Object.entries(misfortunes)) {
  test(`a file that was ${name} while it was open takes no job, and every use says so`, async () => {
    const { engine, path } = await opened()
    const worker = await hand(engine)
    const job = await worker.take('kept')
    happens(path)
    await expect(engine.submit([submission(alone('lost'))])).rejects.toMatchObject(gone)
    await expect(Promise.all([worker.claim(1), worker.succeed(job)])).rejects.toMatchObject(gone)
    await expect(engine.jobs({ limit: 1 })).rejects.toMatchObject(gone)
    await expect(engine.sweep()).rejects.toMatchObject(gone)
    await expect(
      engine.settleWithin({ ref: job.ref, token: job.token }, () => Promise.resolve(null)),
    ).rejects.toMatchObject(gone)
    await expect(worker.beat()).rejects.toMatchObject(gone)
    const found = (await engine.diagnose()).find(({ check }) => check === 'file')
    expect(found).toMatchObject({ level: 'error', found: expect.stringContaining('deleted or replaced') })
  })
}

test('so does one that a connection of the user is open on, whose transaction goes on for itself', async () => {
  let theirs: DatabaseSync | undefined
  const { engine, path } = await opened((at) => ({ database: (theirs = new DatabaseSync(at)) }))
  closing.push(() => theirs?.close())
  rmSync(path)
  await expect(engine.submit([submission(alone('lost'))])).rejects.toMatchObject(gone)
  theirs?.exec('begin immediate')
  await expect(engine.submit([submission(alone('lost'))], theirs as never)).rejects.toMatchObject(gone)
  theirs?.exec('rollback')
})

test('whoever listens is told to look', async () => {
  const { engine, path, clock } = await opened()
  const heard: unknown[] = []
  closing.push(engine.subscribe((signal) => heard.push(signal)))
  clock.pass(1_000)
  heard.length = 0
  rmSync(path)
  clock.pass(1_000)
  expect(heard).toHaveLength(1)
})

test('a file that is put back goes on, and one that is well is told as such', async () => {
  const { engine, path } = await opened()
  renameSync(path, `${path}.old`)
  await expect(engine.queues()).rejects.toMatchObject(gone)
  renameSync(`${path}.old`, path)
  await engine.submit([submission(alone('found'))])
  expect((await engine.diagnose()).find(({ check }) => check === 'file')).toMatchObject({ level: 'ok', found: path })
})
