// What lies in a folder, as plain data.
import { readdir, readlink, lstat } from 'node:fs/promises'
import { join, relative } from 'node:path'

export interface Entry {
  /** Below the folder, with slashes. */
  readonly path: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  /** In bytes; 0 for all but files. */
  readonly size: number
  readonly mode: number
  /** Where a link points. */
  readonly target?: string
}

/** Everything below `folder`, parents before children, in the order of their names. `except` is left out. */
export async function listEntries(folder: string, except: string): Promise<Entry[]> {
  const entries: Entry[] = []
  await visit(folder)
  return entries

  async function visit(place: string): Promise<void> {
    const names = (await readdir(place)).sort()
    for (const name of names) {
      const file = join(place, name)
      if (file === except) continue
      const entry = await readEntry(file, relative(folder, file))
      entries.push(entry)
      if (entry.kind === 'folder') await visit(file)
    }
  }
}

async function readEntry(file: string, path: string): Promise<Entry> {
  const found = await lstat(file)
  const about = { path, size: 0, mode: found.mode & 0o777 }
  if (found.isDirectory()) return { ...about, kind: 'folder' }
  if (found.isSymbolicLink()) return { ...about, kind: 'link', target: await readlink(file) }
  return found.isFile() ? { ...about, kind: 'file', size: found.size } : { ...about, kind: 'other' }
}
