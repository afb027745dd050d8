import { chain, chord, group } from 'celeriac'
import { expect, test } from 'vitest'
import { jobOf, onEverySystem, statesIn } from '../../fixtures/system.ts'

onEverySystem((system) => {
  test('E1: a chain of four that fails at its second is mended and retried', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [word, last] = [stage.word(), stage.word()]
    stage.broken.add(word)
    const canvas = chain(tasks.log.s(1, last), tasks.flaky.s(word), tasks.add.s(1), tasks.add.s(1)).finally(
      tasks.onSettled.s(last),
    )
    const handle = await app.submit(canvas)
    const before = await allFinal(handle)
    expect(before.state).toBe('failed')
    stage.broken.delete(word)
    await handle.retry()
    expect(await handle.result()).toBe(3)
    const after = await allFinal(handle)
    expect(after.round).toBe(2)
    expect(after.jobs.map((job) => job.id)).toEqual(before.jobs.map((job) => job.id))
    expect(after.jobs.map((job) => job.attempt)).toEqual([1, 2, 1, 1, 2])
    expect(stage.notes(last)).toMatchObject([1, { state: 'failed' }, { state: 'succeeded' }])
  })

  test('E2: of a hundred members exactly the seven that failed run again, then the body', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [word, body] = [stage.word(), stage.word()]
    const broken = Array.from({ length: 7 }, (_, index) => `${word}-${index * 13}`)
    for (const each of broken) stage.broken.add(each)
    const header = Array.from({ length: 100 }, (_, index) => tasks.flaky.s(index, `${word}-${index}`))
    const handle = await app.submit(chord(header, tasks.log.s(body)))
    expect(await allFinal(handle)).toMatchObject({ state: 'failed', counts: { failed: 7, succeeded: 93, skipped: 1 } })
    for (const each of broken) stage.broken.delete(each)
    await handle.retry()
    expect(await handle.result()).toEqual(Array.from({ length: 100 }, (_, index) => index))
    const counts = Array.from({ length: 100 }, (_, index) => stage.notes(`${word}-${index}`).length)
    expect(counts).toEqual(Array.from({ length: 100 }, (_, index) => (broken.includes(`${word}-${index}`) ? 2 : 1)))
    expect(stage.notes(body)).toHaveLength(1)
  })

  test('E3: a collection that runs or succeeded is not retried', async () => {
    const { app, stage, tasks } = system()
    const gate = stage.word()
    const handle = await app.submit(chain(tasks.slow.s(1, gate), tasks.id.s()))
    await expect(handle.retry()).rejects.toMatchObject({ code: 'NOT_SETTLED' })
    stage.open(gate)
    expect(await handle.result()).toBe(1)
    const before = await handle.snapshot()
    await handle.retry().catch((error: unknown) => expect(error).toMatchObject({ code: 'NOT_RETRYABLE' }))
    expect(await handle.snapshot()).toEqual(before)
  })

  test('E4: mode all runs everything again under the same ids', async () => {
    const { app, allFinal, stage, tasks } = system()
    const word = stage.word()
    const handle = await app.submit(
      chain(group(tasks.log.s(1, word), tasks.become.s(2)), tasks.sum.s(), tasks.log.s(word)),
    )
    expect(await handle.result()).toBe(3)
    const before = await allFinal(handle)
    await handle.retry({ mode: 'all' })
    expect(await handle.result()).toBe(3)
    const after = await allFinal(handle)
    expect(stage.notes(word)).toEqual([1, 3, 1, 3])
    const submitted = (snapshot: typeof before) => snapshot.jobs.filter((job) => job.parentId === undefined)
    expect(submitted(after).map((job) => job.id)).toEqual(submitted(before).map((job) => job.id))
    expect(submitted(after).every((job) => job.attempt === 2)).toBe(true)
    expect(after.jobs).toHaveLength(before.jobs.length)
  })

  test('E5: of two retries at the same instant one takes effect', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [word, gate] = [stage.word(), stage.word()]
    stage.broken.add(word)
    const handle = await app.submit(chain(tasks.flaky.s(1, word), tasks.slow.s(gate)))
    await allFinal(handle)
    const another = await app.collection(handle.id)
    // Mended, so that the round that one of them begins is not over before the gate opens: the other one comes in it.
    stage.broken.delete(word)
    const answers = await Promise.allSettled([handle.retry(), another.retry()])
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(answers.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'NOT_SETTLED' } })
    stage.open(gate)
    expect(await handle.result()).toBe(1)
    expect(await allFinal(handle)).toMatchObject({ round: 2, jobs: [{ attempt: 2 }, { attempt: 1 }] })
    expect(stage.notes(word)).toHaveLength(2)
  })

  test('E6: one failed job inside a collection, and what it held up', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [one, two] = [stage.word(), stage.word()]
    stage.broken.add(one)
    stage.broken.add(two)
    const handle = await app.submit(
      chord([chain(tasks.flaky.s(1, one), tasks.add.s(1)), tasks.flaky.s(5, two)], tasks.sum.s()),
    )
    const before = await allFinal(handle)
    stage.broken.delete(one)
    stage.broken.delete(two)
    await (await app.job(before.jobs[0]?.id ?? '')).retry()
    const half = await allFinal(handle)
    expect(statesIn(half)).toEqual(['flaky succeeded', 'add succeeded', 'flaky failed', 'sum skipped'])
    expect(stage.notes(two)).toHaveLength(1)
    await (await app.job(before.jobs[2]?.id ?? '')).retry()
    expect(await handle.result()).toBe(7)
    expect(stage.notes(one)).toHaveLength(2)
  })

  test('E7: cancel with jobs in every state, one of them deaf to its signal', async () => {
    const { app, allFinal, stage, tasks, until } = system()
    const [deaf, slow, word] = [stage.word(), stage.word(), stage.word()]
    await app.queues.pause('closed')
    const canvas = chain(
      group(
        tasks.id.s(1),
        tasks.deaf.s(1, deaf),
        tasks.slow.s(1, slow),
        tasks.id.with({ queue: 'closed' }).s(1),
        tasks.id.with({ startIn: '1h' }).s(1),
      ),
      tasks.log.s(word),
    )
    const handle = await app.submit(canvas.finally(tasks.onSettled.s(word)))
    await stage.arrived(deaf)
    await stage.arrived(slow)
    await until(handle, ({ jobs }) => jobs[0]?.state === 'succeeded')
    await handle.cancel()
    stage.open(deaf)
    const snapshot = await allFinal(handle)
    expect(snapshot.state).toBe('cancelled')
    expect(statesIn(snapshot)).toEqual([
      'id succeeded',
      'deaf cancelled',
      'slow cancelled',
      'id cancelled',
      'id cancelled',
      'log cancelled',
      'onSettled succeeded',
    ])
    expect(stage.notes(word)).toMatchObject([{ state: 'cancelled' }])
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
  })

  test('E8: a retry after a cancel runs what was cancelled or skipped', async () => {
    const { app, allFinal, stage, tasks } = system()
    const gate = stage.word()
    const handle = await app.submit(chain(tasks.id.s(1), tasks.slow.s(gate), tasks.add.s(1)))
    await stage.arrived(gate)
    await handle.cancel()
    expect(statesIn(await allFinal(handle))).toEqual(['id succeeded', 'slow cancelled', 'add cancelled'])
    stage.open(gate)
    await handle.retry()
    expect(await handle.result()).toBe(2)
    expect((await allFinal(handle)).jobs.map((job) => job.attempt)).toEqual([1, 2, 1])
  })

  test('E9: after three retries every attempt can be read', async () => {
    const { app, allFinal, stage, tasks } = system()
    const word = stage.word()
    stage.broken.add(word)
    const handle = await app.submit(chain(tasks.flaky.s(1, word), tasks.id.s()))
    await allFinal(handle)
    for (let round = 2; round <= 4; round++) {
      if (round === 4) stage.broken.delete(word)
      await handle.retry()
      await allFinal(handle)
    }
    const job = await (await app.job((await handle.snapshot()).jobs[0]?.id ?? '')).snapshot()
    expect(job.attempts.map((attempt) => [attempt.attempt, attempt.round, attempt.outcome])).toEqual([
      [1, 1, 'failed'],
      [2, 2, 'failed'],
      [3, 3, 'failed'],
      [4, 4, 'succeeded'],
    ])
    for (const attempt of job.attempts) {
      expect(attempt.worker).toMatch(/worker-\d/)
      expect(Number(attempt.finishedAt)).toBeGreaterThanOrEqual(Number(attempt.startedAt))
      if (attempt.outcome === 'failed') expect(attempt.failure?.message).toBe(`Broken: ${word}`)
    }
  })

  test('E10: what ran for a failure does not run for the success that follows, and does for the next failure', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [word, onError, last] = [stage.word(), stage.word(), stage.word()]
    stage.broken.add(word)
    const handle = await app.submit(
      tasks.flaky.s(1, word).onError(tasks.onFailure.s(onError)).finally(tasks.onSettled.s(last)),
    )
    await allFinal(handle)
    expect([stage.notes(onError).length, stage.notes(last).length]).toEqual([1, 1])
    await handle.retry()
    await allFinal(handle)
    expect([stage.notes(onError).length, stage.notes(last).length]).toEqual([2, 2])
    stage.broken.delete(word)
    await handle.retry()
    await allFinal(handle)
    expect([stage.notes(onError).length, stage.notes(last).length]).toEqual([2, 3])
    expect(stage.notes(last).at(-1)).toMatchObject({ state: 'succeeded' })
  })

  test('E11: onError and finally run for a cancel, and see it', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [gate, onError, last] = [stage.word(), stage.word(), stage.word()]
    const canvas = chain(tasks.slow.s(1, gate), tasks.id.s())
      .onError(tasks.onFailure.s(onError))
      .finally(tasks.onSettled.s(last))
    const handle = await app.submit(canvas)
    await stage.arrived(gate)
    await handle.cancel()
    await allFinal(handle)
    expect(stage.notes(onError)).toMatchObject([{ reason: 'cancelled' }])
    expect(stage.notes(last)).toMatchObject([{ state: 'cancelled', counts: { cancelled: 2 } }])
  })

  test('E12: what failed inside a continuation is retried there, without calling the outer handler', async () => {
    const { app, allFinal, stage, tasks } = system()
    const word = stage.word()
    stage.broken.add(word)
    const handle = await app.submit(chain(tasks.becomeFailing.s(word), tasks.add.s(1)))
    const before = await allFinal(handle)
    expect(before.state).toBe('failed')
    stage.broken.delete(word)
    await handle.retry()
    expect(await handle.result()).toBe(2)
    const after = await allFinal(handle)
    expect(after.jobs.map((job) => job.id)).toEqual(before.jobs.map((job) => job.id))
    expect(jobOf(after, 'becomeFailing').attempt).toBe(1)
    expect(jobOf(after, 'flaky').attempt).toBe(2)
  })

  test('E13: a side job of the last round that still runs is fenced; there is one run for each round', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [word, gate, done] = [stage.word(), stage.word(), stage.word()]
    stage.broken.add(word)
    // What a callback is, as far as a canvas can say it: a side job that takes its time.
    const canvas = tasks.flaky.s(1, word).finally(tasks.slowSettled.s(gate, done))
    const handle = await app.submit(canvas)
    await stage.arrived(gate)
    stage.broken.delete(word)
    await handle.retry()
    await stage.arrived(gate, 2)
    stage.open(gate)
    const snapshot = await allFinal(handle)
    expect(jobOf(snapshot, 'slowSettled')).toMatchObject({ state: 'succeeded', attempt: 2, round: 2 })
    const job = await (await app.job(jobOf(snapshot, 'slowSettled').id)).snapshot()
    expect(job).toMatchObject({ result: 'succeeded' })
    expect(job.attempts.filter((attempt) => attempt.outcome === 'succeeded')).toHaveLength(1)
  })
})
