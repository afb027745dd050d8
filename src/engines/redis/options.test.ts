import { describe, expect, test } from 'vitest'
import { CeleriacError } from '../../core/errors.ts'
import { type RedisOptions, readSettings, settingsOfUrl, urlOf } from './options.ts'

function refusal(act: () => unknown): CeleriacError {
  try {
    act()
  } catch (error) {
    if (error instanceof CeleriacError) return error
    throw error
  }
  return expect.fail('Expected an error.')
}

describe('urls', () => {
  test.each([
    ['redis://localhost', { host: 'localhost', port: 6379, database: 0, tls: false, username: null, password: null }],
    ['redis://', { host: 'localhost', port: 6379 }],
    ['rediss://cache.example:7000/3', { host: 'cache.example', port: 7000, database: 3, tls: true }],
    ['redis://:secret@h', { username: null, password: 'secret' }],
    ['redis://bob:p%40ss%2Fword@h/12', { username: 'bob', password: 'p@ss/word', database: 12 }],
    ['redis://[::1]:6380', { host: '::1', port: 6380 }],
  ])('%s', (url, address) => {
    expect(settingsOfUrl(url).address).toMatchObject(address)
  })

  test('settings stand behind the question mark', () => {
    expect(settingsOfUrl('redis://h?namespace=shop.eu-1&timeout=2s&allowEviction=true')).toMatchObject({
      namespace: 'shop.eu-1',
      timeout: 2_000,
      allowEviction: true,
    })
    expect(settingsOfUrl('redis://h')).toMatchObject({ namespace: 'celeriac', timeout: 5_000, allowEviction: false })
  })

  test('another thread opens the same store by the url of the first', () => {
    for (const url of [
      'redis://h',
      'rediss://bob:p%40ss%2F%3A%25@[::1]:7000/5?namespace=a.b-c_D&timeout=1500ms&allowEviction=true&clock=process',
      'redis://:only%20password@h',
    ])
      expect(settingsOfUrl(urlOf(settingsOfUrl(url)) as string)).toEqual(settingsOfUrl(url))
    expect(urlOf(readSettings({ client: () => ({}) as never }))).toBeNull()
  })

  test.each([
    ['http://h', /begins with redis:/],
    ['redis:h', /begins with redis:/],
    ['redis://h:port', /not a Redis url/],
    ['redis://h/first', /number of the database/],
    ['redis://h/1/2', /number of the database/],
    ['redis://:50%@h', /write %25/],
    ['redis://h?namespace=', /1 to 48 letters/],
    ['redis://h?namespace=a%20b', /1 to 48 letters/],
    ['redis://h?namespace=%7Ba%7D', /1 to 48 letters/],
    [`redis://h?namespace=${'a'.repeat(49)}`, /1 to 48 letters/],
    ['redis://h?schema=a', /there are "namespace"/],
    ['redis://h?allowEviction=yes', /true or false/],
    ['redis://h?timeout=soon', /duration such as 5s/],
    ['redis://h?timeout=0s', /duration such as 5s/],
    ['redis://h?clock=mine', /store or process/],
    ['redis://:pass#word@h', /%23/],
  ])('%s is refused in words', (url, words) => {
    expect(refusal(() => settingsOfUrl(url))).toMatchObject({ code: 'BAD_URL', message: expect.stringMatching(words) })
  })

  test.each([
    'redis://bob:topsecret@h:port',
    'redis://bob:topsecret@h/x',
    'http://bob:topsecret@h',
    'redis://bob:topsecret#@h',
    'redis://bob:topsecret@h?no=thing',
    'redis://bob:topsecret%@h',
  ])('a password is in no error', (url) => {
    expect(refusal(() => settingsOfUrl(url)).message).not.toContain('topsecret')
  })
})

describe('options', () => {
  test('those that are given stand above those of the url', () => {
    const given = { url: 'redis://h/1?namespace=a&timeout=1s', namespace: 'b', database: 2, timeout: '3s' } as const
    expect(readSettings(given)).toMatchObject({ namespace: 'b', timeout: 3_000, address: { host: 'h', database: 2 } })
  })

  test('without any it is the server of this machine', () => {
    expect(readSettings({}).address).toMatchObject({ host: 'localhost', port: 6379, database: 0 })
  })

  test.each<[unknown, RegExp]>([
    [{ namespace: 'a b' }, /a namespace has 1 to 48/],
    [{ namespace: '' }, /a namespace has 1 to 48/],
    [{ namespace: 'a:b' }, /a namespace has 1 to 48/],
    [{ namespace: 7 }, /a namespace has 1 to 48/],
    [{ database: -1 }, /whole number from 0/],
    [{ client: {} }, /function that makes a client/],
    [{ client: () => null, url: 'redis://h' }, /client and url both/],
    [{ client: () => null, database: 1 }, /client and database both/],
    [{ allowEviction: 'yes' }, /true or false/],
    [{ timeout: 0 }, /can only fail/],
    [{ clock: 'mine' }, /'store', 'process'/],
    [{ nameSpace: 'a' }, /namespace/],
    ['redis://h', /given as an object/],
  ])('%j is refused in words', (options, words) => {
    const error = refusal(() => readSettings(options as RedisOptions))
    expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringMatching(words) })
  })
})
