import type { Case, Figures, Run } from '../../case.ts'
import { drain, fill, withFreshBench, type Mode } from '../../contenders/celeriac.ts'
import { addByThousands, drainPlainjob, withPlainjob } from '../../peers/plainjob.ts'
import { withRawTable } from '../../contenders/raw-sqlite.ts'

export const measured: Case = {
  name: 'sqlite/drain',
  rounds: 5,
  contenders: {
    plainjob: (run) =>
      withPlainjob(run, async (queue) => {
        addByThousands(queue, jobs(run))
        return rate(jobs(run), await drainPlainjob(queue, jobs(run)))
      }),
    celeriac: (run) => drained(run, 'fast'),
    durable: (run) => drained(run, 'durable'),
    raw: (run) =>
      withRawTable(run, (table) => {
        table.fill(jobs(run))
        return rate(jobs(run), table.drain())
      }),
  },
  lines: [
    {
      section: 'plainjob',
      label: 'drain, jobs/s',
      figure: 'celeriac.rate',
      beside: 'plainjob.rate',
      target: { type: 'ratio', atLeast: 5 },
    },
    { section: 'plainjob', label: '  durable', figure: 'durable.rate', beside: 'plainjob.rate' },
    { section: 'plainjob', label: '  one bare table in node:sqlite', figure: 'raw.rate', beside: 'plainjob.rate' },
  ],
}

function drained(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, async (bench) => {
    const handles = await fill(bench.add, jobs(run))
    return rate(jobs(run), await drain(bench, jobs(run), handles))
  })
}

function jobs({ quick }: Run): number {
  return quick ? 10_000 : 50_000
}

function rate(count: number, milliseconds: number): Figures {
  return { rate: (count / milliseconds) * 1000 }
}
