import type { Case, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { keyspaceUrl, withKeyspace } from '../../contenders/keyspace.ts'
import { drainedByThousands, drainedPart, finish, queue } from '../../contenders/depth.ts'

const [queued, finished] = [2, 3] as const

export const measured: Case = {
  name: 'redis/depth',
  needs: ['redis'],
  rounds: 5,
  async prepare(run) {
    await withBench(keyspaceUrl(run, queued), (bench) => queue(bench, million(run)))
    await withBench(keyspaceUrl(run, finished), (bench) => finish(bench, million(run)))
  },
  contenders: {
    thousand: (run) => withKeyspace(run, (url) => drainedByThousands(url, jobs(run))),
    few: (run) => withKeyspace(run, (url) => drainedPart(url, jobs(run))),
    queued: (run) => drainedPart(keyspaceUrl(run, queued), jobs(run)),
    finished: (run) => drainedPart(keyspaceUrl(run, finished), jobs(run)),
  },
  lines: [
    {
      section: 'redis itself',
      label: 'drain, 1,000,000 queued / 30,000',
      figure: 'queued.rate',
      beside: 'few.rate',
      target: { type: 'ratio', atLeast: 0.85 },
    },
    { section: 'redis itself', label: '  / 1,000 at a time', figure: 'queued.rate', beside: 'thousand.rate' },
    {
      section: 'redis itself',
      label: 'drain, 1,000,000 finished / none',
      figure: 'finished.rate',
      beside: 'few.rate',
      target: { type: 'ratio', atLeast: 0.85 },
    },
  ],
}

function jobs({ quick }: Run): number {
  return quick ? 10_000 : 30_000
}

function million({ quick }: Run): number {
  return quick ? 100_000 : 1_000_000
}
