import type { Case, Figures, Run } from '../../case.ts'
import { withFreshBench, type Mode } from '../../contenders/celeriac.ts'
import { addOneByOne, withPlainjob } from '../../peers/plainjob.ts'
import { timed } from '../../timed.ts'

export const measured: Case = {
  name: 'sqlite/delay-sequential',
  rounds: 7,
  contenders: {
    plainjob: (run) => withPlainjob(run, (queue) => timed(jobs(run), () => addOneByOne(queue, jobs(run)))),
    celeriac: (run) => added(run, 'fast'),
    durable: (run) => added(run, 'durable'),
  },
  lines: [
    {
      section: 'plainjob',
      label: 'delay() after delay() / add, jobs/s',
      figure: 'celeriac.rate',
      beside: 'plainjob.rate',
      target: { type: 'ratio', atLeast: 0.8 },
    },
    { section: 'plainjob', label: '  durable', figure: 'durable.rate', beside: 'plainjob.rate' },
  ],
}

function added(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, ({ add }) =>
    timed(jobs(run), async () => {
      for (let index = 0; index < jobs(run); index++) await add.delay(index, 1)
    }),
  )
}

function jobs({ quick }: Run): number {
  return quick ? 2_000 : 10_000
}
