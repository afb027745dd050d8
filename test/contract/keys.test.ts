import { expect, test } from 'vitest'
import type { Submission, UniqueClaim } from '../../src/engine/intake.ts'
import { alone, chainOf, graphOf, jobId, submission } from '../fixtures/graphs.ts'
import { collectionState, hand, jobsOf, retried, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const hour = 3_600_000

function unique(change: Partial<UniqueClaim> = {}): { unique: UniqueClaim } {
  return { unique: { key: 'k', until: 'settled', onConflict: 'existing', ...change } }
}

onEveryEngine((open) => {
  const idempotent = (fingerprint = 'same') => ({ idempotency: { key: 'order-1', fingerprint } })

  test('the same idempotency key gives the collection made first', async () => {
    const { engine } = await open()
    const [first, second] = [chainOf('a', 'b'), chainOf('a', 'b')]
    await engine.submit([submission(first, idempotent())])
    expect(await engine.submit([submission(second, idempotent())])).toEqual([
      { type: 'existing', collectionId: first.id },
    ])
    expect(await engine.collection(second.id)).toBeNull()
  })

  test('the same idempotency key twice in one call stores one', async () => {
    const { engine } = await open()
    const [first, second] = [alone('a'), alone('a')]
    expect(await engine.submit([submission(first, idempotent()), submission(second, idempotent())])).toMatchObject([
      { type: 'created' },
      { type: 'existing', collectionId: first.id },
    ])
  })

  test('another canvas under the same idempotency key is a conflict', async () => {
    const { engine } = await open()
    const first = alone('a')
    await engine.submit([submission(first, idempotent('one'))])
    expect(await engine.submit([submission(alone('b'), idempotent('other'))])).toEqual([
      { type: 'conflict', reason: 'idempotency', collectionId: first.id },
    ])
  })

  test('idempotency keys of different actors are different keys', async () => {
    const { engine } = await open()
    const of = (id: string | null) => submission(alone('a'), { ...idempotent(), actor: id === null ? null : { id } })
    expect(await engine.submit([of('ann'), of('bob'), of(null)])).toMatchObject([
      { type: 'created' },
      { type: 'created' },
      { type: 'created' },
    ])
    expect((await engine.submit([of('ann')]))[0]?.type).toBe('existing')
  })

  test('an idempotency key outlives its collection for a day, and no longer', async () => {
    const { engine, clock } = await open()
    const first = alone('a')
    await engine.submit([submission(first, { ...idempotent(), retention: 1_000 })])
    await (await hand(engine)).drain()
    clock.pass(hour)
    await sweepAll(engine, clock.now())
    expect(await engine.collection(first.id)).toBeNull()
    expect(await engine.submit([submission(alone('a'), idempotent())])).toEqual([
      { type: 'existing', collectionId: first.id },
    ])
    clock.pass(24 * hour)
    await sweepAll(engine, clock.now())
    expect(await engine.submit([submission(alone('a'), idempotent())])).toMatchObject([{ type: 'created' }])
  })

  test('an idempotency key is kept as long as the collection', async () => {
    const { engine, clock } = await open()
    const first = alone('a', { startIn: 72 * hour })
    await engine.submit([submission(first, idempotent())])
    clock.pass(48 * hour)
    await sweepAll(engine, clock.now())
    expect(await engine.submit([submission(alone('a'), idempotent())])).toEqual([
      { type: 'existing', collectionId: first.id },
    ])
  })

  test('a held unique key gives the submission that holds it, or an answer of conflict', async () => {
    const { engine } = await open()
    const holder = chainOf('a', 'b')
    await engine.submit([submission(holder, unique())])
    const [second, third] = [chainOf('a', 'b'), alone('a')]
    expect(
      await engine.submit([submission(second, unique()), submission(third, unique({ onConflict: 'reject' }))]),
    ).toEqual([
      { type: 'existing', collectionId: holder.id },
      { type: 'conflict', reason: 'unique', collectionId: holder.id },
    ])
    expect(await engine.collection(second.id)).toBeNull()
    expect(await engine.collection(third.id)).toBeNull()
  })

  test('a held unique key is no answer to a submission that its holder would not call back', async () => {
    const { engine } = await open()
    const callback = { url: 'https://a.example/', results: 'exit' } as const
    const [called, lone] = [chainOf('a', 'b'), alone('c')]
    await engine.submit([submission(called, { ...unique(), callback })])
    await engine.submit([submission(lone, unique({ key: 'lone' }))])
    const ask = (change: Partial<UniqueClaim>, wanted: Partial<Submission>) =>
      engine.submit([submission(chainOf('x', 'y'), { ...unique(change), ...wanted })])
    const existing = { type: 'existing', collectionId: called.id }
    const conflict = { type: 'conflict', reason: 'callback', collectionId: called.id }
    expect(await ask({}, {})).toEqual([existing])
    expect(await ask({}, { callback })).toEqual([existing])
    expect(await ask({}, { callback: { ...callback, url: 'https://b.example/' } })).toEqual([conflict])
    expect(await ask({}, { callback: { ...callback, results: 'all' } })).toEqual([conflict])
    expect(await ask({ onConflict: 'reject' }, { callback })).toEqual([{ ...conflict, reason: 'unique' }])
    expect(await ask({ key: 'lone' }, { callback })).toEqual([{ ...conflict, collectionId: lone.id }])
    expect((await engine.collections({ limit: 10 })).items).toHaveLength(2)
    expect(await ask({ key: 'lone', onConflict: 'replace' }, { callback })).toMatchObject([{ type: 'created' }])
  })

  test('in one call, too: then nothing of it is stored', async () => {
    const { engine } = await open()
    const callback = { url: 'https://a.example/', results: 'exit' } as const
    const [first, second, third] = [chainOf('a', 'b'), chainOf('c', 'd'), chainOf('e', 'f')]
    const call = [submission(first, { ...unique(), callback }), submission(second, { ...unique(), callback })]
    const other = submission(third, { ...unique(), callback: { ...callback, results: 'none' } })
    expect(await engine.submit([...call, other], undefined, [3])).toEqual([
      { type: 'aborted' },
      { type: 'aborted' },
      { type: 'conflict', reason: 'callback', collectionId: first.id },
    ])
    expect((await engine.jobs({ limit: 10 })).items).toEqual([])
    const existing = { type: 'existing', collectionId: first.id }
    expect(await engine.submit(call, undefined, [2])).toMatchObject([{ type: 'created' }, existing])
  })

  test('a submission that a held unique key answers is remembered under its idempotency key', async () => {
    const { engine } = await open()
    const [holder, again] = [alone('a'), chainOf('a', 'b')]
    await engine.submit([submission(holder, unique())])
    const existing = { type: 'existing', collectionId: holder.id }
    const [second, other] = [
      { ...unique(), ...idempotent() },
      { ...unique(), ...idempotent('other') },
    ]
    expect(await engine.submit([submission(alone('b'), second), submission(again, second)], undefined, [2])).toEqual([
      existing,
      existing,
    ])
    expect(await engine.submit([submission(alone('c'), other)])).toMatchObject([{ reason: 'idempotency' }])
    await (await hand(engine)).drain()
    expect(await engine.submit([submission(alone('d'), second)])).toEqual([existing])
    expect((await engine.jobs({ limit: 10 })).items.map(({ task }) => task)).toEqual(['a'])
  })

  test('one call with the same unique key twice stores one', async () => {
    const { engine } = await open()
    const first = alone('a')
    expect(await engine.submit([submission(first, unique()), submission(alone('a'), unique())])).toMatchObject([
      { type: 'created' },
      { type: 'existing', collectionId: first.id },
    ])
  })

  test('replace cancels the holder and takes the key', async () => {
    const { engine } = await open()
    const [old, next] = [chainOf('a', 'b'), chainOf('c', 'd')]
    await engine.submit([submission(old, unique())])
    expect(await engine.submit([submission(next, unique({ onConflict: 'replace' }))])).toMatchObject([
      { type: 'created' },
    ])
    expect(await collectionState(engine, old)).toBe('cancelled')
    expect(await engine.submit([submission(alone('e'), unique())])).toEqual([
      { type: 'existing', collectionId: next.id },
    ])
  })

  test('until settled: held while it runs and through its retries, free when it is over', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    const holder = alone('a')
    await engine.submit([submission(holder, unique())])
    await worker.settle(await worker.take(), retried(1_000))
    expect((await engine.submit([submission(alone('x'), unique())]))[0]?.type).toBe('existing')
    clock.pass(1_000)
    const job = await worker.take()
    expect((await engine.submit([submission(alone('y'), unique())]))[0]?.type).toBe('existing')
    await worker.succeed(job)
    expect(await engine.submit([submission(alone('z'), unique())])).toMatchObject([{ type: 'created' }])
  })

  test('until settled: a cancelled submission gives the key back', async () => {
    const { engine } = await open()
    const holder = chainOf('a', 'b')
    await engine.submit([submission(holder, unique())])
    await engine.cancel({ collectionId: holder.id })
    expect(await engine.submit([submission(alone('z'), unique())])).toMatchObject([{ type: 'created' }])
  })

  test('until started: free at the first claim, and not taken again by a policy retry', async () => {
    const { engine } = await open()
    const worker = await hand(engine)
    const holder = chainOf('a', 'b')
    await engine.submit([submission(holder, unique({ until: 'started' }))])
    const job = await worker.take('a')
    const next = alone('x')
    expect(await engine.submit([submission(next, unique({ until: 'started' }))])).toMatchObject([{ type: 'created' }])
    await worker.settle(job, retried(0))
    expect((await engine.submit([submission(alone('y'), unique())]))[0]).toEqual({
      type: 'existing',
      collectionId: next.id,
    })
  })

  test('until a while has passed: held that long, even when all is settled', async () => {
    const { engine, clock } = await open()
    const holder = alone('a')
    await engine.submit([submission(holder, unique({ until: 60_000 }))])
    clock.pass(59_999)
    expect((await engine.submit([submission(alone('x'), unique())]))[0]?.type).toBe('existing')
    clock.pass(1)
    expect(await engine.submit([submission(alone('y'), unique())])).toMatchObject([{ type: 'created' }])
  })

  test('a collection retry takes its key again', async () => {
    const { engine } = await open()
    const worker = await hand(engine)
    const holder = alone('a')
    await engine.submit([submission(holder, unique())])
    await worker.fail(await worker.take())
    expect(await engine.retry({ selection: { collectionId: holder.id }, expectedRound: 1, mode: 'failed' })).toBe(
      'retried',
    )
    expect((await engine.submit([submission(alone('x'), unique())]))[0]).toEqual({
      type: 'existing',
      collectionId: holder.id,
    })
  })

  test('a collection retry is refused while another holds its key, and changes nothing', async () => {
    const { engine } = await open()
    const worker = await hand(engine)
    const [holder, other] = [graphOf({ a: { feeds: 0 }, b: { feeds: 0 } }, [{}]), alone('other')]
    await engine.submit([submission(holder, unique())])
    await worker.fail(await worker.take('a'))
    await worker.succeed(await worker.take('b'))
    await engine.submit([submission(other, unique())])
    const before = await engine.collection(holder.id)
    expect(await engine.retry({ selection: { collectionId: holder.id }, expectedRound: 1, mode: 'failed' })).toBe(
      'unique',
    )
    expect(await engine.collection(holder.id)).toEqual({ ...before, cursor: expect.any(String) as string })
    expect(await engine.retry({ selection: { jobId: jobId(holder, 'a') }, expectedRound: 1, mode: 'failed' })).toBe(
      'unique',
    )
    expect((await jobsOf(engine, holder))['a']?.state).toBe('failed')
  })
})
