import { type Canvas, chain, chord, each, group } from 'celeriac'
import { expect, test } from 'vitest'
import { jobOf, onEverySystem } from '../../fixtures/system.ts'

onEverySystem((system) => {
  test('D1: a task that returns a canvas stands for its result, wherever it is', async () => {
    const { app, tasks } = system()
    const places: [Canvas<unknown>, unknown][] = [
      [tasks.become.s(42), 42],
      [chain(tasks.become.s(42), tasks.add.s(1)), 43],
      [chain(tasks.id.s(1), tasks.become.s(), tasks.add.s(1)), 2],
      [chain(tasks.id.s(1), tasks.become.s()), 1],
      [group(tasks.become.s(1), tasks.id.s(2), tasks.become.s(3)), [1, 2, 3]],
      [chord([tasks.become.s(1), tasks.id.s(2)], tasks.sum.s()), 3],
      [chord([tasks.id.s(1)], tasks.become.s()), [1]],
      [chord([tasks.id.s(1)], chain(tasks.sum.s(), tasks.become.s())), 1],
    ]
    for (const [canvas, expected] of places) {
      const handle = await app.submit(canvas)
      const becoming = (await handle.snapshot()).jobs.filter((job) => job.task === 'become').map((job) => job.id)
      expect(await handle.result()).toEqual(expected)
      const after = (await handle.snapshot()).jobs.filter((job) => job.task === 'become')
      expect(after.map((job) => job.id)).toEqual(becoming)
      expect(after.every((job) => job.state === 'succeeded' && job.attempt === 1)).toBe(true)
    }
  })

  test('D2: continuations are awaited at every depth', async () => {
    const { app, tasks } = system()
    const handle = await app.submit(chain(tasks.mother.s(3), tasks.add.s(1)))
    expect(await handle.result()).toBe(4)
    const { jobs } = await handle.snapshot()
    const mothers = jobs.filter((job) => job.task === 'mother')
    expect(mothers).toHaveLength(4)
    const last = Number(jobOf({ jobs }, 'add').startedAt)
    for (const job of jobs) if (job.task !== 'add') expect(Number(job.finishedAt)).toBeLessThanOrEqual(last)
    for (const mother of mothers) {
      const inside = jobs.filter((job) => job.parentId === mother.id)
      for (const job of inside) expect(Number(job.finishedAt)).toBeLessThanOrEqual(Number(mother.finishedAt))
    }
  })

  test('D3: a handler that fans out, and each', async () => {
    const { result, tasks } = system()
    expect(await result(chain(tasks.id.s([1, 2, 3]), tasks.fan.s(), tasks.sum.s()))).toBe(6)
    expect(await result(chain(tasks.id.s([1, 2, 3]), each(tasks.add1), tasks.sum.s()))).toBe(9)
    expect(await result(chain(tasks.id.s([1, 2, 3]), each(tasks.add.s(10))))).toEqual([11, 12, 13])
    expect(await result(chain(tasks.id.s([1, 2]), each(chain(tasks.add1.s(), tasks.mul.s(3)))))).toEqual([6, 9])
  })

  test('D4: each over nothing, over ten thousand, and in chunks', async () => {
    const { app, result, tasks } = system()
    const many = Array.from({ length: 10_000 }, (_, index) => index)
    expect(await result(chain(tasks.id.s([]), each(tasks.add1)))).toEqual([])
    expect(await result(chain(tasks.id.s([]), each(tasks.add1, { chunk: 100 })))).toEqual([])
    const handle = await app.submit(chain(tasks.id.s(many), each(tasks.add1, { chunk: 100 })))
    expect(await handle.result()).toEqual(many.map((x) => x + 1))
    expect((await handle.snapshot()).jobs.filter((job) => job.task === 'add1')).toHaveLength(100)
    expect(await result(chain(tasks.id.s(many), each(tasks.add1)))).toEqual(many.map((x) => x + 1))
    expect(await result(chain(tasks.id.s(many.slice(0, 7)), each(tasks.add1, { chunk: 3 })))).toEqual([
      1, 2, 3, 4, 5, 6, 7,
    ])
  })

  test('D5: a continuation that fails is the failure of its job', async () => {
    const { app, allFinal, stage, tasks } = system()
    const word = stage.word()
    stage.broken.add(word)
    const becoming = tasks.becomeFailing.with({ retry: { limit: 3, ...tasks.quick } }).s(word)
    const handle = await app.submit(chain(becoming.onError(tasks.onFailure.s(word)), tasks.id.s()))
    await expect(handle.result()).rejects.toMatchObject({ failure: { message: `Broken: ${word}` } })
    const snapshot = await allFinal(handle)
    const flaky = jobOf(snapshot, 'flaky')
    expect(jobOf(snapshot, 'becomeFailing')).toMatchObject({ state: 'failed', attempt: 1, failedJobId: flaky.id })
    await expect((await app.job(jobOf(snapshot, 'becomeFailing').id)).result()).rejects.toMatchObject({
      jobId: flaky.id,
    })
    expect(stage.notes(word).filter((note) => typeof note === 'object')).toMatchObject([
      { job: flaky.id, task: 'flaky' },
    ])
  })

  test('D7: a continuation that continues, fifty deep', async () => {
    const { app, result, tasks } = system()
    expect(await result(tasks.descend.s(50))).toBe(0)
    const handle = await app.submit(chain(tasks.descend.s(99), tasks.add.s(5)))
    expect(await handle.result()).toBe(5)
  })

  test('D7: deeper than the limit is a failure that says so', async () => {
    const { app, allFinal, tasks } = system()
    const handle = await app.submit(tasks.descend.s(150))
    await expect(handle.result()).rejects.toMatchObject({
      failure: { message: expect.stringContaining('100') as string },
    })
    expect((await allFinal(handle)).counts).toMatchObject({ running: 0, queued: 0, waiting: 0 })
  })
})
