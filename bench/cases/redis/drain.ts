import type { Case, Figures, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { drained } from '../../contenders/on-server.ts'
import { drainRaw, fillRaw } from '../../contenders/raw-redis.ts'
import { addByThousands, drainBullmq, withBullmq } from '../../peers/bullmq.ts'

export const measured: Case = {
  name: 'redis/drain',
  needs: ['redis'],
  rounds: 5,
  contenders: {
    bullmq: (run) => withKeyspace(run, (url) => bullmq(url, jobs(run) / 4)),
    celeriac: (run) => withKeyspace(run, (url) => drained(url, jobs(run))),
    raw: (run) =>
      withKeyspace(run, async (url) => {
        await fillRaw(url, jobs(run))
        return drainRaw(url, jobs(run))
      }),
  },
  lines: [
    {
      section: 'bullmq',
      label: 'drain, jobs/s',
      figure: 'celeriac.rate',
      beside: 'bullmq.rate',
      target: { type: 'ratio', atLeast: 4 },
    },
    { section: 'redis itself', label: 'drain / naive scripts', figure: 'celeriac.rate', beside: 'raw.rate' },
    {
      section: 'redis alone',
      label: 'drain, worker, µs of processor a job',
      figure: 'celeriac.workerMicros',
      decimals: 1,
    },
    { section: 'redis alone', label: '  server', figure: 'celeriac.serverMicros', decimals: 1 },
    { section: 'redis alone', label: '  naive scripts, worker', figure: 'raw.workerMicros', decimals: 1 },
    { section: 'redis alone', label: '  naive scripts, server', figure: 'raw.serverMicros', decimals: 1 },
  ],
}

function bullmq(url: string, count: number): Promise<Figures> {
  return withBullmq(url, async (queue) => {
    await addByThousands(queue, count)
    return { rate: (count / (await drainBullmq(url, count))) * 1000 }
  })
}

function jobs({ quick }: Run): number {
  return quick ? 20_000 : 200_000
}
