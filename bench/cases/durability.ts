import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import type { Case, Figures, Run } from '../case.ts'
import { withFreshBench, type Mode } from '../contenders/celeriac.ts'
import { withScratchFile } from '../contenders/scratch-file.ts'
import { quantile } from '../statistics.ts'

export const measured: Case = {
  name: 'durability',
  rounds: 5,
  contenders: { fast: (run) => delays(run, 'fast'), durable: (run) => delays(run, 'durable'), disk: syncs },
  lines: [
    { section: 'alone', label: 'delay(), fast, p50, ms', figure: 'fast.p50', decimals: 3 },
    { section: 'alone', label: '  p99, ms', figure: 'fast.p99', decimals: 3 },
    { section: 'alone', label: 'delay(), durable, p50, ms', figure: 'durable.p50', decimals: 3 },
    { section: 'alone', label: '  p99, ms', figure: 'durable.p99', decimals: 3 },
    { section: 'alone', label: 'one fdatasync of this disk, p50, ms', figure: 'disk.p50', decimals: 3 },
  ],
}

function delays(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, async ({ add }) => {
    const times: number[] = []
    for (let index = 0; index < samples(run); index++) {
      const startedAt = performance.now()
      await add.delay(index, 1)
      times.push(performance.now() - startedAt)
    }
    return quantiles(times)
  })
}

/** Appends a page and has it written, as a commit does. */
function syncs(run: Run): Promise<Figures> {
  return withScratchFile(run, async (path) => {
    const file = openSync(path, 'a')
    const page = Buffer.alloc(4096)
    const times = Array.from({ length: samples(run) / 4 }, () => {
      const startedAt = performance.now()
      writeSync(file, page)
      fdatasyncSync(file)
      return performance.now() - startedAt
    })
    closeSync(file)
    return quantiles(times)
  })
}

function quantiles(times: readonly number[]): Figures {
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

function samples({ quick }: Run): number {
  return quick ? 500 : 3_000
}
