import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { sqlite } from '../../src/engines/sqlite/sqlite.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { manualRuntime } from '../fixtures/clock.ts'
import { alone, groupOf, submission } from '../fixtures/graphs.ts'
import { collectionState, hand, sweepAll } from '../fixtures/hand.ts'
import { monitorOf } from '../fixtures/monitored.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `job-${n}`)
const collections = 12

/** Cancels many collections of more jobs than one call may touch: each call leaves something to be done. */
async function leaveMuch(engine: Engine): Promise<string[]> {
  const graphs = Array.from({ length: collections }, () => groupOf(...names(1_000)))
  for (const graph of graphs) await engine.submit([submission(graph)])
  await Promise.all(graphs.map((graph) => engine.cancel({ collectionId: graph.id })))
  return graphs.map(({ id }) => id)
}

onEveryEngine((open) => {
  test('what many large changes left is done in order, whatever is written meanwhile', async () => {
    const { engine, clock } = await open()
    const ids = await leaveMuch(engine)
    await engine.submit([submission(alone('beside'))])
    expect((await (await hand(engine)).claim(1)).map(({ task }) => task)).toEqual(['beside'])
    await sweepAll(engine, clock.now())
    for (const id of ids) expect(await collectionState(engine, { id })).toBe('cancelled')
  }, 60_000)
})

test('a write reads of what is left the one item to go on with: SQLite', async () => {
  const sizes: number[] = []
  let kept = 0
  class Counting extends DatabaseSync {
    override prepare(sql: string): StatementSync {
      const statement = super.prepare(sql)
      if (sql.startsWith('insert into celeriac_work')) {
        const run = statement.run.bind(statement) as (...values: unknown[]) => ReturnType<StatementSync['run']>
        statement.run = (...values: unknown[]) => {
          kept++
          return run(...values)
        }
      }
      if (!/^\s*select[^;]*from celeriac_work/.test(sql)) return statement
      const get = statement.get.bind(statement) as (...values: unknown[]) => ReturnType<StatementSync['get']>
      const all = statement.all.bind(statement) as (...values: unknown[]) => ReturnType<StatementSync['all']>
      statement.get = (...values: unknown[]) => {
        sizes.push(1)
        return get(...values)
      }
      statement.all = (...values: unknown[]) => {
        const rows = all(...values)
        sizes.push(rows.length)
        return rows
      }
      return statement
    }
  }
  const database = new Counting(':memory:')
  const engine = sqlite({ database })(manualRuntime())
  await engine.migrate()
  await leaveMuch(engine)
  await engine.submit([submission(alone('beside'))])
  expect(kept).toBeGreaterThan(collections / 2)
  expect(Math.max(...sizes)).toBe(1)
  await engine.close()
  database.close()
})

onEveryEngine(
  (open) => {
    test('a write reads of what is left the one item to go on with', async () => {
      const { engine } = await open()
      await engine.migrate()
      const monitor = await monitorOf(engine)
      await leaveMuch(engine)
      await engine.submit([submission(alone('beside'))])
      const key = `"{${monitor.namespace}}:work"`
      const reads = (await monitor.take()).filter(
        (line) => line.includes(key) && /"(HGETALL|HVALS|ZRANGE|HSCAN)"/i.test(line),
      )
      expect(reads.length).toBeGreaterThan(collections)
      expect(reads.filter((line) => !line.includes(`"ZRANGE" ${key} "0" "0"`))).toEqual([])
    })
  },
  ['redis'],
)
