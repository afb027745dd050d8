import type { Case, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { drainedBy } from '../../contenders/elsewhere.ts'

export const measured: Case = {
  name: 'redis/processes',
  needs: ['redis'],
  rounds: 5,
  contenders: {
    one: (run) => withKeyspace(run, (url) => drainedBy(1, url, jobs(run))),
    two: (run) => withKeyspace(run, (url) => drainedBy(2, url, jobs(run))),
  },
  lines: [
    {
      section: 'redis itself',
      label: 'drain by 2 processes / by one, jobs/s',
      figure: 'two.rate',
      beside: 'one.rate',
      target: { type: 'ratio', atLeast: 1 },
    },
  ],
}

function jobs({ quick }: Run): number {
  return quick ? 30_000 : 100_000
}
