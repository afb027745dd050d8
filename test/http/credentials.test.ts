import { decodeJwt } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { createHandler, serve } from 'celeriac/http'
import { partsOf } from '../../src/app/parts.ts'
import { createKey, revokeKey } from '../../src/http/keys.ts'
import { issueTicket } from '../../src/http/tickets.ts'
import { appByHand } from '../fixtures/app-by-hand.ts'
import { describeEngines } from '../fixtures/store.ts'
import { openApi, openApiOn } from './api.ts'
import { audience, issuer, secret, tokenWith } from './identities.ts'

const jwt = { issuer, audience, secret }
const endOf = (token: string): number => decodeJwt(token.replace(/^run_/, '')).exp as number

describeEngines((engine) => {
  const open = () => openApiOn(engine, { auth: { jwt } })

  test('a run token ends no later than what it was asked for with, through any number of hands', async () => {
    const { app, as } = await open()
    const connection = await partsOf(app).connect()
    const { key, about } = await createKey(connection, { name: 'shop', scopes: ['read', 'submit'], expiresIn: '1h' })
    const users = await tokenWith({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600 })
    const ends: readonly (readonly [string, number])[] = [
      [key, about.expiresAt!.getTime() / 1000],
      [users, endOf(users)],
    ]
    for (const [token, end] of ends) {
      const { id } = (await as(token)('POST', '/api/tasks/math.add', { args: [1, 2] })).body
      let holder = token
      for (let hands = 1; hands <= 3; hands++) {
        const made = await as(holder)('POST', `/api/collections/${id}/token`)
        expect(made.status).toBe(201)
        holder = made.body.token
        expect(endOf(holder)).toBeLessThanOrEqual(end)
        expect((await as(holder)('POST', `/api/collections/${id}/cancel`)).status).toBe(403)
      }
    }
    const own = await (await app.submit(app.task('own', () => 1).s())).token({ expiresIn: '1m' })
    const { sub } = decodeJwt(own.slice(4))
    const next = (await as(own)('POST', `/api/collections/${sub}/token`)).body.token
    expect(endOf(next)).toBeLessThanOrEqual(endOf(own))
  })

  test('a ticket opens nothing once what it was asked for with has ended', async () => {
    const { app, handler } = await open()
    const connection = await partsOf(app).connect()
    const ann = { name: 'ann', scopes: ['read'], actor: 'ann', collectionId: null } as const
    const status = async (until: number): Promise<number> => {
      const { ticket, expiresAt } = await issueTicket(connection, { ...ann, until })
      expect(expiresAt.getTime()).toBeLessThanOrEqual(until)
      return (await handler(new Request(`http://localhost/api/events?ticket=${ticket}`, { method: 'HEAD' }))).status
    }
    expect(await status(Date.now() + 600_000)).toBe(200)
    expect(await status(Date.now())).toBe(401)
  })

  test('what was made with a key opens nothing when the key is revoked', async () => {
    const { app, as, ask } = await open()
    const connection = await partsOf(app).connect()
    const { key, about } = await createKey(connection, { name: 'shop', scopes: ['read', 'submit'] })
    const { key: other } = await createKey(connection, { name: 'other', scopes: ['read'] })
    const { id } = (await as(key)('POST', '/api/tasks/math.add', { args: [1, 2] })).body
    const token = async (by: string) => (await as(by)('POST', `/api/collections/${id}/token`)).body.token as string
    const ticket = async (by: string) => (await as(by)('POST', '/api/tickets')).body.ticket as string
    const first = await token(key)
    const [made, others] = [[first, await token(first)], await token(other)]
    const tickets = [await ticket(key), await ticket(first)]
    for (const one of made) expect((await as(one)('GET', `/api/collections/${id}`)).status).toBe(200)
    await revokeKey(connection.engine, about.id)
    // One that has not asked before is told at once; who was let in just now, within five seconds.
    const elsewhere = await openApi({ url: connection.engine.url as string }, { auth: { jwt } })
    for (const one of made) {
      expect((await elsewhere.as(one)('GET', `/api/collections/${id}`)).status).toBe(401)
      expect((await elsewhere.as(one)('POST', `/api/collections/${id}/token`)).status).toBe(401)
    }
    for (const one of tickets)
      expect((await elsewhere.ask('GET', `/api/collections/${id}/events?ticket=${one}`)).status).toBe(401)
    expect((await elsewhere.as(others)('GET', `/api/collections/${id}`)).status).toBe(200)
    expect((await ask('GET', `/api/collections/${id}`)).status).toBe(401)
  })

  test.each([
    ['nothing', {}, ['read', 'submit', 'operate']],
    ['a text', { scope: 'openid read' }, ['read']],
    ['a list', { scope: ['read'] }, ['read']],
    ['scp as a list', { scp: ['read', 'submit'] }, ['read', 'submit']],
    ['scp as a text', { scp: 'operate' }, ['operate']],
    ['both', { scope: 'read', scp: ['submit'] }, ['read', 'submit']],
    ['an empty text', { scope: '' }, []],
    ['an empty list', { scope: [] }, []],
    ['null', { scope: null }, []],
    ['a number', { scope: 1 }, []],
    ['an object', { scope: { read: true } }, []],
    ['a scope of another program', { scope: 'jobs:read' }, []],
    ['scopes of other programs in scp', { scp: ['jobs.read', 'mail'] }, []],
    ['a scope in other letters', { scope: 'READ' }, []],
    ['a list in a list', { scope: [['admin']] }, []],
    ['lists with commas', { scope: 'read,admin' }, []],
  ] as const)('scopes: %s', async (_, claims, may) => {
    const { as } = await open()
    const ann = as(await tokenWith({ sub: 'ann', ...claims }))
    const asked = {
      read: await ann('GET', '/api/jobs'),
      submit: await ann('POST', '/api/tasks/math.add', { args: [1, 2] }),
      operate: await ann('POST', '/api/jobs/nobody/cancel'),
      admin: await ann('POST', '/api/jobs/nobody/retry', { args: [1] }),
    }
    const allowed = Object.entries(asked).filter(([, { status }]) => status !== 403)
    expect(allowed.map(([scope]) => scope)).toEqual(may)
  })
})

