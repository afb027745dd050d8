import { afterEach, expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { goOn, hand, lease } from '../fixtures/hand.ts'
import { manualRuntime, type ManualRuntime } from '../fixtures/clock.ts'
import { type RawStore, rawStore } from '../fixtures/raw.ts'
import { describeEngines } from '../fixtures/store.ts'

interface Broken {
  readonly engine: Engine
  readonly clock: ManualRuntime
  readonly raw: RawStore
}

describeEngines(({ place: makePlace }) => {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  /** A store that has been swept, and a way to damage it. */
  async function open(): Promise<Broken> {
    const place = await makePlace()
    closing.push(() => place.remove())
    const clock = manualRuntime()
    const engine = place.connect(clock)
    closing.push(() => engine.close())
    await engine.sweep()
    const raw = await rawStore(place.url)
    closing.push(() => raw.close())
    clock.pass(1_000)
    return { engine, clock, raw }
  }

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
})
