import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'

const source = (path: string): string => JSON.stringify(new URL(`../${path}`, import.meta.url).href)

/** A worker process with a job that runs until it is told to stop, or for ever where it is deaf. */
const program = (job: string, end = ''): string => `
  import { Celeriac, currentJob } from ${source('index.ts')}
  import { sqlite } from ${source('engines/sqlite/sqlite.ts')}
  import { systemRuntime } from ${source('core/runtime.ts')}
  import { runWorkerProcess } from ${source('worker/process.ts')}
  const engine = sqlite({ path: ':memory:' })(systemRuntime)
  ${end}
  const app = new Celeriac({ engine })
  const finish = Promise.withResolvers()
  process.stdin.once('data', () => finish.resolve('finished'))
  const wait = app.task('wait', async () => {
    console.log('running')
    ${job}
  })
  const sent = await wait.delay()
  await runWorkerProcess(app, {}, (message) => console.log(message))
  console.log((await sent.snapshot()).state)
  process.exit(0)
`

function start(code: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let text = ''
  const exit = once(child, 'exit')
  const said = async (words: string): Promise<void> => {
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      text += String(chunk)
      if (text.includes(words)) return
    }
    throw new Error(`It ended without saying "${words}": ${text}`)
  }
  return {
    child,
    said,
    async ended(): Promise<{ code: unknown; lines: string[] }> {
      for await (const chunk of child.stdout) text += String(chunk)
      return { code: (await exit)[0], lines: text.trimEnd().split('\n') }
    },
  }
}

test('the first signal lets jobs finish', async () => {
  const { child, said, ended } = start(program('return await finish.promise'))
  await said('running')
  child.kill('SIGTERM')
  await said('Stopping')
  child.stdin.write('now')
  const { code, lines } = await ended()
  expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: 'succeeded' })
})

test('the second gives them back', async () => {
  const { child, said, ended } = start(program('await new Promise(() => {})'))
  await said('running')
  child.kill('SIGINT')
  await said('Stopping')
  child.kill('SIGINT')
  const { code, lines } = await ended()
  expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: 'queued' })
})

test('the third ends the process, whatever is still to be done', async () => {
  const hang = 'engine.settle = () => new Promise(() => {})'
  const { child, said, ended } = start(program('await new Promise(() => {})', hang))
  await said('running')
  child.kill('SIGTERM')
  await said('Stopping')
  child.kill('SIGTERM')
  await said('Giving back')
  child.kill('SIGTERM')
  expect((await ended()).code).toBe(143)
})
