import type { Case, Run } from '../../case.ts'
import { syncs } from '../../contenders/disk.ts'
import { withDatabase } from '../../contenders/database.ts'
import { requestsInTurn } from '../../contenders/on-server.ts'
import { requests } from '../../contenders/raw-postgres.ts'

export const measured: Case = {
  name: 'postgres/floor',
  needs: ['postgres'],
  rounds: 5,
  contenders: {
    raw: (run) => withDatabase(run, (url) => requests(url, samples(run))),
    celeriac: (run) => withDatabase(run, (url) => requestsInTurn(url, samples(run))),
    disk: (run) => syncs(run, samples(run) / 4),
  },
  lines: [
    { section: 'postgres alone', label: 'delay() after delay(), p50, ms', figure: 'celeriac.p50', decimals: 3 },
    { section: 'postgres alone', label: '  p99, ms', figure: 'celeriac.p99', decimals: 3 },
    { section: 'postgres alone', label: 'a request that does nothing, p50, ms', figure: 'raw.ping', decimals: 3 },
    { section: 'postgres alone', label: 'a row inserted and committed, p50, ms', figure: 'raw.commit', decimals: 3 },
    { section: 'postgres alone', label: 'one fdatasync of this disk, p50, ms', figure: 'disk.p50', decimals: 3 },
  ],
}

function samples({ quick }: Run): number {
  return quick ? 500 : 2_000
}
