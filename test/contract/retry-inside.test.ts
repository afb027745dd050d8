import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { RetryAnswer } from '../../src/engine/control.ts'
import { alone, chainOf, groupOf, jobId, submission } from '../fixtures/graphs.ts'
import { collectionState, continued, failed, hand, jobsOf, statesOf, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const again = async (engine: Engine, id: string, round = 1, mode: 'failed' | 'all' = 'failed'): Promise<RetryAnswer> =>
  engine.retry({ selection: { collectionId: id }, expectedRound: round, mode })
const jobAgain = async (engine: Engine, id: string, round = 1): Promise<RetryAnswer> =>
  engine.retry({ selection: { jobId: id }, expectedRound: round, mode: 'failed' })

onEveryEngine((open) => {
  test('mode all moves the jobs of a continuation to history and calls the handler anew', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const first = chainOf('inner')
    await worker.settle(await worker.take('outer'), continued(first))
    await worker.drain()
    expect(await again(engine, graph.id, 1, 'all')).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ outer: 'queued', after: 'waiting' })
    expect(await engine.job(jobId(first, 'inner'))).toMatchObject({ state: 'succeeded' })
    const outer = await worker.take('outer')
    expect(outer.attempt).toBe(2)
    await worker.settle(outer, continued(chainOf('inner-2')))
    expect(await worker.drain()).toEqual(['inner-2', 'after'])
    expect(await statesOf(engine, graph)).toEqual({ outer: 'succeeded', 'inner-2': 'succeeded', after: 'succeeded' })
  })

  test('what failed inside a continuation runs again; the outer handler is not called', async () => {
    const { engine } = await open()
    const [graph, inner] = [chainOf('outer', 'after'), chainOf('x', 'y', 'z')]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued(inner))
    await worker.drain((job) => (job.task === 'y' ? failed() : succeeded(1)))
    expect(await statesOf(engine, graph)).toEqual({
      outer: 'failed',
      x: 'succeeded',
      y: 'failed',
      z: 'skipped',
      after: 'skipped',
    })
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({
      outer: 'waiting',
      x: 'succeeded',
      y: 'queued',
      z: 'waiting',
      after: 'waiting',
    })
    expect(await worker.drain()).toEqual(['y', 'z', 'after'])
    expect((await jobsOf(engine, graph))['outer']).toMatchObject({ state: 'succeeded', attempt: 1 })
  })

  test('retrying the job that continued acts on the jobs inside', async () => {
    const { engine } = await open()
    const [graph, inner] = [groupOf('outer', 'other'), chainOf('x', 'y')]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [outer] = await worker.claim(1)
    if (!outer) throw new Error('Expected outer.')
    await worker.settle(outer, continued(inner))
    await worker.drain((job) => (job.task === 'x' ? failed() : succeeded(1)))
    expect(await jobAgain(engine, outer.id)).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ outer: 'waiting', x: 'queued', y: 'waiting', other: 'succeeded' })
    expect(await worker.drain()).toEqual(['x', 'y'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('one job inside a continuation: it, what it held up, and the job around it', async () => {
    const { engine } = await open()
    const [graph, inner] = [chainOf('outer', 'after'), chainOf('x', 'y')]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued(inner))
    await worker.drain(() => failed())
    expect(await jobAgain(engine, jobId(inner, 'x'))).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ outer: 'waiting', x: 'queued', y: 'waiting', after: 'waiting' })
    expect(await worker.drain()).toEqual(['x', 'y', 'after'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('a job that failed before it continued is called again', async () => {
    const { engine } = await open()
    const graph = alone('outer')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take())
    await again(engine, graph.id)
    await worker.settle(await worker.take(), continued(chainOf('x')))
    expect(await worker.drain()).toEqual(['x'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })
})
