import { chain, chord, group } from 'celeriac'
import { expect, test } from 'vitest'
import { jobOf, onEverySystem } from '../../fixtures/system.ts'

onEverySystem((system) => {
  test('C1: onSuccess runs once with the result, and not where anything failed', async () => {
    const { finished, stage, tasks } = system()
    const [good, bad] = [stage.word(), stage.word()]
    await finished(chain(tasks.id.s(1), tasks.add.s(1)).onSuccess(tasks.log.s(good)))
    expect(stage.notes(good)).toEqual([2])
    await finished(chain(tasks.fail.s(), tasks.id.s()).onSuccess(tasks.log.s(bad)))
    await finished(chain(tasks.id.s(1), tasks.fail.s()).onSuccess(tasks.log.s(bad)))
    expect(stage.notes(bad)).toEqual([])
  })

  test('C2: onError runs once with a report of the first failure', async () => {
    const { finished, stage, tasks } = system()
    const failing = [
      tasks.fail.s(),
      chain(tasks.id.s(1), tasks.fail.s(), tasks.id.s()),
      group(...Array.from({ length: 42 }, () => tasks.fail.s())),
      chord([tasks.id.s(1), tasks.fail.s()], tasks.sum.s()),
      chord([tasks.id.s(1), tasks.id.s(2)], tasks.fail.s()),
    ]
    for (const canvas of failing) {
      const word = stage.word()
      const snapshot = await finished(canvas.onError(tasks.onFailure.s(word)))
      const notes = stage.notes(word) as { job: string }[]
      expect(notes).toMatchObject([
        {
          task: 'fail',
          collection: snapshot.id,
          reason: 'failed',
          failure: { name: 'Error', message: 'Expected', attempt: 1 },
        },
      ])
      expect(snapshot.jobs.find((job) => job.id === notes[0]?.job)).toMatchObject({ task: 'fail', state: 'failed' })
      expect(snapshot.failedJobId).toBe(notes[0]?.job)
    }
  })

  test('C2: onError does not run where nothing failed', async () => {
    const { finished, stage, tasks } = system()
    const word = stage.word()
    const snapshot = await finished(chain(tasks.id.s(1), tasks.id.s()).onError(tasks.onFailure.s(word)))
    expect(stage.notes(word)).toEqual([])
    expect(jobOf(snapshot, 'onFailure')).toMatchObject({ state: 'skipped', reason: 'not-needed' })
    expect(snapshot.counts.skipped).toBe(0)
  })

  test('C3: finally runs once, with the summary', async () => {
    const { finished, stage, tasks } = system()
    const [good, bad] = [stage.word(), stage.word()]
    const done = await finished(chain(tasks.id.s(1), tasks.id.s()).finally(tasks.onSettled.s(good)))
    expect(stage.notes(good)).toMatchObject([{ collection: done.id, state: 'succeeded', counts: { succeeded: 2 } }])
    expect(stage.notes(good)[0]).not.toHaveProperty('failure')
    await finished(
      group(tasks.fail.s(), chain(tasks.id.s(1), tasks.fail.s(), tasks.id.s())).finally(tasks.onSettled.s(bad)),
    )
    expect(stage.notes(bad)).toMatchObject([
      { state: 'failed', counts: { succeeded: 1, failed: 2, skipped: 1 }, failure: { message: 'Expected' } },
    ])
  })

  test('C4: handlers of an inner and an outer canvas run once each', async () => {
    const { finished, stage, tasks } = system()
    const [inner, outer] = [stage.word(), stage.word()]
    const canvas = chain(
      tasks.id.s(1),
      chain(tasks.id.s(), tasks.fail.s()).onError(tasks.onFailure.s(inner)),
      tasks.id.s(),
    )
    await finished(canvas.onError(tasks.onFailure.s(outer)))
    expect(stage.notes(inner)).toHaveLength(1)
    expect(stage.notes(outer)).toHaveLength(1)
    expect(stage.notes(outer)).toEqual(stage.notes(inner))
  })

  test('C5: a handler that fails is recorded, and changes nothing', async () => {
    const { app, allFinal, tasks } = system()
    const handle = await app.submit(
      chain(tasks.id.s(1), tasks.id.s()).onSuccess(tasks.fail.s()).finally(tasks.fail.s()),
    )
    expect(await handle.result()).toBe(1)
    const snapshot = await allFinal(handle)
    expect(snapshot.state).toBe('succeeded')
    expect(snapshot.jobs.filter((job) => job.task === 'fail').map((job) => [job.state, job.role])).toEqual([
      ['failed', 'side'],
      ['failed', 'side'],
    ])
    expect(snapshot.failure).toBeUndefined()
  })

  test('C6: a handler that is put on twice runs twice', async () => {
    const { finished, stage, tasks } = system()
    const word = stage.word()
    await finished(tasks.fail.s().onError(tasks.onFailure.s(word)).onError(tasks.onFailure.s(word)))
    expect(stage.notes(word)).toHaveLength(2)
  })

  test('C7: failure, time-out, expiry and cancellation are alike to onError and finally', async () => {
    const { app, allFinal, stage, tasks } = system()
    await app.queues.pause('closed')
    const never = stage.word()
    const ways = {
      failed: { canvas: tasks.fail.s(), state: 'failed' },
      timeout: { canvas: tasks.slow.with({ timeout: 20 }).s(1, never), state: 'failed' },
      expired: { canvas: tasks.id.with({ queue: 'closed', expires: 20 }).s(1), state: 'cancelled' },
      cancelled: { canvas: tasks.slow.s(1, never), state: 'cancelled' },
    }
    for (const [reason, { canvas, state }] of Object.entries(ways)) {
      const [onError, last] = [stage.word(), stage.word()]
      const handle = await app.submit(
        chain(canvas, tasks.id.s()).onError(tasks.onFailure.s(onError)).finally(tasks.onSettled.s(last)),
      )
      if (reason === 'cancelled') await handle.cancel()
      const snapshot = await allFinal(handle)
      expect(snapshot.state, reason).toBe(state)
      expect(stage.notes(onError), reason).toMatchObject([
        { reason, job: snapshot.jobs[0]?.id, failure: { attempt: expect.any(Number) as number } },
      ])
      expect(stage.notes(last), reason).toMatchObject([{ state }])
    }
  })

  test('C8: handlers of a canvas that never began are skipped', async () => {
    const { finished, stage, tasks } = system()
    const word = stage.word()
    const one = await finished(chain(tasks.fail.s(), tasks.id.s().onError(tasks.onFailure.s(word))))
    expect(jobOf(one, 'onFailure').state).toBe('skipped')
    const two = await finished(chain(tasks.fail.s(), group().onSuccess(tasks.log.s(word))))
    expect(jobOf(two, 'log').state).toBe('skipped')
    expect(stage.notes(word)).toEqual([])
  })

  test('C9: finally, and the end of the collection, come after everything is final', async () => {
    const { app, allFinal, stage, tasks, until } = system()
    const [gate, word] = [stage.word(), stage.word()]
    const handle = await app.submit(
      chain(group(tasks.fail.s(), tasks.slow.s(1, gate)), tasks.id.s()).finally(tasks.onSettled.s(word)),
    )
    await stage.arrived(gate)
    const meanwhile = await until(handle, (now) => jobOf(now, 'fail').state === 'failed')
    expect(meanwhile.state).toBe('running')
    expect(stage.notes(word)).toEqual([])
    stage.open(gate)
    const snapshot = await allFinal(handle)
    expect(stage.notes(word)).toMatchObject([{ state: 'failed', counts: { failed: 1, succeeded: 1, skipped: 1 } }])
    const [settledAt, slowEndedAt] = [Number(snapshot.settledAt), Number(jobOf(snapshot, 'slow').finishedAt)]
    expect(settledAt).toBeGreaterThanOrEqual(slowEndedAt)
    expect(Number(jobOf(snapshot, 'onSettled').startedAt)).toBeGreaterThanOrEqual(slowEndedAt)
  })

  test('C10: of links that each carry a handler, the first to fail runs its own', async () => {
    const { finished, stage, tasks } = system()
    const words = [stage.word(), stage.word(), stage.word()]
    const [a, b, c] = words as [string, string, string]
    await finished(
      chain(
        tasks.fail.s().onError(tasks.onFailure.s(a)),
        tasks.id.s().onError(tasks.onFailure.s(b)),
        tasks.id.s().onError(tasks.onFailure.s(c)),
      ),
    )
    expect(words.map((word) => stage.notes(word).length)).toEqual([1, 0, 0])
  })
})
