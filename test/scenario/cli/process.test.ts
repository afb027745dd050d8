import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Place } from '../../engines.ts'
import { sourceOfCommand, start, type Started, startCommand } from '../../fixtures/command-process.ts'
import { describeEngines } from '../../fixtures/store.ts'

const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url))
const folders: string[] = []
const started: Started[] = []
afterAll(async () => {
  for (const { process } of started) process.kill('SIGKILL')
  await Promise.all(started.map(({ ended }) => ended))
  for (const folder of folders) rmSync(folder, { recursive: true })
})

const shop = `import { Celeriac } from 'celeriac'
import { greeting } from './greeting.ts'
export const app = new Celeriac()
export const greet = app.task('greet', { queue: 'doors', description: 'Says hello' }, (name: string) => greeting + ', ' + name)
export const wait = app.task('wait', () => new Promise<void>(() => {}))
`

/** A project with an app in it, in a folder of its own. */
function project(files: { readonly [name: string]: string } = {}, env: NodeJS.ProcessEnv = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-project-'))
  folders.push(folder)
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  const all = {
    'package.json': '{"type":"module"}',
    'shop.ts': shop,
    'greeting.ts': `export const greeting = 'Hello'\n`,
  }
  for (const [name, text] of Object.entries({ ...all, ...files })) write(name, text)
  const celeriac = (...args: readonly string[]): Started => {
    const command = startCommand(args, { cwd: folder, env })
    started.push(command)
    return command
  }
  const run = async (...args: readonly string[]) => {
    const { ended, said } = celeriac(...args)
    return { code: await ended, ...said, ...(await ended.then(() => said)) }
  }
  return { folder, write, celeriac, run }
}

