import type { Case, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { cancelledElsewhere, idled, progressElsewhere } from '../../contenders/elsewhere.ts'

export const measured: Case = {
  name: 'redis/remote',
  needs: ['redis'],
  rounds: 2,
  contenders: {
    cancel: (run) => withKeyspace(run, (url) => cancelledElsewhere(url, samples(run))),
    progress: (run) => withKeyspace(run, (url) => progressElsewhere(url, samples(run))),
    idle: (run) => withKeyspace(run, (url) => idled(url, run.quick ? 5 : 20)),
  },
  lines: [
    { section: 'redis alone', label: 'cancel() to abort elsewhere, p50, ms', figure: 'cancel.p50', decimals: 1 },
    {
      section: 'redis alone',
      label: '  p99, ms',
      figure: 'cancel.p99',
      decimals: 1,
      target: { type: 'below', limit: 250 },
    },
    { section: 'redis alone', label: 'progress across processes, p50, ms', figure: 'progress.p50', decimals: 1 },
    { section: 'redis alone', label: '  p99, ms', figure: 'progress.p99', decimals: 1 },
    {
      section: 'redis alone',
      label: 'idle worker, requests a second',
      figure: 'idle.requests',
      decimals: 2,
      target: { type: 'below', limit: 2 },
    },
    { section: 'redis alone', label: '  % of a core', figure: 'idle.percent', decimals: 2 },
  ],
}

function samples({ quick }: Run): number {
  return quick ? 20 : 100
}
