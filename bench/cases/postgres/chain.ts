import type { Case, Run } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { chained, drained, oneChain } from '../../contenders/on-server.ts'

export const measured: Case = {
  name: 'postgres/chain',
  needs: ['postgres'],
  rounds: 5,
  contenders: {
    drain: (run) => withDatabase(run, (url) => drained(url, links(run))),
    chains: (run) => withDatabase(run, (url) => chained(url, links(run))),
    long: (run) => withDatabase(run, (url) => oneChain(url, 500)),
  },
  lines: [
    {
      section: 'postgres itself',
      label: 'links of chains / drain, jobs/s',
      figure: 'chains.rate',
      beside: 'drain.rate',
    },
    { section: 'postgres itself', label: '  of one chain alone', figure: 'long.rate', beside: 'drain.rate' },
    {
      section: 'postgres alone',
      label: 'links of chains, worker, µs of processor',
      figure: 'chains.workerMicros',
      decimals: 1,
    },
    { section: 'postgres alone', label: '  server', figure: 'chains.serverMicros', decimals: 1 },
  ],
}

function links({ quick }: Run): number {
  return quick ? 10_000 : 40_000
}
