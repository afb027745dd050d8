import { statSync } from 'node:fs'
import { supportedNode } from '../../core/node-version.ts'
import type { Diagnosis } from '../../engine/engine.ts'
import { stepDiagnosis, upkeepDiagnosis } from '../../engine/upkeep.ts'
import type { Database } from './database.ts'
import type { Place } from './place.ts'
import { isSound, type Mode, soundVersion } from './open.ts'
import { faults, noted } from './turn.ts'

interface About {
  readonly path: string
  readonly mode: Mode
  readonly version: string
  readonly now: number
  /** Null for a store in memory. */
  readonly place: Place | null
}

/** A WAL that has grown this large is not being written back: some reader keeps an old state open. */
const largeWal = 256 * 1_048_576

export async function diagnose(db: Database, about: About): Promise<Diagnosis[]> {
  if (about.place?.isSame === false) return [version(about), ...file(about)]
  const inside = await db.read(() => [integrity(db), schema(db), leftovers(db), ...upkeep(db, about.now)])
  return [version(about), ...file(about), ...inside, mode(about), wal(about)]
}

function version({ version: found }: About): Diagnosis {
  if (isSound(found)) return ok('SQLite', found)
  return {
    check: 'SQLite',
    level: 'warning',
    found,
    advice: `Older than ${soundVersion}: only one process may use the file. To share it, use ${supportedNode}.`,
  }
}

function file({ place }: About): Diagnosis[] {
  if (place === null) return []
  if (place.isSame) return [ok('file', place.path)]
  return [
    {
      check: 'file',
      level: 'error',
      found: `${place.path} was deleted or replaced while this process had it open`,
      advice: 'Put it back, or start this process again: until then nothing is stored.',
    },
  ]
}

function integrity(db: Database): Diagnosis {
  const found = db.all<{ quick_check: string }>('pragma quick_check(3)').map((row) => row.quick_check)
  if (found[0] === 'ok') return ok('integrity', 'ok')
  return {
    check: 'integrity',
    level: 'error',
    found: found.join('; '),
    advice: 'Stop all workers, then restore a backup, or rescue the file with sqlite3 and its command .recover.',
  }
}

function schema(db: Database): Diagnosis {
  return ok('schema', String(db.get<{ value: number }>("select value from celeriac_meta where key = 'schema'")?.value))
}

function leftovers(db: Database): Diagnosis {
  const count = db.get<{ count: number }>('select count(*) as count from celeriac_work')?.count ?? 0
  if (count === 0) return ok('large changes under way', 'none')
  return {
    check: 'large changes under way',
    level: 'warning',
    found: String(count),
    advice: 'They go on while a worker runs: start one if none does.',
  }
}

const upkeep = (db: Database, now: number): Diagnosis[] => [
  upkeepDiagnosis(faults(db, now)),
  stepDiagnosis(noted(db, 'stepped_at'), noted(db, 'stepped_by'), now),
]

const mode = ({ mode: found }: About): Diagnosis =>
  ok('mode', found === 'durable' ? 'durable (survives a power loss)' : 'fast (survives a crash of the process)')

function wal({ path }: About): Diagnosis {
  const size = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0
  const found = `${(size / 1_048_576).toFixed(1)} MiB`
  if (size < largeWal) return ok('write-ahead log', found)
  return {
    check: 'write-ahead log',
    level: 'warning',
    found,
    advice: 'Some process keeps an old state of the file open: look for a program with an open transaction.',
  }
}

const ok = (check: string, found: string): Diagnosis => ({ check, level: 'ok', found, advice: '' })
