import { readFileSync, readdirSync } from 'node:fs'
import type { Figures } from '../case.ts'
import { withClient as withDatabaseClient } from './database.ts'
import { withClient as withRedisClient } from './keyspace.ts'

/** Linux counts the time of processes in these. */
const ticksPerSecond = 100

/** Tells which process a server is, so that the time it takes can be read. */
export async function serverProcess(url: string): Promise<number> {
  if (url.startsWith('redis:')) {
    const info = await withRedisClient(url, (client) => client.info('server'))
    return Number(/process_id:(\d+)/.exec(info)?.[1])
  }
  return withDatabaseClient(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    return parentOf(rows[0]?.pid ?? 0)
  })
}

/** Milliseconds of processor time that a server has taken, with the processes that it started; NaN where nobody tells. */
export function serverTime(pid: number): number {
  try {
    const own = timeOf(pid, true)
    const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(Number(name)) === pid)
    return children.reduce((total, child) => total + timeOf(Number(child), false), own)
  } catch {
    return Number.NaN
  }
}

/** Runs `work` on `count` jobs and tells the jobs a second, and what each cost this process and the server, in µs. */
export async function costed(url: string, count: number, work: () => Promise<number>): Promise<Figures> {
  const server = await serverProcess(url)
  const before = { own: process.cpuUsage(), server: serverTime(server) }
  const milliseconds = await work()
  const { user, system } = process.cpuUsage(before.own)
  return {
    rate: (count / milliseconds) * 1000,
    workerMicros: (user + system) / count,
    serverMicros: ((serverTime(server) - before.server) * 1000) / count,
  }
}

function timeOf(pid: number, withEnded: boolean): number {
  const fields = fieldsOf(pid)
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(Number) as [number, number, number, number]
  return ((user + system + (withEnded ? endedUser + endedSystem : 0)) / ticksPerSecond) * 1000
}

const parentOf = (pid: number): number => Number(fieldsOf(pid)[1])

/** What follows the name of the program, which may hold anything. */
function fieldsOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    // It has ended since it was listed.
    return []
  }
}
