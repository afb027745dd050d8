import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Canvas, chain, currentJob, each, type JobHandle } from 'celeriac'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'
import { StoreUnavailable } from '../core/errors.ts'
import type { Intercept } from '../engine/instrument.ts'
import type { SettleAnswer } from '../engine/work.ts'

/** The store is in memory, and so are the handler's own notes. */
function note(database: DatabaseSync, text: string): void {
  database.exec('create table if not exists notes (text text)')
  database.prepare('insert into notes values (?)').run(text)
}

function notesIn(database: DatabaseSync): string[] {
  const table = database.prepare("select 1 from sqlite_schema where name = 'notes'").get()
  return table
    ? database
        .prepare('select text from notes')
        .all()
        .map(({ text }) => String(text))
    : []
}

/** What is kept in the end, read in a job of its own. */
async function kept({ app }: Pick<ReturnType<typeof working>, 'app'>): Promise<string[]> {
  const read = app.task('read', () => currentJob().completeWithin((database: DatabaseSync) => notesIn(database)))
  return (await read.delay()).result()
}

const linesOf = async (job: JobHandle<unknown>): Promise<string[]> =>
  (await job.snapshot()).log.map(({ message }) => message)

/** Answers the first completions in the place of the store. */
function answering(...answers: readonly (SettleAnswer | Error)[]): Intercept {
  const left = [...answers]
  return ((method, call) => {
    const answer = method === 'settleWithin' ? left.shift() : undefined
    if (answer === undefined) return call()
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }) as Intercept
}

describe('a job that its handler completes', () => {
  test('has what the callback gives for its result, and its writes are kept', async () => {
    const system = working()
    const given: unknown[] = []
    const book = system.app.task('book', async (seat: string) => {
      const result = await currentJob().completeWithin(async (database: DatabaseSync) => {
        note(database, seat)
        await turns(2)
        return { seat }
      })
      given.push(result)
      return result
    })
    await system.worker.start()
    const job = await book.delay('12A')
    expect(await job.result()).toEqual({ seat: '12A' })
    expect(given).toEqual([{ seat: '12A' }])
    expect(await kept(system)).toEqual(['12A'])
    expect((await job.snapshot()).attempts).toMatchObject([{ outcome: 'succeeded' }])
    expect(system.notices).toEqual([])
  })

  test('is over at once, whatever its handler still does, and is not taken for lost', async () => {
    const system = working()
    const gate = Promise.withResolvers<void>()
    const over = Promise.withResolvers<AbortSignal>()
    const task = system.app.task('task', async () => {
      const { signal } = currentJob()
      await currentJob().completeWithin(() => 1)
      await gate.promise
      over.resolve(signal)
      return 1
    })
    await system.worker.start()
    const job = await task.delay()
    expect(await job.result()).toBe(1)
    await pass(system, 60_000, 1_000)
    gate.resolve()
    expect((await over.promise).aborted).toBe(false)
    await turns()
    expect(await job.snapshot()).toMatchObject({ state: 'succeeded', attempt: 1 })
    expect(system.notices).toEqual([])
  })

  test('lines that it logs in the callback are kept', async () => {
    const system = working()
    const task = system.app.task('task', () =>
      currentJob().completeWithin(async () => {
        currentJob().log.info('inside')
        await turns(1)
        return 1
      }),
    )
    await system.worker.start()
    const job = await task.delay()
    await job.result()
    await pass(system, 100, 10)
    expect(await linesOf(job)).toEqual(['inside'])
  })

  test.each([
    [
      'throws',
      () => Promise.reject(new RangeError('Too late')),
      'threw RangeError afterwards',
      ['After completeWithin: RangeError: Too late'],
    ],
    ['gives something else', () => Promise.resolve(2), 'gave another result afterwards', []],
    ['asks to be put off', () => currentJob().snooze('1m'), 'asked to be put off afterwards', []],
  ] as const)('where its handler %s afterwards, that is told and changes nothing', async (_, after, told, lines) => {
    const system = working()
    const task = system.app.task('late', { retry: { limit: 3 } }, async (): Promise<number> => {
      await currentJob().completeWithin(() => 1)
      return after()
    })
    await system.worker.start()
    const job = await task.delay()
    expect(await job.result()).toBe(1)
    await (await task.delay()).result()
    await pass(system, 1_000, 50)
    expect(await job.snapshot()).toMatchObject({ state: 'succeeded', result: 1, attempt: 1, failures: 0 })
    expect(system.notices).toEqual([
      {
        level: 'warn',
        message: `A handler of late ${told}: its job had been completed by completeWithin, and stays so.`,
      },
    ])
    expect(await linesOf(job)).toEqual(lines)
  })

  test('a canvas that is given afterwards does not run', async () => {
    const system = working()
    const other = system.app.task('other', () => 2)
    const task = system.app.task('task', async (): Promise<number | Canvas<number>> => {
      await currentJob().completeWithin(() => 1)
      return other.s()
    })
    await system.worker.start()
    expect(await (await task.delay()).result()).toBe(1)
    await turns(10)
    expect((await system.app.jobs.list({ task: 'other' })).items).toEqual([])
    expect(system.notices[0]?.message).toContain('gave a canvas afterwards')
  })
})

