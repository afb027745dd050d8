import type { Case, Figures, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { chained, drained, oneChain } from '../../contenders/on-server.ts'
import { addChains, addChildren, drainBullmq, oneBullmqChain } from '../../peers/bullmq.ts'

const longChain = 500

export const measured: Case = {
  name: 'redis/chain',
  needs: ['redis'],
  rounds: 5,
  contenders: {
    bullmq: (run) => withKeyspace(run, (url) => bullmq(url, links(run) / 2)),
    bullmqLong: (run) =>
      withKeyspace(run, async (url) => ({ rate: (longChain / (await oneBullmqChain(url, longChain))) * 1000 })),
    drain: (run) => withKeyspace(run, (url) => drained(url, links(run))),
    chains: (run) => withKeyspace(run, (url) => chained(url, links(run))),
    long: (run) => withKeyspace(run, (url) => oneChain(url, longChain)),
  },
  lines: [
    {
      section: 'bullmq',
      label: 'links of chains / of flows, jobs/s',
      figure: 'chains.rate',
      beside: 'bullmq.rate',
      target: { type: 'ratio', atLeast: 4 },
    },
    { section: 'bullmq', label: '  of one chain alone', figure: 'long.rate', beside: 'bullmqLong.rate' },
    { section: 'redis itself', label: 'links of chains / drain, jobs/s', figure: 'chains.rate', beside: 'drain.rate' },
    {
      section: 'redis alone',
      label: 'links of chains, worker, µs of processor',
      figure: 'chains.workerMicros',
      decimals: 1,
    },
    { section: 'redis alone', label: '  server', figure: 'chains.serverMicros', decimals: 1 },
  ],
}

async function bullmq(url: string, count: number): Promise<Figures> {
  await addChains(url, count)
  return { rate: (count / (await drainBullmq(url, count, addChildren))) * 1000 }
}

function links({ quick }: Run): number {
  return quick ? 10_000 : 40_000
}
