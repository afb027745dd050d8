import type { Case, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { added, addedAtOnce } from '../../contenders/on-server.ts'
import { fillRaw } from '../../contenders/raw-redis.ts'
import { addByThousands, withBullmq } from '../../peers/bullmq.ts'
import { timed } from '../../timed.ts'

export const measured: Case = {
  name: 'redis/delay-many',
  needs: ['redis'],
  rounds: 7,
  contenders: {
    bullmq: (run) =>
      withKeyspace(run, (url) => withBullmq(url, (queue) => timed(jobs(run), () => addByThousands(queue, jobs(run))))),
    celeriac: (run) => withKeyspace(run, (url) => added(url, jobs(run))),
    atOnce: (run) => withKeyspace(run, (url) => addedAtOnce(url, jobs(run))),
    raw: (run) => withKeyspace(run, (url) => fillRaw(url, jobs(run))),
  },
  lines: [
    {
      section: 'bullmq',
      label: 'delayMany of 1,000 / addBulk, jobs/s',
      figure: 'celeriac.rate',
      beside: 'bullmq.rate',
      target: { type: 'ratio', atLeast: 4 },
    },
    { section: 'bullmq', label: '  1,000 delay() at once', figure: 'atOnce.rate', beside: 'bullmq.rate' },
    { section: 'redis itself', label: 'delayMany / naive script', figure: 'celeriac.rate', beside: 'raw.rate' },
    {
      section: 'redis alone',
      label: 'delayMany, caller, µs of processor a job',
      figure: 'celeriac.workerMicros',
      decimals: 1,
    },
    { section: 'redis alone', label: '  server', figure: 'celeriac.serverMicros', decimals: 1 },
    { section: 'redis alone', label: '  naive script, server', figure: 'raw.serverMicros', decimals: 1 },
  ],
}

function jobs({ quick }: Run): number {
  return quick ? 20_000 : 100_000
}
