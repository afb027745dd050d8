import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemRuntime } from '../../../src/core/runtime.ts'
import { keyOf, newSecret } from '../../../src/core/secret.ts'
import { runHere } from '../../fixtures/command-line.ts'
import { startCommand } from '../../fixtures/command-process.ts'
import { describeEngines } from '../../fixtures/store.ts'

describeEngines((engine) => {
  test('tells the secret that the store keeps, and puts another one in its place', async () => {
    const place = await engine.place()
    onTestFinished(() => place.remove())
    const celeriac = (line: string) => runHere(line.split(' '), { environment: { CELERIAC_URL: place.url } })
    expect(await celeriac('callbacks secret')).toMatchObject({ code: 1, err: expect.stringContaining('STORE_MISSING') })
    await celeriac('migrate')
    const first = await celeriac('callbacks secret')
    expect(keyOf(first.out.trim())).toHaveLength(32)
    expect(await celeriac('callbacks secret')).toEqual(first)
    const second = await celeriac('callbacks rotate')
    expect(second).toMatchObject({ code: 0, err: expect.stringContaining('for a day the one before does too') })
    expect(await celeriac('callbacks secret')).toMatchObject({
      out: second.out,
      err: 'An older one signs beside it.\n',
    })
    const third = JSON.parse((await celeriac('callbacks rotate --json')).out) as { secret: string }
    const { out } = await celeriac('callbacks secret --json')
    expect(JSON.parse(out)).toEqual({ secrets: [third.secret, second.out.trim(), first.out.trim()] })
  })
})

test('tells the secrets that a module gives its app, and leaves them alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-callbacks-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const secrets = [newSecret(systemRuntime), newSecret(systemRuntime)]
  const given = `callbacks: { secrets: ${JSON.stringify(secrets)} }`
  const module = `import { Celeriac } from 'celeriac'\nexport const app = new Celeriac({ ${given} })\n`
  writeFileSync(join(folder, 'package.json'), '{"type":"module","celeriac":{"module":"tasks.ts"}}')
  writeFileSync(join(folder, 'tasks.ts'), module)
  const run = async (...args: string[]) => {
    const { ended, said } = startCommand(args, { cwd: folder })
    return { code: await ended, ...said }
  }
  await run('migrate')
  expect(await run('callbacks', 'secret')).toMatchObject({ code: 0, out: `${secrets[0]}\n` })
  const refused = await run('callbacks', 'rotate')
  expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('not kept in the store') })
  for (const secret of secrets) expect(refused.err).not.toContain(secret)
})
