import { availableParallelism, cpus } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import type { Urls } from './case.ts'
import { withClient as withDatabaseClient } from './contenders/database.ts'
import { withClient as withRedisClient } from './contenders/keyspace.ts'
import { celeryVersion } from './peers/celery.ts'
import { peerVersion } from './peers.ts'

/** What the figures depend on: programs with their versions, and the machine. */
export interface Machine {
  readonly versions: Readonly<Record<string, string>>
  readonly processor: string
  readonly cores: number
  readonly platform: string
}

const peers = ['plainjob', 'better-sqlite3', 'graphile-worker', 'bullmq', 'ioredis'] as const

export async function thisMachine(urls: Partial<Urls>): Promise<Machine> {
  const versions = {
    Node: process.versions.node,
    SQLite: sqliteVersion(),
    ...(urls.postgres === undefined ? {} : { PostgreSQL: await postgresVersion(urls.postgres) }),
    ...(urls.redis === undefined ? {} : { Redis: await redisVersion(urls.redis) }),
    ...Object.fromEntries(peers.map((name) => [name, peerVersion(name)])),
    Celery: celeryVersion() ?? 'not installed',
  }
  return {
    versions,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
  }
}

export function sentence({ versions, processor, cores, platform }: Machine): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [named.slice(0, 4).join(', '), named.slice(4).join(', '), `${processor}, ${cores} cores, ${platform}`].join(
    ';\n',
  )
}

function sqliteVersion(): string {
  const database = new DatabaseSync(':memory:')
  try {
    return String(database.prepare('select sqlite_version() as version').get()?.['version'])
  } finally {
    database.close()
  }
}

const postgresVersion = (url: string): Promise<string> =>
  withDatabaseClient(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]?.server_version.split(' ')[0] ?? 'unknown'
  })

const redisVersion = (url: string): Promise<string> =>
  withRedisClient(url, async (client) => /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown')
