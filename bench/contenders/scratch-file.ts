import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Run } from '../case.ts'

/** Gives a path where nothing is yet, and removes the database there when it has been used. */
export async function withScratchFile<T>(run: Run, use: (path: string) => Promise<T>): Promise<T> {
  const path = join(run.folder, `${process.pid}.sqlite`)
  try {
    return await use(path)
  } finally {
    await Promise.all(['', '-wal', '-shm', '-journal'].map((suffix) => rm(path + suffix, { force: true })))
  }
}
