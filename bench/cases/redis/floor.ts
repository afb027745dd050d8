import type { Case, Run } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { requestsInTurn } from '../../contenders/on-server.ts'
import { requests } from '../../contenders/raw-redis.ts'

export const measured: Case = {
  name: 'redis/floor',
  needs: ['redis'],
  rounds: 5,
  contenders: {
    raw: (run) => withKeyspace(run, (url) => requests(url, samples(run))),
    celeriac: (run) => withKeyspace(run, (url) => requestsInTurn(url, samples(run))),
  },
  lines: [
    { section: 'redis alone', label: 'delay() after delay(), p50, ms', figure: 'celeriac.p50', decimals: 3 },
    { section: 'redis alone', label: '  p99, ms', figure: 'celeriac.p99', decimals: 3 },
    { section: 'redis alone', label: 'a request that does nothing, p50, ms', figure: 'raw.ping', decimals: 3 },
  ],
}

function samples({ quick }: Run): number {
  return quick ? 500 : 2_000
}
