import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A folder that stands for this machine where installing is tested: what the machine has is not to be found then. */
const machine = process.env['CELERIAC_TEST_MACHINE'] ?? ''
const here = (path: string): string => `${machine}${path}`

/** Where this machine has a program: on PATH or in one of the folders; null when it has none. */
export function findProgram(name: string, folders: readonly string[] = []): string | null {
  const places = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...folders,
    here('/usr/sbin'),
    here('/usr/local/bin'),
  ]
  return places.map((folder) => join(folder, name)).find(isProgram) ?? null
}

/** Folders of the versions of PostgreSQL that packages put beside each other, the newest first. */
export function versionFolders(): string[] {
  return [here('/usr/lib/postgresql'), here('/usr/local/lib/postgresql')].flatMap((root) =>
    existsSync(root)
      ? readdirSync(root)
          .toSorted((one, other) => Number(other) - Number(one))
          .map((version) => join(root, version, 'bin'))
      : [],
  )
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const isRoot = (): boolean => process.getuid?.() === 0
export const mayInstall = (): boolean =>
  isRoot() && existsSync(here('/etc/debian_version')) && findProgram('apt-get') !== null

const mark = '# Made by the tests of celeriac while they install packages.'

/**
 * Installs Debian packages, none of whose services is started by it, now or when the machine starts again. What they say
 * is shown only when they fail.
 */
export function installPackages(names: readonly string[]): void {
  // Asked by every package that is about to start a service; 101 says that it is forbidden.
  const policy = here('/usr/sbin/policy-rc.d')
  const isOurs = !existsSync(policy) || readFileSync(policy, 'utf8').includes(mark)
  // Should this process be killed, the file stays and forbids nothing any more.
  const forbid = `#!/bin/sh\n${mark}\nif kill -0 ${process.pid} 2>/dev/null; then exit 101; fi\nexit 0\n`
  if (isOurs) writeFileSync(policy, forbid, { mode: 0o755 })
  // Nor is any other service of this machine started anew because a library of its was renewed.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' }
  // Another apt may be at work, as on a machine that was just started: its lock is waited for.
  const apt = (...args: readonly string[]): void =>
    void execFileSync('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], { env, stdio: 'pipe' })
  try {
    apt('update')
    apt('install', '-y', '--no-install-recommends', ...names)
    // Each has one service, which is called as it is. Others are somebody's.
    if (existsSync(here('/run/systemd/system'))) spawnSync('systemctl', ['disable', '--now', ...names])
  } finally {
    if (isOurs) rmSync(policy)
  }
}

export interface Account {
  readonly uid: number
  readonly gid: number
}

/** Whom a server runs as that refuses to be run by root; null: as whoever runs the tests. */
export function unprivilegedAccount(): Account | null {
  if (!isRoot()) return null
  for (const name of ['postgres', 'nobody', 'daemon']) {
    const [uid, gid] = ['-u', '-g'].map((option) => spawnSync('id', [option, name], { encoding: 'utf8' }))
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  throw new Error('PostgreSQL does not run as root, and this machine has no user postgres or nobody to run it as.')
}
