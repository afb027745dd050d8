import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import type { Figures, Run } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { withScratchFile } from './scratch-file.ts'

/** Appends a page and has it written, as a commit does, in milliseconds. */
export function syncs(run: Run, count: number): Promise<Figures> {
  return withScratchFile(run, async (path) => {
    const file = openSync(path, 'a')
    const page = Buffer.alloc(4096)
    const times = Array.from({ length: count }, () => {
      const startedAt = performance.now()
      writeSync(file, page)
      fdatasyncSync(file)
      return performance.now() - startedAt
    })
    closeSync(file)
    return quantiles(times)
  })
}
