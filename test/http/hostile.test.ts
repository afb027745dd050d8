import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { partsOf } from '../../src/app/parts.ts'
import { createKey } from '../../src/http/keys.ts'
import { describeEngines } from '../fixtures/store.ts'
import { openApiOn } from './api.ts'
import { audience, forged, identityProvider, issuer, secret, tokenWith } from './identities.ts'

/** What somebody sends, and what is answered: the status, and the code of the problem. */
type Case = readonly [about: string, send: Sending, status: number, code?: string]
interface Sending {
  readonly method?: string
  readonly path?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** null: none. Default: that of a user who may. */
  readonly token?: string | null
}

const now = Math.floor(Date.now() / 1000)
const other = new TextEncoder().encode('another secret of thirty-two bytes or more')
const json = { 'content-type': 'application/json' }
const unknownId = '01a20050-8ac2-7113-b78d-6992027b03ae'
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
const deepCanvas = (depth: number): unknown =>
  depth === 0
    ? { type: 'signature', task: 'math.add', args: [1, 2] }
    : { type: 'chain', links: [deepCanvas(depth - 1)] }
const add = (body: unknown, headers: Readonly<Record<string, string>> = {}): Sending => ({
  method: 'POST',
  path: '/api/tasks/math.add',
  body,
  headers,
})
const canvas = (value: unknown): Sending => ({ method: 'POST', path: '/api/collections', body: { canvas: value } })
const get = (path: string): Sending => ({ path })
const withToken = (token: string | null): Sending => ({ path: '/api/jobs', token })
const withHeader = (authorization: string): Sending => ({ path: '/api/jobs', token: null, headers: { authorization } })