describe.concurrent('a module', () => {
  it('tells its tasks', async () => {
    const { run } = project()
    const { out, code } = await run('tasks', 'shop.ts')
    expect(code).toBe(0)
    expect(out).toMatch(
      /^task +queue +retries +timeout +arguments +about\ngreet +doors +0 +Says hello\nwait +default +0\n$/,
    )
  })

  it('may import TypeScript as tsc and bundlers let it', async () => {
    const { folder, run } = project({
      'all.ts': `import { app } from './shop.js'\nimport './later'\nimport './parts'\nexport { app }`,
      'later.ts': 'export const later: number = 1',
    })
    mkdirSync(join(folder, 'parts'))
    writeFileSync(join(folder, 'parts/index.ts'), 'export const part: number = 1')
    expect(await run('tasks', 'all.ts')).toMatchObject({ code: 0, out: expect.stringMatching(/^greet +doors/m) })
    writeFileSync(join(folder, 'all.ts'), `import './shop.js'\nimport './none.js'`)
    expect((await run('tasks', 'all.ts')).err).toMatch(/^error: all\.ts does not load: Cannot find module .*none\.js/)
  })

  it.each([
    ['an enum', 'export enum Size { small }'],
    ['a decorator', 'const log = (value: unknown) => value\n@log class Shop {}'],
    ['a path alias', `import '@/greeting'`],
  ])('says what to do about %s, and that works', async (_, text) => {
    const { folder, run } = project({
      'more.ts': `${text}\nexport { app } from './shop.ts'`,
      'tsconfig.json': '{"compilerOptions":{"paths":{"@/*":["./*"]}}}',
    })
    symlinkSync(modules, join(folder, 'node_modules'))
    const refused = await run('tasks', 'more.ts')
    expect(refused.code).not.toBe(0)
    expect(refused.err).toMatch(
      /^error: more\.ts does not load: .*\n(.*\n)* +Node strips types and does nothing else\./,
    )
    expect(refused.err).toContain("NODE_OPTIONS='--import tsx'")
    const withTsx = start(['--import', 'tsx', sourceOfCommand, 'tasks', 'more.ts'], { cwd: folder })
    started.push(withTsx)
    await withTsx.says(/^greet +doors/m)
  })

  it('is found by package.json from any folder below, and by the environment', async () => {
    const { folder, run } = project({ 'package.json': '{"type":"module","celeriac":{"module":"shop.ts"}}' })
    const below = join(folder, 'below')
    mkdirSync(below)
    const found = startCommand(['tasks', '--json'], { cwd: below })
    const named = startCommand(['tasks'], { cwd: below, env: { CELERIAC_MODULE: '../gone.ts' } })
    expect(await found.ended).toBe(0)
    expect(JSON.parse(found.said.out)).toMatchObject([{ name: 'greet' }, { name: 'wait' }])
    await named.ended
    expect(named.said.err).toMatch(/^error: There is no module \.\.\/gone\.ts/)
    expect((await run('jobs')).err).toMatch(/There is no store at celeriac\.db yet/)
  })

  it.each([
    ['.', {}, /^error: \. is a folder: name the file in it that exports your app, such as \w+\.ts/],
    ['shop', {}, /There is no module shop: did you mean "shop\.ts"\?/],
    ['tasks.ts', {}, /There is no module tasks\.ts: name the file/],
    ['greeting.ts', {}, /greeting\.ts does not export an app, it exports greeting: write export const app/],
    [
      'a.ts',
      { 'a.ts': 'const x: number = 1\nconst y = = 2\n' },
      /does not load: Expression expected .*\n {2}a\.ts:2\n.*\n {2}const y = = 2\n +\^/,
    ],
    ['a.js', { 'a.js': 'const y = = 2\n' }, /does not load: Unexpected token '='.*\n {2}a\.js:1\n {2}const y = = 2\n/],
    ['a.ts', { 'a.ts': `import './gone.ts'\n` }, /does not load: Cannot find module .*gone\.ts/],
    ['a.ts', { 'a.ts': `\nthrow new Error('no key')\n` }, /does not load: no key \(NOT_AN_APP\)\n {2}at a\.ts:2:7/],
    [
      'a.ts',
      {
        'a.ts': `export * from './shop.ts'\nimport { Celeriac } from 'celeriac'\nexport const other = new Celeriac()\n`,
      },
      /a\.ts exports several apps \(app, other\): take one of them with --app other/,
    ],
    [
      'a.ts',
      { 'a.ts': `export class Celeriac {}\nexport const app = new Celeriac()\n` },
      /comes from another copy of celeriac/,
    ],
  ])('%s that is none is told of: %o', async (module, files, message) => {
    const { run } = project(files)
    const { code, out, err } = await run('tasks', module)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(message)
    expect(err).toContain('(NOT_AN_APP)')
  })

  it('gives the app that is named', async () => {
    const { run } = project({
      'a.ts': `export * from './shop.ts'\nimport { Celeriac } from 'celeriac'\nexport const other = new Celeriac()\n`,
    })
    expect((await run('tasks', 'a.ts', '--app', 'app')).out).toMatch(/greet/)
    expect((await run('tasks', 'a.ts', '--app', 'apq')).err).toMatch(/no app called "apq": did you mean "app"\?/)
  })

  it('does not take a url where it names its store itself', async () => {
    const { run } = project({
      'a.ts': `import { Celeriac } from 'celeriac'\nexport default new Celeriac({ url: 'sqlite:own.db' })\n`,
    })
    expect(await run('tasks', 'a.ts', '--url', 'sqlite:own.db')).toMatchObject({ code: 0 })
    expect((await run('tasks', 'a.ts', '--url', 'sqlite:b.db')).err).toMatch(
      /names its store itself, so --url does not count/,
    )
  })
})

describeEngines((engine) => {
  let place: Place
  beforeAll(async () => {
    place = await engine.place()
  })
  afterAll(async () => place.remove())

  it('a worker runs what is submitted elsewhere, until it is told to stop', async () => {
    const { celeriac, run } = project({}, { CELERIAC_URL: place.url })
    const worker = celeriac('worker', 'shop.ts', '--queues', 'doors', '--name', 'wanda')
    await worker.says(/^2 tasks of shop\.ts, jobs in .*\nWorking\.\n/)
    const { password } = new URL(place.url)
    if (password !== '') expect(worker.said.out).not.toContain(password)
    const submitted = await run('submit', 'greet', 'World', '--follow', '--module', 'shop.ts', '--json')
    expect(submitted).toMatchObject({ code: 0, err: '' })
    const settled = JSON.parse(submitted.out.trimEnd().split('\n').at(-1)!)
    expect(settled).toMatchObject({ type: 'settled', state: 'succeeded' })
    worker.process.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
    expect(JSON.parse((await run('workers', '--json')).out)).toMatchObject([{ name: 'wanda', state: 'ended' }])
  })
})

