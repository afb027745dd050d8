import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('peers/', import.meta.url))

/** Installs what the bench compares with, where it is missing or another version; it is no dependency of the package. */
export function installPeers(): void {
  const { dependencies } = readJson('package.json') as { dependencies: Record<string, string> }
  const isThere = Object.entries(dependencies).every(([name, version]) => installedVersion(name) === version)
  if (isThere) return
  console.log('Installing what is compared with …')
  // Not `npm ci`: it refuses a lock file that was made where packages for other platforms cannot be had.
  const args = ['install', '--no-save']
  const run = spawnSync('npm', args, { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' })
  if (run.status !== 0)
    throw new Error('`npm install` in bench/peers failed: see above. The bench needs these packages.')
}

export function peerVersion(name: string): string {
  return installedVersion(name) ?? 'not installed'
}

function installedVersion(name: string): string | null {
  const file = `node_modules/${name}/package.json`
  return existsSync(folder + file) ? (readJson(file) as { version: string }).version : null
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(folder + file, 'utf8'))
}
