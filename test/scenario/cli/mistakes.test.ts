import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Celeriac } from 'celeriac'
import { afterAll, describe, expect, it } from 'vitest'
import { type Ran, runHere, type RunOptions } from '../../fixtures/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'celeriac-cli-'))
const url = `sqlite:${join(folder, 'jobs.db')}`
afterAll(() => rmSync(folder, { recursive: true }))

// So that there is a store.
const app = new Celeriac({ url })
await app.jobs.list()
await app.close()

const celeriac = (line: string, options: RunOptions = {}): Promise<Ran> =>
  runHere(line.split(' '), { ...options, environment: { CELERIAC_URL: url, ...options.environment } })

describe('doctor', () => {
  it('examines a file', async () => {
    const { out } = await celeriac('doctor --json')
    expect(JSON.parse(out)).toContainEqual({ check: 'integrity', level: 'ok', found: 'ok', advice: '' })
  })

  it('finds what is wrong with a store', async () => {
    const file = join(folder, 'letter.txt')
    writeFileSync(file, 'Dear store,\n'.repeat(100))
    const ran = await celeriac('doctor', { environment: { CELERIAC_URL: `sqlite:${file}` } })
    expect(ran.code).toBe(1)
    expect(ran.out).toMatch(/✗ store +it cannot be opened\n +.*is not a SQLite database/s)
  })
})

describe('what is written wrongly', () => {
  it.each([
    ['shwo x', 2, /^error: unknown command 'shwo'\n\(Did you mean show\?\)/],
    ['queues puase x', 2, /^error: unknown command 'puase': did you mean "pause"\?\n/],
    ['queues drain x --json', 2, /^error: unknown command 'drain': there are list, pause, resume\n/],
    ['keys crate --name x', 2, /^error: unknown command 'crate': did you mean "create"\?\n/],
    ['callbacks rotat', 2, /^error: unknown command 'rotat'/],
    ['show', 2, /^error: missing required argument 'id'/],
    ['jobs --stat failed', 2, /^error: unknown option '--stat'\n\(Did you mean --state\?\)/],
    ['jobs --state fialed', 2, /It is one of waiting, .*did you mean "failed"\?/],
    ['collections --state queued', 2, /Allowed choices are running, succeeded, failed, cancelled/],
    ['jobs --limit many', 2, /It is a whole number/],
    ['jobs --limit 1000', 2, /^error: .*200.* \(BAD_OPTION\)\n$/],
    ['jobs --after soon', 2, /It is a time ago such as 1h/],
    ['jobs --cursor x!', 2, /^error: .* \(BAD_CURSOR\)\n$/],
    ['show 12', 2, /^error: "12" is no id: give one as celeriac jobs/],
    ['show 0199b1f0-0000-7000-8000-000000000000', 1, /^error: Nothing here has the id .* \(NOT_FOUND\)\n$/],
    ['submit shop.order {"a":', 2, /^error: Argument 1 is not JSON: \{"a":/],
    ['submit shop.order x --priority high', 2, /It is a whole number/],
    ['submit shop.order x --start-in soon', 2, /^error: .* \(BAD_DURATION\)\n$/],
    ['submit shop.order --callback-url example.org/hook', 2, /^error: submit: callbackUrl: .* \(BAD_OPTION\)\n$/],
    ['submit shop.order --callback-results all', 2, /^error: --callback-results says what is sent to --callback-url/],
    ['submit shop.order --callback-url http://10.0.0.7/', 2, /^error: .* no public address, .* \(BAD_OPTION\)\n$/],
    ['jobs --url mysql://x', 2, /^error: .* \(BAD_URL\)\n$/],
    ['tasks', 2, /^error: Whose tasks\?/],
    ['worker', 2, /^error: Name the module/],
    ['dev', 2, /^error: Name the module/],
  ])('%s', async (line, code, message) => {
    const ran = await celeriac(line, { folder })
    expect(ran).toMatchObject({ code, out: '' })
    expect(ran.err).toMatch(message)
  })

  it.each([
    'jobs',
    'collections',
    'show 0199b1f0',
    'follow 0199b1f0',
    'retry 0199b1f0',
    'cancel 0199b1f0',
    'queues',
    'queues pause x',
    'workers',
    'doctor',
  ])('%s makes no store where there is none', async (line) => {
    const file = join(folder, 'none.db')
    const ran = await celeriac(line, { folder, environment: { CELERIAC_URL: `sqlite:${file}` } })
    expect(ran.out + ran.err).toMatch(/There is no store at none\.db yet|none\.db is not there yet/)
    expect(existsSync(file)).toBe(false)
  })

  it('shows the stack where it was asked for', async () => {
    const { err } = await celeriac('show 0199b1f0-0000-7000-8000-000000000000 --verbose')
    expect(err).toMatch(/\n +at /)
  })

  it('tells about itself', async () => {
    expect((await celeriac('--help')).out).toMatch(/^Usage: celeriac /)
    expect((await celeriac('help follow')).out).toContain('Ends with 0 when it succeeded')
    expect((await celeriac('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
    for (const line of (await celeriac('--help')).out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})
