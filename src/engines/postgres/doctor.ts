import type { Runtime } from '../../core/runtime.ts'
import type { Diagnosis } from '../../engine/engine.ts'
import { stepDiagnosis, upkeepDiagnosis } from '../../engine/upkeep.ts'
import type { Database } from './database.ts'
import { schemaVersion } from './migrate.ts'
import { versionName } from './open.ts'
import { faults } from './turn.ts'
import type { Watch } from './watch.ts'

/** From here on each is worth a word. Times in milliseconds. */
const largeSkew = 2_000
const slowAnswer = 50
const oldTransaction = 5 * 60_000
const fewConnections = 5
const manyDead = 100_000

/** What one request finds out about the server and the schema. */
interface Found {
  readonly version: number
  readonly schema: number
  readonly now: number
  readonly pid: number
  readonly max_connections: number
  readonly reserved: number
  readonly connections: number
  readonly synchronous: string
  readonly oldest_seconds: number | null
  readonly oldest_who: string | null
  readonly may_change: boolean
  readonly may_use: boolean
  readonly lacking: string | null
  readonly left: number
  readonly dead: string | null
  readonly vacuum: boolean
  readonly stepped_at: number
  readonly stepped_by: number
  readonly instant: number
}

const looking = `
select current_setting('server_version_num')::integer as version,
  (select value::integer from celeriac.meta where key = 'schema') as schema,
  (extract(epoch from clock_timestamp()) * 1000)::double precision as now, pg_backend_pid() as pid,
  current_setting('max_connections')::integer as max_connections,
  current_setting('superuser_reserved_connections')::integer as reserved,
  (select sum(numbackends)::integer from pg_stat_database) as connections,
  current_setting('synchronous_commit') as synchronous,
  o.seconds as oldest_seconds, o.who as oldest_who,
  has_schema_privilege($1::text, 'create') as may_change, has_schema_privilege($1::text, 'usage') as may_use,
  (select string_agg(relname, ', ' order by relname) from pg_class where relnamespace = (select oid from pg_namespace where nspname = $1::text) and relkind = 'r'
    
    and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
      and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))) as lacking,
  (select count(*) from celeriac.work) as left,
  (select string_agg(format('%s: %s dead of %s', relname, n_dead_tup, n_dead_tup + n_live_tup), ', ' order by relname)
   from pg_stat_user_tables where schemaname = $1::text and n_dead_tup > ${manyDead} and n_dead_tup > n_live_tup) as dead,
  current_setting('autovacuum') = 'on' as vacuum,
  celeriac.noted('stepped_at')::double precision as stepped_at, celeriac.noted('stepped_by')::double precision as stepped_by,
  celeriac.instant($2)::double precision as instant
from (select) one left join lateral (
  select extract(epoch from clock_timestamp() - xact_start)::double precision as seconds,
    format('process %s of %s in database %s', pid, coalesce(nullif(application_name, ''), usename::text), datname) as who
  from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
  order by xact_start limit 1
) o on true`

export async function diagnose(db: Database, watch: Watch, runtime: Runtime): Promise<Diagnosis[]> {
  const [began, startedAt] = [runtime.elapsed(), runtime.now()]
  await db.all('select 1')
  const latency = runtime.elapsed() - began
  const asked = runtime.elapsed()
  const found = (await db.get<Found>(looking, db.schema, db.now())) as Found
  const took = runtime.elapsed() - asked
  return [
    version(found),
    schema(db, found),
    permissions(db, found),
    clock(db, found, startedAt + latency + took / 2),
    answers(latency),
    durability(found),
    transactions(found),
    dead(found),
    connections(db, found),
    listening(db, watch),
    leftovers(found),
    upkeepDiagnosis(await faults(db)),
    stepDiagnosis(found.stepped_at, found.stepped_by, found.instant),
  ]
}

const version = ({ version: number }: Found): Diagnosis => ok('PostgreSQL', versionName(number))

function schema(db: Database, { schema: number }: Found): Diagnosis {
  return ok(
    'schema',
    `${number} in "${db.schema}"${number === schemaVersion ? '' : `, this package has ${schemaVersion}`}`,
  )
}

