// A backup as tasks. They work on files; what travels from one to the next is small.
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Celeriac, chain, currentJob, group } from 'celeriac'
import { pack, type PackedEntry, unpack } from './archive.ts'
import { areSame, progressOf, tellProgress } from './bytes.ts'
import { type Entry, listEntries } from './entries.ts'
import { sendFile } from './storage.ts'

/** Where its jobs are kept is said by CELERIAC_URL: to this program, and to the command line. */
export const app = new Celeriac()

export interface Archive {
  readonly files: number
  readonly bytes: number
  readonly packedBytes: number
  /** The checksum of the checksums of its parts. */
  readonly sha256: string
  readonly parts: readonly Part[]
}

interface Part {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

/** What is to be backed up. Kept in a file, since there may be any number of entries. */
interface Contents {
  readonly source: string
  readonly entries: readonly Entry[]
}

const contentsFile = 'work/contents.json'
const partNames = ['part-1', 'part-2', 'part-3', 'part-4']

/** Lists what there is to back up. */
const scan = app.task(
  'backup.scan',
  async (source: string, home: string): Promise<{ files: number; bytes: number }> => {
    const found = await listEntries(source, home)
    for (const { path } of found.filter(({ kind }) => kind === 'other')) {
      currentJob().log.warn('left out: it is no file, folder or link', { path })
    }
    const entries = found.filter(({ kind }) => kind !== 'other')
    await mkdir(join(home, 'work'), { recursive: true })
    await writeJson(join(home, contentsFile), { source, entries } satisfies Contents)
    return { files: filesOf(entries).length, bytes: sizeOf(entries) }
  },
)

/** Packs every fourth entry. The parts of the archive are made side by side. */
const packPart = app.task('backup.pack', async (_scanned: unknown, name: string, home: string): Promise<Part> => {
  const { source, entries: all } = await readJson<Contents>(join(home, contentsFile))
  const entries = all.filter((_, index) => index % partNames.length === partNames.indexOf(name))
  const streaming = { pass: tellProgress(sizeOf(entries)), signal: currentJob().signal }
  const packed = await pack(source, entries, join(home, `work/${name}.gz`), streaming)
  await writeJson(join(home, `work/${name}.json`), packed.list)
  return { name, bytes: packed.bytes, sha256: packed.sha256 }
})

/** Writes down what the archive consists of. */
const manifest = app.task('backup.manifest', async (parts: Part[], home: string): Promise<Archive> => {
  const { entries } = await readJson<Contents>(join(home, contentsFile))
  const checksums = parts.map(({ sha256 }) => sha256).join()
  const archive: Archive = {
    files: filesOf(entries).length,
    bytes: sizeOf(entries),
    packedBytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    sha256: createHash('sha256').update(checksums).digest('hex'),
    parts,
  }
  await writeJson(join(home, 'work/manifest.json'), archive)
  return archive
})

/** Sends the archive to the storage, and sees that it arrived as it was sent. */
const transfer = app.task('backup.transfer', async (archive: Archive, port: number, home: string): Promise<Archive> => {
  const { signal } = currentJob()
  const pass = tellProgress(archive.packedBytes)
  for (const { name, sha256 } of archive.parts) {
    const received = await sendFile(port, join(home, `work/${name}.gz`), { pass, signal })
    if (received !== sha256) throw new Error(`${name} arrived damaged: its checksum is ${received}, not ${sha256}`)
    await sendFile(port, join(home, `work/${name}.json`), { signal })
  }
  await sendFile(port, join(home, 'work/manifest.json'), { signal })
  return archive
})

/** Unpacks what the storage holds. */
const restore = app.task('backup.restore', async (archive: Archive, home: string): Promise<Archive> => {
  const streaming = { pass: tellProgress(archive.bytes), signal: currentJob().signal }
  await rm(join(home, 'restored'), { recursive: true, force: true })
  await mkdir(join(home, 'restored'), { recursive: true })
  const lists = archive.parts.map(async ({ name }) =>
    (await readJson<PackedEntry[]>(join(home, `stored/${name}.json`))).map((entry) => ({ entry, name })),
  )
  // By path, so that folders come before what lies in them.
  const entries = (await Promise.all(lists)).flat().sort((one, other) => (one.entry.path < other.entry.path ? -1 : 1))
  for (const { entry, name } of entries) {
    await unpack(entry, join(home, `stored/${name}.gz`), join(home, 'restored'), streaming)
  }
  return archive
})

/** Compares every file with the one it was made from, byte by byte. */
const verify = app.task('backup.verify', async (archive: Archive, home: string): Promise<Archive> => {
  const tell = progressOf(archive.bytes)
  const { source, entries } = await readJson<Contents>(join(home, contentsFile))
  for (const { path } of filesOf(entries)) {
    const isSame = await areSame(join(source, path), join(home, 'restored', path), tell)
    if (!isSame) throw new Error(`${path} was not restored as it is now: did it change meanwhile?`)
  }
  return archive
})

/**
 * All of it, worked on in the folder `home`. Nothing has run when this returns: it says what is to be done, and can be
 * submitted.
 */
export const backUp = (source: string, home: string, port: number) =>
  chain(
    scan.s(source, home),
    group(...partNames.map((name) => packPart.s(name, home))),
    manifest.s(home),
    transfer.s(port, home),
    restore.s(home),
    verify.s(home),
  )

const filesOf = (entries: readonly Entry[]): readonly Entry[] => entries.filter(({ kind }) => kind === 'file')

const sizeOf = (entries: readonly Entry[]): number => entries.reduce((sum, { size }) => sum + size, 0)

const readJson = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, 'utf8')) as T

const writeJson = (file: string, value: unknown): Promise<void> => writeFile(file, JSON.stringify(value))
