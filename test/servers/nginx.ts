import { chownSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPort } from './port.ts'
import { findProgram, unprivilegedAccount } from './programs.ts'
import { Running, type Server, type Settings, Unavailable } from './server.ts'

/**
 * An nginx in front of the server at the url in `target`, with what it does by default. Each other setting is a path below
 * which `proxy_pass` goes with these lines: `{ hidden: 'proxy_http_version 1.1;' }` for `/hidden/…`. Not started yet.
 */
export async function nginxServer({ target = '', ...paths }: Settings): Promise<Server> {
  const program = findProgram('nginx')
  if (program === null) throw new Unavailable('this machine has no nginx: install it')
  const port = await findPort()
  const url = `http://127.0.0.1:${port}`
  const account = unprivilegedAccount()
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-nginx-'))
  const file = join(folder, 'nginx.conf')
  const kept = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const places = Object.entries(paths).map(([path, lines]) => `location /${path}/ { proxy_pass ${target}/; ${lines} }`)
  const lines = [
    'daemon off;',
    `pid ${folder}/nginx.pid;`,
    'error_log stderr;',
    'events {}',
    `http { access_log off; ${kept.join(' ')}`,
    `server { listen 127.0.0.1:${port}; location / { proxy_pass ${target}; } ${places.join(' ')} } }`,
  ]
  writeFileSync(file, lines.join('\n'))
  if (account) for (const path of [folder, file]) chownSync(path, account.uid, account.gid)
  return new Running({
    url,
    program,
    args: ['-c', file, '-e', 'stderr'],
    options: { ...account },
    folder,
    signals: { properly: 'SIGQUIT', 'at once': 'SIGTERM' },
    isAnswering: () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
  })
}
