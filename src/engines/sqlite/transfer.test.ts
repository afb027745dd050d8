import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { rowColumns, rowKinds } from '../../engine/transfer.ts'
import { sqlite } from './sqlite.ts'

/** Of a store that is at rest, and of what is not copied. */
const leftOut: Readonly<Record<string, readonly string[]>> = {
  jobs: ['token', 'deadline_at'],
  collections: ['removed_at'],
  sessions: ['losing'],
}
const tablesLeftOut = ['events', 'meta', 'tallies', 'uploads', 'work']

it('every column of every table is copied, or left out on purpose', async () => {
  const database = new DatabaseSync(':memory:')
  await sqlite({ database })(manualRuntime()).migrate()
  const names = (sql: string): string[] => (database.prepare(sql).all() as { name: string }[]).map(({ name }) => name)
  const tables = names("select name from sqlite_schema where type = 'table' and name like 'celeriac_%' order by name")
  expect(tables).toEqual([...rowKinds, ...tablesLeftOut].map((name) => `celeriac_${name}`).toSorted())
  for (const kind of rowKinds) {
    const columns = names(`select name from pragma_table_info('celeriac_${kind}')`)
    expect([...rowColumns[kind], ...(leftOut[kind] ?? [])].toSorted(), kind).toEqual(columns.toSorted())
  }
})
