import { expect, test } from 'vitest'
import pg from 'pg'
import { systemRuntime } from '../../core/runtime.ts'
import { freshToken, hand, succeeded } from '../../../test/fixtures/hand.ts'
import { graphOf, submission } from '../../../test/fixtures/graphs.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres()
const closing = closedAfterEach()

// The snapshot of the claim takes what it changed itself for committed as soon as somebody with a higher number has committed.
test('what one claim leaves for its size is found by the next, whoever committed while it ran', async () => {
  const engine = postgres({ url: own.server.url, schema: 'left_large' })(systemRuntime)
  const client = new pg.Client(own.server.url)
  await client.connect()
  closing.push(async () => {
    await client.end()
    await engine.close()
  })
  const large = JSON.stringify(['x'.repeat(256 * 1024 - 4)])
  const links = Array.from({ length: 40 }, () =>
    graphOf(
      { first: { feeds: 0 }, large: { args: large, behind: 0, feeds: 1, input: { from: 'results', shape: 'one' } } },
      [{}, {}],
    ),
  )
  for (let at = 0; at < links.length; at += 20)
    await engine.submit(links.slice(at, at + 20).map((graph) => submission(graph)))
  const worker = await hand(engine)
  const firsts = await worker.claim(500)
  expect(firsts.length).toBe(40)

  // The outcomes are half stored, and so have a number, when they have to wait; meanwhile others commit.
  await client.query('begin')
  await client.query('select 1 from left_large.collections order by number desc limit 1 for update')
  const both = Promise.all([
    engine.settle(firsts.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) }))),
    engine.claim({ session: worker.session.id, token: freshToken(), limit: 500, queues: null }),
  ])
  await expect
    .poll(async () => {
      const { rows } = await client.query<{ waiting: boolean }>(
        'select exists (select 1 from pg_locks where not granted) as waiting',
      )
      return rows[0]?.waiting
    })
    .toBe(true)
  await commitSomething()
  await client.query('rollback')
  const [answers, { jobs }] = await both
  expect(new Set(answers)).toEqual(new Set(['accepted']))
  expect(jobs.length).toBe(32)
  expect((await worker.claim(500)).length).toBe(8)
})

async function commitSomething(): Promise<void> {
  const client = new pg.Client(own.server.url)
  await client.connect()
  await client.query('select pg_current_xact_id()')
  await client.end()
}
