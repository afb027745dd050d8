import { expect, test } from 'vitest'
import pg from 'pg'
import { systemRuntime } from '../../core/runtime.ts'
import { settingsOfUrl, urlOf } from './options.ts'
import { postgres, postgresFromUrl } from './postgres.ts'

const refused = (url: string): string => {
  try {
    postgresFromUrl(url)
  } catch (error) {
    expect(error).toMatchObject({ code: 'BAD_URL' })
    return (error as Error).message
  }
  return expect.fail(`${url} was taken.`)
}

test('a url names the server, the schema and how to go about it', () => {
  expect(settingsOfUrl('postgres://ann:secret@db.local:6432/shop?schema=jobs&size=3&listen=false&timeout=900')).toEqual(
    {
      url: 'postgres://ann:secret@db.local:6432/shop',
      schema: 'jobs',
      size: 3,
      listen: false,
      timeout: 900,
      clock: 'store',
    },
  )
  expect(settingsOfUrl('postgresql:///shop')).toMatchObject({
    schema: 'celeriac',
    size: 5,
    listen: 'auto',
    timeout: 5_000,
  })
})

test('what pg takes is handed to it, and what it does without is left out', () => {
  expect(settingsOfUrl('postgres://h/d?sslmode=verify-full&channel_binding=require&application_name=shop').url).toBe(
    'postgres://h/d?sslmode=verify-full&application_name=shop',
  )
})

test('the url of an engine opens the same store in the same way', () => {
  const url = 'postgres://ann:p%40ss@h/d?sslmode=require&schema=jobs&size=2&listen=false&timeout=900&clock=process'
  const again = urlOf(settingsOfUrl(url)) as string
  expect(settingsOfUrl(again)).toEqual(settingsOfUrl(url))
  expect(postgresFromUrl('postgres://h/d')(systemRuntime).url).toBe('postgres://h/d')
  const { url: withOptions } = postgres({ url: 'postgres://h/d', schema: 'jobs', size: 7 })(systemRuntime)
  expect(settingsOfUrl(withOptions as string)).toMatchObject({ schema: 'jobs', size: 7 })
})

test('options count for more than what the url says', () => {
  const { url } = postgres({ url: 'postgres://h/d?schema=jobs', schema: 'others' })(systemRuntime)
  expect(settingsOfUrl(url as string).schema).toBe('others')
})

test('a wrong url is refused in one sentence that does not tell the password', () => {
  const wrong = {
    'postgres:db': 'begins with postgres://',
    'http://ann:secret@h/d': 'begins with postgres://',
    'postgres://ann:secret@one,two/d': 'names one host',
    'postgres://ann:sec%ret@h/d': '%25 for "%"',
    'postgres://ann:secret@h:port/d': 'cannot be read',
    'postgres://ann:secret@h/d?shema=jobs': 'did you mean "schema"?',
    'postgres://ann:secret@h/d?pgbouncer=true': 'there are schema, size, listen, timeout',
    'postgres://ann:secret@h/d?listen=maybe': "true, false or 'auto' is needed",
    'postgres://ann:secret@h/d?size=0': 'a whole number from 1 to 1000 is needed, not 0',
    'postgres://ann:secret@h/d?size=many': "a whole number from 1 to 1000 is needed, not 'many'",
    'postgres://ann:secret@h/d?timeout=5': 'from 100 to',
    'postgres://ann:secret@h/d?clock=sun': "one of 'store', 'process' is needed",
  }
  for (const [url, said] of Object.entries(wrong)) {
    const message = refused(url)
    expect(message).toContain(said)
    expect(message).not.toMatch(/secret|sec%ret/)
  }
})

test('a schema is named with small letters, digits and underscores', () => {
  for (const schema of ['jobs', '_jobs', 'jobs_2', 'a'.repeat(48)])
    expect(postgres({ url: 'postgres://h/d', schema })).toBeTypeOf('function')
  for (const schema of ['', 'Jobs', '2jobs', 'my-jobs', 'my jobs', 'a"b', 'jöbs', 'a'.repeat(49), 'pg_jobs', 'jobs;'])
    expect(() => postgres({ url: 'postgres://h/d', schema }), schema).toThrow(
      /^postgres: schema: a schema is named with small letters/,
    )
  expect(refused('postgres://h/d?schema=My-Jobs')).toMatch(/In the PostgreSQL url: postgres: schema: .*small letters/)
})

test('options that are none are refused', () => {
  const made = (options: object): unknown => postgres(options)
  expect(() => made({})).toThrow('a url such as postgres://user@host/database is needed, or a pool of your own')
  expect(() => made({ url: 'postgres://h/d', pol: 1 })).toThrow('did you mean "pool"?')
  expect(() => made({ url: 5 })).toThrow('a text such as postgres://user@host/database is needed')
  expect(() => made({ pool: {} })).toThrow('a Pool of the package pg is needed')
  expect(() => made({ pool: new pg.Client() })).toThrow('a Pool of the package pg is needed')
  expect(() => made({ pool: new pg.Pool(), url: 'postgres://h/d' })).toThrow('give one of them')
  expect(() => made({ url: 'postgres://h/d', size: 1.5 })).toThrow('a whole number from 1 to 1000 is needed, not 1.5')
})

test("a user's own pool has no url to open it by", () => {
  expect(postgres({ pool: new pg.Pool() })(systemRuntime).url).toBeNull()
})
