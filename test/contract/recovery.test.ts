import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { goOn, hand, lease } from '../fixtures/hand.ts'
import { onRawStores } from '../fixtures/raw.ts'

onRawStores((open) => {
  const stateOf = async (engine: Engine, id: string): Promise<string | undefined> => (await engine.job(id))?.state

  test('a running job that was removed stops the recovery of no other', async () => {
    const { engine, clock, raw } = await open()
    const graphs = ['a', 'b', 'c'].map((task) => alone(task, { timeout: 60_000 }))
    const [removed, beside, elsewhere] = graphs.map(({ id }) => id) as [string, string, string]
    await engine.submit(graphs.map((graph) => submission(graph)))
    await (await hand(engine)).claim(2)
    await (await hand(engine)).claim(1)
    await raw.removeJob(removed)
    await goOn({ engine, clock }, lease + 3_000)
    expect(await stateOf(engine, beside)).toBe('queued')
    expect(await stateOf(engine, elsewhere)).toBe('queued')
    // Nothing of it is left to come back for.
    await (await hand(engine)).beat({ ended: true })
    expect((await engine.sweep()).faults ?? []).toEqual([])
    await goOn({ engine, clock }, 120_000)
    expect((await engine.sweep()).nextAt).toBeNull()
  })

  test('options that cannot be read let a job time out without another try, and stop no other', async () => {
    const { engine, clock, raw } = await open()
    const retry = { limit: 1, base: 1_000_000, factor: 1, max: 1_000_000, jitter: false }
    const graphs = ['bad', 'good'].map((task) => alone(task, { timeout: 2_000, retry }))
    const [bad, good] = graphs.map(({ id }) => id) as [string, string]
    const lost = alone('lost')
    await engine.submit([...graphs, lost].map((graph) => submission(graph)))
    const worker = await hand(engine)
    await worker.claim(2)
    await (await hand(engine)).claim(1)
    await raw.spoilOptions(bad)
    await goOn({ engine, clock }, lease + 3_000, worker)
    expect(await stateOf(engine, good)).toBe('scheduled')
    expect(await stateOf(engine, lost.id)).toBe('queued')
    expect((await engine.jobs({ limit: 10, states: ['failed'] })).items.map(({ id }) => id)).toEqual([bad])
  })

  test('a chore that fails is told of, and stops no recovery', async () => {
    const { engine, clock, raw } = await open()
    const graph = alone('lost')
    await engine.submit([submission(graph)])
    await engine.putValue({ kind: 'ticket', id: 'over', text: '', lifetime: 1 }, 'replace')
    await (await hand(engine)).claim(1)
    await raw.breakValues()
    const faults: string[] = []
    for (let passed = 0; passed < lease + 12_000; passed += 3_000) {
      clock.pass(3_000)
      for (const { item, error } of (await engine.sweep()).faults ?? []) faults.push(`${item}: ${error.code}`)
    }
    expect(await stateOf(engine, graph.id)).toBe('queued')
    expect(new Set(faults)).toEqual(new Set(['values: STORE_FAILED']))
    expect((await engine.diagnose()).find(({ check }) => check === 'upkeep')).toMatchObject({
      level: 'warning',
      found: expect.stringContaining('values') as string,
    })
    clock.pass(3_600_000)
    expect((await engine.diagnose()).find(({ check }) => check === 'upkeep')).toMatchObject({ level: 'ok' })
  })

  // ── gaps in time ──

  test('an outage longer than the shortest lease is one, whatever longer leases there are', async () => {
    const { engine, clock } = await open()
    const graphs = ['short', 'long'].map((task) => alone(task))
    await engine.submit(graphs.map((graph) => submission(graph)))
    const [short, long] = [await hand(engine), await hand(engine)]
    await long.beat({ lease: 3_600_000 })
    const [job] = await short.claim(1)
    await long.claim(1)
    await engine.sweep()
    clock.pass(60_000)
    await engine.sweep()
    expect(await stateOf(engine, graphs[0]!.id)).toBe('running')
    expect((await short.beat()).lost).toEqual([])
    expect(await short.succeed(job!)).toBe('accepted')
  })

  test('after an outage each worker has its own lease to report, and no longer one', async () => {
    const { engine, clock } = await open()
    const graphs = ['short', 'long'].map((task) => alone(task))
    await engine.submit(graphs.map((graph) => submission(graph)))
    const [short, long] = [await hand(engine), await hand(engine)]
    await long.beat({ lease: 3_600_000 })
    await short.claim(1)
    await long.claim(1)
    await engine.sweep()
    clock.pass(7_200_000)
    await goOn({ engine, clock }, lease + 3_000)
    expect(await stateOf(engine, graphs[0]!.id)).toBe('queued')
    expect(await stateOf(engine, graphs[1]!.id)).toBe('running')
  })

  test('a step of the clock times out no job that runs, and ends none that was to be cancelled', async () => {
    const { engine, clock } = await open()
    const [timed, marked] = [alone('timed', { timeout: 300_000 }), alone('marked')]
    await engine.submit([timed, marked].map((graph) => submission(graph)))
    const worker = await hand(engine)
    const jobs = await worker.claim(2)
    await engine.cancel({ jobId: marked.id })
    clock.pass(500)
    await worker.beat()
    await engine.sweep()
    clock.pass(600_000)
    await engine.sweep()
    expect(await stateOf(engine, marked.id)).toBe('running')
    await goOn({ engine, clock }, 2 * lease, worker)
    expect(await stateOf(engine, timed.id)).toBe('running')
    expect(await worker.succeed(jobs[0]!)).toBe('accepted')
  })

  test('a job whose worker does not stop it has its time-out once more after a step of the clock, and then fails', async () => {
    const { engine, clock } = await open()
    const graph = alone('timed', { timeout: 30_000 })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.claim(1)
    await engine.sweep()
    clock.pass(600_000)
    await goOn({ engine, clock }, 27_000, worker)
    expect(await stateOf(engine, graph.id)).toBe('running')
    await goOn({ engine, clock }, 12_000, worker)
    expect(await engine.job(graph.id)).toMatchObject({ state: 'failed', reason: 'timeout' })
  })

  test('a step of the clock that is taken back at once cancels no job as expired; one that stays does', async () => {
    const { engine, clock } = await open()
    const graph = alone('soon', { expires: 60_000 })
    await engine.submit([submission(graph)])
    await engine.putQueues([{ name: 'default', paused: true }])
    const worker = await hand(engine)
    await engine.sweep()
    clock.pass(600_000)
    await worker.claim(1)
    await engine.sweep()
    expect(await stateOf(engine, graph.id)).toBe('queued')
    clock.pass(-600_000)
    await goOn({ engine, clock }, 3_000, worker)
    expect(await stateOf(engine, graph.id)).toBe('queued')
    clock.pass(600_000)
    await goOn({ engine, clock }, lease + 6_000, worker)
    expect(await engine.job(graph.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
  })

  test('where the clock goes back, a dead worker is missed after its lease, and a diagnosis tells of it', async () => {
    const { engine, clock } = await open()
    const graph = alone('lost')
    await engine.submit([submission(graph)])
    await (await hand(engine)).claim(1)
    await engine.sweep()
    // Another server took over, whose clock is behind.
    clock.pass(-3_900_000)
    await goOn({ engine, clock }, lease + 6_000)
    expect(await stateOf(engine, graph.id)).toBe('queued')
    expect((await engine.diagnose()).find(({ check }) => check === 'clock steps')).toMatchObject({
      level: 'warning',
      found: expect.stringContaining('1h') as string,
    })
  })

  test('of many processes that sweep at once, one does what there is to do', async () => {
    const { engine, clock, second } = await open()
    await hand(engine)
    const others = Array.from({ length: 3 }, () => second())
    clock.pass(3_000)
    const answers = await Promise.all([engine, ...others].map((each) => each.sweep()))
    expect(answers.filter(({ faults }) => faults !== undefined)).toHaveLength(1)
    // What is foreseen is known to each of them.
    expect(new Set(answers.slice(1).map(({ nextAt }) => nextAt !== null))).toEqual(new Set([true]))
  })
})