describe('a job whose completion fails', () => {
  test('keeps nothing of it, and its failure is an ordinary one', async () => {
    const system = working()
    const task = system.app.task('task', { retry: { limit: 1, backoff: { base: 1_000, jitter: false } } }, () =>
      currentJob().completeWithin((database: DatabaseSync) => {
        note(database, `attempt ${currentJob().attempt}`)
        if (currentJob().attempt === 1) throw new RangeError('Expected')
        return 1
      }),
    )
    await system.worker.start()
    const job = await task.delay()
    await reached(job, 'scheduled')
    await pass(system, 1_000, 500)
    expect(await job.result()).toBe(1)
    expect((await job.snapshot()).attempts).toMatchObject([
      { outcome: 'retried', failure: { name: 'RangeError', message: 'Expected' } },
      { outcome: 'succeeded' },
    ])
    expect(await kept(system)).toEqual(['attempt 2'])
  })

  test('may be completed by another go of the same handler', async () => {
    const system = working()
    const task = system.app.task('task', async () => {
      await currentJob()
        .completeWithin(() => Promise.reject(new Error('Expected')))
        .catch(() => undefined)
      return currentJob().completeWithin(() => 'second')
    })
    await system.worker.start()
    expect(await (await task.delay()).result()).toBe('second')
  })

  test.each([
    ['what JSON cannot carry', () => new Map(), 'JSON cannot carry result: it is a Map'],
    ['a large number', () => 2n ** 64n, 'JSON cannot carry result: it is a bigint'],
  ])('for a result of %s it fails at once, whatever the policy', async (_, give, words) => {
    const system = working()
    const task = system.app.task('task', { retry: { limit: 5 } }, async (): Promise<any> => {
      return currentJob().completeWithin((database: DatabaseSync) => {
        note(database, 'never')
        return give()
      })
    })
    await system.worker.start()
    const job = await task.delay()
    await expect(job.result()).rejects.toThrow(words)
    expect(await job.snapshot()).toMatchObject({ state: 'failed', attempt: 1 })
    expect(await kept(system)).toEqual([])
  })

  test('for a canvas it says where canvases belong', async () => {
    const system = working()
    const other = system.app.task('other', () => 2)
    const task = system.app.task('task', async (): Promise<any> => currentJob().completeWithin(() => other.s()))
    await system.worker.start()
    await expect((await task.delay()).result()).rejects.toThrow('a canvas cannot complete its job: return it from the')
  })

  test.each([
    ['a second time', () => currentJob().completeWithin(() => 2), 'called before in this attempt'],
    ['with no function', () => currentJob().completeWithin(5 as never), 'completeWithin takes a function'],
  ])('asked for %s it says so', async (_, again, words) => {
    const system = working()
    const said: string[] = []
    const task = system.app.task('task', async () => {
      if (words.startsWith('called')) await currentJob().completeWithin(() => 1)
      await again().catch((error: Error) => said.push(error.message))
      return 1
    })
    await system.worker.start()
    await (await task.delay()).result()
    await turns()
    expect(said).toEqual([expect.stringContaining(words)])
  })

  test('in a chunk it says what to leave out', async () => {
    const system = working()
    const task = system.app.task('task', (n: number) => currentJob().completeWithin(() => n))
    const list = system.app.task('list', () => [1, 2, 3])
    await system.worker.start()
    const running = await system.app.submit(chain(list.s(), each(task, { chunk: 2 })))
    await expect(running.result()).rejects.toThrow('completeWithin cannot be used in a chunk')
    const single = await system.app.submit(chain(list.s(), each(task)))
    expect(await single.result()).toEqual([1, 2, 3])
  })
})

