import type { Case, Figures, Run } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { drained } from '../../contenders/on-server.ts'
import { drainRaw, fillRaw, rawTable } from '../../contenders/raw-postgres.ts'
import { addByThousands, drainGraphile, withGraphile, type Mode } from '../../peers/graphile.ts'

export const measured: Case = {
  name: 'postgres/drain',
  needs: ['postgres'],
  rounds: 5,
  contenders: {
    graphile: (run) => graphile(run, jobs(run) / 2, 'batching'),
    plain: (run) => graphile(run, jobs(run) / 20, 'plain'),
    celeriac: (run) => withDatabase(run, (url) => drained(url, jobs(run))),
    raw: (run) =>
      withDatabase(run, async (url) => {
        await rawTable(url)
        await fillRaw(url, jobs(run))
        return drainRaw(url, jobs(run))
      }),
  },
  lines: [
    {
      section: 'graphile-worker',
      label: 'drain / local queue and batching, jobs/s',
      figure: 'celeriac.rate',
      beside: 'graphile.rate',
      target: { type: 'ratio', atLeast: 1.5 },
    },
    { section: 'graphile-worker', label: '  / as it comes', figure: 'celeriac.rate', beside: 'plain.rate' },
    {
      section: 'postgres itself',
      label: 'drain / one bare table with pg',
      figure: 'celeriac.rate',
      beside: 'raw.rate',
    },
    {
      section: 'postgres alone',
      label: 'drain, worker, µs of processor a job',
      figure: 'celeriac.workerMicros',
      decimals: 1,
    },
    { section: 'postgres alone', label: '  server', figure: 'celeriac.serverMicros', decimals: 1 },
    { section: 'postgres alone', label: '  bare table, worker', figure: 'raw.workerMicros', decimals: 1 },
    { section: 'postgres alone', label: '  bare table, server', figure: 'raw.serverMicros', decimals: 1 },
  ],
}

function graphile(run: Run, count: number, mode: Mode): Promise<Figures> {
  return withDatabase(run, (url) =>
    withGraphile(url, async (utils) => {
      await addByThousands(utils, count)
      return { rate: (count / (await drainGraphile(url, count, mode))) * 1000 }
    }),
  )
}

function jobs({ quick }: Run): number {
  return quick ? 20_000 : 200_000
}
