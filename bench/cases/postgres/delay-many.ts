import type { Case, Run } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { added, addedAtOnce } from '../../contenders/on-server.ts'
import { fillRaw, rawTable } from '../../contenders/raw-postgres.ts'
import { addByThousands, withGraphile } from '../../peers/graphile.ts'
import { timed } from '../../timed.ts'

export const measured: Case = {
  name: 'postgres/delay-many',
  needs: ['postgres'],
  rounds: 7,
  contenders: {
    graphile: (run) =>
      withDatabase(run, (url) =>
        withGraphile(url, (utils) => timed(jobs(run), () => addByThousands(utils, jobs(run)))),
      ),
    celeriac: (run) => withDatabase(run, (url) => added(url, jobs(run))),
    atOnce: (run) => withDatabase(run, (url) => addedAtOnce(url, jobs(run))),
    raw: (run) =>
      withDatabase(run, async (url) => {
        await rawTable(url)
        return fillRaw(url, jobs(run))
      }),
  },
  lines: [
    {
      section: 'graphile-worker',
      label: 'delayMany of 1,000 / add_jobs, jobs/s',
      figure: 'celeriac.rate',
      beside: 'graphile.rate',
      target: { type: 'ratio', atLeast: 1.5 },
    },
    { section: 'graphile-worker', label: '  1,000 delay() at once', figure: 'atOnce.rate', beside: 'graphile.rate' },
    {
      section: 'postgres itself',
      label: 'delayMany / unnest into a bare table',
      figure: 'celeriac.rate',
      beside: 'raw.rate',
    },
    {
      section: 'postgres alone',
      label: 'delayMany, caller, µs of processor a job',
      figure: 'celeriac.workerMicros',
      decimals: 1,
    },
    { section: 'postgres alone', label: '  server', figure: 'celeriac.serverMicros', decimals: 1 },
    { section: 'postgres alone', label: '  bare table, server', figure: 'raw.serverMicros', decimals: 1 },
  ],
}

function jobs({ quick }: Run): number {
  return quick ? 20_000 : 100_000
}
