import type { Case, Figures, Run } from '../../case.ts'
import { withFreshBench, type Mode } from '../../contenders/celeriac.ts'
import { syncs } from '../../contenders/disk.ts'
import { quantiles } from '../../statistics.ts'

export const measured: Case = {
  name: 'sqlite/durability',
  rounds: 5,
  contenders: {
    fast: (run) => delays(run, 'fast'),
    durable: (run) => delays(run, 'durable'),
    disk: (run) => syncs(run, samples(run) / 4),
  },
  lines: [
    { section: 'sqlite alone', label: 'delay(), fast, p50, ms', figure: 'fast.p50', decimals: 3 },
    { section: 'sqlite alone', label: '  p99, ms', figure: 'fast.p99', decimals: 3 },
    { section: 'sqlite alone', label: 'delay(), durable, p50, ms', figure: 'durable.p50', decimals: 3 },
    { section: 'sqlite alone', label: '  p99, ms', figure: 'durable.p99', decimals: 3 },
    { section: 'sqlite alone', label: 'one fdatasync of this disk, p50, ms', figure: 'disk.p50', decimals: 3 },
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

function samples({ quick }: Run): number {
  return quick ? 500 : 3_000
}
