import type { Case } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { runAgain } from '../../contenders/elsewhere.ts'

export const measured: Case = {
  name: 'postgres/crash',
  needs: ['postgres'],
  rounds: 1,
  contenders: { worker: (run) => withDatabase(run, runAgain) },
  lines: [
    {
      section: 'postgres alone',
      label: 'SIGKILL to the job run again, s',
      figure: 'worker.seconds',
      decimals: 1,
      target: { type: 'below', limit: 15 },
    },
  ],
}
