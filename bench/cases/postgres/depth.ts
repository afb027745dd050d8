import type { Case, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { createDatabase, databaseUrl, withDatabase } from '../../contenders/database.ts'
import { drainedByThousands, drainedPart, finish, queue } from '../../contenders/depth.ts'

const [queued, finished] = ['bench_queued', 'bench_finished'] as const

export const measured: Case = {
  name: 'postgres/depth',
  needs: ['postgres'],
  rounds: 5,
  async prepare(run) {
    await withBench(await createDatabase(run, queued), (bench) => queue(bench, million(run)))
    await withBench(await createDatabase(run, finished), (bench) => finish(bench, million(run)))
  },
  contenders: {
    thousand: (run) => withDatabase(run, (url) => drainedByThousands(url, jobs(run))),
    few: (run) => withDatabase(run, (url) => drainedPart(url, jobs(run))),
    queued: (run) => drainedPart(databaseUrl(run, queued), jobs(run)),
    finished: (run) => drainedPart(databaseUrl(run, finished), jobs(run)),
  },
  lines: [
    {
      section: 'postgres itself',
      label: 'drain, 1,000,000 queued / 30,000',
      figure: 'queued.rate',
      beside: 'few.rate',
      target: { type: 'ratio', atLeast: 0.85 },
    },
    { section: 'postgres itself', label: '  / 1,000 at a time', figure: 'queued.rate', beside: 'thousand.rate' },
    {
      section: 'postgres itself',
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