describe.concurrent('worker', () => {
  it('runs what is submitted, with the options of the task, until it is told to stop', async () => {
    const { celeriac, run } = project()
    const worker = celeriac('worker', 'shop.ts', '--queues', 'doors', '--name', 'wanda')
    await worker.says(/^2 tasks of shop\.ts, jobs in celeriac\.db\nWorking\.\n/)
    const submitted = await run('submit', 'greet', 'World', '--follow', '--module', 'shop.ts', '--json')
    expect(submitted.code).toBe(0)
    const settled = JSON.parse(submitted.out.trimEnd().split('\n').at(-1)!)
    expect(settled).toMatchObject({ type: 'settled', state: 'succeeded' })
    worker.process.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
    expect((await run('submit', 'great', '--module', 'shop.ts')).err).toMatch(/no task "great": did you mean "greet"\?/)
  })

  it('refuses options that make no sense', async () => {
    const { run } = project()
    expect(await run('worker', 'shop.ts', '--concurrency', '0')).toMatchObject({ code: 2 })
    expect((await run('worker', 'shop.ts', '--lease', 'soon')).err).toMatch(/^error: .*\(BAD_DURATION\)\n$/)
  })
})

describe.concurrent('follow', () => {
  it('stops at ctrl-C, leaves the work alone, and says when nobody does it', async () => {
    const { celeriac, run } = project()
    const id = (await run('submit', 'wait')).out.trim()
    const follow = celeriac('follow', id)
    await follow.says(/^following /)
    follow.process.kill('SIGINT')
    expect(await follow.ended).toBe(130)
    const hint = 'No worker is running. Start one: celeriac worker <module>\n'
    expect(follow.said.err).toBe(`${hint}Stopped following; the work goes on.\n`)
    expect(JSON.parse((await run('show', id, '--json')).out)).toMatchObject({ state: 'running' })
  })

  it('ends quietly when nobody reads on', async () => {
    const { folder, run } = project()
    await run('migrate')
    const script = `${process.execPath} ${sourceOfCommand} --help | head -n 1; echo "code \${PIPESTATUS[0]}"`
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' })
    expect({ stdout, stderr }).toEqual({ stdout: 'Usage: celeriac [options] [command]\ncode 0\n', stderr: '' })
  })
})

describe.concurrent('dev', () => {
  it('restarts when the module or what it imports changes, and waits with one that has a mistake', async () => {
    const { celeriac, run, write } = project()
    const dev = celeriac('dev', 'shop.ts')
    await dev.says(/Working\./)
    const submitted = await run('submit', 'greet', 'World', '--module', 'shop.ts')
    await dev.says(new RegExp(`✓ greet .* ${submitted.out.slice(0, 18)}`))

    dev.forget()
    write('greeting.ts', `export const greeting = 'Good evening'\n`)
    await dev.says(/dev: greeting\.ts has changed\.\nStopping[^]*Working\./)
    const { out } = await run('submit', 'greet', 'World', '--module', 'shop.ts', '--follow', '--json')
    const { job_id: jobId } = JSON.parse(out.trimEnd().split('\n').at(-2)!)
    expect(JSON.parse((await run('show', jobId, '--json')).out).result).toBe('Good evening, World')

    dev.forget()
    write('greeting.ts', `export const greeting = = 'Good night'\n`)
    await dev.says(
      /error: shop\.ts does not load[^]*greeting\.ts:1\n[^]*dev: The worker has ended with exit code 1\. Waiting for a change/,
    )
    dev.forget()
    write('greeting.ts', `export const greeting = 'Good night'\n`)
    await dev.says(/Working\./)
    dev.process.kill('SIGINT')
    expect(await dev.ended).toBe(0)
  })

  it('names the signal that ended the worker', async () => {
    const { celeriac, write } = project()
    write('killed.ts', `${shop}\nsetImmediate(() => process.kill(process.pid, 'SIGKILL'))\n`)
    const dev = celeriac('dev', 'killed.ts')
    await dev.says(/dev: The worker has ended by SIGKILL: .*the kernel had no memory left\. Waiting for a change/)
    dev.process.kill('SIGTERM')
    expect(await dev.ended).toBe(0)
  })

  it('waits for a module that is not there yet', async () => {
    const { celeriac, write } = project()
    const dev = celeriac('dev', 'new.ts')
    await dev.says(/There is no module new\.ts[^]*Waiting for a change/)
    write('new.ts', shop)
    await dev.says(/2 tasks of new\.ts[^]*Working\./)
    dev.process.kill('SIGTERM')
    expect(await dev.ended).toBe(0)
  })

  it('leaves no worker behind when it is killed', async () => {
    const { celeriac, run } = project()
    const dev = celeriac('dev', 'shop.ts')
    await dev.says(/Working\./)
    dev.process.kill('SIGKILL')
    // Its outputs are the worker's too: they close when that has ended.
    await dev.ended
    expect(JSON.parse((await run('workers', '--json')).out)).toMatchObject([{ state: 'ended' }])
  })
})
