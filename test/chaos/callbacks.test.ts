import { afterEach, expect, test, vi } from 'vitest'
import { verifyCallback } from 'celeriac/callbacks'
import { systemRuntime } from '../../src/core/runtime.ts'
import { newSecret } from '../../src/core/secret.ts'
import { startReceiver } from '../fixtures/receiver.ts'
import { describeEngines } from '../fixtures/store.ts'
import { jobOf } from '../fixtures/system.ts'
import { createChaosApp } from './chaos-app.ts'
import { end, startWorkerProcess } from './processes.ts'

const lease = 2_000

describeEngines(({ place: makePlace }) => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
    vi.unstubAllEnvs()
  })

  test('of a process that is killed while it calls back, another one does so, under the same id', async () => {
    const secret = newSecret(systemRuntime)
    vi.stubEnv('CELERIAC_CALLBACK_SECRET', secret)
    vi.stubEnv('CELERIAC_CALLBACK_ALLOW', '127.0.0.1')
    const receiver = await startReceiver((response, n) => void (n > 0 && response.writeHead(204).end()))
    closing.push(() => receiver.close())
    const place = await makePlace()
    closing.push(() => place.remove())
    const { app, step } = createChaosApp({ url: place.url })
    closing.push(() => app.close())
    const start = async () => {
      const worker = startWorkerProcess(place.url, lease)
      closing.push(() => end(worker))
      await worker.said('ready')
      return worker
    }
    const first = await start()
    const collection = await app.submit(step.s(1), { callbackUrl: receiver.url })
    await receiver.arrived(1)
    await end(first)
    await start()
    const requests = await receiver.arrived(2)
    const job = await app.job(jobOf(await collection.snapshot(), 'celeriac.callback').id)
    expect(await job.result()).toEqual({ status: 204 })
    expect((await job.snapshot()).attempts.map(({ outcome }) => outcome)).toEqual(['lost', 'succeeded'])
    expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual([`msg_${job.id}_1`, `msg_${job.id}_1`])
    for (const request of requests) expect(await verifyCallback(request, secret)).toMatchObject({ data: { result: 2 } })
    expect(receiver.received).toHaveLength(2)
  })
})
