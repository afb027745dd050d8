import { describe, expect, onTestFinished, test } from 'vitest'
import { createHandler } from 'celeriac/http'
import { partsOf } from '../../src/app/parts.ts'
import type { HandlerOptions } from '../../src/http/api.ts'
import { createKey } from '../../src/http/keys.ts'
import { appByHand } from '../fixtures/app-by-hand.ts'
import { describeEngines } from '../fixtures/store.ts'
import { turns } from '../fixtures/working.ts'
import { openApiOn, readAnswer, requestOf } from './api.ts'

/** An API whose store says how many reads of everything are under way. */
function open(auth: HandlerOptions['auth'] = 'none') {
  const state = { underWay: 0, most: 0, count: 0, fails: false }
  const gates: (() => void)[] = []
  const scan = async <T>(look: () => Promise<T>): Promise<T> => {
    state.count++
    state.most = Math.max(state.most, ++state.underWay)
    await new Promise<void>((resolve) => gates.push(resolve))
    state.underWay--
    if (state.fails) throw new Error('a fault')
    return look()
  }
  const { app, clock } = appByHand({
    wrap: (engine) => ({
      ...engine,
      counts: (query) => scan(() => engine.counts(query)),
      jobs: (query) => scan(() => engine.jobs(query)),
      collections: (query) => scan(() => engine.collections(query)),
    }),
  })
  const handler = createHandler(app, { auth, onError: () => {} })
  onTestFinished(() => handler.close())
  const ask = async (path: string, user?: string) =>
    readAnswer(await handler(requestOf('GET', path, undefined, user === undefined ? {} : { 'x-user': user })))
  const letGo = async (): Promise<void> => {
    for (let quiet = 0; quiet < 5; quiet++) {
      if (gates.length > 0) quiet = 0
      for (const open of gates.splice(0)) open()
      await turns()
    }
  }
  return { state, clock, ask, letGo }
}

describe('reads of everything', () => {
  test.each([
    '/api/counts',
    '/api/jobs?text=x',
    '/api/jobs?task=a*',
    '/api/jobs?state=failed',
    '/api/collections?tag=a',
  ])('%s: one for all who ask the same within two seconds', async (path) => {
    const { state, clock, ask, letGo } = open()
    const asked = [1, 2, 3, 4, 5].map(() => ask(path))
    await letGo()
    expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([200]))
    expect(state.count).toBe(1)
    clock.pass(1_999)
    await ask(path)
    expect(state.count).toBe(1)
    clock.pass(1)
    const again = ask(path)
    await letGo()
    await again
    expect(state.count).toBe(2)
  })

  test('are made one at a time, whatever is asked', async () => {
    const { state, ask, letGo } = open()
    const asked = ['/api/counts', '/api/jobs?text=a', '/api/jobs?text=b', '/api/collections?state=failed'].map((path) =>
      ask(path),
    )
    await turns()
    expect(state).toMatchObject({ count: 1, underWay: 1 })
    await letGo()
    await Promise.all(asked)
    expect(state).toMatchObject({ count: 4, most: 1 })
  })

  test('that fail are made anew, and hold nobody up', async () => {
    const { state, ask, letGo } = open()
    state.fails = true
    const failing = ask('/api/counts')
    const next = ask('/api/jobs?text=a')
    await turns()
    await letGo()
    expect((await failing).status).toBe(500)
    expect((await next).status).toBe(500)
    state.fails = false
    const again = ask('/api/counts')
    await letGo()
    expect((await again).status).toBe(200)
  })

  test('a page without a filter is none', async () => {
    const { state, ask, letGo } = open()
    const asked = ['/api/jobs', '/api/jobs', '/api/collections?limit=3'].map((path) => ask(path))
    await turns()
    expect(state.underWay).toBe(3)
    await letGo()
    await Promise.all(asked)
  })

  describe('of users, whose work no index tells', () => {
    const auth: HandlerOptions['auth'] = {
      identify: (request) => {
        const user = String(request.headers.get('x-user'))
        return { name: user, scopes: ['read'], actor: user }
      },
    }

    test.each(['/api/jobs', '/api/jobs?limit=1', '/api/collections', '/api/jobs?text=a'])(
      '%s: one at a time for each, who does not wait for another',
      async (path) => {
        const { state, ask, letGo } = open(auth)
        const asked = [
          ...[1, 2, 3].map((n) => ask(`${path}${path.includes('?') ? '&' : '?'}cursor=${n}`, 'ann')),
          ask(path, 'bob'),
        ]
        await turns()
        expect(state).toMatchObject({ count: 2, underWay: 2 })
        await letGo()
        expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200, 200])
        expect(state).toMatchObject({ count: 4, most: 2 })
      },
    )

    test('are four at once, and each gets a turn before anybody gets the second', async () => {
      const { state, ask, letGo } = open(auth)
      const order: string[] = []
      const users = ['ann', 'ann', 'ann', 'b', 'c', 'd', 'e', 'f']
      const asked = users.map(async (user) => {
        await ask('/api/jobs', user)
        order.push(user)
      })
      await turns()
      expect(state).toMatchObject({ count: 4, underWay: 4 })
      await letGo()
      await Promise.all(asked)
      expect(state).toMatchObject({ count: 8, most: 4 })
      expect(new Set(order.slice(0, 6))).toEqual(new Set(users))
    })

    test('without a filter tell what has just been sent', async () => {
      const { state, ask, letGo } = open(auth)
      const first = ask('/api/jobs', 'ann')
      await letGo()
      await first
      const second = ask('/api/jobs', 'ann')
      await letGo()
      await second
      expect(state.count).toBe(2)
    })

    test('that fail hold up neither that user nor others', async () => {
      const { state, ask, letGo } = open(auth)
      state.fails = true
      const failing = Array.from({ length: 6 }, (_, n) => [ask('/api/jobs', `u${n}`), ask('/api/jobs', `u${n}`)]).flat()
      await letGo()
      expect((await Promise.all(failing)).map(({ status }) => status)).toEqual(Array(12).fill(500))
      state.fails = false
      const again = ask('/api/jobs', 'u0')
      await letGo()
      expect((await again).status).toBe(200)
    })
  })
})

