import type { Case } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { chordOf } from '../../contenders/on-server.ts'

export const measured: Case = {
  name: 'postgres/chord',
  needs: ['postgres'],
  rounds: 5,
  contenders: {
    two: (run) => withDatabase(run, (url) => chordOf(url, 2_000)),
    ten: (run) => withDatabase(run, (url) => chordOf(url, 10_000)),
  },
  lines: [
    { section: 'postgres alone', label: 'chord of 2,000, submit to result, s', figure: 'two.seconds', decimals: 3 },
    { section: 'postgres alone', label: 'chord of 10,000, submit to result, s', figure: 'ten.seconds', decimals: 3 },
  ],
}
