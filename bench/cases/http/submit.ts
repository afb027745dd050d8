import type { Case, Figures, Line, Run } from '../../case.ts'
import { ask } from '../../contenders/http-load.ts'
import { type ServerProgram, withServer } from '../../contenders/server-process.ts'
import { type Store, withStore } from '../../contenders/stores.ts'

const asked = { method: 'POST', path: '/api/tasks/bench.add', body: { args: [1, 2] }, status: 202 } as const
const connections = 64

export const measured: Case = {
  name: 'http/submit',
  needs: ['postgres', 'redis'],
  rounds: 5,
  contenders: Object.fromEntries(
    Object.entries(withStore).flatMap(([store, use]) => [
      [`${store}Bare`, (run: Run) => use(run, (url) => submitted('bare-server.mjs', url, run))],
      [store, (run: Run) => use(run, (url) => submitted('http-server.mjs', url, run))],
    ]),
  ),
  lines: [
    line('submit, SQLite, requests/s', 'fast'),
    line('  durable', 'sqlite'),
    line('submit, PostgreSQL, requests/s', 'postgres'),
    line('submit, Redis, requests/s', 'redis'),
  ],
}

function submitted(program: ServerProgram, url: string, { quick }: Run): Promise<Figures> {
  return withServer(program, url, async (server) => {
    await ask(server.url, asked, { connections, count: 6_000 })
    return ask(server.url, asked, { connections, count: quick ? 5_000 : 20_000 })
  })
}

function line(label: string, store: Store): Line {
  const [figure, beside] = [`${store}.rate`, `${store}Bare.rate`] as const
  return { section: 'hono', label, figure, beside, target: { type: 'ratio', atLeast: 0.6 } }
}
