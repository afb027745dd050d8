import { CeleriacError } from '../../core/errors.ts'
import type { Database } from './database.ts'
import { migrations } from './migrations.ts'

const schemaVersion = migrations.length

/** Brings the schema up to date in one transaction; several processes may start at once. Refuses a newer one untouched. */
export async function migrate(db: Database): Promise<{ from: number; to: number }> {
  const from = await db.read(() => versionOf(db))
  if (from > schemaVersion) throw tooNew(from)
  if (from === schemaVersion) return { from, to: from }
  return db.write(() => {
    const now = versionOf(db)
    if (now > schemaVersion) throw tooNew(now)
    if (now < schemaVersion) apply(db, now)
    return { from: now, to: schemaVersion }
  })
}

/** The same in a transaction of the user's that is open: what is made goes with it, should it be rolled back. */
export function migrateInside(db: Database): void {
  const from = versionOf(db)
  if (from > schemaVersion) throw tooNew(from)
  if (from < schemaVersion) apply(db, from)
}

function apply(db: Database, from: number): void {
  for (const sql of migrations.slice(from)) db.exec(sql)
  db.run(
    "insert into celeriac_meta (key, value) values ('schema', ?) on conflict do update set value = excluded.value",
    schemaVersion,
  )
}

/** 0 where there is no schema yet. */
function versionOf(db: Database): number {
  const hasTable = db.get("select 1 from sqlite_schema where type = 'table' and name = 'celeriac_meta'") !== undefined
  if (!hasTable) return 0
  return db.get<{ value: number }>("select value from celeriac_meta where key = 'schema'")?.value ?? 0
}

function tooNew(found: number): CeleriacError {
  return new CeleriacError(
    'STORE_TOO_NEW',
    `The store has schema ${found}, made by a newer version of celeriac; this one knows schemas up to ${schemaVersion}. It was not touched: update the package celeriac.`,
  )
}
