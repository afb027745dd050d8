// Emits dist/ in the layout of src/. The compiler rewrites .ts in imports, but not in the addresses of worker threads.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const dist = fileURLToPath(new URL('../dist', import.meta.url))
const compiler = fileURLToPath(import.meta.resolve('typescript/lib/tsc.js'))

rmSync(dist, { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { stdio: 'inherit' })
if (status !== 0) process.exit(1)

for (const path of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  if (path.endsWith('.js')) pointToEmittedFiles(`${dist}/${path}`)
}

function pointToEmittedFiles(path: string): void {
  const text = readFileSync(path, 'utf8')
  const emitted = text.replaceAll(
    /(new URL\((['"])\.{1,2}\/[^'"]+)\.ts\2, import\.meta\.url\)/g,
    '$1.js$2, import.meta.url)',
  )
  if (emitted !== text) writeFileSync(path, emitted)
}
