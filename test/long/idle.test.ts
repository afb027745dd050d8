import { setTimeout as wait } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { end, startWorkerProcess } from '../chaos/processes.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { describeEngines } from '../fixtures/store.ts'

describeEngines(
  ({ place: makePlace }) => {
    test('a worker that has nothing to do asks its server twice a second at most', async () => {
      const place = await makePlace()
      onTestFinished(() => place.remove())
      const proxy = await Proxy.before(place.url)
      onTestFinished(async () => proxy.close())
      const worker = startWorkerProcess(proxy.url(place.url), 12_000)
      onTestFinished(async () => end(worker))
      await worker.said('ready')
      // What comes with the start is over by then.
      await wait(3_000)
      const before = proxy.counts['to server'].chunks
      await wait(20_000)
      const seconds = 20
      expect((proxy.counts['to server'].chunks - before) / seconds).toBeLessThanOrEqual(2)
    })
  },
  ['postgres', 'redis'],
)
