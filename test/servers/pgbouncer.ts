import { chownSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPort } from './port.ts'
import { isAnswering } from './postgres.ts'
import { findProgram, unprivilegedAccount } from './programs.ts'
import { Running, type Server, type Settings, Unavailable } from './server.ts'

/** A PgBouncer in front of the PostgreSQL at the url in `target`; the other settings are its own. Not started yet. */
export async function pgbouncerServer({ target = '', ...settings }: Settings): Promise<Server> {
  const program = findProgram('pgbouncer')
  if (program === null) throw new Unavailable('this machine has no pgbouncer: install it')
  const port = await findPort()
  const { username, password, hostname, port: targetPort, pathname } = new URL(target)
  const url = `postgres://${username}:${password}@127.0.0.1:${port}${pathname}`
  const account = unprivilegedAccount()
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-pgbouncer-'))
  const [users, file] = [join(folder, 'users.txt'), join(folder, 'pgbouncer.ini')]
  const given = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    auth_type: 'md5',
    auth_file: users,
    pool_mode: 'transaction',
    unix_socket_dir: '',
    ...settings,
  }
  writeFileSync(users, `"${username}" "${password}"\n`, { mode: 0o600 })
  const lines = Object.entries(given).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(
    file,
    [`[databases]`, `* = host=${hostname} port=${targetPort || 5432}`, `[pgbouncer]`, ...lines, ''].join('\n'),
  )
  if (account) for (const path of [folder, users, file]) chownSync(path, account.uid, account.gid)
  return new Running({
    url,
    program,
    args: [file],
    options: { ...account },
    folder,
    signals: { properly: 'SIGTERM', 'at once': 'SIGKILL' },
    isAnswering: () => isAnswering(url),
  })
}
