import { expect, it } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { pageSize, rowKinds, type Transfer } from '../../src/engine/transfer.ts'
import { type CopyReport, undoCopy } from '../../src/engine/copy.ts'
import type { ManualRuntime } from '../fixtures/clock.ts'
import { alone, chainOf, chordOf, freshId, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import {
  continued,
  failed,
  goOn,
  hand,
  type Hand,
  lease,
  retried,
  statesOf,
  succeeded,
  sweepAll,
} from '../fixtures/hand.ts'
import { copyBetween, exportAll, onEveryPair, type Pair, readAll, transferOf } from '../fixtures/pairs.ts'

const actor = { id: 'user-7' }
const secret = { kind: 'secret', id: 'cookies', text: 'late', lifetime: null } as const

/** A bit of everything: jobs in every state, with history; keys that are held; a queue that is paused; a dead worker. */
async function fill({ source: engine, clock }: Pair): Promise<Filled> {
  await fillAttic(engine, clock)
  const worker = await hand(engine, { name: 'wanda', queues: ['default'] })
  const chord = chordOf(['a', 'b', 'c'])
  const inner = groupOf('x', 'y')
  const outer = chainOf('grow', 'pick')
  const broken = graphOf(
    { bad: { feeds: 0, scope: 0 }, mourn: sideJob('failure', 0, { from: 'failure' }), after: { behind: 0, feeds: 1 } },
    [{}, {}],
  )
  const idempotency = { key: 'once', fingerprint: 'f' }
  const unique = { key: 'only', until: 'settled', onConflict: 'reject' } as const
  const kept = alone('kept', { queue: 'shop', priority: 7, tags: ['furniture'] })
  await engine.submit([
    submission(chord, { description: 'A chord ☃', actor, tags: ['one', 'two'], idempotency }),
    submission(outer, { retention: 1_000_000 }),
    submission(broken, { callback: { url: 'https://example.org/called', results: 'none' } }),
    submission(alone('again', { retry: { limit: 3, base: 1, factor: 1, max: 1, jitter: false } })),
  ])
  await runSome(worker, inner)
  await engine.submit([
    submission(kept, { unique, actor }),
    submission(alone('late', { startIn: 60_000, expires: 600_000 })),
    submission(alone('cancelled')),
    submission(chainOf('lost', 'behind')),
  ])
  await engine.cancel({ collectionId: (await engine.jobs({ task: 'cancelled', limit: 1 })).items[0]!.id })
  await engine.putQueues([{ name: 'shop', paused: true }])
  await engine.putValue({ kind: 'secret', id: 'cookies', text: 'two\nlines ☃', lifetime: null }, 'keep')
  await engine.putValue({ kind: 'ticket', id: 'soon\nover', text: '', lifetime: lease + 60_000 }, 'replace')
  await engine.putValue({ kind: 'ticket', id: 'over', text: 'text', lifetime: 1 }, 'replace')
  const dead = await hand(engine, { name: 'dora' })
  const taken = await dead.take()
  await dead.beat({ progress: [{ ref: taken.ref, token: taken.token, progress: { done: 1, total: 4 } }] })
  await worker.beat({ ended: true })
  clock.pass(lease + 1)
  return { chord, outer, inner, kept, unique, idempotency }
}

interface Filled {
  readonly chord: ReturnType<typeof chordOf>
  readonly outer: ReturnType<typeof chainOf>
  readonly inner: ReturnType<typeof groupOf>
  readonly kept: ReturnType<typeof alone>
  readonly unique: { readonly key: string; readonly until: 'settled'; readonly onConflict: 'reject' }
  readonly idempotency: { readonly key: string; readonly fingerprint: string }
}

/** A job whose worker died once, and a canvas that was retried whole: its first continuation is history. */
async function fillAttic(engine: Engine, clock: ManualRuntime): Promise<void> {
  const attic = { options: { queue: 'attic' } }
  const whole = graphOf({ whole: { feeds: 0, ...attic } }, [{}])
  await engine.submit([submission(whole)])
  const worker = await hand(engine)
  await worker.settle(await worker.take(), continued(graphOf({ before: { feeds: 0, ...attic } }, [{}])))
  await worker.succeed(await worker.take('before'))
  await engine.retry({ selection: { collectionId: whole.id }, expectedRound: 1, mode: 'all' })
  await worker.settle(await worker.take(), continued(graphOf({ since: { feeds: 0, ...attic } }, [{}])))
  await (await hand(engine)).take('since')
  await goOn({ engine, clock }, 3 * lease, worker)
  await worker.beat({ ended: true })
}

/** The chord up to its last member, a canvas of which one job is done, one that failed, one that is tried again. */
async function runSome(worker: Hand, inner: Graph): Promise<void> {
  for (const job of await worker.claim(10)) {
    await worker.beat({ notes: [{ ref: job.ref, token: job.token, note: { name: ':0', value: '{"a\\nb":1}' } }] })
    await worker.beat({
      log: [
        {
          ref: job.ref,
          token: job.token,
          line: { at: 5, attempt: job.attempt, level: 'warn', message: 'hm', data: '{"a":[]}' },
        },
      ],
    })
    if (job.task === 'c') await worker.settle(job, { type: 'released', started: true, delay: 0 })
    else if (job.task === 'grow') await worker.settle(job, continued(inner))
    else if (job.task === 'bad') await worker.settle(job, failed('It broke'))
    else if (job.task === 'again') await worker.settle(job, retried(90_000, 'Not yet'))
    else await worker.settle(job, succeeded({ of: job.task, big: 12_345_678_901_234_567n.toString(), none: [] }))
  }
  const job = await worker.take()
  expect(['c', 'x', 'mourn']).toContain(job.task)
  await worker.succeed(job, [])
}

onEveryPair((open) => {
  it('copies everything that can be told of a store', async () => {
    const pair = await open()
    await fill(pair)
    const stays = await giveBackAndRead(pair)
    expect(await copyBetween(pair)).toMatchObject({ type: 'copied' })
    expect(await readAll(pair.target)).toEqual(stays)
    const rows = await exportAll(pair.target)
    expect(rows).toEqual(await exportAll(pair.source))
    for (const kind of rowKinds) expect(rows[kind], kind).not.toEqual([])
  })

  it('goes on at the target as it would have at the source', async () => {
    const pair = await open()
    const { chord, outer, kept, unique, idempotency } = await fill(pair)
    await copyBetween(pair)
    const { target, clock } = pair
    expect(await target.values('secret')).toEqual([{ id: 'cookies', text: 'two\nlines ☃', expiresAt: null }])
    expect(await target.values('ticket')).toEqual([{ id: 'soon\nover', text: '', expiresAt: clock.now() + 59_999 }])
    expect(await target.submit([submission(alone('other'), { unique })])).toMatchObject([
      { type: 'conflict', reason: 'unique', collectionId: kept.id },
    ])
    expect(await target.submit([submission(chordOf(['a']), { idempotency, actor })])).toEqual([
      { type: 'existing', collectionId: chord.id },
    ])
    const worker = await hand(target)
    expect(await worker.drain()).not.toContain('kept')
    await target.putQueues([{ name: 'shop', paused: false }])
    await target.submit([submission(alone('new'), { unique: { ...unique, key: 'other' } })])
    expect(await worker.drain()).toEqual(['kept', 'new'])
    clock.pass(100_000)
    await worker.beat()
    await sweepAll(target, clock.now())
    expect((await transferOf(target).census()).rows.values).toBe(1)
    expect(await target.takeValue('secret', 'cookies')).toBe('two\nlines ☃')
    expect((await worker.drain()).toSorted()).toEqual(['again', 'late'])
    expect((await target.collection(chord.id))?.state).toBe('succeeded')
    expect(await statesOf(target, outer)).toMatchObject({ grow: 'succeeded', pick: 'succeeded' })
    expect(await target.submit([submission(alone('other'), { unique })])).toMatchObject([{ type: 'created' }])
  })

  it('hands results on that were stored before', async () => {
    const pair = await open()
    const { chord } = await fill(pair)
    await copyBetween(pair)
    const worker = await hand(pair.target)
    const ran: unknown[] = []
    for (let jobs = await worker.claim(1); jobs.length > 0; jobs = await worker.claim(1)) {
      ran.push(...jobs.filter(({ task }) => task === 'body').map(({ input }) => input))
      await worker.succeed(jobs[0]!)
    }
    const results = ['a', 'b'].map((of) => ({ json: JSON.stringify({ of, big: '12345678901234567', none: [] }) }))
    expect(ran).toMatchObject([{ from: 'results', shape: 'list', results: [...results, expect.anything()] }])
    expect((await pair.target.collection(chord.id))?.state).toBe('succeeded')
  })

  it('retries at the target what failed at the source', async () => {
    const pair = await open()
    await fill(pair)
    await copyBetween(pair)
    const worker = await hand(pair.target)
    await worker.drain()
    const { items } = await pair.target.collections({ state: 'failed', limit: 5 })
    const failedOne = items[0]!
    expect(
      await pair.target.retry({ selection: { collectionId: failedOne.id }, expectedRound: 1, mode: 'failed' }),
    ).toBe('retried')
    expect(await worker.drain()).toEqual(['bad', 'after'])
    expect((await pair.target.job(failedOne.failedJobId!))?.attempts.map(({ outcome }) => outcome)).toEqual([
      'failed',
      'succeeded',
    ])
  })

  it('numbers go on where the source stopped', async () => {
    const pair = await open()
    await fill(pair)
    const last = alone('last')
    await pair.source.submit([submission(last)])
    await copyBetween(pair)
    const more = alone('more')
    await pair.target.submit([submission(more)])
    const { items } = await pair.target.jobs({ limit: 2 })
    expect(items.map(({ id }) => id)).toEqual([more.id, last.id])
  })

  it('may be broken off at any call, and gone on with', async () => {
    const pair = await open()
    await fill(pair)
    const stays = await giveBackAndRead(pair)
    // Each time it comes one step further, counted from where the last one came to.
    let report: unknown = new Broken()
    for (let steps = 0; report instanceof Broken; steps++) {
      const [source, target] = [pair.again('source'), pair.again('target')]
      const budget = { left: steps }
      report = await copyBetween({
        source: { ...source, transfer: failing(transferOf(source), budget) },
        target: { ...target, transfer: failing(transferOf(target), budget) },
      }).catch((error: unknown) => error)
      await Promise.all([source.close(), target.close()])
    }
    expect(['copied', 'before']).toContain((report as CopyReport).type)
    expect(await readAll(pair.target)).toEqual(stays)
    const worker = await hand(pair.target)
    expect(await worker.drain()).not.toEqual([])
  })
})

// What one of the two does by itself.
onEveryPair((open) => {
  it('refuses a source in which a worker lives, and changes nothing', async () => {
    const pair = await open()
    await fill(pair)
    await hand(pair.source, { name: 'wilma' })
    const before = await readAll(pair.source)
    await expect(copyBetween(pair)).rejects.toMatchObject({
      code: 'STORE_BUSY',
      message: expect.stringContaining('wilma'),
    })
    expect(await readAll(pair.source)).toEqual(before)
    expect(await transferOf(pair.target).standing()).toEqual({ type: 'empty' })
    expect(await pair.source.submit([submission(alone())])).toMatchObject([{ type: 'created' }])
  })

  it('is not left twice', async () => {
    const { source } = await open()
    await source.submit([submission(alone())])
    const copies = ['one', 'two'].map((to) => ({ id: freshId(), from: 'here', to }))
    for (let again = 0; again < 2; again++) await transferOf(source).leave(copies[0]!, false)
    await expect(transferOf(source).leave(copies[1]!, false)).rejects.toMatchObject({
      code: 'STORE_MOVED',
      message: expect.stringContaining('one'),
    })
    expect(await transferOf(source).standing()).toMatchObject({ type: 'leaving', copy: copies[0] })
  })

  it('refuses a target in which there is something', async () => {
    const pair = await open()
    await fill(pair)
    await pair.target.submit([submission(alone())])
    await expect(copyBetween(pair)).rejects.toMatchObject({ code: 'STORE_UNSUITABLE' })
    expect(await pair.source.submit([submission(alone())])).toMatchObject([{ type: 'created' }])
  })

  it('takes a target in which there are only values, and puts those of the source in their place', async () => {
    const pair = await open()
    await fill(pair)
    await pair.target.putValue({ kind: 'secret', id: 'cookies', text: 'own', lifetime: null }, 'keep')
    await pair.target.putValue({ kind: 'key', id: 'own', text: 'own', lifetime: null }, 'keep')
    expect(await transferOf(pair.target).standing()).toEqual({ type: 'empty' })
    expect(await copyBetween(pair)).toMatchObject({ type: 'copied' })
    expect(await pair.target.value('secret', 'cookies')).toBe('two\nlines ☃')
    expect(await pair.target.values('key')).toEqual([])
  })

  it('closes the source, to processes that had it open as well', async () => {
    const pair = await open()
    await fill(pair)
    const opened = pair.again('source')
    await opened.queues()
    await copyBetween(pair)
    const moved = { code: 'STORE_MOVED', message: expect.stringContaining('there') }
    await expect(opened.submit([submission(alone())])).rejects.toMatchObject(moved)
    await expect(hand(opened)).rejects.toMatchObject(moved)
    await expect(opened.putQueues([{ name: 'shop', paused: false }])).rejects.toMatchObject(moved)
    await expect(opened.putValue(secret, 'replace')).rejects.toMatchObject(moved)
    await expect(opened.takeValue('secret', 'cookies')).rejects.toMatchObject(moved)
    await expect(pair.again('source').queues()).rejects.toMatchObject(moved)
    await expect(pair.again('source').submit([submission(alone())])).rejects.toMatchObject(moved)
  })

  it('closes the target until it is whole, to processes that had it open as well', async () => {
    const pair = await open()
    await fill(pair)
    const opened = pair.again('target')
    // It knows that there is nothing to do here.
    const idle = await hand(opened)
    await idle.drain()
    await idle.beat({ ended: true })
    await copyBetween(pair, { signal: AbortSignal.abort() })
    const closed = { code: 'STORE_UNSUITABLE', message: expect.stringContaining('here') }
    await expect(opened.submit([submission(alone())])).rejects.toMatchObject(closed)
    await expect(hand(opened)).rejects.toMatchObject(closed)
    await expect(opened.putValue(secret, 'keep')).rejects.toMatchObject(closed)
    await expect(pair.again('target').jobs({ limit: 1 })).rejects.toMatchObject(closed)
    await copyBetween(pair)
    expect((await pair.again('target').jobs({ limit: 1 })).items).toHaveLength(1)
    expect((await (await hand(opened)).drain()).length).toBeGreaterThan(3)
    expect(await opened.submit([submission(alone())])).toMatchObject([{ type: 'created' }])
  })

  it('was done before where the answer to the last call was lost', async () => {
    const pair = await open()
    await fill(pair)
    const transfer = transferOf(pair.target)
    const finish = async (next: number): Promise<void> => {
      await transfer.finish(next)
      throw new Broken()
    }
    const broken = copyBetween({ ...pair, target: { ...pair.target, transfer: { ...transfer, finish } } })
    await expect(broken).rejects.toThrow(Broken)
    await pair.target.submit([submission(alone('since'))])
    expect(await copyBetween(pair)).toEqual({ type: 'before' })
    expect((await pair.target.jobs({ task: 'since', limit: 1 })).items).toHaveLength(1)
  })

  it('is given up, and the source is used again', async () => {
    const pair = await open()
    await fill(pair)
    const stays = await giveBackAndRead(pair)
    let pages = 0
    const stop = new AbortController()
    await copyBetween(pair, { signal: stop.signal, onProgress: () => void (++pages === 4 && stop.abort()) })
    const [source, target] = [transferOf(pair.source), transferOf(pair.target)]
    await undoCopy({ source, target, isForced: false })
    expect(await readAll(pair.source)).toEqual(stays)
    expect(await target.standing()).toEqual({ type: 'empty' })
    const worker = await hand(pair.source)
    expect(await worker.drain()).not.toEqual([])
    await worker.beat({ ended: true })
    await expect(undoCopy({ source, target, isForced: false })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    expect(await copyBetween(pair)).toMatchObject({ type: 'copied' })
  })

  it('is not given up once it was whole, unless by force', async () => {
    const pair = await open()
    await fill(pair)
    await copyBetween(pair)
    const [source, target] = [transferOf(pair.source), transferOf(pair.target)]
    for (const given of [target, null])
      await expect(undoCopy({ source, target: given, isForced: false })).rejects.toMatchObject({ code: 'STORE_MOVED' })
    await undoCopy({ source, target: null, isForced: true })
    expect(await pair.source.submit([submission(alone())])).toMatchObject([{ type: 'created' }])
  })

  it('leaves uploads behind that were never sealed', async () => {
    const pair = await open()
    await fill(pair)
    const { source, target } = pair
    const large = groupOf(...Array.from({ length: source.partSize + 1 }, (_, at) => `part-${at}`))
    await source.upload(large, 0, null)
    expect(await copyBetween(pair)).toMatchObject({ type: 'copied' })
    expect((await target.jobs({ task: 'part-*', limit: 1 })).items).toEqual([])
    await expect(target.upload(large, 1, null)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('finishes first what is left of a large change', async () => {
    const pair = await open()
    const { source, target } = pair
    const large = groupOf(...Array.from({ length: 3_000 }, (_, at) => `member-${at}`))
    for (let part = 0; part * source.partSize < large.jobs.length; part++) await source.upload(large, part, null)
    await source.submit([submission(large)])
    await source.cancel({ collectionId: large.id })
    expect(await copyBetween(pair)).toMatchObject({ type: 'copied' })
    expect(await target.collection(large.id, { jobs: false })).toMatchObject({
      state: 'cancelled',
      counts: { cancelled: 3_000 },
    })
  })

  it('copies by pages of bounded size', async () => {
    const pair = await open()
    const { source } = pair
    const text = JSON.stringify(['x'.repeat(200_000)])
    const heavy = Array.from({ length: 60 }, () => alone('heavy')).map((graph) => ({
      ...graph,
      jobs: graph.jobs.map((job) => ({ ...job, args: text })),
    }))
    for (const graph of heavy) await source.submit([submission(graph)])
    for (let at = 0; at < 3; at++)
      await source.submit(Array.from({ length: 900 }, () => submission(alone('light', { queue: 'light' }))))
    const pages: { kind: string; rows: number; size: number }[] = []
    const transfer = transferOf(pair.target)
    const seen: Transfer = {
      ...transfer,
      importRows(kind, rows, position) {
        pages.push({ kind, rows: rows.length, size: JSON.stringify(rows).length })
        return transfer.importRows(kind, rows, position)
      },
    }
    expect(await copyBetween({ source, target: { ...pair.target, transfer: seen } })).toMatchObject({ type: 'copied' })
    for (const { rows, size } of pages) {
      expect(rows).toBeLessThanOrEqual(1_000)
      expect(size).toBeLessThan(pageSize * 1.3)
    }
    expect(pages.filter(({ kind }) => kind === 'jobs').length).toBeGreaterThan(4)
    expect(new Set(pages.map(({ kind }) => kind))).toEqual(new Set(rowKinds))
    const worker = await hand(pair.target, { queues: ['default'] })
    expect((await worker.take()).args).toBe(text)
  })
}, true)

/** Ends what a dead worker held, as copying does, by way of the worker's own last word. */
async function giveBackAndRead(pair: Pair & { clock: ManualRuntime }): Promise<unknown> {
  await transferOf(pair.source).leave({ id: freshId(), from: 'here', to: 'nowhere' }, false)
  await transferOf(pair.source).stay()
  return readAll(pair.source)
}

class Broken extends Error {}

/** Every call is two steps: it arrives, and it is answered. One of them fails when the budget is spent. */
function failing(transfer: Transfer, budget: { left: number }): Transfer {
  const step = (): void => {
    if (budget.left-- === 0) throw new Broken()
  }
  const wrap =
    (name: keyof Transfer) =>
    async (...given: never[]) => {
      step()
      const answer = await (transfer[name] as (...given: never[]) => Promise<unknown>)(...given)
      step()
      return answer
    }
  return Object.fromEntries(
    Object.keys(transfer).map((name) => [name, wrap(name as keyof Transfer)]),
  ) as unknown as Transfer
}
