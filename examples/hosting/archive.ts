// Archives: files packed one after the other, each as a gzip stream of its own, and a list of where each of them lies.
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { lookAt, type Pass } from './bytes.ts'
import type { Entry } from './entries.ts'

export interface PackedEntry extends Entry {
  /** Where its content begins in the archive, and how long it is there. */
  readonly start: number
  readonly packedBytes: number
}

/** Packs entries of `folder` into `file`. Answers with the list of them, and the checksum of the file. */
export async function pack(
  folder: string,
  entries: readonly Entry[],
  file: string,
  { pass, signal }: { readonly pass: Pass; readonly signal: AbortSignal },
): Promise<{ list: PackedEntry[]; bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  const list: PackedEntry[] = []
  let bytes = 0
  const count = lookAt((chunk) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  await writeFile(file, '')
  for (const entry of entries) {
    const start = bytes
    if (entry.kind === 'file') {
      const content = createReadStream(join(folder, entry.path))
      await pipeline(content, pass, createGzip(), count, createWriteStream(file, { flags: 'a' }), { signal })
    }
    list.push({ ...entry, start, packedBytes: bytes - start })
  }
  return { list, bytes, sha256: hash.digest('hex') }
}

/** Makes one entry anew below `folder`. The folder it lies in must be there. */
export async function unpack(
  { path, kind, mode, target = '', start, packedBytes }: PackedEntry,
  file: string,
  folder: string,
  { pass, signal }: { readonly pass: Pass; readonly signal: AbortSignal },
): Promise<void> {
  const made = join(folder, path)
  if (kind === 'folder') return void (await mkdir(made))
  if (kind === 'link') return symlink(target, made)
  const content = createReadStream(file, { start, end: start + packedBytes - 1 })
  await pipeline(content, createGunzip(), pass, createWriteStream(made, { mode }), { signal })
}
