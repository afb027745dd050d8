import { expect, test } from 'vitest'
import type { ClaimedJob, Heartbeat } from '../../src/engine/work.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { failed, goOn, hand, lease, retried } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const noted = ({ ref, token }: ClaimedJob, values: Record<string, string>): Pick<Heartbeat, 'notes'> => ({
  notes: Object.entries(values).map(([name, value]) => ({ ref, token, note: { name, value } })),
})

onEveryEngine((open) => {
  test('what an attempt keeps is there for the next one, as its worker ends and as it fails', async () => {
    const store = await open()
    const { engine } = store
    await engine.sweep()
    await engine.submit([submission(alone())])
    const [gone, worker] = [await hand(engine), await hand(engine)]
    const first = await gone.take()
    expect(await engine.notes(first.ref)).toEqual([])
    await gone.beat(noted(first, { ':1': '{"line\\n":"☃"}', ':0': 'null' }))
    await goOn(store, 2 * lease, worker)
    const second = await worker.take()
    expect(await engine.notes(second.ref)).toEqual([
      { name: ':0', value: 'null' },
      { name: ':1', value: '{"line\\n":"☃"}' },
    ])
    await worker.beat(noted(second, { ':2': '"long ' + 'x'.repeat(200_000) + '"' }))
    await worker.settle(second, retried(0))
    const third = await worker.take()
    expect((await engine.notes(third.ref)).map(({ name }) => name)).toEqual([':0', ':1', ':2'])
  })

  test('the first value under a name stays; another one, and the same beat again, change nothing', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone())])
    const worker = await hand(engine)
    const job = await worker.take()
    for (const value of ['1', '2', '1']) await worker.beat(noted(job, { x: value }))
    expect(await engine.notes(job.ref)).toEqual([{ name: 'x', value: '1' }])
  })

  test('nothing is kept for a job that does not run under the token given', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone())])
    const worker = await hand(engine)
    const job = await worker.take()
    await worker.beat(noted({ ...job, token: job.token + 1 }, { x: '1' }))
    await worker.settle(job, retried(0))
    await worker.beat(noted(job, { y: '1' }))
    expect(await engine.notes(job.ref)).toEqual([])
  })

  test('a retry of what failed keeps them, other arguments and a retry of everything erase them', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const again = async (round: number, mode: 'failed' | 'all', args?: string): Promise<ClaimedJob> => {
      const selection = args === undefined ? { collectionId: graph.id } : { jobId: graph.id }
      const answer = await engine.retry({ selection, expectedRound: round, mode, ...(args && { args }) })
      expect(answer).toBe('retried')
      return worker.take()
    }
    let job = await worker.take()
    await worker.beat(noted(job, { x: '1' }))
    await worker.settle(job, failed())
    job = await again(1, 'failed')
    expect(await engine.notes(job.ref)).toEqual([{ name: 'x', value: '1' }])
    await worker.settle(job, failed())
    job = await again(2, 'failed', '[1]')
    expect(await engine.notes(job.ref)).toEqual([])
    await worker.beat(noted(job, { x: '2' }))
    await worker.succeed(job)
    job = await again(3, 'all')
    expect(await engine.notes(job.ref)).toEqual([])
  })

  test('they go with the job', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    await worker.beat(noted(job, { x: '1' }))
    await worker.succeed(job)
    expect(await engine.remove(graph.id)).toBe('removed')
    while ((await engine.sweep()).nextAt === 0);
    expect(await engine.notes(job.ref)).toEqual([])
  })
})
