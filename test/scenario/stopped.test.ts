import { expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { Worker, type WorkerNotice } from 'celeriac/worker'
import { instrument, type Intercept } from '../../src/engine/instrument.ts'
import { describeEngines } from '../fixtures/store.ts'
import { turns } from '../fixtures/working.ts'

describeEngines((engine) => {
  test('a worker that was stopped says nothing of a sweep that the end of its app broke off', async () => {
    const place = await engine.place()
    onTestFinished(() => place.remove())
    const [begun, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const sweeps: Promise<unknown>[] = []
    const intercept: Intercept = async (method, call) => {
      if (method !== 'sweep') return call()
      begun.resolve()
      const sweep = closed.promise.then(call)
      sweeps.push(sweep)
      return sweep
    }
    const app = new Celeriac({ engine: (runtime) => instrument(place.open(runtime), { runtime, intercept }) })
    const notices: WorkerNotice[] = []
    const worker = new Worker(app, { log: (notice) => void notices.push(notice) })
    await worker.start()
    await begun.promise
    await worker.stop()
    await app.close()
    closed.resolve()
    await expect(Promise.all(sweeps)).rejects.toMatchObject({ code: 'CLOSED' })
    await turns()
    expect(notices).toEqual([])
  })
})