describe('a handler that does not wait for its completion', () => {
  test('is not over before that is', async () => {
    const system = working()
    const gate = Promise.withResolvers<void>()
    const task = system.app.task('task', (): number => {
      void currentJob().completeWithin(async () => {
        await gate.promise
        return 1
      })
      return 2
    })
    await system.worker.start()
    const job = await task.delay()
    await turns(10)
    gate.resolve()
    expect(await job.result()).toBe(1)
    expect(system.notices[0]?.message).toContain('gave another result afterwards')
  })

  test('has its failure for its own', async () => {
    const system = working()
    const task = system.app.task('task', (): number => {
      void currentJob().completeWithin(async () => {
        await turns(2)
        throw new RangeError('Expected')
      })
      return 2
    })
    await system.worker.start()
    await expect((await task.delay()).result()).rejects.toMatchObject({ failure: { name: 'RangeError' } })
  })
})

describe('a job that is no longer to be done', () => {
  test('is cancelled where somebody wanted that, and its handler is told', async () => {
    const system = working()
    const told: unknown[] = []
    const task = system.app.task('task', async () => {
      await system.engine.cancel({ jobId: currentJob().id })
      return currentJob()
        .completeWithin((database: DatabaseSync) => {
          note(database, 'never')
          return 1
        })
        .catch((error: unknown) => {
          told.push(error)
          throw error
        })
    })
    await system.worker.start()
    const job = await task.delay()
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    expect(told).toMatchObject([{ code: 'JOB_CANCELLED' }])
    expect(await kept(system)).toEqual([])
  })

  test('is left alone where somebody else has it', async () => {
    const system = working({}, answering('superseded'))
    const signals: AbortSignal[] = []
    const task = system.app.task('task', async () => {
      signals.push(currentJob().signal)
      return currentJob().completeWithin(() => 1)
    })
    await system.worker.start()
    const job = await task.delay()
    await turns(10)
    expect(signals[0]!.reason).toMatchObject({ code: 'LEASE_LOST' })
    expect(await job.snapshot()).toMatchObject({ state: 'running' })
  })

  test('and a store that will not take its result fails it at once', async () => {
    const system = working({}, answering('invalid'))
    const task = system.app.task('task', { retry: { limit: 5 } }, () => currentJob().completeWithin(() => 1))
    await system.worker.start()
    await expect((await task.delay()).result()).rejects.toThrow('does not take the result of completeWithin')
  })
})

test('a store that is away is waited for before the callback is called, and told of once', async () => {
  const away = (): Error => new StoreUnavailable('Gone.', { mayBeStored: false })
  const system = working({}, answering(away(), away(), away()))
  let calls = 0
  const task = system.app.task('task', () => currentJob().completeWithin(() => ++calls))
  await system.worker.start()
  const job = await task.delay()
  await turns()
  expect(calls).toBe(0)
  await pass(system, 2_000, 50)
  expect(await job.result()).toBe(1)
  expect(system.notices.filter(({ level }) => level === 'error')).toHaveLength(1)
})

test('a store that was lost after that is not asked again: the callback may have done anything', async () => {
  let calls = 0
  const system = working({}, async (method, call) => {
    const answer = await call()
    if (method === 'settleWithin') throw new StoreUnavailable('Gone.', { mayBeStored: true })
    return answer
  })
  const task = system.app.task('task', async () => {
    await currentJob().completeWithin(() => ++calls)
  })
  await system.worker.start()
  const job = await task.delay()
  // It had been stored, and stays so.
  expect(await job.result()).toBe(1)
  await pass(system, 10_000, 500)
  expect(calls).toBe(1)
})

test('outside a worker there is no transaction, and no success either', async () => {
  let wasCalled = false
  await expect(currentJob().completeWithin(() => (wasCalled = true))).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining("new Celeriac({ url: 'sqlite::memory:' })") as string,
  })
  expect(wasCalled).toBe(false)
})

test('past its time it is a time-out or done, and never both', async () => {
  const system = working()
  const gate = Promise.withResolvers<void>()
  const task = system.app.task('task', { timeout: '1s' }, () =>
    currentJob().completeWithin(async (database: DatabaseSync) => {
      note(database, 'done')
      await gate.promise
      return 1
    }),
  )
  await system.worker.start()
  const job = await task.delay()
  onTestFinished(() => gate.resolve())
  await pass(system, 1_100, 100)
  gate.resolve()
  await pass(system, 1_000, 20)
  // The callback saw the abort when it came back.
  await expect(job.result()).rejects.toMatchObject({ reason: 'timeout' })
  expect(await kept(system)).toEqual([])
})
