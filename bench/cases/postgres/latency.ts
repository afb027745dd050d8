import { fileURLToPath } from 'node:url'
import type { Case, Figures, Run } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { celeriacLatencyElsewhere } from '../../contenders/elsewhere.ts'
import { latencyElsewhere } from '../../contenders/latency.ts'
import { celeriacLatency } from '../../contenders/on-server.ts'
import { addOne, graphileLatency, withGraphile } from '../../peers/graphile.ts'

const graphileWorker = fileURLToPath(new URL('../../programs/graphile-worker.ts', import.meta.url))

export const measured: Case = {
  name: 'postgres/latency',
  needs: ['postgres'],
  rounds: 3,
  contenders: {
    graphile: (run) => withDatabase(run, (url) => graphileLatency(url, samples(run))),
    celeriac: (run) => withDatabase(run, (url) => celeriacLatency(url, samples(run))),
    graphileElsewhere: (run) => withDatabase(run, (url) => graphileElsewhere(url, samples(run))),
    celeriacElsewhere: (run) => withDatabase(run, (url) => celeriacLatencyElsewhere(url, samples(run))),
  },
  lines: [
    {
      section: 'graphile-worker',
      label: 'add to start in one process, p50, ms',
      figure: 'celeriac.p50',
      beside: 'graphile.p50',
      decimals: 2,
      target: { type: 'share', atMost: 1 },
    },
    { section: 'graphile-worker', label: '  p99, ms', figure: 'celeriac.p99', beside: 'graphile.p99', decimals: 2 },
    {
      section: 'graphile-worker',
      label: 'add to start in another, p50, ms',
      figure: 'celeriacElsewhere.p50',
      beside: 'graphileElsewhere.p50',
      decimals: 2,
      target: { type: 'share', atMost: 1 },
    },
    {
      section: 'graphile-worker',
      label: '  p99, ms',
      figure: 'celeriacElsewhere.p99',
      beside: 'graphileElsewhere.p99',
      decimals: 2,
    },
  ],
}

function graphileElsewhere(url: string, count: number): Promise<Figures> {
  return withGraphile(url, (utils) => latencyElsewhere(url, graphileWorker, count, () => addOne(utils)))
}

function samples({ quick }: Run): number {
  return quick ? 60 : 300
}
