import { chain, group } from 'celeriac'
import { expect, test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { type Api, openApiOn } from './api.ts'

describeEngines((engine) => {
  const open = (): Promise<Api> => openApiOn(engine)

  test('a task is sent, read, followed to its end and found in lists', async () => {
    const { ask, work, app } = await open()
    const sent = await ask('POST', '/api/tasks/math.add', {
      args: [1, 2],
      options: { description: 'One and two', tags: ['small'], priority: 3, start_in: 0 },
    })
    expect(sent).toMatchObject({ status: 202, body: { state: 'running', description: 'One and two', tags: ['small'] } })
    const { id } = sent.body
    expect(sent.headers.get('location')).toBe(`/api/collections/${id}`)
    await work()
    expect(await (await app.collection(id)).result()).toBe(3)
    const path = `/api/collections/${id}`
    expect((await ask('GET', path)).body).toMatchObject({
      id,
      state: 'succeeded',
      result: 3,
      jobs: [{ id, args: [1, 2] }],
    })
    const job = await ask('GET', `/api/jobs/${id}`)
    expect(job.body).toMatchObject({
      result: 3,
      priority: 3,
      attempts: [{ attempt: 1, outcome: 'succeeded' }],
      log: [],
    })
    for (const query of ['state=succeeded&state=failed', 'task=math.*', 'tag=small', 'text=ONE+AND', 'after=-1h'])
      expect((await ask('GET', `/api/jobs?${query}`)).body.items, query).toMatchObject([{ id }])
    expect((await ask('GET', '/api/jobs?state=failed')).body).toEqual({ items: [] })
    expect((await ask('GET', '/api/collections?state=succeeded')).body.items).toMatchObject([{ id }])
    expect((await ask('GET', '/api/counts')).body).toMatchObject({
      jobs: { succeeded: 1 },
      collections: { succeeded: 1 },
    })
  })

  test('lists go on page by page, each of them once', async () => {
    const { ask, tasks } = await open()
    const jobs = await tasks.add.delayMany(Array.from({ length: 7 }, (_, n): [number, number] => [n, n]))
    const seen: string[] = []
    for (let cursor = ''; ;) {
      const { body } = await ask('GET', `/api/jobs?limit=3${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)
      seen.push(...body.items.map((job: { id: string }) => job.id))
      if (body.next === undefined) break
      cursor = body.next
    }
    expect(seen).toEqual(jobs.map(({ id }) => id).reverse())
  })

  test('a canvas is sent as its JSON, fails, is retried from what failed, and cancelled', async () => {
    const { ask, app, tasks, work } = await open()
    const canvas = chain(group(tasks.add.s(1, 2), tasks.fail.s('broken')), tasks.steps.si(1))
    const { body } = await ask('POST', '/api/collections', { canvas: JSON.parse(JSON.stringify(canvas)) })
    expect(body).toMatchObject({ state: 'running', counts: { queued: 2, waiting: 1 }, progress: { done: 0, total: 3 } })
    const [one, two, last] = body.jobs.map((job: { id: string }) => job.id)
    expect(body.jobs[2].after).toEqual([one, two])
    await work()
    const collection = await app.collection(body.id)
    await expect(collection.result()).rejects.toThrow('broken')
    const path = `/api/collections/${body.id}`
    const failed = await ask('GET', path)
    expect(failed.body).toMatchObject({ state: 'failed', failure: { message: 'broken' }, failed_job_id: two })
    expect(failed.body.jobs[2]).toMatchObject({ id: last, state: 'skipped', reason: 'upstream', failed_job_id: two })
    const retried = await ask('POST', `${path}/retry`, { mode: 'failed' })
    expect(retried).toMatchObject({ status: 200, body: { id: body.id, round: 2 } })
    await expect(collection.result()).rejects.toThrow('broken')
    expect((await ask('POST', `${path}/retry`)).body.round).toBe(3)
    const cancelled = await ask('POST', `${path}/cancel`)
    expect(cancelled.status).toBe(200)
    expect((await ask('GET', path)).body.round).toBe(3)
  })

  test('what was cancelled before its start time is held by a retry, unless it is to start now', async () => {
    const { ask } = await open()
    for (const kind of ['jobs', 'collections']) {
      const { body } = await ask('POST', '/api/tasks/math.add', { args: [1, 2], options: { start_in: '1h' } })
      const path = `/api/${kind}/${body.id}`
      await ask('POST', `${path}/cancel`)
      await ask('POST', `${path}/retry`)
      expect((await ask('GET', `/api/jobs/${body.id}`)).body.state).toBe('scheduled')
      await ask('POST', `${path}/cancel`)
      expect((await ask('POST', `${path}/retry`, { now: true })).status).toBe(200)
      expect((await ask('GET', `/api/jobs/${body.id}`)).body.state).toBe('queued')
    }
  })

  test('one job is retried, with other arguments, and cancelled', async () => {
    const { ask, app, work } = await open()
    const { body } = await ask('POST', '/api/tasks/images.resize', {
      args: [{ width: 1 }],
      options: { start_in: '1h' },
    })
    const path = `/api/jobs/${body.id}`
    expect((await ask('POST', `${path}/retry`)).body).toMatchObject({ code: 'NOT_SETTLED', status: 409 })
    expect((await ask('POST', `${path}/cancel`)).body).toMatchObject({ state: 'cancelled' })
    const refused = await ask('POST', `${path}/retry`, { args: [{ width: 'wide' }] })
    expect(refused).toMatchObject({ status: 422, body: { code: 'INVALID_ARGUMENTS' } })
    expect((await ask('POST', `${path}/retry`, { args: [{ width: 7 }], now: true })).body).toMatchObject({
      args: [{ width: 7 }],
    })
    await work()
    expect(await (await app.job(body.id)).result()).toEqual({ width: 7, done: true })
  })

  test('an idempotency key gives the first collection again, and is refused for other work', async () => {
    const { ask } = await open()
    const send = (args: unknown[]) => ask('POST', '/api/tasks/math.add', { args }, { 'idempotency-key': 'k-1' })
    const { body } = await send([1, 2])
    expect((await send([1, 2])).body.id).toBe(body.id)
    expect(await send([1, 3])).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_MISMATCH' } })
    expect((await ask('GET', '/api/jobs')).body.items).toHaveLength(1)
  })

  test('who is called back is said by a url, or with the results that it is sent', async () => {
    const { ask } = await open()
    const url = 'https://example.org/hook'
    const send = (called: object) =>
      ask('POST', '/api/tasks/math.add', { args: [1, 2], ...called }, { 'idempotency-key': 'k' })
    const { body } = await send({ callback_url: url })
    expect(body).toMatchObject({ callback_url: url })
    for (const called of [{ callback: { url } }, { callback: { url, results: 'exit' } }])
      expect((await send(called)).body.id).toBe(body.id)
    for (const results of ['none', 'all'])
      expect(await send({ callback: { url, results } })).toMatchObject({ body: { code: 'IDEMPOTENCY_MISMATCH' } })
    expect(await send({ callback: { url }, callback_url: url })).toMatchObject({ body: { code: 'BAD_OPTION' } })
    for (const callback of [{}, { url, results: 'some' }, { url, more: 1 }, url])
      expect(await send({ callback })).toMatchObject({ status: 400 })
    const canvas = { type: 'signature', task: 'math.add', args: [1, 2] }
    const sent = await ask('POST', '/api/collections', { canvas, callback: { url, results: 'none' } })
    expect(sent).toMatchObject({ status: 202, body: { callback_url: url, jobs: [{}, { role: 'callback' }] } })
  })

  test('queues are paused and resumed, workers, tasks and health are told', async () => {
    const { ask, work } = await open()
    expect((await ask('POST', '/api/queues/shop/pause')).body).toMatchObject({ name: 'shop', paused: true })
    expect((await ask('GET', '/api/queues')).body.items).toContainEqual(
      expect.objectContaining({ name: 'shop', paused: true }),
    )
    expect((await ask('POST', '/api/queues/shop/resume')).body).toMatchObject({ name: 'shop', paused: false })
    await work()
    expect((await ask('GET', '/api/workers')).body.items).toMatchObject([{ state: 'running', concurrency: 20 }])
    const { items } = (await ask('GET', '/api/tasks')).body
    expect(items.map((task: { name: string }) => task.name)).toEqual([
      'fail',
      'hidden',
      'images.resize',
      'math.add',
      'steps',
    ])
    expect((await ask('GET', '/api/tasks/images.resize')).body).toMatchObject({
      exposed: true,
      args: { type: 'array', minItems: 1, maxItems: 1, prefixItems: [{ type: 'object', required: ['width'] }] },
    })
    expect((await ask('GET', '/health/live')).body).toEqual({ status: 'ok' })
    expect((await ask('GET', '/health/ready')).body).toEqual({ status: 'ok' })
  })

  test('what is not exposed, and what a task does not take, is refused', async () => {
    const { ask, tasks } = await open()
    expect(await ask('POST', '/api/tasks/hidden', { args: ['x'] })).toMatchObject({ status: 404 })
    expect(await ask('POST', '/api/tasks/images.resize', { args: [{ width: 'wide' }] })).toMatchObject({
      status: 422,
      body: { code: 'INVALID_ARGUMENTS', detail: expect.stringContaining('args[0].width') },
    })
    const canvases = [
      chain(tasks.add.s(1, 2), tasks.hidden.si('x')),
      group(tasks.hidden.s('x')),
      tasks.add.s(1, 2).finally(tasks.hidden.s() as never),
    ]
    for (const canvas of canvases) {
      const answer = await ask('POST', '/api/collections', { canvas: JSON.parse(JSON.stringify(canvas)) })
      expect(answer).toMatchObject({ status: 422, body: { code: 'UNKNOWN_TASK' } })
    }
    expect((await ask('GET', '/api/collections')).body.items).toEqual([])
  })
})
