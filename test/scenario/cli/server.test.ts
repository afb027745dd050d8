import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Started, startCommand } from '../../fixtures/command-process.ts'

const tasks = `import { Celeriac } from 'celeriac'
export const app = new Celeriac()
export const add = app.task('math.add', { expose: true }, (x: number, y: number) => x + y)
`

/** A project with an app in it, and the command run there. */
function project(env: NodeJS.ProcessEnv = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-server-'))
  const started: Started[] = []
  onTestFinished(async () => {
    for (const { process } of started) process.kill('SIGKILL')
    await Promise.all(started.map(({ ended }) => ended))
    rmSync(folder, { recursive: true })
  })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'tasks.ts'), tasks)
  const celeriac = (...args: readonly string[]): Started => {
    const command = startCommand(args, { cwd: folder, env })
    started.push(command)
    return command
  }
  const run = async (...args: readonly string[]) => {
    const { ended, said } = celeriac(...args)
    return { code: await ended, ...said }
  }
  return { celeriac, run }
}

const listed = async (started: Started): Promise<number> => {
  const [, url] = await started.says(/Serving at (http:\S+):/)
  return (await fetch(`${url}/api/jobs`)).status
}

test('a server refuses to start while nobody could use it, and opens to this machine where it is told to', async () => {
  const { celeriac, run } = project()
  const refused = await run('server', 'tasks.ts', '--port', '0')
  expect(refused.code).toBe(2)
  expect(refused.err).toMatch(/celeriac keys create.*--open-locally/s)
  const open = celeriac('server', 'tasks.ts', '--port', '0', '--open-locally')
  expect(await listed(open)).toBe(200)
  await open.says(/No keys: .*To close it: celeriac keys create/s)
  expect((await run('keys', 'create', '--name', 'shop')).code).toBe(0)
  const closed = celeriac('server', 'tasks.ts', '--port', '0', '--open-locally')
  expect(await listed(closed)).toBe(401)
  expect(closed.said.err + closed.said.out).not.toContain('No keys')
  expect(await listed(celeriac('server', 'tasks.ts', '--port', '0'))).toBe(401)
})

test('a secret of tokens that does nothing is refused, also beside keys', async () => {
  const { run } = project({ CELERIAC_JWT_SECRET: 'x'.repeat(32) })
  expect((await run('keys', 'create', '--name', 'shop')).code).toBe(0)
  for (const given of [[], ['--open-locally'], ['--issuer', 'https://id.example/']]) {
    const { code, err } = await run('server', 'tasks.ts', '--port', '0', ...given)
    expect(code).toBe(2)
    expect(err).toMatch(/--issuer and --audience.*CELERIAC_JWT_SECRET/)
  }
})

test('dev says that it is open to this machine', async () => {
  const dev = project().celeriac('dev', 'tasks.ts', '--port', '0')
  expect(await listed(dev)).toBe(200)
  await dev.says(/No keys: /)
})
