#!/usr/bin/env node
import { isNodeSupported, supportedNode } from '../core/node-version.ts'

// Nothing else is imported before the version of Node is known: an older one stops at the imports, with less to say.
if (!isNodeSupported(process.versions.node)) {
  process.stderr.write(`error: celeriac needs ${supportedNode}. This is Node ${process.versions.node}.\n`)
  process.exit(1)
}

// Node 22 warns of two things that this package is built on, each time it is run; the driver of PostgreSQL warns where a url
// asks for encryption that it will one day check less strictly than it does.
const { emitWarning } = process
process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
  if (rest[0] === 'ExperimentalWarning' && /^(SQLite|Type Stripping) /.test(String(warning))) return
  if (/SECURITY WARNING: The SSL modes/.test(String(warning))) return
  Reflect.apply(emitWarning, process, [warning, ...rest])
}

const { runInProcess } = await import('./in-process.ts')
await runInProcess()
