import { group } from 'celeriac'
import type { Case, Figures, Line, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { ask } from '../../contenders/http-load.ts'
import { withServer } from '../../contenders/server-process.ts'
import { onEachStore, stores } from '../../contenders/stores.ts'

const jobs = 1_000

export const measured: Case = {
  name: 'http/read',
  needs: ['postgres', 'redis'],
  rounds: 3,
  contenders: onEachStore(read),
  lines: stores.map(([store, name]): Line => ({
    section: 'http alone',
    label: `read of 1,000 jobs, ${name}, p50, ms`,
    figure: `${store}.p50`,
    decimals: 1,
    target: { type: 'below', limit: 20 },
  })),
}

function read(url: string, { quick }: Run): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    const { id } = await app.submit(group(...Array.from({ length: jobs }, (_, index) => add.s(index, 1))))
    return withServer('http-server.mjs', url, async (server) => {
      const asked = { method: 'GET', path: `/api/collections/${id}`, status: 200 } as const
      await ask(server.url, asked, { connections: 1, count: 50 })
      return ask(server.url, asked, { connections: 1, count: quick ? 50 : 300 })
    })
  })
}
