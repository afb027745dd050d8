import pg from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import { isFinal } from '../../src/core/transitions.ts'
import { Connection } from '../../src/engines/redis/connection.ts'
import { partsOf } from '../../src/engine/parts.ts'
import { groupOf, plainJob, submission } from '../fixtures/graphs.ts'
import { failed, hand, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const count = 6_000
const group = (): Graph => ({
  ...groupOf(),
  jobs: Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 })),
  barriers: [{ inputs: count, feeds: null, gate: null }],
  exit: 0,
})

/** Calls between two requests that somebody sends to a server, after each answer. */
function betweenRequests(call: () => Promise<unknown>): void {
  let isCalling = false
  const around = (of: object, name: 'send' | 'query'): void => {
    const methods = of as Record<string, (...args: unknown[]) => unknown>
    const real = methods[name]!
    const spy = vi.spyOn(methods, name).mockImplementation(function (this: unknown, ...args) {
      const answer = real.apply(this, args)
      if (isCalling || !(answer instanceof Promise)) return answer
      isCalling = true
      return answer.then(async (value: unknown) => {
        await call().finally(() => (isCalling = false))
        return value
      })
    })
    onTestFinished(() => spy.mockRestore())
  }
  around(Connection.prototype, 'send')
  around(pg.Client.prototype, 'query')
}

onEveryEngine((open) => {
  test('the counts of a large collection are those of the jobs that come with them, whatever happens meanwhile', async () => {
    const { engine, second } = await open()
    const graph = group()
    const parts = partsOf(graph, engine.partSize)
    for (let part = 0; part < parts.length; part++) await engine.upload(graph, part, null)
    await engine.submit([submission(graph)])
    const other = second()
    const worker = await hand(other)
    await engine.collection(graph.id, { jobs: false })
    let settled = 0
    betweenRequests(async () => {
      for (const job of await worker.claim(100)) await worker.settle(job, settled++ % 7 === 0 ? failed() : succeeded(1))
    })
    for (let times = 0; times < 3; times++) {
      const { jobs, counts, progress } = (await engine.collection(graph.id))!
      const of = (state: string): number => jobs.filter((job) => job.state === state).length
      expect(jobs).toHaveLength(count)
      expect(counts).toEqual(Object.fromEntries(Object.keys(counts).map((state) => [state, of(state)])))
      expect(progress).toEqual({ done: jobs.filter(({ state }) => isFinal(state)).length, total: count })
    }
    if (engine.name !== 'sqlite') expect(settled).toBeGreaterThan(0)
  })
})
