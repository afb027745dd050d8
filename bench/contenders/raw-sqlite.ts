import { DatabaseSync } from 'node:sqlite'
import type { Run } from '../case.ts'
import { withScratchFile } from './scratch-file.ts'

const claimSize = 200

/** node:sqlite and nothing else: one table, no identity, fence, events or handlers. What any queue on it must stay above. */
export function withRawTable<T>(run: Run, use: (table: RawTable) => T): Promise<T> {
  return withScratchFile(run, async (path) => {
    const table = new RawTable(path)
    try {
      return use(table)
    } finally {
      table.close()
    }
  })
}

export class RawTable {
  readonly #database: DatabaseSync

  constructor(path: string) {
    this.#database = new DatabaseSync(path)
    this.#database.exec(`
      pragma journal_mode = wal;
      pragma synchronous = normal;
      create table job (seq integer primary key, state integer not null, args text not null, result text) strict;
      create index queued on job (seq) where state = 0;
    `)
  }

  /** Milliseconds. */
  fill(count: number): number {
    const insert = this.#database.prepare('insert into job (state, args) values (0, ?)')
    const startedAt = performance.now()
    for (let added = 0; added < count; added += 1000) {
      this.#transaction(() => {
        for (let index = 0; index < 1000; index++) insert.run('[1,1]')
      })
    }
    return performance.now() - startedAt
  }

  /** Milliseconds. */
  drain(): number {
    const read = this.#database.prepare('select seq, args from job where state = 0 order by seq limit ?')
    const claim = this.#database.prepare('update job set state = 1 where seq = ?')
    const settle = this.#database.prepare('update job set state = 2, result = ? where seq = ? and state = 1')
    read.setReturnArrays(true)
    const startedAt = performance.now()
    for (;;) {
      const rows = this.#transaction(() => {
        const found = read.all(claimSize) as unknown as [number, string][]
        for (const [seq] of found) claim.run(seq)
        return found
      })
      if (rows.length === 0) return performance.now() - startedAt
      this.#transaction(() => {
        for (const [seq, args] of rows) settle.run(String((JSON.parse(args) as number[])[0]), seq)
      })
    }
  }

  close(): void {
    this.#database.close()
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('begin immediate')
    const answer = work()
    this.#database.exec('commit')
    return answer
  }
}
