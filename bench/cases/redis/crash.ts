import type { Case } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { runAgain } from '../../contenders/elsewhere.ts'

export const measured: Case = {
  name: 'redis/crash',
  needs: ['redis'],
  rounds: 1,
  contenders: { worker: (run) => withKeyspace(run, runAgain) },
  lines: [
    {
      section: 'redis alone',
      label: 'SIGKILL to the job run again, s',
      figure: 'worker.seconds',
      decimals: 1,
      target: { type: 'below', limit: 15 },
    },
  ],
}