describe('what code of the app’s own grants', () => {
  test.each([
    ['a text of scopes', { scopes: 'administrator', actor: 'ann' }],
    ['no scopes', { actor: 'ann' }],
    ['no actor', { scopes: ['read'] }],
    ['an actor that is no text', { scopes: ['read'], actor: 7 }],
    ['an actor with a NUL', { scopes: ['read'], actor: 'a\0' }],
    ['a misspelt name', { scopes: ['read'], actor: 'ann', untill: 1 }],
  ])('%s is a fault, not more', async (_, granted) => {
    const faults: unknown[] = []
    const onError = (error: unknown): void => void faults.push(error)
    const identify = () => ({ name: 'ann', ...granted }) as never
    const { ask } = await openApi({ url: 'sqlite::memory:' }, { auth: { identify }, onError })
    expect((await ask('GET', '/api/jobs')).status).toBe(500)
    expect(faults).toHaveLength(1)
  })

  test.each<readonly [string, () => unknown]>([
    ['a text of scopes', () => ({ scopes: 'administrator' })],
    ['a scope that is not known', () => ({ scopes: ['read', 'write'] })],
    ['an actor that is no text', () => ({ actor: 7 })],
    ['an actor of no letters', () => ({ actor: '' })],
    ['an actor with a NUL', () => ({ actor: 'a\0' })],
    ['a misspelt name', () => ({ scope: ['read'] })],
    ['null', () => null],
    ['nothing', () => undefined],
    ['a text', () => 'read'],
    ['a text that comes later', async () => Promise.resolve('read')],
    [
      'what it throws',
      () => {
        throw new Error('barred')
      },
    ],
    ['what it throws later', async () => Promise.reject(new Error('barred'))],
  ])('for a token: %s is a fault, not more', async (_, answer) => {
    const faults: unknown[] = []
    const onError = (error: unknown): void => void faults.push(error)
    const auth = { jwt: { ...jwt, access: answer as never } }
    const { as } = await openApi({ url: 'sqlite::memory:' }, { auth, onError })
    expect((await as(await tokenWith({}))('GET', '/api/jobs')).status).toBe(500)
    expect(faults).toHaveLength(1)
  })

  test('it may take its time to say', async () => {
    const access = async () => Promise.resolve({ scopes: ['read'] as const })
    const { as } = await openApi({ url: 'sqlite::memory:' }, { auth: { jwt: { ...jwt, access } } })
    const ann = as(await tokenWith({}))
    expect((await ann('GET', '/api/jobs')).status).toBe(200)
    expect((await ann('POST', '/api/tasks/math.add', { args: [1, 2] })).status).toBe(403)
  })
})

test.each([
  ['a misspelt way to know users', { auth: { identfy: () => null } }],
  ['a misspelt option', { openLocal: false }],
  ['half of what tokens are known by', { auth: { jwt: { secret } } }],
  ['a misspelt option of tokens', { auth: { jwt: { ...jwt, acess: () => ({}) } } }],
  ['no function', { auth: { identify: true } }],
  ['an empty text for tokens', { auth: { jwt: '' } }],
  ['null for tokens', { auth: { jwt: null } }],
  ['false for tokens', { auth: { jwt: false } }],
  ['zero for tokens', { auth: { jwt: 0 } }],
  ['no address of keys', { auth: { jwt: { issuer: 'i', audience: 'a', jwks: '' } } }],
  ['an address of another kind', { auth: { jwt: { issuer: 'i', audience: 'a', jwks: 'file:///keys' } } }],
  ['a text of algorithms', { auth: { jwt: { ...jwt, algorithms: 'HS256' } } }],
  ['no algorithms', { auth: { jwt: { ...jwt, algorithms: [] } } }],
  ['a secret that is a list', { auth: { jwt: { ...jwt, secret: Array(40).fill(7) } } }],
  ['an issuer that is no text', { auth: { jwt: { ...jwt, issuer: 7 } } }],
])('%s is refused', (_, options) => {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  expect(() => createHandler(app, options as never)).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }))
})

test('a stream of events breaks off when the key that opened it is revoked', async () => {
  const { app, clock, engine } = appByHand()
  const { url, close } = await serve(app, { port: 0 })
  onTestFinished(close)
  const { key, about } = await createKey({ runtime: clock, engine }, { name: 'shop', scopes: ['read'] })
  const answer = await fetch(`${url}/api/events`, { headers: { authorization: `Bearer ${key}` } })
  const reader = answer.body!.getReader()
  expect(new TextDecoder().decode((await reader.read()).value)).toContain('event: start')
  await revokeKey(engine, about.id)
  const end = reader.read()
  clock.pass(5_000)
  await expect(end).rejects.toThrow()
})