const shapes: readonly Case[] = [
  // ── bodies ────────────────────────────────────────────────────────────────────────────────────────────────────
  ['no JSON', add('{'), 400, 'BAD_REQUEST'],
  ['a list for an object', add([]), 400, 'BAD_REQUEST'],
  ['a text for an object', add('"x"'), 400, 'BAD_REQUEST'],
  ['null for an object', add('null'), 400, 'BAD_REQUEST'],
  ['text that says it is text', add('{}', { 'content-type': 'text/plain' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['a form', add('args=1', { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['a packed body', add(gzipSync('{"args":[1,2]}'), { 'content-encoding': 'gzip' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['a body that only says that it is packed', add({ args: [1, 2] }, { 'content-encoding': 'br' }), 415],
  ['bytes that are not UTF-8', add(new Uint8Array([0x22, 0xff, 0xfe, 0x22])), 400, 'BAD_REQUEST'],
  ['UTF-16', add(new Uint8Array(Buffer.from('{"args":[1,2]}', 'utf16le'))), 400, 'BAD_REQUEST'],
  ['more than a mebibyte', add({ args: ['x'.repeat(1_100_000)] }), 413, 'TOO_LARGE'],
  ['arguments of more than 256 KiB', add({ args: ['x'.repeat(300_000)] }), 413, 'TOO_LARGE'],
  ['arguments nested 65 deep', add(`{"args":[${nested(65)}]}`), 400, 'TOO_DEEP'],
  ['arguments nested 200,000 deep', add(`{"args":[${nested(200_000)}]}`), 400, 'TOO_DEEP'],
  ['a body nested 500,000 deep', add(nested(500_000)), 400, 'BAD_REQUEST'],
  ['options nested 100,000 deep', add(`{"options":{"tags":${nested(100_000)}}}`), 400, 'BAD_REQUEST'],
  ['an unknown field', add({ argument: [1, 2] }), 400, 'BAD_REQUEST'],
  ['arguments that are no list', add({ args: { 0: 1 } }), 400, 'BAD_REQUEST'],
  ['__proto__ as a field', add('{"__proto__":{"args":[1,2]}}'), 400, 'BAD_REQUEST'],
  ['__proto__ in the options', add('{"args":[1,2],"options":{"__proto__":{"priority":5}}}'), 400, 'BAD_REQUEST'],
  ['__proto__ in the arguments', add('{"args":[{"__proto__":{"admin":true}},2]}'), 400, 'NOT_JSON'],
  ['constructor in the options', add({ options: { constructor: { prototype: {} } } }), 400, 'BAD_REQUEST'],
  ['NUL in the arguments', add({ args: ['a\0b', 2] }), 400, 'NOT_JSON'],
  ['half a surrogate pair in the arguments', add('{"args":["\\ud800",2]}'), 400, 'NOT_JSON'],
  ['NUL in the description', add({ options: { description: 'a\0b' } }), 400, 'BAD_OPTION'],
  ['half a surrogate pair in the description', add('{"options":{"description":"\\udc00"}}'), 400, 'BAD_OPTION'],
  ['NUL in a tag', add({ options: { tags: ['a\0'] } }), 400, 'BAD_OPTION'],
  ['a line break in a queue', add({ options: { queue: 'a\nb' } }), 400, 'BAD_OPTION'],
  ['a queue of 10,000 characters', add({ options: { queue: 'q'.repeat(10_000) } }), 400, 'BAD_OPTION'],
  ['an endless priority', add('{"options":{"priority":1e999}}'), 400, 'BAD_REQUEST'],
  ['a priority beyond all', add({ options: { priority: 1e15 } }), 400, 'BAD_OPTION'],
  ['a duration that is none', add({ options: { start_in: 'soon' } }), 400, 'BAD_DURATION'],
  ['a duration before now', add({ options: { start_in: -1 } }), 400, 'BAD_DURATION'],
  ['an instant that is none', add({ options: { start_at: 'tomorrow' } }), 400, 'BAD_REQUEST'],
  ['an instant in another age', add({ options: { start_at: '+275760-09-13T00:00:00Z' } }), 400, 'BAD_REQUEST'],
  ['a duration of ages', add({ options: { start_in: 1e15 } }), 400, 'BAD_DURATION'],
  ['a duration beyond numbers', add('{"options":{"retention":1e308}}'), 400, 'BAD_DURATION'],
  ['retries without end', add({ options: { retry: { limit: 1e12 } } }), 400, 'BAD_OPTION'],
  ['a function for a retry', add({ options: { retry: { limit: 1, when: 'x' } } }), 400, 'BAD_REQUEST'],
  ['names in camelCase', add({ options: { startIn: '1h' } }), 400, 'BAD_REQUEST'],
  ['a transaction', add({ options: { within: {} } }), 400, 'BAD_REQUEST'],
  ['a key of 10,000 characters', add({}, { 'idempotency-key': 'k'.repeat(10_000) }), 400, 'BAD_OPTION'],
  ['an empty key', add({}, { 'idempotency-key': '' }), 400, 'BAD_OPTION'],
  ['two keys', add({ options: { idempotency_key: 'a' } }, { 'idempotency-key': 'b' }), 400, 'BAD_REQUEST'],
  // ── canvases ──────────────────────────────────────────────────────────────────────────────────────────────────
  ['no canvas', canvas(undefined), 400, 'BAD_REQUEST'],
  ['a canvas that is a text', canvas('math.add'), 400, 'NOT_A_CANVAS'],
  ['a canvas of an unknown type', canvas({ type: 'constructor' }), 400, 'NOT_A_CANVAS'],
  ['an empty chain', canvas({ type: 'chain', links: [] }), 400, 'EMPTY_CHAIN'],
  ['a chain with a hole', canvas({ type: 'chain', links: [null] }), 400, 'NOT_A_CANVAS'],
  ['a canvas nested 65 deep', canvas(deepCanvas(65)), 400, 'TOO_DEEP'],
  ['a task of the package itself', canvas({ type: 'signature', task: 'celeriac.each', args: [] }), 422, 'UNKNOWN_TASK'],
  ['a task called __proto__', canvas({ type: 'signature', task: '__proto__', args: [] }), 422, 'UNKNOWN_TASK'],
  ['a task that is not exposed', canvas({ type: 'signature', task: 'hidden', args: [] }), 422, 'UNKNOWN_TASK'],
  ['a group of 40,000', canvas({ type: 'group', members: Array(40_000).fill({}) }), 400, 'NOT_A_CANVAS'],
  // ── paths and queries ─────────────────────────────────────────────────────────────────────────────────────────
  ['a path that is not there', get('/api/nothing'), 404, 'NO_SUCH_PATH'],
  ['a path upwards', get('/api/jobs/../../etc/passwd'), 404, 'NO_SUCH_PATH'],
  ['a path upwards, encoded', get('/api/jobs/..%2f..%2fetc%2fpasswd'), 404, 'NOT_FOUND'],
  ['a path that is not well encoded', get('/api/jobs/%ff'), 404, 'NOT_FOUND'],
  ['an id with NUL', get('/api/jobs/%00'), 404, 'NOT_FOUND'],
  ['an id in SQL', get(`/api/jobs/${encodeURIComponent(`' or 1=1 --`)}`), 404, 'NOT_FOUND'],
  ['an id in capitals', get(`/api/jobs/${unknownId.toUpperCase()}`), 404, 'NOT_FOUND'],
  ['an id of 10,000 characters', get(`/api/jobs/${'a'.repeat(10_000)}`), 404, 'NOT_FOUND'],
  ['an id of nobody', get(`/api/collections/${unknownId}`), 404, 'NOT_FOUND'],
  ['a task called constructor', { ...add({}), path: '/api/tasks/constructor' }, 404, 'NOT_FOUND'],
  ['a method that is not there', { method: 'PUT', path: '/api/jobs' }, 405, 'METHOD_NOT_ALLOWED'],
  ['a method of its own', { method: 'BREW', path: '/api/jobs' }, 405, 'METHOD_NOT_ALLOWED'],
  ['an unknown filter', get('/api/jobs?stat=failed'), 400, 'BAD_REQUEST'],
  ['a filter called __proto__', get('/api/jobs?__proto__=x'), 400, 'BAD_REQUEST'],
  ['a state that is none', get('/api/jobs?state=broken'), 400, 'BAD_REQUEST'],
  ['a filter twice', get('/api/jobs?task=a&task=b'), 400, 'BAD_REQUEST'],
  ['no page at all', get('/api/jobs?limit=0'), 400, 'BAD_REQUEST'],
  ['a page too large', get('/api/jobs?limit=201'), 400, 'BAD_REQUEST'],
  ['a page of no number', get('/api/jobs?limit=many'), 400, 'BAD_REQUEST'],
  ['a cursor of nobody', get('/api/jobs?cursor=abc'), 400, 'BAD_CURSOR'],
  ['a cursor with NUL', get('/api/jobs?cursor=%00'), 400, 'BAD_CURSOR'],
  ['a cursor in SQL', get(`/api/jobs?cursor=${encodeURIComponent('1;drop table x')}`), 400, 'BAD_CURSOR'],
  ['a cursor too long', get(`/api/jobs?cursor=${'a'.repeat(5_000)}`), 400, 'BAD_REQUEST'],
  ['an instant after all', get('/api/jobs?after=99999999999999999999'), 400],
  ['a task filter with NUL', get('/api/jobs?task=%00'), 400, 'BAD_OPTION'],
  ['a tag with half a surrogate pair', get('/api/jobs?tag=%ED%A0%80'), 200],
]

const strangers = async (): Promise<readonly Case[]> => {
  const refused = (about: string, token: string | null): Case => [about, withToken(token), 401, 'UNAUTHENTICATED']
  const header = (about: string, value: string): Case => [about, withHeader(value), 401, 'UNAUTHENTICATED']
  const claims = { sub: 'ann', iss: issuer, aud: audience, exp: now + 600 }
  const good = await tokenWith({})
  const [head, payload, signature] = good.split('.') as [string, string, string]
  return [
    refused('nobody', null),
    refused('a token without an end', await tokenWith({ exp: undefined })),
    refused('a token of yesterday', await tokenWith({ exp: now - 86_400 })),
    refused('a token of tomorrow', await tokenWith({ nbf: now + 86_400 })),
    refused('a token without a subject', await tokenWith({ sub: undefined })),
    refused('a subject that is no text', await tokenWith({ sub: { $ne: null } })),
    refused('an empty subject', await tokenWith({ sub: '' })),
    refused('a subject with NUL', await tokenWith({ sub: 'ann\0' })),
    refused('a subject of 10,000 characters', await tokenWith({ sub: 'a'.repeat(3_000) })),
    refused('another issuer', await tokenWith({ iss: 'https://evil.example/' })),
    refused('another audience', await tokenWith({ aud: 'somewhere else' })),
    refused('no audience', await tokenWith({ aud: undefined })),
    refused('an end that is a text', await tokenWith({ exp: '9999999999' })),
    refused('another secret', await tokenWith({}, { key: other })),
    refused('alg none', forged({ alg: 'none' }, claims)),
    refused('alg None', forged({ alg: 'None', typ: 'JWT' }, claims)),
    refused('alg none with a signature', forged({ alg: 'none' }, claims, signature)),
    refused('no algorithm', forged({ typ: 'JWT' }, claims, signature)),
    refused('a key it brings along', forged({ alg: 'HS256', jwk: { kty: 'oct', k: 'YQ' } }, claims, signature)),
    refused('a key it says where to fetch', forged({ alg: 'ES256', jku: 'http://evil.example/' }, claims, signature)),
    refused('a critical header of its own', forged({ alg: 'HS256', crit: ['x'], x: 1 }, claims, signature)),
    refused(
      'other claims under the same signature',
      `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: 'bob' })).toString('base64url')}.${signature}`,
    ),
    refused('no signature', `${head}.${payload}.`),
    refused('two parts', `${head}.${payload}`),
    refused('five parts', `${good}.a.b`),
    refused('a token that is no token', 'x'),
    refused('a key that is none', `cel_0123456789ab_${'a'.repeat(43)}`),
    refused('a key of another form', 'cel_../../x_y'),
    refused('a run token of nobody', `run_${await tokenWith({ sub: unknownId, aud: 'celeriac:run' })}`),
    refused('a user’s token as a run token', `run_${good}`),
    refused('a ticket as a token', `tkt_${'a'.repeat(43)}`),
    header('basic credentials', 'Basic YW5uOnBhc3M='),
    header('a scheme without a token', 'Bearer'),
    header('two tokens', `Bearer ${good}, Bearer ${good}`),
    header('a token of 100 KB', `Bearer ${'a'.repeat(100_000)}`),
    [
      'a ticket of nobody',
      { path: `/api/jobs/${unknownId}/events?ticket=tkt_${'a'.repeat(43)}`, token: null },
      401,
      'UNAUTHENTICATED',
    ],
    ['a token in the address', { path: `/api/jobs?token=${good}`, token: null }, 401, 'UNAUTHENTICATED'],
    ['a user’s own admin', { path: '/api/queues', token: await tokenWith({ scope: 'read' }) }, 403, 'FORBIDDEN'],
    [
      'a token to read that sends',
      { ...add({ args: [1, 2] }), token: await tokenWith({ scope: 'read' }) },
      403,
      'FORBIDDEN',
    ],
  ]
}

describeEngines((engine) => {
  test('whatever is sent gets its answer, and changes nothing it should not', async () => {
    const failures: unknown[] = []
    const onError = (error: unknown): void => void failures.push(error)
    const { as, ask, app } = await openApiOn(engine, { auth: { jwt: { issuer, audience, secret } }, onError })
    const { key } = await createKey(await partsOf(app).connect(), { name: 'test', scopes: ['admin'] })
    const cases = [...shapes, ...(await strangers())]
    expect(cases.length).toBeGreaterThan(80)
    const wrong: unknown[] = []
    for (const [about, { method = 'GET', path = '/api/jobs', body, headers, token = key }, status, code] of cases) {
      const send = token === null ? ask : as(token)
      const answer = await send(method, path, body, { ...(body !== undefined && json), ...headers })
      const isAsExpected = answer.status === status && (code === undefined || answer.body.code === code)
      if (!isAsExpected) wrong.push({ about, status: answer.status, body: answer.body })
    }
    expect(wrong).toEqual([])
    expect(failures).toEqual([])
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
    const { items } = (await as(key)('GET', '/api/jobs')).body
    expect(items).toEqual([])
  })

  test('of a list with half a million mistakes the length is told, and nothing of each', async () => {
    const { ask } = await openApiOn(engine)
    for (const path of ['/api/tasks/math.add', '/api/collections']) {
      const { status, body } = await ask(
        'POST',
        path,
        `{"canvas":1,"options":{"tags":[${'1,'.repeat(200_000)}1]}}`,
        json,
      )
      expect([status, body.code]).toEqual([400, 'BAD_REQUEST'])
      const told = (body.errors as { path: string; message: string }[]).filter(({ path }) =>
        path.startsWith('body.options'),
      )
      expect(told).toEqual([{ path: 'body.options.tags', message: 'There are 200001 entries: at most 1000 are read.' }])
    }
  })

  test('whoever asks for the head of a stream keeps nobody from following', async () => {
    const { app, tasks, handler } = await openApiOn(engine)
    const { id } = await app.submit(tasks.add.s(1, 2))
    for (const path of [`/api/collections/${id}/events`, `/api/jobs/${id}/events`, '/api/events']) {
      for (let n = 0; n < 20; n++) {
        const head = await handler(new Request(`http://localhost${path}`, { method: 'HEAD' }))
        expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
      }
    }
  })

  test('what is reported of a request is one line, whatever its path', async () => {
    const paths: string[] = []
    const identify = (): never => {
      throw new Error('The sessions are away.')
    }
    const { ask } = await openApiOn(engine, { auth: { identify }, onError: (_, { path }) => void paths.push(path) })
    expect((await ask('GET', '/api/jobs/x%0A2026-01-01%1B%5B31m')).status).toBe(500)
    expect(paths).toEqual(['/api/jobs/x%0A2026-01-01%1B%5B31m'])
  })

  test('a body that says that it is not packed is read', async () => {
    const { ask } = await openApiOn(engine)
    const asIs = { 'content-encoding': 'identity' }
    expect((await ask('POST', '/api/tasks/math.add', { args: [1, 2] }, asIs)).status).toBe(202)
  })

  test('a body that does not say how long it is, is read no further than it may be', async () => {
    const { handler } = await openApiOn(engine)
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65_536).fill(0x20))
        sent++
      },
    })
    const request = { method: 'POST', headers: json, body, duplex: 'half' }
    const answer = await handler(new Request('http://localhost/api/tasks/math.add', request as object))
    expect(answer.status).toBe(413)
    expect(sent).toBeLessThan(20)
  })

  test('a public key is no secret', async () => {
    const provider = await identityProvider()
    const { as } = await openApiOn(engine, { auth: { jwt: { issuer, audience, jwks: provider.jwks } } })
    const confused = await tokenWith({}, { key: provider.publicBytes })
    expect((await as(confused)('GET', '/api/jobs')).status).toBe(401)
    expect((await as(await provider.token('ann'))('GET', '/api/jobs')).status).toBe(200)
    expect((await as(await provider.token('ann', { exp: now - 60 }))('GET', '/api/jobs')).status).toBe(200)
  })
})
