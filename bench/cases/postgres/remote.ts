import type { Case, Run } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { cancelledElsewhere, idled, progressElsewhere } from '../../contenders/elsewhere.ts'

export const measured: Case = {
  name: 'postgres/remote',
  needs: ['postgres'],
  rounds: 2,
  contenders: {
    cancel: (run) => withDatabase(run, (url) => cancelledElsewhere(url, samples(run))),
    progress: (run) => withDatabase(run, (url) => progressElsewhere(url, samples(run))),
    idle: (run) => withDatabase(run, (url) => idled(url, run.quick ? 5 : 20)),
  },
  lines: [
    { section: 'postgres alone', label: 'cancel() to abort elsewhere, p50, ms', figure: 'cancel.p50', decimals: 1 },
    {
      section: 'postgres alone',
      label: '  p99, ms',
      figure: 'cancel.p99',
      decimals: 1,
      target: { type: 'below', limit: 250 },
    },
    { section: 'postgres alone', label: 'progress across processes, p50, ms', figure: 'progress.p50', decimals: 1 },
    { section: 'postgres alone', label: '  p99, ms', figure: 'progress.p99', decimals: 1 },
    {
      section: 'postgres alone',
      label: 'idle worker, requests a second',
      figure: 'idle.requests',
      decimals: 2,
      target: { type: 'below', limit: 2 },
    },
    { section: 'postgres alone', label: '  % of a core', figure: 'idle.percent', decimals: 2 },
  ],
}

function samples({ quick }: Run): number {
  return quick ? 20 : 100
}
