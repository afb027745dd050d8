import { describe, expect, test } from 'vitest'
import { CeleriacError, chain, currentJob, group } from 'celeriac'
import type { EngineMethod } from '../engine/instrument.ts'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'

/** What a handler was told to stop for. */
function reasons() {
  const told: unknown[] = []
  return {
    told,
    /** Waits until it is told to stop, then throws the reason. */
    untilAborted: (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          told.push((signal.reason as CeleriacError).code)
          reject(signal.reason as Error)
        })
      }),
  }
}

describe('time-out', () => {
  test('the signal is aborted at the deadline, and the job fails as timed out', async () => {
    const system = working()
    const { told, untilAborted } = reasons()
    const slow = system.app.task('slow', { timeout: '5s' }, async () => untilAborted(currentJob().signal))
    await system.worker.start()
    const job = await slow.delay()
    await reached(job, 'running')
    await pass(system, 4_999)
    expect(told).toEqual([])
    await pass(system, 1)
    expect(told).toEqual(['TIMED_OUT'])
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED', reason: 'timeout' })
  })

  test('a handler that ignores its signal loses its slot, and what it comes to later is dropped', async () => {
    const system = working({ concurrency: 1 })
    const gate = Promise.withResolvers<void>()
    const deaf = system.app.task('deaf', { timeout: '1s' }, async () => {
      await gate.promise
      return 'too late'
    })
    const add = system.app.task('add', (x: number) => x + 1)
    await system.worker.start()
    const job = await deaf.delay()
    const next = await add.delay(1)
    await reached(job, 'running')
    await pass(system, 1_000)
    await expect(job.result()).rejects.toMatchObject({ reason: 'timeout' })
    expect(await next.result()).toBe(2)
    const before = system.calls.filter((method) => method === 'settle').length
    gate.resolve()
    await turns()
    expect(system.calls.filter((method) => method === 'settle').length).toBe(before)
    expect(await job.snapshot()).toMatchObject({ state: 'failed', attempt: 1 })
  })

  test('the policy tries again, and each attempt has its own time', async () => {
    const system = working()
    const options = { timeout: '1s', retry: { limit: 1, backoff: { base: 100, jitter: false } } } as const
    const slow = system.app.task('slow', options, async () => {
      if (currentJob().attempt === 1) await new Promise(() => {})
      await turns(1)
      return currentJob().attempt
    })
    await system.worker.start()
    const job = await slow.delay()
    await reached(job, 'running')
    await pass(system, 1_100, 50)
    expect(await job.result()).toBe(2)
  })

  test('a handler that ended in time is not told anything', async () => {
    const system = working()
    const { told, untilAborted } = reasons()
    const quick = system.app.task('quick', { timeout: '1s' }, async () => {
      untilAborted(currentJob().signal).catch(() => {})
      await turns(1)
    })
    await system.worker.start()
    await (await quick.delay()).result()
    await pass(system, 5_000, 1_000)
    expect(told).toEqual([])
  })
})