function permissions(db: Database, { may_change, may_use, lacking }: Found): Diagnosis {
  if (!may_use || lacking !== null)
    return {
      check: 'permissions',
      level: 'error',
      found: lacking === null ? `no usage of the schema "${db.schema}"` : `not all rights on ${lacking}`,
      advice: `Have the owner run: grant usage on schema "${db.schema}" to the user; grant all on all tables in schema "${db.schema}" to the user; grant all on all sequences in schema "${db.schema}" to the user.`,
    }
  if (may_change) return ok('permissions', 'may use and change the schema')
  return {
    check: 'permissions',
    level: 'ok',
    found: 'may use the schema, and not change it',
    advice: 'Before an update of the package, run celeriac migrate with a url of the owner.',
  }
}

/** @param here this process's time in the middle of the request that read the server's */
function clock(db: Database, { now }: Found, here: number): Diagnosis {
  if (db.settings.clock === 'process') return ok('clock', "this process's, by its settings")
  const skew = Math.round(now - here)
  const found = `the server's is ${Math.abs(skew)} ms ${skew < 0 ? 'behind' : 'ahead of'} this process's`
  if (Math.abs(skew) < largeSkew) return ok('clock', found)
  return {
    check: 'clock',
    level: 'warning',
    found,
    advice: "Jobs start by the server's clock, and instants are given by this one's: set both by NTP.",
  }
}

function answers(latency: number): Diagnosis {
  const found = `${latency.toFixed(1)} ms for the smallest request`
  if (latency < slowAnswer) return ok('latency', found)
  return {
    check: 'latency',
    level: 'warning',
    found,
    advice:
      'Each step of a job waits so long: run workers near the server, or look what keeps it or this machine busy.',
  }
}

function durability({ synchronous }: Found): Diagnosis {
  if (synchronous !== 'off') return ok('durability', `synchronous_commit = ${synchronous}`)
  return {
    check: 'durability',
    level: 'warning',
    found: 'synchronous_commit = off',
    advice: 'A crash of the server takes back what was accepted just before it: set it to on where that must not be.',
  }
}

function transactions({ oldest_seconds: seconds, oldest_who: who }: Found): Diagnosis {
  if (seconds === null) return ok('oldest transaction', 'none but this one')
  const found = `${duration(seconds)} old, ${who}`
  if (seconds * 1000 < oldTransaction) return ok('oldest transaction', found)
  return {
    check: 'oldest transaction',
    level: 'warning',
    found,
    advice:
      'While it is open nothing dead is removed, and every claim has more to pass over: end it, and set idle_in_transaction_session_timeout.',
  }
}

function dead({ dead: tables, vacuum }: Found): Diagnosis {
  if (!vacuum)
    return {
      check: 'dead rows',
      level: 'warning',
      found: 'autovacuum is off',
      advice: 'Queues leave a dead row for each change: set autovacuum = on.',
    }
  if (tables === null) return ok('dead rows', 'removed as they come')
  return {
    check: 'dead rows',
    level: 'warning',
    found: tables,
    advice:
      'Autovacuum does not keep up: look for an old transaction above, else lower autovacuum_vacuum_cost_delay or run vacuum on these tables.',
  }
}

function connections(db: Database, { max_connections: most, reserved, connections: used }: Found): Diagnosis {
  const left = Math.max(most - reserved - used, 0)
  const own = db.connections
  const found = `${left} of ${most} free; this process has ${own.open} open, at most ${own.most}`
  if (db.isPooled || left >= fewConnections) return ok('connections', found)
  return {
    check: 'connections',
    level: 'warning',
    found,
    advice: 'Raise max_connections, lower "size" in the url, or put PgBouncer in front.',
  }
}

function listening(db: Database, watch: Watch): Diagnosis {
  const { listen } = db.settings
  if (db.isPooled && listen === true)
    return {
      check: 'notifications',
      level: 'warning',
      found: 'listening through a pooler, as asked for',
      advice:
        'In transaction mode a pooler loses what is listened for: leave "listen" out, unless it pools by session.',
    }
  const found = db.isPooled
    ? 'a pooler stands between: the store is looked at again and again'
    : listen === false
      ? 'not listened for, by the settings: the store is looked at again and again'
      : `listened for (${watch.state})`
  return ok('notifications', found)
}

function leftovers({ left }: Found): Diagnosis {
  if (left === 0) return ok('large changes under way', 'none')
  return {
    check: 'large changes under way',
    level: 'warning',
    found: String(left),
    advice: 'They go on while a worker runs: start one if none does.',
  }
}

function duration(seconds: number): string {
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}

const ok = (check: string, found: string): Diagnosis => ({ check, level: 'ok', found, advice: '' })
