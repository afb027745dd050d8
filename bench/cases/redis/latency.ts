import { fileURLToPath } from 'node:url'
import type { Case, Figures, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { celeriacLatencyElsewhere } from '../../contenders/elsewhere.ts'
import { latencyElsewhere } from '../../contenders/latency.ts'
import { celeriacLatency } from '../../contenders/on-server.ts'
import { addOne, bullmqLatency, withBullmq } from '../../peers/bullmq.ts'

const bullmqWorker = fileURLToPath(new URL('../../programs/bullmq-worker.ts', import.meta.url))

export const measured: Case = {
  name: 'redis/latency',
  needs: ['redis'],
  rounds: 3,
  contenders: {
    bullmq: (run) => withKeyspace(run, (url) => bullmqLatency(url, samples(run))),
    celeriac: (run) => withKeyspace(run, (url) => celeriacLatency(url, samples(run))),
    bullmqElsewhere: (run) => withKeyspace(run, (url) => bullmqElsewhere(url, samples(run))),
    celeriacElsewhere: (run) => withKeyspace(run, (url) => celeriacLatencyElsewhere(url, samples(run))),
  },
  lines: [
    {
      section: 'bullmq',
      label: 'add to start in one process, p50, ms',
      figure: 'celeriac.p50',
      beside: 'bullmq.p50',
      decimals: 2,
      target: { type: 'share', atMost: 1 },
    },
    { section: 'bullmq', label: '  p99, ms', figure: 'celeriac.p99', beside: 'bullmq.p99', decimals: 2 },
    {
      section: 'bullmq',
      label: 'add to start in another, p50, ms',
      figure: 'celeriacElsewhere.p50',
      beside: 'bullmqElsewhere.p50',
      decimals: 2,
      target: { type: 'share', atMost: 1 },
    },
    {
      section: 'bullmq',
      label: '  p99, ms',
      figure: 'celeriacElsewhere.p99',
      beside: 'bullmqElsewhere.p99',
      decimals: 2,
    },
  ],
}

function bullmqElsewhere(url: string, count: number): Promise<Figures> {
  return withBullmq(url, (queue) => latencyElsewhere(url, bullmqWorker, count, () => addOne(queue)))
}

function samples({ quick }: Run): number {
  return quick ? 60 : 300
}
