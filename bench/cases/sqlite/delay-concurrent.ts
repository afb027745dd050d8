import type { Case, Figures, Run } from '../../case.ts'
import { argumentPairs, withFreshBench, type Bench, type Mode } from '../../contenders/celeriac.ts'
import { addOneByOne, withPlainjob } from '../../peers/plainjob.ts'
import { timed } from '../../timed.ts'

export const measured: Case = {
  name: 'sqlite/delay-concurrent',
  rounds: 7,
  contenders: {
    plainjob: (run) => withPlainjob(run, (queue) => timed(jobs(run), () => addOneByOne(queue, jobs(run)))),
    celeriac: (run) => added(run, 'fast'),
    durable: (run) => added(run, 'durable'),
  },
  lines: [
    {
      section: 'plainjob',
      label: '1,000 delay() at once / add, jobs/s',
      figure: 'celeriac.rate',
      beside: 'plainjob.rate',
      target: { type: 'ratio', atLeast: 3 },
    },
    { section: 'plainjob', label: '  durable', figure: 'durable.rate', beside: 'plainjob.rate' },
  ],
}

function added(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, (bench) => timed(jobs(run), () => addTogether(bench, jobs(run))))
}

async function addTogether({ add }: Bench, count: number): Promise<void> {
  const pairs = argumentPairs(1000)
  for (let added = 0; added < count; added += pairs.length) {
    await Promise.all(pairs.map(([x, y]) => add.delay(x, y)))
  }
}

function jobs({ quick }: Run): number {
  return quick ? 5_000 : 20_000
}
