import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { createClient } from '@redis/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Place } from '../../engines.ts'
import { type Ran, runHere } from '../../fixtures/command-line.ts'
import { describeEngines } from '../../fixtures/store.ts'

/** What there is at the place of a store: the files of its folder, its schema, its keys. */
const traces: Readonly<Record<string, (url: string) => Promise<string[]>>> = {
  sqlite: async (url) => readdirSync(dirname(url.slice('sqlite:'.length).replace(/\?.*/, ''))),
  async postgres(url) {
    const client = new pg.Client(url)
    await client.connect()
    const schema = new URL(url).searchParams.get('schema')
    const { rows } = await client.query<{ name: string }>(
      'select nspname::text as name from pg_namespace where nspname = $1',
      [schema],
    )
    await client.end()
    return rows.map(({ name }) => name)
  },
  async redis(url) {
    const client = createClient({ url })
    await client.connect()
    const keys = await client.keys(`{${new URL(url).searchParams.get('namespace')}}:*`)
    await client.close()
    return keys
  },
}

const id = '0199b1f0-0000-7000-8000-000000000000'

describeEngines((engine) => {
  let place: Place
  beforeAll(async () => {
    place = await engine.place()
  })
  afterAll(() => place.remove())

  const celeriac = (line: string): Promise<Ran> =>
    runHere(line.split(' '), { environment: { CELERIAC_URL: place.url }, folder: '/' })
  const found = async (): Promise<string[]> => (await traces[engine.name]?.(place.url)) ?? ['nobody looked']

  it.each([
    'jobs',
    'collections',
    `show ${id}`,
    `follow ${id}`,
    `retry ${id}`,
    `cancel ${id}`,
    'queues',
    'queues pause x',
    'workers',
  ])('%s says that there is no store, and makes none', async (line) => {
    expect(await celeriac(line)).toEqual({
      code: 1,
      out: '',
      err: expect.stringMatching(
        /^error: There is no store at \S+ yet: start a worker .*\(STORE_MISSING\)\n$/,
      ) as string,
    })
    expect(await found()).toEqual([])
  })

  it('doctor says so, and that it can be made', async () => {
    const { code, out } = await celeriac('doctor')
    expect(code).toBe(0)
    expect(out.replaceAll(/\s+/g, ' ')).toMatch(/! store .* is not there yet → It is made when a worker starts/)
    expect(await found()).toEqual([])
  })

  it('copy makes no source, and no target for a source that is not there', async () => {
    const other = await engine.place()
    const ran = await runHere(['copy', '--from', place.url, '--to', other.url])
    expect(ran).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/nothing to copy: .*\(STORE_MISSING\)/) })
    expect([...(await found()), ...((await traces[engine.name]?.(other.url)) ?? [])]).toEqual([])
    await other.remove()
  })

  it('once it was made, it is read', async () => {
    expect((await celeriac('migrate')).code).toBe(0)
    expect(await found()).not.toEqual([])
    expect(await celeriac('jobs')).toEqual({ code: 0, out: '', err: 'No jobs.\n' })
  })
})
