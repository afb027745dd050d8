import type { Case } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { chordOf } from '../../contenders/on-server.ts'
import { bullmqChord } from '../../peers/bullmq.ts'

export const measured: Case = {
  name: 'redis/chord',
  needs: ['redis'],
  rounds: 7,
  contenders: {
    bullmq: (run) => withKeyspace(run, async (url) => ({ seconds: await bullmqChord(url, 2_000) })),
    celeriac: (run) => withKeyspace(run, (url) => chordOf(url, 2_000)),
    ten: (run) => withKeyspace(run, (url) => chordOf(url, 10_000)),
  },
  lines: [
    {
      section: 'bullmq',
      label: 'chord of 2,000, submit to result, s',
      figure: 'celeriac.seconds',
      beside: 'bullmq.seconds',
      decimals: 3,
      target: { type: 'share', atMost: 0.25 },
    },
    { section: 'redis alone', label: 'chord of 10,000, submit to result, s', figure: 'ten.seconds', decimals: 3 },
  ],
}
