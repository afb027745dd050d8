import { describe, expect, test } from 'vitest'
import { chain, group } from 'celeriac'
import { z } from 'zod'
import { partsOf } from '../../src/app/parts.ts'
import { createKey } from '../../src/http/keys.ts'
import { describeEngines } from '../fixtures/store.ts'
import { openApi, openApiOn } from './api.ts'
import { audience, issuer, secret, tokenWith } from './identities.ts'

const jwt = { issuer, audience, secret }
const unique = { key: 'k', on_conflict: 'replace' }

describeEngines((engine) => {
  /** An API with tasks that leave this and that to their callers, and three who ask. */
  async function open() {
    const { app, as } = await openApiOn(engine, { auth: { jwt } })
    const expose = true
    const tasks = {
      bare: app.task('bare', { expose }, (n: number) => n),
      bound: app.task('bound', { expose, timeout: '500ms', expires: '1m', tags: ['billing'] }, (n: number) => n),
      open: app.task(
        'open',
        { expose, timeout: '500ms', accepts: ['queue', 'priority', 'retry', 'timeout', 'retention', 'tags', 'unique'] },
        (n: number) => n,
      ),
    }
    const connection = await partsOf(app).connect()
    const keyed = async (scope: string) => as((await createKey(connection, { name: scope, scopes: [scope] })).key)
    return {
      tasks,
      ann: as(await tokenWith({ sub: 'ann' })),
      shop: await keyed('submit'),
      admin: await keyed('admin'),
    }
  }

  test('callers shorten what a task is bound by, and widen nothing', async () => {
    const { ann, shop, admin } = await open()
    const cases: readonly (readonly [string, object, number])[] = [
      ['bound', { timeout: 499 }, 202],
      ['bound', { timeout: '500ms' }, 202],
      ['bound', { timeout: '1h' }, 403],
      ['bound', { expires: '30s' }, 202],
      ['bound', { expires: '2m' }, 403],
      ['bound', { tags: ['mine'] }, 403],
      ['bound', { start_in: '1h', description: 'later', idempotency_key: 'one' }, 202],
      ['bare', { timeout: '1h', expires: '1h', tags: ['mine'] }, 202],
      ['bare', { start_at: '2030-01-01T00:00:00Z' }, 202],
      ['bare', { queue: 'fast' }, 403],
      ['bare', { priority: 1000 }, 403],
      ['bare', { priority: -1 }, 403],
      ['bare', { retention: '5200w' }, 403],
      ['bare', { retry: { limit: 1_000_000, backoff: { base: 0 } } }, 403],
      ['open', { queue: 'fast', priority: 5, retention: 0, tags: ['mine'], timeout: '1h', retry: { limit: 2 } }, 202],
    ]
    for (const [task, options, status] of cases) {
      const body = { args: [1], options }
      const what = `${task} ${JSON.stringify(options)}`
      for (const ask of [ann, shop]) expect((await ask('POST', `/api/tasks/${task}`, body)).status, what).toBe(status)
      expect((await admin('POST', `/api/tasks/${task}`, body)).status, what).toBe(202)
    }
    expect((await shop('POST', '/api/tasks/bare', { args: [1], options: { unique } })).status).toBe(403)
    expect((await shop('POST', '/api/tasks/open', { args: [1], options: { unique } })).status).toBe(202)
    expect((await ann('POST', '/api/tasks/open', { args: [1], options: { unique } })).status).toBe(403)
    const refused = await ann('POST', '/api/tasks/bound', { args: [1], options: { timeout: '1h' } })
    expect(refused.body).toMatchObject({
      code: 'FORBIDDEN',
      detail: expect.stringMatching(/options\.timeout: .*task bound .*accepts: \['timeout'\].*scope admin/),
    })
  })

  test('nor by a canvas, wherever it says so', async () => {
    const { ann, admin, tasks } = await open()
    const { bare, bound, open: free } = tasks
    const wide = { timeout: '1h' } as const
    const step = bare.si(1)
    const refused = [
      bound.s(1).with(wide),
      chain(bare.s(1), bound.s()).with(wide),
      group(bare.s(1), group(bound.s(1)).with(wide)),
      chain(bare.s(1), step.onError(bound.si(1).with(wide))),
      free.s(1).onSuccess(bare.si(1)).with({ priority: 1 }),
      group().with({ retention: '5200w' }),
      group(bare.s(1)).with({ retention: '5200w' }),
    ]
    for (const canvas of refused) {
      expect((await ann('POST', '/api/collections', { canvas }, {})).status, JSON.stringify(canvas)).toBe(403)
      expect((await admin('POST', '/api/collections', { canvas }, {})).status, JSON.stringify(canvas)).toBe(202)
    }
    const options = { timeout: '1h' }
    const taken = [
      [chain(bare.s(1), free.s()).with(wide), {}],
      // Side branches do not take over time-outs.
      [bare.s(1).onSuccess(bound.si(1)), options],
      [bound.s(1).with({ timeout: 10 }), options],
      [group(bound.s(1).with({ timeout: 10 })).with(wide), {}],
    ] as const
    for (const [canvas, given] of taken)
      expect((await ann('POST', '/api/collections', { canvas, options: given })).status).toBe(202)
    expect((await ann('POST', '/api/collections', { canvas: group(bound.s(1)), options })).status).toBe(403)
  })

  test('the number of arguments is checked where a task has no schema', async () => {
    const { app, ask } = await openApiOn(engine)
    const expose = true
    app.task('two', { expose }, (a: number, b: number) => a + b)
    app.task('one or two', { expose }, (a: number, b = 1) => a + b)
    app.task('any', { expose }, (...all: number[]) => all.length)
    app.task('one', { expose }, async (a: { x: number }) => a.x)
    app.task('own', { expose, input: z.number() }, (a) => a)
    app.task('kept', (a: number) => a)
    const cases: readonly (readonly [string, number, number])[] = [
      ['two', 0, 422],
      ['two', 1, 422],
      ['two', 2, 202],
      ['two', 3, 422],
      ['one or two', 0, 422],
      ['one or two', 2, 202],
      ['any', 0, 202],
      ['any', 9, 202],
      ['one', 1, 202],
      ['one', 2, 422],
      ['own', 1, 202],
    ]
    for (const [task, count, status] of cases) {
      const args = Array.from({ length: count }, (_, n) => n)
      const sent = await ask('POST', `/api/tasks/${encodeURIComponent(task)}`, { args })
      expect(sent.status, `${task} ${count}`).toBe(status)
      if (status === 422) expect(sent.body.code).toBe('INVALID_ARGUMENTS')
    }
    const call = (...args: number[]) => ({ type: 'signature', task: 'two', args })
    const chained = (...args: number[]) => ({ canvas: { type: 'chain', links: [call(1, 2), call(...args)] } })
    expect((await ask('POST', '/api/collections', chained())).status).toBe(422)
    expect((await ask('POST', '/api/collections', chained(1))).status).toBe(202)
    expect((await ask('POST', '/api/collections', chained(1, 2, 3))).status).toBe(422)
  })
})

describe('what a task accepts', () => {
  test('is said by names of options', async () => {
    const { app } = await openApi({ url: 'sqlite::memory:' })
    const define = (accepts: unknown) => () => app.task('wrong', { accepts: accepts as never }, () => 1)
    expect(define(['timout'])).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }))
    expect(define('timeout')).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }))
  })
})