describeEngines((engine) => {
  test('who may not read is told that it was done, and nothing of what is there', async () => {
    const { app, as, tasks } = await openApiOn(engine, {})
    const connection = await partsOf(app).connect()
    const keyed = async (...scopes: readonly string[]) => as((await createKey(connection, { name: 'key', scopes })).key)
    const operate = await keyed('operate')
    const submit = await keyed('submit')
    const both = await keyed('operate', 'read')
    const { id } = await app.submit(tasks.resize.s({ width: 1, name: 'geheim' }), { idempotencyKey: 'known' })
    const quiet = async (
      ask: typeof operate,
      path: string,
      body?: unknown,
      headers?: Readonly<Record<string, string>>,
    ) => {
      const { status, body: told } = await ask('POST', path, body, headers)
      expect(JSON.stringify(told)).not.toContain('geheim')
      return { status, told }
    }
    const cancelled = { id, state: 'cancelled', round: 1 }
    expect(await quiet(operate, `/api/collections/${id}/cancel`)).toEqual({ status: 200, told: cancelled })
    expect(await quiet(operate, `/api/jobs/${id}/cancel`)).toMatchObject({
      status: 200,
      told: { id, state: 'cancelled' },
    })
    const retried = await quiet(operate, `/api/collections/${id}/retry`)
    expect(retried).toEqual({ status: 200, told: { id, state: 'running', round: 2 } })
    await quiet(operate, `/api/jobs/${id}/cancel`)
    const job = await quiet(operate, `/api/jobs/${id}/retry`)
    expect(job).toEqual({ status: 200, told: { id, collection_id: id, state: 'queued' } })
    expect((await quiet(operate, '/api/queues/default/pause')).told).toEqual({ name: 'default', paused: true })
    // What somebody else sent under that key.
    const sent = await quiet(
      submit,
      '/api/tasks/images.resize',
      { args: [{ width: 1, name: 'geheim' }] },
      { 'idempotency-key': 'known' },
    )
    expect(sent.told.id).toBe(id)
    expect((await both('POST', `/api/collections/${id}/cancel`)).body.jobs).toHaveLength(1)
  })
})