describe('cancel', () => {
  test('reaches the signal of a running handler at once, and the job is cancelled', async () => {
    const { app, worker } = working()
    const { told, untilAborted } = reasons()
    const slow = app.task('slow', async () => untilAborted(currentJob().signal))
    await worker.start()
    const job = await slow.delay()
    await reached(job, 'running')
    await job.cancel()
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    expect(told).toEqual(['JOB_CANCELLED'])
  })

  test('a handler that succeeds all the same is refused', async () => {
    const { app, worker } = working()
    const gate = Promise.withResolvers<void>()
    const deaf = app.task('deaf', async () => {
      await gate.promise
      return 'done'
    })
    await worker.start()
    const job = await deaf.delay()
    await reached(job, 'running')
    await job.cancel()
    gate.resolve()
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
  })

  test('a handler that asks for its signal only afterwards finds it aborted', async () => {
    const { app, worker } = working()
    const gate = Promise.withResolvers<void>()
    const seen = Promise.withResolvers<boolean>()
    const slow = app.task('slow', async () => {
      const job = currentJob()
      await gate.promise
      await turns()
      seen.resolve(job.signal.aborted)
    })
    await worker.start()
    const job = await slow.delay()
    await reached(job, 'running')
    await job.cancel()
    gate.resolve()
    expect(await seen.promise).toBe(true)
  })

  test('a job that was claimed ahead is never begun', async () => {
    const system = working({ concurrency: 1 })
    const gate = Promise.withResolvers<void>()
    const ran: string[] = []
    const note = system.app.task('note', (name: string) => void ran.push(name))
    const wait = system.app.task('wait', async () => gate.promise)
    await system.worker.start()
    // Now the handlers are known to be short, so jobs are claimed ahead.
    await (await note.delay('first')).result()
    const [, ahead] = await Promise.all([wait.delay(), note.delay('ahead')])
    await reached(ahead, 'running')
    await ahead.cancel()
    await expect(ahead.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    gate.resolve()
    await turns()
    expect(ran).toEqual(['first'])
  })

  test('a job whose input is still being read is never begun', async () => {
    const reading = Promise.withResolvers<void>()
    const page = Promise.withResolvers<void>()
    const system = working({}, async (method: EngineMethod, call) => {
      if (method !== 'results') return call()
      reading.resolve()
      await page.promise
      return call()
    })
    const ran: string[] = []
    const large = system.app.task('large', (n: number) => `${n}`.repeat(600_000))
    const take = system.app.task('take', (_: string[]) => void ran.push('take'))
    await system.worker.start()
    const collection = await system.app.submit(chain(group(large.s(1), large.s(2)), take.s()))
    await reading.promise
    await collection.cancel()
    await turns()
    page.resolve()
    await expect(collection.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    expect(ran).toEqual([])
  })

  test('a job that expires while it waits for a slot is cancelled', async () => {
    const system = working({ concurrency: 1 })
    const gate = Promise.withResolvers<void>()
    const wait = system.app.task('wait', async () => gate.promise)
    const late = system.app.task('late', { expires: '1m' }, () => 'ran')
    await system.worker.start()
    await reached(await wait.delay(), 'running')
    const job = await late.delay()
    await pass(system, 61_000, 1_000)
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'expired' })
    gate.resolve()
  })
})

describe('a lost lease', () => {
  test('the handler is told, its outcome dropped, and that of the next attempt stands', async () => {
    let isCutOff = false
    const system = working({ lease: '4s' }, (method: EngineMethod, call) =>
      isCutOff && method === 'heartbeat' ? Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'Cut off.')) : call(),
    )
    const { told, untilAborted } = reasons()
    const slow = system.app.task('slow', async () => {
      if (currentJob().attempt === 1) await untilAborted(currentJob().signal)
      return currentJob().attempt
    })
    await system.worker.start()
    const job = await slow.delay()
    await reached(job, 'running')
    isCutOff = true
    await pass(system, 5_000, 100)
    expect(await job.snapshot()).toMatchObject({ state: 'queued', attempts: [{ outcome: 'lost' }] })
    expect(told).toEqual([])
    isCutOff = false
    await pass(system, 2_000, 100)
    expect(told).toEqual(['LEASE_LOST'])
    expect(await job.result()).toBe(2)
    expect((await job.snapshot()).attempts).toMatchObject([{ outcome: 'lost' }, { outcome: 'succeeded' }])
    expect(system.notices.map(({ level }) => level)).toEqual(['error', 'info'])
  })

  test('a handler that ignores it loses its slot', async () => {
    let isCutOff = false
    const system = working({ lease: '4s', concurrency: 1 }, (method: EngineMethod, call) =>
      isCutOff && method === 'heartbeat' ? Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'Cut off.')) : call(),
    )
    const deaf = system.app.task('deaf', async () => {
      if (currentJob().attempt === 1) await new Promise(() => {})
      return currentJob().attempt
    })
    await system.worker.start()
    const job = await deaf.delay()
    await reached(job, 'running')
    isCutOff = true
    await pass(system, 5_000, 100)
    isCutOff = false
    await pass(system, 2_000, 100)
    expect(await job.result()).toBe(2)
  })

  test('beats keep the lease of a handler that takes long', async () => {
    const system = working({ lease: '4s' })
    const gate = Promise.withResolvers<void>()
    const wait = system.app.task('wait', async () => gate.promise)
    await system.worker.start()
    const job = await wait.delay()
    await reached(job, 'running')
    await pass(system, 60_000, 200)
    gate.resolve()
    await job.result()
    expect(await job.snapshot()).toMatchObject({ attempt: 1, state: 'succeeded' })
  })
})
