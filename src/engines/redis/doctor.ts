import { formatDuration } from '../../core/time.ts'
import type { Diagnosis } from '../../engine/engine.ts'
import { stepDiagnosis, upkeepDiagnosis } from '../../engine/upkeep.ts'
import type { Database } from './database.ts'
import { type Info, parseInfo, productOf } from './open.ts'
import { isReply } from './reply.ts'
import { reading } from './scripts.ts'
import { faults } from './turn.ts'

/** Clocks that are further apart than this make due times and ages read wrong, in milliseconds. */
const mostSkew = 1_000
/** Slower answers than this make themselves felt in every job. */
const mostLatency = 20
/** So much of its memory in use leaves little time to act. */
const mostMemory = 0.8
/** How long a loss of data is told of. */
const lossRemembered = 30 * 24 * 60 * 60_000

const storeScript = reading(
  'doctor',
  `
local meta = call('HMGET', P .. 'meta', 'version', 'lost', 'lostAt', 'steppedAt', 'steppedBy')
return {meta[1] or '', meta[2] or '', meta[3] or '0', call('ZCARD', P .. 'work') + call('ZCARD', P .. 'work-later'), string.format('%.0f', now), meta[4] or '0', meta[5] or '0'}
`,
)
type Store = readonly [
  version: string,
  lost: string,
  lostAt: string,
  work: number,
  now: string,
  steppedAt: string,
  steppedBy: string,
]

export async function diagnose(db: Database): Promise<Diagnosis[]> {
  const info = parseInfo(await db.ask('INFO'))
  const store = await db.read<Store>(storeScript)
  return [
    server(info, db),
    eviction(info),
    memory(info),
    ...persistence(info),
    replication(info),
    ok('schema', store[0]),
    leftovers(store),
    upkeepDiagnosis(await faults(db)),
    stepDiagnosis(Number(store[5]), Number(store[6]), Number(store[4])),
    loss(store),
    await clock(db),
    await latency(db),
    await permissions(db),
  ]
}

function server(info: Info, db: Database): Diagnosis {
  const { name, version } = productOf(info)
  return ok('server', `${name} ${version} ${db.place}`)
}

function eviction(info: Info): Diagnosis {
  const found = info['maxmemory_policy'] ?? 'unknown'
  if (found === 'noeviction') return ok('eviction', found)
  return {
    check: 'eviction',
    level: 'error',
    found,
    advice: 'Jobs may vanish when the memory is full: CONFIG SET maxmemory-policy noeviction.',
  }
}

function memory(info: Info): Diagnosis {
  const used = Number(info['used_memory'] ?? 0)
  const most = Number(info['maxmemory'] ?? 0) || Number(info['total_system_memory'] ?? 0)
  const found = `${mebibytes(used)}${most === 0 ? '' : ` of ${mebibytes(most)}`}`
  if (most === 0 || used < most * mostMemory) return ok('memory', found)
  return {
    check: 'memory',
    level: used < most * 0.95 ? 'warning' : 'error',
    found,
    advice:
      'When it is full nothing more is stored: give it more (maxmemory), or keep finished collections for a shorter time.',
  }
}

const mebibytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`

function persistence(info: Info): Diagnosis[] {
  const hasLog = info['aof_enabled'] === '1'
  const savedAt = Number(info['rdb_last_save_time'] ?? 0)
  const checks = [hasLog ? ok('persistence', 'append-only file') : withoutLog(info, savedAt)]
  const failed = [
    info['rdb_last_bgsave_status'] === 'err' && 'the last snapshot',
    hasLog && info['aof_last_write_status'] === 'err' && 'writing the append-only file',
    hasLog && info['aof_last_bgrewrite_status'] === 'err' && 'the last rewrite of the append-only file',
  ].filter((each) => each !== false)
  if (failed.length > 0)
    checks.push({
      check: 'saving',
      level: 'error',
      found: `${failed.join(', ')} failed`,
      advice: 'Look into the log of the server: mostly its disk is full, or its folder may not be written.',
    })
  return checks
}

function withoutLog(info: Info, savedAt: number): Diagnosis {
  const unsaved = info['rdb_changes_since_last_save'] ?? '?'
  const last = savedAt === 0 ? 'never' : new Date(savedAt * 1_000).toISOString()
  return {
    check: 'persistence',
    level: 'warning',
    found: `no append-only file; last snapshot ${last}, ${unsaved} changes since`,
    advice: 'A restart may lose accepted jobs: turn the append-only file on (appendonly yes, appendfsync everysec).',
  }
}

function replication(info: Info): Diagnosis {
  const replicas = Number(info['connected_slaves'] ?? 0)
  if (info['role'] === 'slave')
    return {
      check: 'replication',
      level: 'error',
      found: 'a replica',
      advice: 'It cannot be written: give the address of the primary.',
    }
  return ok('replication', replicas === 0 ? 'no replicas' : `${replicas} ${replicas === 1 ? 'replica' : 'replicas'}`)
}

function leftovers([, , , count]: Store): Diagnosis {
  if (count === 0) return ok('large changes under way', 'none')
  return {
    check: 'large changes under way',
    level: 'warning',
    found: String(count),
    advice: 'They go on while a worker runs: start one if none does.',
  }
}

const losses: Readonly<Record<string, string>> = {
  all: 'the server came back empty',
  some: 'the server came back without its last changes',
  unknown: 'the server was restarted, or another one took its place: what it had not saved or copied is lost',
}

function loss([, lost, lostAt, , now]: Store): Diagnosis {
  const found = losses[lost]
  if (found === undefined || Number(lostAt) + lossRemembered < Number(now)) return ok('data loss', 'none known')
  return {
    check: 'data loss',
    level: lost === 'unknown' ? 'ok' : 'warning',
    found: `${new Date(Number(lostAt)).toISOString()}: ${found}`,
    advice:
      lost === 'unknown'
        ? ''
        : 'Submit again what was lost; the append-only file (appendonly yes) keeps jobs over a restart.',
  }
}

async function clock(db: Database): Promise<Diagnosis> {
  const before = db.runtime.now()
  const [seconds, micros] = await db.ask<[string, string]>('TIME')
  const server = Number(seconds) * 1_000 + Number(micros) / 1_000
  const skew = server - (before + db.runtime.now()) / 2
  const found = `${formatDuration(Math.abs(skew))} ${skew < 0 ? 'behind' : 'ahead of'} this machine`
  if (db.settings.clock === 'process' || Math.abs(skew) < mostSkew) return ok('clock', found)
  return {
    check: 'clock',
    level: 'warning',
    found,
    advice: "The server's clock counts: times given by this machine are off by as much. Set both by NTP.",
  }
}

async function latency(db: Database): Promise<Diagnosis> {
  const times: number[] = []
  for (let count = 0; count < 5; count++) {
    const before = db.runtime.elapsed()
    await db.ask('PING')
    times.push(db.runtime.elapsed() - before)
  }
  const median = times.sort((a, b) => a - b)[2] as number
  const found = `${median.toFixed(1)} ms`
  if (median < mostLatency) return ok('latency', found)
  return {
    check: 'latency',
    level: 'warning',
    found,
    advice: 'Every claim and every settlement waits for it: run workers close to the server.',
  }
}

/** Scripts have been run by now; there remains what happens outside of them. */
async function permissions(db: Database): Promise<Diagnosis> {
  const channel = `${db.prefix}signal`
  try {
    await db.send('PUBLISH', channel, 'doctor 0')
    const connection = await db.connect()
    try {
      await connection.subscribe(channel, () => undefined)
    } finally {
      connection.drop(new Error('It was tried.'))
    }
    return ok('permissions', 'all that are needed')
  } catch (error) {
    if (!isReply((error as Error).cause ?? error)) throw error
    return {
      check: 'permissions',
      level: 'warning',
      found: `no right to use the channel ${channel}`,
      advice: `Other processes then learn of changes only every 2 s: ACL SETUSER … &${db.prefix}* +publish +subscribe.`,
    }
  }
}

const ok = (check: string, found: string): Diagnosis => ({ check, level: 'ok', found, advice: '' })
