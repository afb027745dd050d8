import { chain, chord, group } from 'celeriac'
import { expect, test } from 'vitest'
import { JobFailed } from '../../../src/core/errors.ts'
import { jobOf, onEverySystem, statesIn } from '../../fixtures/system.ts'

onEverySystem((system) => {
  test('B1: results are in the order written, whatever finishes first', async () => {
    const { app, result, stage, tasks } = system()
    expect(await result(group(tasks.add.s(2, 2), tasks.add.s(4, 4)))).toEqual([4, 8])
    const gates = [stage.word(), stage.word(), stage.word()]
    const handle = await app.submit(group(...gates.map((gate, index) => tasks.slow.s(index, gate))))
    for (const gate of gates) await stage.arrived(gate)
    for (const gate of gates.toReversed()) stage.open(gate)
    expect(await handle.result()).toEqual([0, 1, 2])
  })

  test('B2: one member is still a list', async () => {
    const { result, tasks } = system()
    expect(await result(group(tasks.id.s(1)))).toEqual([1])
    expect(await result(chain(tasks.id.s(1), group(tasks.id.s())))).toEqual([1])
  })

  test('B3: no member is an empty list', async () => {
    const { result, tasks } = system()
    expect(await result(group())).toEqual([])
    expect(await result(chain(tasks.id.s(1), group(), tasks.sum.s()))).toBe(0)
    expect(await result(chord([], tasks.sum.s()))).toBe(0)
  })

  test('B4: nested groups give nested lists', async () => {
    const { result, tasks } = system()
    expect(await result(group(tasks.id.s(1), group(tasks.id.s(2), group(tasks.id.s(3)))))).toEqual([1, [2, [3]]])
  })

  test('B5: a result that flows into a group is given to each member', async () => {
    const { result, tasks } = system()
    expect(await result(chain(tasks.id.s(42), group(tasks.id.s(), tasks.add.s(1))))).toEqual([42, 43])
  })

  test('B6: a chain that ends in a group is one member', async () => {
    const { result, tasks } = system()
    expect(await result(group(chain(tasks.id.s(1), group(tasks.id.s(), tasks.add.s(1))), tasks.id.s(9)))).toEqual([
      [1, 2],
      9,
    ])
  })

  test('B7: a group after a group', async () => {
    const { result, tasks } = system()
    expect(await result(chain(group(tasks.add.s(1, 2)), group(tasks.sum.s(), tasks.sum.s())))).toEqual([3, 3])
  })

  test('B8: a chord is a group before a body', async () => {
    const { result, tasks } = system()
    expect(await result(chord([tasks.add.s(2, 2), tasks.add.s(4, 4)], tasks.sum.s()))).toBe(12)
    expect(await result(chain(group(tasks.add.s(2, 2), tasks.add.s(4, 4)), tasks.sum.s()))).toBe(12)
  })

  test('B9: a chain is one member of a header', async () => {
    const { result, tasks } = system()
    expect(await result(chord([chain(tasks.id.s(1), tasks.add.s(1)), tasks.id.s(5)], tasks.sum.s()))).toBe(7)
  })

  test('B10: chords nested in header and body, three deep', async () => {
    const { result, tasks } = system()
    const leaf = () => chord([tasks.id.s(1), tasks.id.s(2)], tasks.sum.s())
    const middle = chord(
      [leaf(), chain(leaf(), tasks.add.s(10)), tasks.id.s(4)],
      chain(tasks.sum.s(), chord([tasks.id.s(), tasks.add.s(1)], tasks.sum.s())),
    )
    // leaf 3 → [3, 13, 4] → 20 → [20, 21] → 41
    expect(await result(chord([middle, group(leaf(), leaf())], tasks.id.s()))).toEqual([41, [3, 3]])
    expect(
      await result(
        chain(
          tasks.id.s(2),
          chord([tasks.id.s(), chord([tasks.id.s(), tasks.mul.s(5)], tasks.sum.s())], tasks.sum.s()),
        ),
      ),
    ).toBe(14)
  })

  test('B11: every job of groups in a row runs exactly once, with its inputs in order', async () => {
    const { app, stage, tasks } = system()
    const word = stage.word()
    const log = () => tasks.log.s(word)
    const handle = await app.submit(
      chain(
        group(tasks.log.s(1, word), tasks.log.s(2, word), tasks.log.s(3, word)),
        group(log(), log(), log(), log()),
        group(log()),
        log(),
      ),
    )
    const list = [1, 2, 3]
    expect(await handle.result()).toEqual([[list, list, list, list]])
    expect(stage.notes(word)).toHaveLength(9)
    expect(stage.notes(word).slice(3)).toEqual([
      list,
      list,
      list,
      list,
      [list, list, list, list],
      [[list, list, list, list]],
    ])
  })

  test('B12: a header of ten thousand', async () => {
    const { result, tasks } = system()
    const header = Array.from({ length: 10_000 }, (_, index) => tasks.id.s(index))
    expect(await result(chord(header, tasks.id.s()))).toEqual(Array.from({ length: 10_000 }, (_, index) => index))
  })

  test('B13: siblings of a failed member go on, and each tells its own outcome', async () => {
    const { app, allFinal, stage, tasks, until } = system()
    const gate = stage.word()
    const handle = await app.submit(group(tasks.fail.s(), tasks.id.s(1), tasks.slow.s(2, gate)))
    await stage.arrived(gate)
    const meanwhile = await until(handle, (snapshot) => jobOf(snapshot, 'fail').state === 'failed')
    expect(meanwhile.state).toBe('running')
    stage.open(gate)
    await expect(handle.result()).rejects.toBeInstanceOf(JobFailed)
    const snapshot = await allFinal(handle)
    expect(snapshot.state).toBe('failed')
    expect(statesIn(snapshot)).toEqual(['fail failed', 'id succeeded', 'slow succeeded'])
    expect(await (await app.job(jobOf(snapshot, 'slow').id)).result()).toBe(2)
  })

  test('B14: fail-fast cancels those that have not run and aborts those that do', async () => {
    const { app, allFinal, stage, tasks } = system()
    const [running, never] = [stage.word(), stage.word()]
    await app.queues.pause('closed')
    const late = tasks.log.with({ queue: 'closed' }).s(1, never)
    const handle = await app.submit(group(tasks.slow.s(1, running), tasks.slowFail.s(0, never), late).failFast())
    await stage.arrived(running)
    stage.open(never)
    const snapshot = await allFinal(handle)
    expect(statesIn(snapshot)).toEqual(['slow cancelled', 'slowFail failed', 'log cancelled'])
    expect(jobOf(snapshot, 'log').reason).toBe('fail-fast')
    expect(stage.notes(never)).toEqual([])
    await expect(handle.result()).rejects.toMatchObject({ jobId: jobOf(snapshot, 'slowFail').id })
  })

  test('B15: a failed header skips the body, wherever in it the failure is', async () => {
    const { app, allFinal, stage, tasks } = system()
    const word = stage.word()
    const body = () => tasks.log.s(word)
    const headers = [
      chord([tasks.id.s(1), tasks.fail.s()], body()),
      chord([tasks.id.s(1), chain(tasks.id.s(1), tasks.fail.s(), tasks.id.s())], body()),
      chord([tasks.id.s(1), group(tasks.id.s(1), group(tasks.fail.s()))], body()),
      chord([tasks.id.s(1), chord([tasks.fail.s()], tasks.sum.s())], body()),
    ]
    for (const canvas of headers) {
      const handle = await app.submit(canvas)
      await expect(handle.result()).rejects.toMatchObject({ failure: { message: 'Expected' } })
      const snapshot = await allFinal(handle)
      expect(jobOf(snapshot, 'log')).toMatchObject({ state: 'skipped', failedJobId: jobOf(snapshot, 'fail').id })
    }
    expect(stage.notes(word)).toEqual([])
  })

  test('B16: two header members fail at the same instant', async () => {
    const { app, allFinal, stage, tasks } = system()
    for (let turn = 0; turn < 10; turn++) {
      const [gate, word] = [stage.word(), stage.word()]
      const header = group(tasks.slowFail.s(1, gate), tasks.slowFail.s(2, gate))
      const handle = await app.submit(chord(header.onError(tasks.onFailure.s(word)), tasks.log.s(word)))
      await stage.arrived(gate, 2)
      stage.open(gate)
      const snapshot = await allFinal(handle)
      expect(snapshot.state).toBe('failed')
      expect(stage.notes(word)).toHaveLength(1)
    }
  })

  test('B17: the last two header members finish at the same instant, a thousand times', async () => {
    const { app, stage, tasks } = system()
    const word = stage.word()
    const handles = await app.submitMany(
      Array.from({ length: 1_000 }, (_, index) => chord([tasks.id.s(index), tasks.id.s(index)], tasks.log.s(word))),
    )
    const results = await Promise.all(handles.map(async (handle) => handle.result()))
    expect(results).toEqual(Array.from({ length: 1_000 }, (_, index) => [index, index]))
    expect(stage.notes(word)).toHaveLength(1_000)
  })
})
