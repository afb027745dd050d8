import { expect, test } from 'vitest'
import { findBreaches } from './import-law.ts'

const breaches = (files: Record<string, string>): string[] => findBreaches(new Map(Object.entries(files)))

test('arrows along the law pass', () => {
  const files = {
    'index.ts': `export { Celeriac } from './app/celeriac.ts'`,
    'core/schema.ts': `import type { StandardSchemaV1 } from '@standard-schema/spec'`,
    'canvas/chain.ts': `import { job } from '../core/job.ts'\nimport './node.ts'`,
    'engines/sqlite/claim.ts': `import 'node:sqlite'\nimport './migrate.ts'\nimport '../../engine/work.ts'`,
    'app/connect.ts': `const load = () => import('../engines/sqlite/sqlite.ts')`,
    'cli/main.ts': `import '../worker/worker.ts'\nimport '../engines/sqlite/sqlite.ts'`,
  }
  expect(breaches(files)).toEqual([])
})

test.each([
  ['core imports nothing', 'core/job.ts', `import '../canvas/chain.ts'`, '../canvas/chain.ts'],
  ['core has no built-ins', 'core/job.ts', `import 'node:fs'`, 'node:fs'],
  ['core has no built-ins without the prefix', 'core/job.ts', `import { x } from 'fs'`, 'fs'],
  ['type imports count', 'canvas/task.ts', `import type { Engine } from '../engine/engine.ts'`, '../engine/engine.ts'],
  ['types named in place count', 'canvas/task.ts', `type E = import('../engine/engine.ts').E`, '../engine/engine.ts'],
  ['re-exports count', 'engine/work.ts', `export * from '../app/submit.ts'`, '../app/submit.ts'],
  ['an engine ignores other engines', 'engines/redis/claim.ts', `import '../sqlite/claim.ts'`, '../sqlite/claim.ts'],
  ['an engine ignores the app', 'engines/redis/claim.ts', `import '../../app/x.ts'`, '../../app/x.ts'],
  ['engines load on demand only', 'app/connect.ts', `import '../engines/redis/redis.ts'`, '../engines/redis/redis.ts'],
  ['engines load in one place', 'app/submit.ts', `import('../engines/redis/redis.ts')`, '../engines/redis/redis.ts'],
  [
    'a type of an engine is not on demand',
    'app/connect.ts',
    `type S = typeof import('../engines/redis/r.ts')`,
    '../engines/redis/r.ts',
  ],
  ['a page knows no server', 'client/line.ts', `import type { P } from '../http/problem.ts'`, '../http/problem.ts'],
  ['the worker knows no engine', 'worker/pool.ts', `import('../engines/redis/redis.ts')`, '../engines/redis/redis.ts'],
])('%s', (_, from, text, to) => {
  const target = to.startsWith('.') ? new URL(to, `file:///${from}`).pathname.slice(1) : to
  expect(breaches({ [from]: text })).toEqual([`${from} -> ${target}`])
})

test('cycles are shown whole, type imports included', () => {
  const files = {
    'core/a.ts': `import type { B } from './b.ts'`,
    'core/b.ts': `import './c.ts'`,
    'core/c.ts': `import './a.ts'`,
  }
  expect(breaches(files)).toEqual(['cycle: core/a.ts -> core/b.ts -> core/c.ts -> core/a.ts'])
})

test('files and folders are named by subject', () => {
  expect(breaches({ 'core/index.ts': '', 'core/utils.ts': '', 'app/types/a.ts': '', 'misc/a.ts': '' })).toEqual([
    'core/index.ts: only entry points are called index.ts',
    'core/utils.ts: "utils.ts" names no subject',
    'app/types/a.ts: "types" names no subject',
    'misc/a.ts: the import law does not know this folder',
  ])
})
