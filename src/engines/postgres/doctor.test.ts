import pg from 'pg'
import { expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import type { Diagnosis } from '../../engine/engine.ts'
import { chordOf, submission } from '../../../test/fixtures/graphs.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import type { PostgresOptions } from './options.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres({ max_connections: '20' })

const closing = closedAfterEach()
let schema = ''
let count = 0

async function found(
  options: Partial<PostgresOptions> = {},
  runtime = systemRuntime,
): Promise<Record<string, Diagnosis>> {
  schema = `examined_${++count}`
  const engine = postgres({ url: own.server.url, schema, ...options })(runtime)
  closing.push(() => engine.close())
  return Object.fromEntries((await engine.diagnose()).map((each) => [each.check, each]))
}

async function settings(...assignments: string[]): Promise<void> {
  const apply = async (statements: readonly string[]): Promise<void> => {
    for (const statement of [...statements, 'select pg_reload_conf()']) await own.admin.query(statement)
  }
  await apply(assignments.map((assignment) => `alter system set ${assignment}`))
  closing.push(() => apply(['alter system reset all']))
  const [name = '', value = ''] = assignments[0]?.split(' = ') ?? []
  while ((await own.admin.query<Record<string, string>>(`show ${name}`)).rows[0]?.[name] !== value);
}

test('a healthy server has nothing to be done', async () => {
  const checks = await found()
  expect(Object.keys(checks)).toEqual([
    'PostgreSQL',
    'schema',
    'permissions',
    'clock',
    'latency',
    'durability',
    'oldest transaction',
    'dead rows',
    'connections',
    'notifications',
    'large changes under way',
    'upkeep',
    'clock steps',
  ])
  for (const { check, level, advice } of Object.values(checks))
    if (check !== 'latency') expect({ check, level, advice }).toEqual({ check, level: 'ok', advice: '' })
  expect(checks['PostgreSQL']?.found).toMatch(/^\d+\.\d+$/)
  expect(checks['schema']?.found).toBe(`2 in "${schema}"`)
})

test('the clock of this process is compared with that of the server', async () => {
  const late = { ...systemRuntime, now: () => systemRuntime.now() - 60_000 }
  const { clock } = await found({}, late)
  expect(clock).toMatchObject({ level: 'warning', advice: expect.stringContaining('NTP') as string })
  expect(clock?.found).toMatch(/^the server's is (59|60)\d{3} ms ahead of this process's$/)
})

test('who keeps a transaction open is named', async () => {
  const client = new pg.Client({ connectionString: own.server.url, application_name: 'their report' })
  await client.connect()
  closing.push(() => client.end())
  await client.query('begin; select 1')
  expect((await found())['oldest transaction']?.found).toMatch(
    / old, process \d+ of their report in database postgres$/,
  )
})

test('a server with few connections left is warned of, and settings that lose or keep too much', async () => {
  const clients = Array.from({ length: 12 }, () => new pg.Client(own.server.url))
  for (const client of clients) {
    await client.connect()
    closing.push(() => client.end())
  }
  await settings('autovacuum = off', 'synchronous_commit = off')
  const checks = await found()
  expect(checks['connections']).toMatchObject({
    level: 'warning',
    advice: expect.stringContaining('max_connections') as string,
  })
  expect(checks['dead rows']).toMatchObject({ level: 'warning', found: 'autovacuum is off' })
  expect(checks['durability']).toMatchObject({ level: 'warning', found: 'synchronous_commit = off' })
})

test('what is left of large changes is told', async () => {
  schema = `examined_${++count}`
  const engine = postgres({ url: own.server.url, schema })(systemRuntime)
  closing.push(() => engine.close())
  await engine.submit([submission(chordOf(['a', 'b'], 'c'))])
  await own.admin.query(`insert into ${schema}.work (collection, kind, subject) values (1, 0, 1)`)
  const left = (await engine.diagnose()).find(({ check }) => check === 'large changes under way')
  expect(left).toMatchObject({
    level: 'warning',
    found: '1',
    advice: expect.stringContaining('while a worker runs') as string,
  })
})
