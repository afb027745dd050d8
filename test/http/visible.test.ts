import { chain, group } from 'celeriac'
import { expect, test } from 'vitest'
import { accepted, type Scope } from 'celeriac/http'
import { partsOf } from '../../src/app/parts.ts'
import type { HandlerOptions } from '../../src/http/api.ts'
import { createKey, listKeys, revokeKey } from '../../src/http/keys.ts'
import { describeEngines } from '../fixtures/store.ts'
import { type Api, openApi, openApiOn } from './api.ts'
import { audience, identityProvider, issuer, secret, tokenWith } from './identities.ts'

const jwt = { issuer, audience, secret }

describeEngines((engine) => {
  const open = (options: HandlerOptions): Promise<Api> => openApiOn(engine, options)

  test('a user sees what that user asked for, everywhere, and nothing of anybody else', async () => {
    const { as, app, tasks, work } = await open({ auth: { jwt } })
    const [ann, bob] = [as(await tokenWith({ sub: 'ann' })), as(await tokenWith({ sub: 'bob' }))]
    await work()
    const canvas = chain(tasks.add.s(1, 2), group(tasks.steps.si(1), tasks.steps.si(2)))
    const sent = await ann('POST', '/api/collections', { canvas: JSON.parse(JSON.stringify(canvas)) })
    expect(sent).toMatchObject({ status: 202, body: { actor: { id: 'ann' } } })
    const { id, jobs } = sent.body
    await (await app.collection(id)).result()
    const own = (await bob('POST', '/api/tasks/math.add', { args: [3, 4] })).body.id
    const nobodys = await app.submit(tasks.add.s(5, 6))
    await Promise.all([own, nobodys.id].map(async (other) => (await app.collection(other)).result()))

    expect((await ann('GET', `/api/collections/${id}`)).body).toMatchObject({ state: 'succeeded' })
    expect((await ann('GET', '/api/collections')).body.items.map(idOf)).toEqual([id])
    expect((await bob('GET', '/api/collections')).body.items.map(idOf)).toEqual([own])
    expect((await bob('GET', '/api/jobs')).body.items.map(idOf)).toEqual([own])
    expect((await bob('GET', '/api/jobs?text=steps')).body.items).toEqual([])
    expect((await bob('GET', `/api/jobs?collection=${id}`)).body.items).toEqual([])
    expect((await bob('GET', '/api/jobs?actor=ann')).body.items).toEqual([])
    expect((await ann('GET', '/api/counts')).body).toMatchObject({
      jobs: { succeeded: 3 },
      collections: { succeeded: 1 },
    })
    expect((await bob('GET', '/api/counts')).body).toMatchObject({
      jobs: { succeeded: 1 },
      collections: { succeeded: 1 },
    })
    expect((await bob('GET', '/api/counts?actor=ann')).status).toBe(403)

    const unknown = '01a20050-8ac2-7113-b78d-6992027b03ae'
    for (const foreign of [id, nobodys.id]) {
      for (const [method, path] of operationsOn('collections', foreign))
        expect(withoutId(await bob(method, path), foreign)).toEqual(
          withoutId(await bob(method, path.replace(foreign, unknown)), unknown),
        )
    }
    for (const [method, path] of operationsOn('jobs', jobs[1].id))
      expect(withoutId(await bob(method, path), jobs[1].id)).toEqual(
        withoutId(await bob(method, path.replace(jobs[1].id, unknown)), unknown),
      )
    expect((await (await app.collection(id)).snapshot()).round).toBe(1)
  })

  test('what belongs to everybody, and acting as somebody else, is not for users', async () => {
    const { as } = await open({ auth: { jwt } })
    const ann = as(await tokenWith({ sub: 'ann', scope: 'openid read submit operate' }))
    for (const [method, path] of [
      ['GET', '/api/queues'],
      ['POST', '/api/queues/default/pause'],
      ['GET', '/api/workers'],
      ['GET', '/api/statistics'],
    ] as const)
      expect((await ann(method, path)).body, path).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    const send = (options: object) => ann('POST', '/api/tasks/math.add', { args: [1, 2], options })
    expect((await send({ actor: { id: 'bob' } })).status).toBe(403)
    expect((await send({ unique: { key: 'k', on_conflict: 'replace' } })).status).toBe(403)
    expect((await send({ actor: { id: 'ann' } })).status).toBe(202)
    expect((await ann('GET', '/api/tasks')).body.items.map((one: { name: string }) => one.name)).not.toContain('hidden')
    expect((await ann('GET', '/api/tasks/hidden')).status).toBe(404)
  })

  test('a user is not told where an error was thrown; who runs the service is', async () => {
    const { as, app, work } = await open({ auth: { jwt } })
    const ann = as(await tokenWith({ sub: 'ann' }))
    const { id } = (await ann('POST', '/api/tasks/fail', { args: ['no such image'] })).body
    await work()
    await expect((await app.job(id)).result()).rejects.toThrow('no such image')
    const everywhere = [`/api/jobs/${id}`, `/api/collections/${id}`, '/api/jobs', '/api/collections']
    for (const path of [...everywhere, `/api/collections/${id}/events`, `/api/jobs/${id}/events`]) {
      const { body } = await ann('GET', path)
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      expect(text, path).toContain('no such image')
      expect(text, path).not.toContain('"stack"')
    }
    const key = await createKey(await partsOf(app).connect(), { name: 'ops', scopes: ['read'] })
    expect((await as(key.key)('GET', `/api/jobs/${id}`)).body.failure.stack).toContain('no such image')
  })

  test('the query of a callback’s address is for its owner and for those who may act', async () => {
    const { as, app } = await open({ auth: { jwt } })
    const ann = as(await tokenWith({ sub: 'ann', scope: 'read submit' }))
    const callback_url = 'https://hooks.example.org/done?token=s3cret#s3cret'
    const sent = await ann('POST', '/api/tasks/math.add', { args: [1, 2], callback_url })
    const { id } = sent.body
    const keyFor = async (...scopes: Scope[]) =>
      as((await createKey(await partsOf(app).connect(), { name: scopes.join(), scopes })).key)
    const token = as((await ann('POST', `/api/collections/${id}/token`)).body.token)
    // Nothing is sent: no worker runs here.
    await (await app.job(sent.body.jobs[0].id)).cancel()
    const paths = [`/api/collections/${id}`, `/api/collections/${id}/events`, '/api/collections']
    const textOf = async (ask: Api['ask'], path: string): Promise<string> => {
      const { body } = await ask('GET', path)
      return typeof body === 'string' ? body : JSON.stringify(body)
    }
    const readers = { token, reads: await keyFor('read') }
    const owners = { ann, operates: await keyFor('read', 'operate'), admin: await keyFor('admin') }
    for (const path of paths) {
      for (const [who, ask] of Object.entries(readers)) {
        if (who === 'token' && path === '/api/collections') continue
        const text = await textOf(ask, path)
        expect(text, `${who} ${path}`).toContain('"callback_url":"https://hooks.example.org/done"')
        expect(text, `${who} ${path}`).not.toContain('s3cret')
      }
      for (const [who, ask] of Object.entries(owners))
        expect(await textOf(ask, path), `${who} ${path}`).toContain(`"callback_url":"${callback_url}"`)
    }
    const handed = (await (await accepted(await app.collection(id))).json()) as object
    expect(handed).toMatchObject({ callback_url: 'https://hooks.example.org/done' })
  })

  test('an API key opens what its scopes say, until it is revoked or its time is over', async () => {
    const { as, app, ask } = await open({})
    const connection = await partsOf(app).connect()
    const { key: reads, about } = await createKey(connection, { name: 'dashboard', scopes: ['read'] })
    const { key: submits } = await createKey(connection, { name: 'shop', scopes: ['submit'], expiresIn: '30d' })
    const { key: operates } = await createKey(connection, { name: 'ops', scopes: ['operate', 'read'] })
    const { key: admin } = await createKey(connection, { name: 'root', scopes: ['admin'] })
    expect((await ask('GET', '/api/jobs')).body).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' })
    const { id } = (await as(submits)('POST', '/api/tasks/math.add', { args: [1, 2], options: { start_in: '1h' } }))
      .body
    expect((await as(submits)('GET', `/api/jobs/${id}`)).status).toBe(403)
    expect((await as(reads)('GET', `/api/jobs/${id}`)).status).toBe(200)
    expect((await as(reads)('POST', `/api/jobs/${id}/cancel`)).status).toBe(403)
    expect((await as(operates)('POST', `/api/jobs/${id}/cancel`)).status).toBe(200)
    expect((await as(operates)('POST', `/api/jobs/${id}/retry`, { args: [3, 4] })).status).toBe(403)
    expect((await as(admin)('POST', `/api/jobs/${id}/retry`, { args: [3, 4] })).status).toBe(200)
    const names = (await listKeys(connection.engine)).map(({ name }) => name)
    expect(names.sort()).toEqual(['dashboard', 'ops', 'root', 'shop'])
    expect(JSON.stringify(await connection.engine.values('key'))).not.toContain(reads.slice('cel_0123456789ab_'.length))
    const other = reads.slice(0, -43) + submits.slice(-43)
    expect((await as(other)('GET', `/api/jobs/${id}`)).status).toBe(401)
    expect(await revokeKey(connection.engine, about.id)).toBe(true)
    expect(await revokeKey(connection.engine, about.id)).toBe(false)
    // One that has not asked before is told at once; who was let in just now, within five seconds.
    const { as: asElsewhere } = await openApi({ url: connection.engine.url as string }, {})
    expect((await asElsewhere(reads)('GET', '/api/jobs')).status).toBe(401)
  })

  test('tokens of an identity provider are known by its public keys', async () => {
    const provider = await identityProvider()
    const { as } = await open({ auth: { jwt: { issuer, audience, jwks: provider.jwks } } })
    const answer = await as(await provider.token('ann'))('POST', '/api/tasks/math.add', { args: [1, 2] })
    expect(answer).toMatchObject({ status: 202, body: { actor: { id: 'ann' } } })
  })

  test('what a token lets do may be said by the app', async () => {
    const access = ({ groups }: Readonly<Record<string, unknown>>) =>
      Array.isArray(groups) && groups.includes('staff') ? { scopes: ['admin' as const], actor: null } : {}
    const { as, app, tasks } = await open({ auth: { jwt: { ...jwt, access } } })
    const { id } = await app.submit(tasks.add.s(1, 2))
    expect((await as(await tokenWith({ groups: ['staff'] }))('GET', `/api/jobs/${id}`)).status).toBe(200)
    expect((await as(await tokenWith({ groups: ['guests'] }))('GET', `/api/jobs/${id}`)).status).toBe(404)
  })

  test('a run token opens one collection, to look at', async () => {
    const { as, app, tasks, ask } = await open({ auth: { jwt } })
    const collection = await app.submit(chain(tasks.add.s(1, 2), tasks.steps.si(1)))
    const other = await app.submit(tasks.add.s(1, 2))
    const holder = as(await collection.token())
    const { jobs } = (await holder('GET', `/api/collections/${collection.id}`)).body
    expect((await holder('GET', `/api/jobs/${jobs[1].id}`)).status).toBe(200)
    expect((await holder('GET', '/api/jobs')).body.items.map(idOf).sort()).toEqual(jobs.map(idOf).sort())
    expect((await holder('GET', `/api/collections/${other.id}`)).status).toBe(404)
    expect((await holder('GET', `/api/jobs?collection=${other.id}`)).body.items).toEqual([])
    expect((await holder('GET', '/api/collections')).status).toBe(403)
    expect((await holder('GET', '/api/counts')).status).toBe(403)
    expect((await holder('POST', `/api/collections/${collection.id}/cancel`)).status).toBe(403)
    expect((await holder('POST', '/api/tasks/math.add', { args: [1, 2] })).status).toBe(403)
    const made = await as(await tokenWith({ sub: 'ann' }))('POST', `/api/collections/${collection.id}/token`)
    expect(made.status).toBe(404)
    expect((await ask('GET', `/api/collections/${collection.id}`)).status).toBe(401)
  })

  test('a ticket opens a stream once, as who asked for it', async () => {
    const { as, ask, app, tasks, work } = await open({ auth: { jwt } })
    const ann = as(await tokenWith({ sub: 'ann' }))
    const { id } = (await ann('POST', '/api/tasks/math.add', { args: [1, 2] })).body
    const foreign = await app.submit(tasks.add.s(1, 2))
    await work()
    const ticket = async () => (await ann('POST', '/api/tickets')).body.ticket as string
    const first = await ticket()
    const opened = await ask('GET', `/api/collections/${id}/events?ticket=${first}`)
    expect(opened.status).toBe(200)
    expect(opened.body).toContain('event: settled')
    expect((await ask('GET', `/api/collections/${id}/events?ticket=${first}`)).status).toBe(401)
    expect((await ask('GET', `/api/collections/${foreign.id}/events?ticket=${await ticket()}`)).status).toBe(404)
    expect((await ask('GET', `/api/collections/${id}?ticket=${await ticket()}`)).status).toBe(401)
    expect((await as(await ticket())('GET', `/api/collections/${id}`)).status).toBe(401)
  })

  test('who asks may be known by something else', async () => {
    const identify = ({ headers }: Request) =>
      headers.get('cookie') === 'session=ann'
        ? { name: 'Ann', scopes: ['read', 'submit'] as const, actor: 'ann' }
        : null
    const { ask } = await open({ auth: { identify }, origins: ['https://app.example.com'] })
    const cookie = { cookie: 'session=ann' }
    expect((await ask('POST', '/api/tasks/math.add', { args: [1, 2] }, cookie)).body.actor).toEqual({ id: 'ann' })
    expect((await ask('GET', '/api/jobs')).status).toBe(401)
    expect((await ask('GET', '/api/jobs', undefined, { ...cookie, origin: 'https://evil.example' })).status).toBe(403)
    expect((await ask('GET', '/api/jobs', undefined, { ...cookie, origin: 'https://app.example.com' })).status).toBe(
      200,
    )
    expect((await ask('GET', '/api/jobs', undefined, { ...cookie, origin: 'http://localhost' })).status).toBe(200)
  })
})

const idOf = ({ id }: { id: string }): string => id

const operationsOn = (kind: 'collections' | 'jobs', id: string): readonly (readonly [string, string])[] => [
  ['GET', `/api/${kind}/${id}`],
  ['POST', `/api/${kind}/${id}/retry`],
  ['POST', `/api/${kind}/${id}/cancel`],
  ['GET', `/api/${kind}/${id}/events`],
  ...(kind === 'collections' ? [['POST', `/api/${kind}/${id}/token`] as const] : []),
]

const withoutId = ({ status, body }: { status: number; body: unknown }, id: string) => ({
  status,
  body: JSON.parse(JSON.stringify(body).replaceAll(id, 'id')) as unknown,
})
