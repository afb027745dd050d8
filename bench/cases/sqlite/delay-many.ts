import type { Case, Figures, Run } from '../../case.ts'
import { fill, withFreshBench, type Mode } from '../../contenders/celeriac.ts'
import { addByThousands, addOneByOne, withPlainjob } from '../../peers/plainjob.ts'
import { withRawTable } from '../../contenders/raw-sqlite.ts'
import { timed } from '../../timed.ts'

export const measured: Case = {
  name: 'sqlite/delay-many',
  rounds: 7,
  contenders: {
    plainjob: (run) => withPlainjob(run, (queue) => timed(jobs(run), () => addOneByOne(queue, jobs(run)))),
    plainjobMany: (run) => withPlainjob(run, (queue) => timed(jobs(run), () => addByThousands(queue, jobs(run)))),
    celeriac: (run) => added(run, 'fast'),
    durable: (run) => added(run, 'durable'),
    raw: (run) => withRawTable(run, (table) => ({ rate: (jobs(run) / table.fill(jobs(run))) * 1000 })),
  },
  lines: [
    {
      section: 'plainjob',
      label: 'delayMany of 1,000 / add, jobs/s',
      figure: 'celeriac.rate',
      beside: 'plainjob.rate',
      target: { type: 'ratio', atLeast: 4 },
    },
    { section: 'plainjob', label: '  durable', figure: 'durable.rate', beside: 'plainjob.rate' },
    { section: 'plainjob', label: '  / addMany of 1,000', figure: 'celeriac.rate', beside: 'plainjobMany.rate' },
    { section: 'plainjob', label: '  one bare table in node:sqlite', figure: 'raw.rate', beside: 'plainjobMany.rate' },
  ],
}

function added(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, ({ add }) => timed(jobs(run), () => fill(add, jobs(run))))
}

function jobs({ quick }: Run): number {
  return quick ? 5_000 : 20_000
}
