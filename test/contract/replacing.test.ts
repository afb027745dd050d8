import { expect, test } from 'vitest'
import pg from 'pg'
import type { Graph } from '../../src/core/graph.ts'
import type { Submission } from '../../src/engine/intake.ts'
import { alone, chainOf, groupOf, submission } from '../fixtures/graphs.ts'
import { freshToken, hand } from '../fixtures/hand.ts'
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
    test.each(kinds)(
      'a claim that is not committed is waited for before its holder is replaced: %s',
      async (_, make) => {
        const { engine, clock, second } = await open()
        const [old, fresh] = [make(), make()]
        await engine.submit([holding(old)])
        const { session } = await hand(engine)
        const address = new URL(engine.url as string)
        const schema = address.searchParams.get('schema')
        address.search = ''
        const [claiming, watching] = [address.href, address.href].map(
          (connectionString) => new pg.Client({ connectionString }),
        )
        await Promise.all([claiming!.connect(), watching!.connect()])
        try {
          await claiming!.query('begin')
          const claim = `select seq from ${schema}.claim($1, $2, $3, 1, null, null, false)`
          const { rows } = await claiming!.query(claim, [clock.now(), session.id, freshToken()])
          expect(rows).toHaveLength(2)
          const replacing = second().submit([holding(fresh)])
          const isWaiting = `select 1 from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.query like '%${schema}%'`
          while ((await watching!.query(isWaiting)).rowCount === 0);
          await claiming!.query('commit')
          expect(await replacing).toMatchObject([{ type: 'created' }])
          expect(await engine.collection(old.id)).toMatchObject({ state: 'running', cancelling: false })
          expect((await engine.collection(old.id))?.jobs.filter(({ cancelling }) => cancelling)).toEqual([])
        } finally {
          await Promise.all([claiming!.end(), watching!.end()])
        }
      },
    )
  },
  ['postgres'],
)
