import { Celeriac, chain, type CollectionHandle, currentJob, group, type JobHandle } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { displayWidth } from '../../../src/cli/text.ts'
import type { Place } from '../../engines.ts'
import { type Ran, runHere, type RunOptions } from '../../fixtures/command-line.ts'
import { payloadOf, startReceiver } from '../../fixtures/receiver.ts'
import { describeEngines } from '../../fixtures/store.ts'

describeEngines((engine) => {
  let place: Place
  let app: Celeriac
  let worker: Worker
  let good: CollectionHandle<unknown>
  let bad: CollectionHandle<unknown>
  let alone: JobHandle<string>
  let idle: CollectionHandle<unknown>
  let isShopOpen = false

  beforeAll(async () => {
    place = await engine.place()
    app = new Celeriac({ url: place.url, callbacks: { allow: ['127.0.0.1'] } })
    const order = app.task('shop.order', (item: string) => item.toUpperCase())
    const pay = app.task('shop.pay', (item: string, by: string): string => {
      currentJob().log.warn('asking', { by })
      if (!isShopOpen) throw new Error('the shop is closed\x1b[2J', { cause: new Error('night') })
      return `${item} by ${by}`
    })
    const pack = app.task('shop.pack', (parts: string[]) => parts.join(' + '))
    const notify = app.task('mail.send', (_about: unknown) => {})

    good = await app.submit(chain(order.s('table'), group(order.s(), order.s()), pack.s()), {
      description: 'Buy a table',
      actor: { id: 'user-7' },
      tags: ['furniture'],
    })
    bad = await app.submit(chain(order.s('chair'), group(order.s(), pay.s('card')), pack.s()).onError(notify.s()), {
      description: 'Buy a chair',
    })
    alone = await order.with({ description: 'On its own' }).delay('lamp')
    // Nobody works on this queue.
    idle = await app.submit(order.s('shelf').with({ queue: 'attic' }), { description: 'Buy a shelf' })
    worker = new Worker(app, { queues: ['default'], name: 'wanda' })
    await worker.start()
    await Promise.allSettled([good.result(), bad.result(), alone.result()])
    for await (const event of (await jobOf('mail.send')).events()) if (event.type === 'state') continue
  })

  afterAll(async () => {
    await worker.stop()
    await app.close()
    await place.remove()
  })

  async function jobOf(task: string) {
    const { items } = await app.jobs.list({ task })
    return app.job(items[0]!.id)
  }

  const celeriac = (line: string, options: RunOptions = {}): Promise<Ran> =>
    runHere(line.split(' '), { ...options, environment: { CELERIAC_URL: place.url, ...options.environment } })

  const json = async (line: string): Promise<any> => JSON.parse((await celeriac(`${line} --json`)).out)

  describe('lists', () => {
    it('tell collections, newest first', async () => {
      const { out, code } = await celeriac('collections')
      const lines = out.trimEnd().split('\n')
      expect(code).toBe(0)
      expect(lines[0]).toMatch(/^id +state +done .* about$/)
      expect(lines.slice(1).map((line) => line.replace(/\s.*/s, ''))).toEqual([idle.id, alone.id, bad.id, good.id])
      expect(lines[3]).toMatch(/ ✗ failed .* Buy a chair$/)
      for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80)
    })

    it.each([
      ['collections --state failed', () => [bad.id]],
      ['collections --actor user-7', () => [good.id]],
      ['collections --tag furniture', () => [good.id]],
      ['collections --after 1h --limit 2', () => [idle.id, alone.id]],
      ['collections --before 1h', () => []],
      ['jobs --task shop.* --queue attic', () => [idle.id]],
      ['jobs --state queued,running', () => [idle.id]],
      ['jobs --text "LAMP"', () => [alone.id]],
      ['jobs --text on%its --state succeeded', () => []],
      ['jobs --after 2026-03-01 --before 2026-03-02', () => []],
    ])('%s', async (line, ids) => {
      expect((await json(line)).items.map(({ id }: { id: string }) => id)).toEqual(ids())
    })

    it('tell jobs with all there is room for', async () => {
      const lines = (await celeriac(`jobs --collection ${bad.id}`)).out.trimEnd().split('\n')
      expect(lines[0]).toMatch(/^id +state +task +took +sent$/)
      expect(lines).toHaveLength(6)
      const wide = await celeriac(`jobs --collection ${bad.id}`, { output: { columns: 120 } })
      expect(wide.out).toMatch(/^id +state +task +queue +attempt +took +sent\n/)
    })

    it('go on where the last page ended', async () => {
      const first = await celeriac('collections --limit 3')
      const cursor = /--cursor (\S+),/.exec(first.err)?.[1]
      const rest = await json(`collections --limit 3 --cursor ${cursor}`)
      expect(rest.items.map(({ id }: { id: string }) => id)).toEqual([good.id])
      expect(rest.next).toBeUndefined()
    })

    it('say so where there is nothing', async () => {
      expect(await celeriac('jobs --task nothing')).toEqual({ code: 0, out: '', err: 'No jobs.\n' })
    })

    it('tell workers and queues', async () => {
      expect((await celeriac('workers')).out).toMatch(/\nwanda +running +0 of 20 +default /)
      expect((await json('workers'))[0]).toMatchObject({ name: 'wanda', state: 'running', queues: ['default'] })
      expect((await celeriac('queues')).out).toMatch(/^queue +state +queued +running +scheduled +waiting\n/)
      await celeriac('queues pause attic default')
      expect((await celeriac('queues list')).out).toMatch(/attic +paused +1 /)
      expect(await celeriac('queues resume attic default')).toMatchObject({ code: 0, out: '' })
      expect((await json('queues')).map(({ paused }: { paused: boolean }) => paused)).toEqual([false, false])
    })
  })

  it('names in JSON what the HTTP API names, in the same way', async () => {
    const snapshot = async (): Promise<string> => (await celeriac(`follow ${bad.id} --json`)).out.split('\n')[0]!
    const answers = [
      await Promise.all(['collections', 'jobs', 'workers', 'queues', `show ${bad.id}`].map(json)),
      JSON.parse(await snapshot()),
    ]
    const names = new Set<string>()
    JSON.stringify(answers, (name, value) => (names.add(name), name === 'args' || name === 'data' ? null : value))
    expect([...names].filter((name) => /[A-Z]/.test(name))).toEqual([])
    expect([...names]).toEqual(expect.arrayContaining(['created_at', 'finished_at', 'collection_id', 'seen_at']))
  })

  describe('show', () => {
    it('draws a collection as a tree', async () => {
      const { out, code } = await celeriac(`show ${bad.id}`)
      expect(code).toBe(0)
      const shape = out.split('\n').map((line) => line.replace(/\s+(\d+ ms|\d+\.\d s)?$/, ''))
      const pay = (await jobOf('shop.pay')).id
      expect(`\n${shape.join('\n')}`).toBe(`
✗ failed  Buy a chair
  ${bad.id}
  3 succeeded · 1 failed · 1 skipped

├─ ✓ shop.order  "chair"                                       succeeded
├─ ✗ group of 2  1 succeeded, 1 failed                         failed
│  ├─ ✓ shop.order                                             succeeded
│  └─ ✗ shop.pay  "card"                                       failed
│       the shop is closed\\x1b[2J
│       because night
│       job ${pay}
├─ − shop.pack                                                 skipped
└─ ↳ ✓ mail.send                                               succeeded
`)
    })

    it('shows the result of what succeeded', async () => {
      expect((await celeriac(`show ${good.id}`)).out).toContain('\n  result   "TABLE + TABLE"\n')
      expect(await json(`show ${good.id}`)).toMatchObject({ id: good.id, state: 'succeeded', result: 'TABLE + TABLE' })
    })

    it('shows a job with its failure, attempts and log', async () => {
      const { id } = await jobOf('shop.pay')
      const { out } = await celeriac(`show ${id}`)
      expect(out).toMatch(/^✗ failed {2}shop\.pay /)
      expect(out).toContain(`part of  ${bad.id}`)
      expect(out).toContain('args     ["card"]')
      expect(out).toMatch(/\n {2}the shop is closed\\x1b\[2J\n {4}at .*\n/)
      expect(out).toMatch(/\n {2}because\n {2}night\n/)
      expect(out, 'calls of the worker').not.toMatch(/AsyncLocalStorage|worker\/execute/)
      expect(out).toMatch(/\n {2}attempt .*\n +1 +1 +failed .* wanda/)
      expect(out).toMatch(/ warn {2}asking \{"by":"card"\}\n/)
      for (const line of out.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(80)
      expect(await json(`show ${id}`)).toMatchObject({
        id,
        failure: { cause: { message: 'night' } },
        log: [{ level: 'warn' }],
      })
    })

    it('shows a job alone as what it is', async () => {
      expect((await celeriac(`show ${alone.id}`)).out).toMatch(
        /^✓ succeeded {2}shop\.order .*\n.*\n\n {2}about +On its own\n/,
      )
    })

    it('takes the beginning of an id, of a collection first', async () => {
      expect((await json(`show ${bad.id.slice(0, -1)}`)).id).toBe(bad.id)
      const { id } = await jobOf('shop.pay')
      expect((await json(`show ${id.slice(0, -1).toUpperCase()}`)).id).toBe(id)
      // Its first eight digits tell the minute only.
      expect(await celeriac(`show ${bad.id.slice(0, 8)}`)).toMatchObject({
        code: 2,
        err: expect.stringMatching(/^error: Several ids begin with/),
      })
      expect((await celeriac(`show ${'f'.repeat(9)}`)).err).toMatch(/^error: Nothing here has an id that begins with/)
    })
  })

  describe('follow', () => {
    it.each([
      ['succeeded', () => good.id, 0, ''],
      ['failed', () => bad.id, 1, 'time shop\\.pay failed: the shop is closed.*\\n'],
    ])('ends with the code of what has %s, and says why', async (state, id, code, why) => {
      const ran = await celeriac(`follow ${id()}`)
      expect(ran).toMatchObject({ code, err: '' })
      const out = ran.out.replaceAll(/^\d\d:\d\d:\d\d/gm, 'time')
      expect(out).toMatch(new RegExp(`^following ${id()} .*\\n${why}time ${state} after `))
    })

    it('follows the collection of a job', async () => {
      expect((await celeriac(`follow ${(await jobOf('shop.pay')).id}`)).out).toContain(`following ${bad.id}`)
    })

    it('tells events as JSON lines', async () => {
      const { out, code } = await celeriac(`follow ${bad.id} --json`)
      const events = out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(events.map(({ type }) => type)).toEqual(['snapshot', 'settled'])
      expect(code).toBe(1)
    })

    it('draws over the tree on a terminal, stops at ctrl-C, and the work goes on', async () => {
      let press = (): void => {}
      const ran = await celeriac(`follow ${idle.id}`, {
        output: { isTTY: true, columns: 60, rows: 20 },
        environment: { NO_COLOR: '1' },
        onInterrupt: (call) => (press = call),
        onOutput: (out) => out.includes('queued') && press(),
      })
      expect(ran.code).toBe(130)
      expect(ran.err).toBe('Stopped following; the work goes on.\n')
      expect(ran.out).toMatch(/^\x1b\[\?25l/)
      expect(ran.out).toMatch(/\x1b\[\?25h$/)
      expect((await idle.snapshot()).state).toBe('running')
    })
  })

  describe('submit', () => {
    it('sends what is not known here, and says how to follow it', async () => {
      const ran = await celeriac('submit shop.order rug --queue default --tag a b --actor me --description A_rug')
      const id = ran.out.trim()
      expect(ran).toEqual({ code: 0, out: `${id}\n`, err: `Follow it: celeriac follow ${id}\n` })
      const job = await app.job(id)
      expect(await job.result()).toBe('RUG')
      expect(await job.snapshot()).toMatchObject({ tags: ['a', 'b'], actor: { id: 'me' }, description: 'A_rug' })
    })

    it('sends once for a key', async () => {
      const again = async (): Promise<string> => (await json('submit shop.order rug --idempotency-key k')).id
      expect(await again()).toBe(await again())
    })

    it('has an address called back once it has settled', async () => {
      const receiver = await startReceiver()
      onTestFinished(() => receiver.close())
      vi.stubEnv('CELERIAC_CALLBACK_ALLOW', '127.0.0.1')
      onTestFinished(() => void vi.unstubAllEnvs())
      const callbackUrl = `${receiver.url}?for=me`
      const { id } = await json(`submit shop.order rug --callback-url ${callbackUrl}`)
      expect(await (await app.collection(id)).snapshot()).toMatchObject({ callbackUrl })
      const [request] = await receiver.arrived(1)
      expect(request!.path).toBe('/hook?for=me')
      expect(payloadOf(request!).data).toMatchObject({ id, state: 'succeeded', result: 'RUG' })
      await json(`submit shop.order rug --callback-url ${receiver.url} --callback-results none`)
      const [, second] = await receiver.arrived(2)
      expect(payloadOf(second!).data).toMatchObject({ state: 'succeeded' })
      expect(second!.body).not.toContain('RUG')
    })

    it('follows it to its end', async () => {
      const ran = await celeriac('submit shop.pay rug cash --follow')
      expect(ran.code).toBe(1)
      expect(ran.out).toMatch(/shop\.pay failed: the shop is closed/)
    })
  })

  describe('cancel and retry', () => {
    it('cancels what waits', async () => {
      expect(await celeriac(`cancel ${idle.id}`)).toEqual({ code: 0, out: `${idle.id}\n`, err: 'Cancelled.\n' })
      expect(await celeriac(`follow ${idle.id}`)).toMatchObject({ code: 2 })
    })

    it('says so where there is nothing to cancel', async () => {
      expect((await celeriac(`cancel ${good.id}`)).err).toBe(
        'The collection had succeeded before: nothing was cancelled.\n',
      )
    })

    it('runs again what failed, and shows it live', async () => {
      const ids = (await bad.snapshot()).jobs.map(({ id }) => id)
      isShopOpen = true
      const ran = await celeriac(`retry ${bad.id} --follow`, {
        output: { isTTY: true, rows: 50 },
        environment: { NO_COLOR: '1' },
      })
      expect(ran.code).toBe(0)
      expect(ran.out).toMatch(/✓ shop\.pay {2}attempt 2/)
      const { jobs } = await bad.snapshot()
      expect(jobs.map(({ id }) => id)).toEqual(ids)
      expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 1, 1])
    })

    it('refuses what cannot be retried', async () => {
      expect((await celeriac(`retry ${good.id} --mode all --follow`)).code).toBe(0)
      expect(await celeriac(`retry ${(await jobOf('shop.pack')).id} --mode all`)).toMatchObject({ code: 2 })
      expect(await celeriac(`retry ${bad.id} --mode some`)).toMatchObject({ code: 2 })
    })
  })

  describe('upkeep', () => {
    it('makes a store, once', async () => {
      const other = await engine.place()
      const elsewhere = { environment: { CELERIAC_URL: other.url } }
      expect((await celeriac('migrate', elsewhere)).out).toMatch(/^Made: schema \d+\.\n$/)
      expect((await celeriac('migrate', elsewhere)).out).toMatch(/^Up to date: schema \d+\.\n$/)
      await other.remove()
      expect(await json('migrate')).toEqual({ from: expect.any(Number), to: expect.any(Number) })
    })

    it('examines the store, and tells no password', async () => {
      const { out, code } = await celeriac('doctor')
      expect(code).toBe(0)
      expect(out).toMatch(new RegExp(`^✓ Node +.*\n✓ store +${engine.name}`))
      const { password } = new URL(place.url)
      if (password !== '') expect(out).not.toContain(password)
      for (const { level, found } of await json('doctor')) expect([level, found]).not.toContain('error')
    })
  })
})
