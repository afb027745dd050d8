import { chain, group } from 'celeriac'
import { expect, test } from 'vitest'
import { CeleriacError, JobCancelled, JobFailed, JobSkipped } from '../../../src/core/errors.ts'
import { jobOf, onEverySystem, statesIn } from '../../fixtures/system.ts'

onEverySystem((system) => {
  test('A1: a chain gives each result to the next', async () => {
    const { result, tasks } = system()
    expect(await result(chain(tasks.add.s(4, 4), tasks.add.s(8), tasks.add.s(16)))).toBe(32)
  })

  test('A2: si ignores what comes before', async () => {
    const { result, tasks } = system()
    expect(await result(chain(tasks.add.s(1, 2), tasks.add.si(10, 10), tasks.add.s(1)))).toBe(21)
  })

  test('A3: nested chains splice', async () => {
    const { app, tasks } = system()
    const handle = await app.submit(chain(chain(tasks.id.s(1)), chain(tasks.add.s(1), tasks.add.s(1))))
    expect(await handle.result()).toBe(3)
    expect((await handle.snapshot()).jobs).toHaveLength(3)
  })

  test('A4: a chain of one, and a bare signature', async () => {
    const { app, tasks } = system()
    for (const canvas of [chain(tasks.id.s(42)), tasks.id.s(42)]) {
      const handle = await app.submit(canvas)
      expect(await handle.result()).toBe(42)
      expect((await handle.snapshot()).jobs).toHaveLength(1)
    }
  })

  test('A5: an empty chain is refused before anything is stored', async () => {
    const { app } = system()
    const before = (await app.collections.list()).items.length
    const empty = chain as unknown as (...links: unknown[]) => never
    expect(() => empty()).toThrow(expect.objectContaining({ code: 'EMPTY_CHAIN' }))
    expect((await app.collections.list()).items).toHaveLength(before)
  })

  test('A6: a signature used twice and a canvas sent twice give distinct jobs', async () => {
    const { app, tasks } = system()
    const one = tasks.id.s(1)
    const canvas = group(one, one, chain(one, tasks.id.s()))
    const handles = [await app.submit(canvas), await app.submit(canvas)]
    const jobs = (await Promise.all(handles.map(async (handle) => (await handle.snapshot()).jobs))).flat()
    expect(jobs).toHaveLength(8)
    expect(new Set(jobs.map((job) => job.id)).size).toBe(8)
    for (const handle of handles) expect(await handle.result()).toEqual([1, 1, 1])
  })

  test('A7: a canvas survives JSON', async () => {
    const { app, tasks, finished, stage } = system()
    const word = stage.word()
    const canvas = chain(
      group(tasks.add.s(1, 2), chain(tasks.id.s(5), tasks.add.s(1)).onSuccess(tasks.log.s(word))),
      tasks.sum.s(),
    ).with({ priority: 2 })
    const read = JSON.parse(JSON.stringify(canvas)) as typeof canvas
    expect(await (await app.submit(read)).result()).toBe(9)
    const snapshot = await finished(read)
    expect(snapshot.jobs.every((job) => job.priority === 2)).toBe(true)
    expect(stage.notes(word)).toEqual([6, 6])
  })

  test('A8: what follows a failed job is skipped, and the failure names the job that failed', async () => {
    const { app, tasks, allFinal } = system()
    const handle = await app.submit(chain(tasks.add.s(1, 2), tasks.fail.s(), tasks.add.s(3)))
    const snapshot = await allFinal(handle)
    expect(statesIn(snapshot)).toEqual(['add succeeded', 'fail failed', 'add skipped'])
    const error = await thrownBy(handle.result())
    expect(error).toBeInstanceOf(JobFailed)
    expect(error).toMatchObject({ jobId: jobOf(snapshot, 'fail').id, failure: { message: 'Expected', attempt: 1 } })
  })

  test('A9: a job that is tried again holds up the next', async () => {
    const { app, tasks } = system()
    const handle = await app.submit(chain(tasks.id.s(1), tasks.failOnce.s(), tasks.add.s(1)))
    const before = (await handle.snapshot()).jobs.map((job) => job.id)
    expect(await handle.result()).toBe(2)
    const snapshot = await handle.snapshot()
    expect(snapshot.jobs.map((job) => job.id)).toEqual(before)
    const middle = await (await app.job(jobOf(snapshot, 'failOnce').id)).snapshot()
    expect(middle).toMatchObject({
      state: 'succeeded',
      failures: 1,
      attempt: 2,
      attempts: [{ outcome: 'retried', failure: { message: 'Expected' } }, { outcome: 'succeeded' }],
    })
    expect(Number(jobOf(snapshot, 'add').startedAt)).toBeGreaterThanOrEqual(Number(middle.finishedAt))
  })

  test('A10: the error handler runs once, after the last retry', async () => {
    const { finished, tasks, stage } = system()
    const word = stage.word()
    const stubborn = tasks.fail.with({ retry: { limit: 2, ...tasks.quick } })
    const snapshot = await finished(chain(tasks.id.s(1), stubborn.s(), tasks.id.s()).onError(tasks.onFailure.s(word)))
    expect(jobOf(snapshot, 'fail')).toMatchObject({ state: 'failed', attempt: 3, failures: 3 })
    expect(stage.notes(word)).toMatchObject([
      { task: 'fail', reason: 'failed', failure: { message: 'Expected', attempt: 3 } },
    ])
  })

  test('A11: a job cancelled while it waits', async () => {
    const { app, tasks, stage, allFinal } = system()
    const gate = stage.word()
    const handle = await app.submit(chain(tasks.slow.s('x', gate), tasks.id.s(), tasks.log.s(gate)))
    await stage.arrived(gate)
    const [, middle, last] = (await handle.snapshot()).jobs
    await (await app.job(middle?.id ?? '')).cancel()
    stage.open(gate)
    expect(statesIn(await allFinal(handle))).toEqual(['slow succeeded', 'id cancelled', 'log skipped'])
    expect(await thrownBy(handle.result())).toBeInstanceOf(JobCancelled)
    expect(await thrownBy((await app.job(middle?.id ?? '')).result())).toBeInstanceOf(JobCancelled)
    expect(await thrownBy((await app.job(last?.id ?? '')).result())).toBeInstanceOf(JobSkipped)
    expect(stage.notes(gate)).toEqual([])
  })

  test('A11: a job that expires while it is queued', async () => {
    const { app, tasks, allFinal } = system()
    await app.queues.pause('closed')
    const handle = await app.submit(chain(tasks.id.with({ queue: 'closed', expires: 30 }).s(1), tasks.id.s()))
    const error = await thrownBy(handle.result())
    expect(error).toBeInstanceOf(JobCancelled)
    expect(error).toMatchObject({ reason: 'expired' })
    const snapshot = await allFinal(handle)
    expect(snapshot).toMatchObject({ state: 'cancelled' })
    expect(statesIn(snapshot)).toEqual(['id cancelled', 'id skipped'])
  })

  test('A12: options of a canvas reach every job that does not set its own', async () => {
    const { app, tasks } = system()
    const handle = await app.submit(
      chain(tasks.id.s(1), tasks.add.with({ queue: 'y' }).s(1), group(tasks.id.s())).with({ queue: 'x', priority: 3 }),
    )
    expect(await handle.result()).toEqual([2])
    expect((await handle.snapshot()).jobs.map((job) => [job.queue, job.priority])).toEqual([
      ['x', 3],
      ['y', 3],
      ['x', 3],
    ])
  })

  test('A13: only the first job of a delayed chain is held back', async () => {
    const { app, tasks } = system()
    const handle = await app.submit(chain(tasks.id.s(1), tasks.id.s(), tasks.id.s()).with({ startIn: 300 }))
    const states = new Map<string, string[]>()
    for await (const event of handle.events()) {
      if (event.type === 'state') states.set(event.jobId, [...(states.get(event.jobId) ?? []), event.state])
      if (event.type === 'snapshot') for (const job of event.collection.jobs) states.set(job.id, [job.state])
    }
    const [first, ...others] = (await handle.snapshot()).jobs
    expect(states.get(first?.id ?? '')?.[0]).toBe('scheduled')
    expect(Number(first?.startedAt) - Number(first?.createdAt)).toBeGreaterThanOrEqual(300)
    for (const job of others) expect(states.get(job.id)).not.toContain('scheduled')
    expect(await handle.result()).toBe(1)
  })

  test('A14: a chain of a thousand links', async () => {
    const { app, tasks } = system()
    const links = Array.from({ length: 999 }, () => tasks.add.s(1))
    const handle = await app.submit(chain(tasks.id.s(0), ...links))
    expect(await handle.result()).toBe(999)
    // Every link holds its own call and knows the one before it, whatever follows.
    const [, ...others] = (await handle.snapshot()).jobs
    expect(others.every((job) => job.after.length === 1 && job.args.length === 1 && job.attempt === 1)).toBe(true)
  })

  test('A15: a task that nobody knows is refused by name, and nothing is stored', async () => {
    const { app, tasks } = system()
    for (const name of ['nobody.knows', 'constructor', '__proto__', 'toString']) {
      const before = (await app.collections.list({ limit: 1 })).items[0]?.id
      const forged = JSON.parse(
        JSON.stringify(chain(tasks.id.s(1), tasks.add1.s())).replaceAll('"add1"', JSON.stringify(name)),
      )
      const error = await thrownBy(app.submit(forged as never))
      expect(error).toMatchObject({ code: 'UNKNOWN_TASK' })
      expect((error as Error).message).toContain(name)
      expect((await app.collections.list({ limit: 1 })).items[0]?.id).toBe(before)
    }
  })

  test('A16: arguments that JSON cannot carry are refused with their path', async () => {
    const { app, tasks } = system()
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const bad: Record<string, unknown> = {
      date: new Date(0),
      map: new Map(),
      set: new Set(),
      function: () => 1,
      bigint: 1n,
      cycle,
      nan: NaN,
      infinity: Infinity,
      surrogate: '\ud800',
      nul: 'a\0b',
      symbol: Symbol('x'),
      promise: Promise.resolve(1),
      bytes: new Uint8Array(2),
      error: new Error('x'),
    }
    for (const [name, value] of Object.entries(bad)) {
      const before = (await app.jobs.list({ limit: 1 })).items[0]?.id
      const sending = [
        async () => tasks.id.delay({ list: [0, value] }),
        async () => app.submit(chain(tasks.id.s({ list: [0, value] }), tasks.id.s())),
      ]
      for (const send of sending) {
        const error = await thrownBy(send())
        expect(error, name).toMatchObject({ code: 'NOT_JSON' })
        expect((error as Error).message, name).toContain('args[0].list[1]')
      }
      expect((await app.jobs.list({ limit: 1 })).items[0]?.id, name).toBe(before)
    }
  })

  test('A17: a result that JSON cannot carry fails at once, with its path', async () => {
    const { app, tasks, finished, result } = system()
    const strange = tasks.strange.with({ retry: { limit: 3, ...tasks.quick } })
    const snapshot = await finished(strange.s('map'))
    const [job] = snapshot.jobs
    expect(job).toMatchObject({ state: 'failed', attempt: 1 })
    expect(job?.failure?.message).toContain('result.inside')
    expect(await result(tasks.add.s(1, 1))).toBe(2)
    expect((await app.workers.list()).length).toBeGreaterThan(0)
  })

  test('A18: whatever is thrown is recorded as a failure', async () => {
    const { finished, result, tasks } = system()
    for (const kind of ['null', 'undefined', 'string', 'getters', 'cycle', 'proxy', 'no-prototype']) {
      const snapshot = await finished(tasks.thrower.s(kind))
      expect(snapshot.state, kind).toBe('failed')
      const failure = snapshot.jobs[0]?.failure
      expect(typeof failure?.name, kind).toBe('string')
      expect(typeof failure?.message, kind).toBe('string')
      expect(failure?.attempt, kind).toBe(1)
    }
    expect(await result(tasks.add.s(1, 1))).toBe(2)
  })
})

async function thrownBy(promise: Promise<unknown>): Promise<CeleriacError> {
  return promise.then(
    () => expect.fail('Expected an error.'),
    (error: unknown) => error as CeleriacError,
  )
}
