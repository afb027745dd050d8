import { availableParallelism, cpus } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { peerVersion } from './peers.ts'

/** What the figures depend on. */
export interface Machine {
  readonly node: string
  readonly sqlite: string
  readonly plainjob: string
  readonly betterSqlite3: string
  readonly processor: string
  readonly cores: number
  readonly platform: string
}

export function thisMachine(): Machine {
  return {
    node: process.versions.node,
    sqlite: sqliteVersion(),
    plainjob: peerVersion('plainjob'),
    betterSqlite3: peerVersion('better-sqlite3'),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
  }
}

export function sentence(machine: Machine): string {
  const { node, sqlite, plainjob, betterSqlite3, processor, cores, platform } = machine
  return (
    `Node ${node}, SQLite ${sqlite}; plainjob ${plainjob} on better-sqlite3 ${betterSqlite3};\n` +
    `${processor}, ${cores} cores, ${platform}`
  )
}

function sqliteVersion(): string {
  const database = new DatabaseSync(':memory:')
  try {
    return String(database.prepare('select sqlite_version() as version').get()?.version)
  } finally {
    database.close()
  }
}
