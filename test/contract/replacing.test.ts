import { expect, test } from 'vitest'
import pg from 'pg'
import type { Graph } from '../../src/core/graph.ts'
import type { Submission } from '../../src/engine/intake.ts'
import { alone, chainOf, groupOf, submission } from '../fixtures/graphs.ts'
import { hand } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const holding = (graph: Graph, until: 'started' | 'settled' = 'started'): Submission =>
  submission(graph, { unique: { key: 'k', until, onConflict: 'replace' } })
const kinds: readonly [string, () => Graph][] = [
  ['a job alone', () => alone('a')],
  ['a chain', () => chainOf('a', 'b')],
  ['a group', () => groupOf('a', 'b', 'c')],
]

onEveryEngine((open) => {
  test.each(kinds)(
    'what began as it was to be replaced runs on, and what was replaced never begins: %s',
    async (_, make) => {
      const { engine, second } = await open()
      const replacing = second()
      const worker = await hand(second())
      for (let round = 0; round < 25; round++) {
        const [old, fresh] = [make(), make()]
        await engine.submit([holding(old)])
        const [claimed, answers] = await Promise.all([worker.claim(1), replacing.submit([holding(fresh)])])
        expect(answers[0]).toMatchObject({ type: 'created' })
        const began = claimed.some(({ collectionId }) => collectionId === old.id)
        const detail = await engine.collection(old.id)
        if (began) expect(detail).toMatchObject({ cancelling: false, state: 'running' })
        else expect(detail?.jobs.some(({ startedAt }) => startedAt !== null)).toBe(false)
        for (const job of claimed) expect((await engine.job(job.id))?.cancelling).toBe(false)
        await worker.drain()
        for (const job of claimed) await worker.succeed(job)
        await worker.drain()
        expect((await engine.collection(old.id))?.state).toBe(began ? 'succeeded' : 'cancelled')
        expect((await engine.collection(fresh.id))?.state).toBe('succeeded')
      }
    },
    60_000,
  )
})

onEveryEngine(
  (open) => {
    test.each(kinds)('a claim that began before is waited for, and its job runs on: %s', async (_, make) => {
      const { engine, second } = await open()
      const [old, fresh] = [make(), make()]
      await engine.submit([holding(old)])
      const worker = await hand(second())
      const address = new URL(engine.url as string)
      const schema = address.searchParams.get('schema')
      address.search = ''
      const [holder, watching] = [address.href, address.href].map(
        (connectionString) => new pg.Client({ connectionString }),
      )
      await Promise.all([holder!.connect(), watching!.connect()])
      const untilWaiting = async (count: number): Promise<void> => {
        const waiting = `select distinct pid from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.query like '%${schema}%'`
        while ((await watching!.query(waiting)).rowCount !== count);
      }
      try {
        // The claim has taken its job out of line, and has not started it yet: its key is still held.
        await holder!.query('begin')
        await holder!.query(`select 1 from ${schema}.jobs for update`)
        const claiming = worker.claim(1)
        await untilWaiting(1)
        const replacing = engine.submit([holding(fresh)])
        await untilWaiting(2)
        await holder!.query('commit')
        expect((await claiming).map(({ collectionId }) => collectionId)).toEqual([old.id])
        expect(await replacing).toMatchObject([{ type: 'created' }])
        expect(await engine.collection(old.id)).toMatchObject({ state: 'running', cancelling: false })
        expect((await engine.collection(old.id))?.jobs.filter(({ cancelling }) => cancelling)).toEqual([])
      } finally {
        await Promise.all([holder!.end(), watching!.end()])
      }
    })
  },
  ['postgres'],
)
