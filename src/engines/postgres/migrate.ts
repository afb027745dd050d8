import { CeleriacError } from '../../core/errors.ts'
import type { Database, Requests } from './database.ts'
import { functions, functionsHash } from './functions.ts'
import { functionsVersion } from './functions-version.ts'
import { inSchema } from './in-schema.ts'
import { migrations } from './migrations.ts'

export const schemaVersion = migrations.length
/** Changing a schema may wait for others who do, and for old transactions. In milliseconds. */
const patience = 600_000

/** What the functions of this package are known by: their version, and for those who are writing them, their text. */
const ownFunctions = `${functionsVersion} ${functionsHash}`

/**
 * Brings the schema up to date in one transaction; many processes may start at once, also through a pooler. Workers of the
 * version before go on, meanwhile and afterwards: tables are added to, and functions that they call stay. Where nothing is
 * to be done nothing is written, and the user needs no right to change the schema.
 */
export async function migrate(db: Database): Promise<{ from: number; to: number }> {
  const before = await stateOf(db)
  if (isUpToDate(db, before)) return { from: before.version, to: before.version }
  try {
    return await db.transaction((requests) => bringUpToDate(db, requests), patience)
  } catch (error) {
    throw error instanceof CeleriacError && error.code === 'STORE_DENIED' ? denied(db, before, error) : error
  }
}

async function bringUpToDate(db: Database, requests: Requests): Promise<{ from: number; to: number }> {
  // Held until the end of the transaction: a pooler gives the connection to others only then.
  await requests.all("select pg_advisory_xact_lock(hashtextextended('celeriac migrate ' || $1, 0))", db.schema)
  const found = await stateOf(requests)
  if (isUpToDate(db, found)) return { from: found.version, to: found.version }
  if (!found.exists) await requests.all(`create schema "${db.schema}"`)
  for (const sql of migrations.slice(found.version)) await requests.all(inSchema(sql, db.schema))
  await put(requests, 'schema', String(schemaVersion))
  if (isOlder(found.functions)) {
    for (const sql of functions) await requests.all(inSchema(sql, db.schema))
    await put(requests, 'functions', ownFunctions)
  }
  return { from: found.version, to: schemaVersion }
}

interface SchemaState {
  /** The schema is there, maybe with nothing in it. */
  readonly exists: boolean
  /** 0 where there are no tables yet. */
  readonly version: number
  readonly functions: string
}

export async function stateOf(requests: Requests): Promise<SchemaState> {
  const found = await requests.get<{ exists: boolean; filled: boolean }>(
    `select exists (select 1 from pg_namespace where nspname = $1) as exists,
       exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname = $1 and relname = 'meta') as filled`,
    requests.schema,
  )
  if (found?.filled !== true) return { exists: found?.exists === true, version: 0, functions: '' }
  const rows = await requests.all<{ key: string; value: string }>(
    "select key, value from celeriac.meta where key in ('schema', 'functions')",
  )
  const meta = new Map(rows.map(({ key, value }) => [key, value]))
  return { exists: true, version: Number(meta.get('schema') ?? 0), functions: meta.get('functions') ?? '' }
}

/** @throws CeleriacError STORE_TOO_NEW */
function isUpToDate(db: Database, { version, functions: installed }: SchemaState): boolean {
  if (version > schemaVersion) throw tooNew(db, version)
  return version === schemaVersion && !isOlder(installed)
}

/** Functions of a later version know what the tables of this one need; they stay. */
function isOlder(installed: string): boolean {
  const version = Number.parseInt(installed || '0', 10)
  return version < functionsVersion || (version === functionsVersion && installed !== ownFunctions)
}

const put = (requests: Requests, key: string, value: string): Promise<unknown[]> =>
  requests.all(
    'insert into celeriac.meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
    key,
    value,
  )

const tooNew = (db: Database, found: number): CeleriacError =>
  new CeleriacError(
    'STORE_TOO_NEW',
    `${db.where} has schema ${found} in "${db.schema}", made by a newer version of celeriac; this one knows schemas up to ${schemaVersion}. It was not touched: update the package celeriac.`,
  )

function denied(db: Database, { exists, version }: SchemaState, cause: CeleriacError): CeleriacError {
  const said = cause.cause instanceof Error ? cause.cause.message : cause.message
  const problem = !exists
    ? `has no schema "${db.schema}", and this user may not make one: have somebody who may run create schema "${db.schema}" authorization the user in the url`
    : version === 0
      ? `does not let this user make tables in the schema "${db.schema}": have its owner run grant create, usage on schema "${db.schema}" to the user in the url`
      : `has schema ${version} in "${db.schema}", this version of celeriac needs ${schemaVersion}, and this user may not change it: run celeriac migrate with a url of its owner`
  return new CeleriacError('STORE_DENIED', `${db.where} ${problem} (${said}).`, { cause })
}
