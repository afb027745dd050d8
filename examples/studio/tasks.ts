// A picture in several sizes, as tasks. They work on files; what travels from one to the next is small.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Celeriac, chain, chord, currentJob } from 'celeriac'
import { decodePng, encodePng, type Rows } from './png.ts'
import { resize } from './resize.ts'
import { zip } from './zip.ts'

/** Where its jobs are kept is said by CELERIAC_URL, and its pictures by STUDIO_HOME: to the server and to the workers. */
export const app = new Celeriac()
const home = process.env['STUDIO_HOME'] ?? '.'
/** How long to wait after every few rows, in milliseconds, for those who want to watch. */
const slowness = Number(process.env['STUDIO_SLOW'] ?? 0)

const widths = [1200, 800, 400, 200]

/** A picture without its compression, in a file. */
interface Decoded {
  readonly upload: string
  readonly width: number
  readonly height: number
}

export interface Sized {
  readonly file: string
  readonly width: number
  readonly height: number
  readonly bytes: number
}

export interface Pack {
  readonly upload: string
  readonly bytes: number
  readonly pictures: readonly Sized[]
}

/** One of the files that belong to an upload. */
export const fileOf = (upload: string, name: string): string => join(home, upload, name)

export async function keepUpload(upload: string, bytes: Uint8Array): Promise<void> {
  await mkdir(join(home, upload), { recursive: true })
  await writeFile(fileOf(upload, 'upload.png'), bytes)
}

const retry = { limit: 2, when: ({ name }: { readonly name: string }) => name !== 'BadPicture' }

const decode = app.task('studio.decode', { retry }, async (upload: string): Promise<Decoded> => {
  const { width, height, pixels } = await decodePng(await readFile(fileOf(upload, 'upload.png')), tellRows())
  await writeFile(fileOf(upload, 'pixels'), pixels)
  return { upload, width, height }
})

const shrink = app.task('studio.resize', { retry }, async (decoded: Decoded, width: number): Promise<Sized> => {
  const { upload, ...size } = decoded
  const pixels = await readFile(fileOf(upload, 'pixels'))
  const smaller = await resize({ ...size, pixels }, width, tellRows())
  const bytes = await encodePng(smaller)
  const file = `${width}.png`
  await writeFile(fileOf(upload, file), bytes)
  return { file, width: smaller.width, height: smaller.height, bytes: bytes.length }
})

const pack = app.task('studio.pack', { retry }, async (pictures: Sized[], upload: string): Promise<Pack> => {
  const entries = []
  for (const [n, { file }] of pictures.entries()) {
    currentJob().progress(n, pictures.length, file)
    entries.push({ name: file, bytes: await readFile(fileOf(upload, file)) })
  }
  const packed = zip(entries)
  await writeFile(fileOf(upload, 'pictures.zip'), packed)
  return { upload, bytes: packed.length, pictures }
})

/** All of it. Nothing has run when this returns: it says what is to be done, and can be submitted. */
export const inAllSizes = (upload: string) =>
  chain(
    decode.s(upload),
    chord(
      widths.map((width) => shrink.s(width)),
      pack.s(upload),
    ),
  )

/** Tells how many rows are done, and lets others have their turn: whoever computes for long is not heard meanwhile. */
function tellRows(): Rows {
  const job = currentJob()
  const isDue = (done: number, total: number): boolean => done % Math.ceil(total / 40) === 0 || done === total
  return async (done, total) => {
    if (!isDue(done, total)) return
    job.progress(done, total, `row ${done} of ${total}`)
    await pause(slowness, undefined, { signal: job.signal })
  }
}
