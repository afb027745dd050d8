import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { start } from '../fixtures/command-process.ts'
import { describeEngines } from '../fixtures/store.ts'

const program = fileURLToPath(new URL('../fixtures/waiting-process.ts', import.meta.url))
const message = /no worker runs on this store/g

describeEngines((engine) => {
  test('whoever waits for a result while nobody works is told, once, and never in production', async () => {
    const place = await engine.place()
    onTestFinished(() => place.remove())
    const wait = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const waiting = start([program, place.url], { env })
      await waiting.says(/waited/)
      await waiting.ended
      return waiting.said.err
    }
    const [developing, production] = await Promise.all([
      wait({ NODE_ENV: 'development' }),
      wait({ NODE_ENV: 'production' }),
    ])
    expect(developing.match(message)).toHaveLength(1)
    expect(production).not.toMatch(message)
    const app = new Celeriac({ url: place.url })
    const worker = new Worker(app, { queues: ['other'] })
    await worker.start()
    expect(await wait({ NODE_ENV: 'development' })).not.toMatch(message)
    await worker.stop()
    await app.close()
  })
})
