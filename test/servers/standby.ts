import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { findPort } from './port.ts'
import { findPostgres, isAnswering } from './postgres.ts'
import { findProgram, unprivilegedAccount, versionFolders } from './programs.ts'

export interface Standby {
  readonly url: string
  promote(): Promise<void>
  remove(): Promise<void>
}

/** A copy of a server that follows it, made as administrators make one. */
export async function startStandby(of: string): Promise<Standby> {
  const programs = findPostgres()
  if (programs === null) throw new Error('The programs of PostgreSQL are not on this machine.')
  await makeFollower(of)
  const account = unprivilegedAccount()
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-standby-'))
  chmodSync(folder, 0o700)
  if (account) chownSync(folder, account.uid, account.gid)
  const data = join(folder, 'data')
  const source = `postgres://follower:followed@127.0.0.1:${new URL(of).port}/postgres`
  const copy = ['-D', data, '-R', '-X', 'stream', '-c', 'fast', '-d', source]
  execFileSync(findProgram('pg_basebackup', versionFolders()) ?? '', copy, { ...account, cwd: '/', stdio: 'pipe' })
  const port = String(await findPort())
  const settings = ['max_connections=300', 'listen_addresses=127.0.0.1', 'unix_socket_directories=']
  const args = ['-D', data, '-p', port, ...settings.flatMap((setting) => ['-c', setting])]
  const child = spawn(programs.server, args, { ...account, cwd: '/', stdio: 'ignore' })
  const ended = once(child, 'exit')
  const url = Object.assign(new URL(of), { port }).href
  while (!(await isAnswering(url))) if (child.exitCode !== null) throw new Error('The standby has ended.')
  return {
    url,
    async promote() {
      await ask(url, 'select pg_promote()')
    },
    async remove() {
      child.kill('SIGQUIT')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const makeFollower = (of: string): Promise<void> =>
  ask(of, "create role follower login replication password 'followed'").catch(() => undefined)

async function ask(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
