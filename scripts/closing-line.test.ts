import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const reporter = JSON.stringify(new URL('./closing-line.ts', import.meta.url).href)
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const config = `import { ClosingLine } from ${reporter}
export default { test: { globals: true, reporters: ['default', new ClosingLine()] } }`

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'closing-line-'))
  writeFileSync(join(root, 'vitest.config.mjs'), config)
})
afterEach(() => rmSync(root, { recursive: true }))

function run(source: string, ...options: string[]): { status: number | null; lines: string[] } {
  return runWith({}, source, ...options)
}

function runWith(
  env: Readonly<Record<string, string>>,
  source: string,
  ...options: string[]
): { status: number | null; lines: string[] } {
  writeFileSync(join(root, 'a.test.js'), source)
  const { status, stdout } = spawnSync(process.execPath, [vitest, 'run', '--root', root, ...options], {
    encoding: 'utf8',
    env: { ...process.env, CI: undefined, CELERIAC_UNTESTED_B: undefined, ...env },
  })
  return { status, lines: stdout.trimEnd().split('\n') }
}

test('a good run ends with its totals, exactly once', () => {
  const { status, lines } = run(`test('a', () => {}); test('b', () => {}); test.skip('c', () => {}); test.todo('d')`)
  expect(lines.filter((line) => /^\d+ passed, /.test(line))).toEqual(['2 passed, 0 failed, 2 skipped'])
  expect(lines.at(-1)).toBe('2 passed, 0 failed, 2 skipped')
  expect(status).toBe(0)
})

test.each([
  ['a failed test', `test('a', () => {}); test('b', () => { throw new Error() })`, '1 passed, 1 failed, 0 skipped'],
  ['a file that does not load', `import './missing.js'`, '0 passed, 1 failed, 0 skipped'],
  ['a lost rejection', `test('a', () => { Promise.reject(new Error()) })`, '1 passed, 1 failed, 0 skipped'],
  [
    'a hook that throws',
    `describe('d', () => { beforeAll(() => { throw new Error() }); test('a', () => {}) })`,
    '0 passed, 1 failed, 1 skipped',
  ],
])('%s fails the run', (_, source, closingLine) => {
  const { status, lines } = run(source)
  expect(lines.at(-1)).toBe(closingLine)
  expect(status).toBe(1)
})

const skippedEngine = `describe('engine a', () => { test('t', () => {}); test.skip('u', () => {}) })
describe.skip('engine b', () => { describe('topic', () => { test('t', () => {}) }) })`

test('an engine skipped whole fails the run', () => {
  const { status, lines } = run(skippedEngine)
  expect(lines.slice(-2)).toEqual([
    'FAILED: every test of "engine b" in a.test.js was skipped',
    '1 passed, 1 failed, 2 skipped',
  ])
  expect(status).toBe(1)
})

test('a browser skipped whole fails the run, with the reason', () => {
  const source = `test('a', () => {}); describe.skip('browser chromium', () => { test('t', () => {}) })`
  const { status, lines } = runWith({ CELERIAC_UNTESTED_CHROMIUM: 'there is none' }, source)
  expect(lines.at(-2)).toBe('FAILED, NOT TESTED: browser chromium, because there is none')
  expect(status).toBe(1)
})

test('a run narrowed by name may leave an engine out', () => {
  expect(run(skippedEngine, '-t', 'engine a').status).toBe(0)
})

test('why an engine could not be tested is told once, whatever was chosen', () => {
  const twice = `${skippedEngine}
describe.skip('engine b', () => { test('more', () => {}) })`
  const whole = runWith({ CELERIAC_UNTESTED_B: 'there is no server' }, twice)
  expect(whole.lines.slice(-2)).toEqual([
    'FAILED, NOT TESTED: engine b, because there is no server',
    '1 passed, 1 failed, 3 skipped',
  ])
  expect(whole.status).toBe(1)
  const narrowed = runWith({ CELERIAC_UNTESTED_B: 'there is no server' }, twice, '-t', 'engine a|engine b topic t')
  expect(narrowed.lines.at(-2)).toBe('NOT TESTED: engine b, because there is no server')
  expect(narrowed.status).toBe(0)
  const onCi = runWith(
    { CELERIAC_UNTESTED_B: 'there is no server', CI: 'true' },
    twice,
    '-t',
    'engine a|engine b topic t',
  )
  expect(onCi.lines.at(-2)).toBe('FAILED, NOT TESTED: engine b, because there is no server')
  expect(onCi.status).toBe(1)
})
