import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { Graph } from '../core/graph.ts'
import type { Outcome } from '../core/outcome.ts'
import type { ClaimedJob, SettleAnswer, Settlement } from '../engine/work.ts'
import { createReporter } from './report.ts'
import { type OwedSettlement, Settler, type SettlerParts } from './settler.ts'

const succeeded: Outcome = { type: 'succeeded', result: '1' }
const job = (id: string): ClaimedJob => ({ id, ref: id, token: 1 }) as ClaimedJob
const owed = (id: string, outcome: Outcome = succeeded): OwedSettlement => ({
  ref: id,
  token: 1,
  outcome,
  job: job(id),
  endedAt: 0,
  ran: 0,
})
const away = (): CeleriacError => new CeleriacError('STORE_UNREACHABLE', 'It is away.')
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A settler on a store that answers as the test says, and what came to that store. */
function start(
  answer: (settlements: readonly Settlement[]) => Promise<SettleAnswer[]>,
  change: Partial<SettlerParts> = {},
) {
  const runtime = manualRuntime()
  const requests: string[][] = []
  const outcomes = new Map<string, Outcome>()
  const notices: string[] = []
  const settler = new Settler({
    runtime,
    reporter: createReporter(({ message }) => void notices.push(message)),
    store: {
      partSize: 2,
      upload: () => Promise.resolve(),
      settle(settlements) {
        requests.push(settlements.map(({ ref }) => ref as string))
        for (const { ref, outcome } of settlements) outcomes.set(ref as string, outcome)
        return answer(settlements)
      },
    },
    before: () => null,
    probe: () => Promise.resolve(),
    asRefused: (_, { why }) => ({
      type: 'failed',
      reason: 'failed',
      failure: { name: 'Error', message: why, attempt: 1, at: '' },
    }),
    onAnswered: () => {},
    onSent: () => {},
    onFlushed: () => {},
    ...change,
  })
  return { runtime, settler, requests, outcomes, notices }
}

const accept = (settlements: readonly Settlement[]): Promise<SettleAnswer[]> =>
  Promise.resolve(settlements.map(() => 'accepted'))

test('the outcomes of one turn of the event loop go together', async () => {
  const { settler, requests } = start(accept)
  settler.add(owed('a'))
  settler.add(owed('b'))
  await Promise.resolve()
  settler.add(owed('c'))
  await settler.idle()
  expect(requests).toEqual([['a', 'b', 'c']])
})

test('while one request is under way the next group gathers', async () => {
  const first = Promise.withResolvers<void>()
  const { settler, requests } = start(async (settlements) => {
    await first.promise
    return accept(settlements)
  })
  settler.add(owed('a'))
  await turn()
  settler.add(owed('b'))
  await turn()
  settler.add(owed('c'))
  await turn()
  expect(requests).toEqual([['a']])
  expect(settler.jobs().map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  first.resolve()
  await settler.idle()
  expect(requests).toEqual([['a'], ['b', 'c']])
  await turn()
  expect(settler.jobs()).toEqual([])
})

test('a large group goes beside the one under way, and the next one gathers', async () => {
  const answers: (() => void)[] = []
  const { settler, requests } = start(async (settlements) => {
    await new Promise<void>((resolve) => void answers.push(resolve))
    return accept(settlements)
  })
  const add = (count: number): void => {
    for (let n = 0; n < count; n++) settler.add(owed('x'))
  }
  const sizes = (): number[] => requests.map(({ length }) => length)
  const step = async (): Promise<void> => {
    for (let n = 0; n < 3; n++) await turn()
  }
  add(2)
  await step()
  answers[0]!()
  await step()
  add(1)
  await step()
  add(99)
  await step()
  expect(sizes()).toEqual([2, 1])
  add(1)
  await step()
  expect(sizes()).toEqual([2, 1, 100])
  add(300)
  await step()
  expect(sizes()).toEqual([2, 1, 100])
  expect(settler.jobs()).toHaveLength(401)
  answers[2]!()
  await step()
  expect(sizes()).toEqual([2, 1, 100, 300])
  for (const answer of answers) answer()
  await settler.idle()
  await turn()
  expect(settler.jobs()).toEqual([])
})

test('nothing goes beside a group before it is known that the store answers later', async () => {
  const held = Promise.withResolvers<void>()
  const { settler: blocked, requests } = start(async (settlements) => {
    await held.promise
    return accept(settlements)
  })
  blocked.add(owed('a'))
  await turn()
  for (let n = 0; n < 200; n++) blocked.add(owed('x'))
  await turn()
  expect(requests).toHaveLength(1)
  held.resolve()
  await blocked.idle()
})

test('what somebody holds is sent again by itself, stays in hand, and holds up no others', async () => {
  let isHeld = true
  const { settler, requests, runtime, notices } = start((settlements) =>
    Promise.resolve(settlements.map(({ ref }) => (ref === 'held' && isHeld ? 'busy' : 'accepted'))),
  )
  settler.add(owed('held'))
  settler.add(owed('a'))
  await turn()
  await turn()
  expect(settler.jobs().map(({ id }) => id)).toEqual(['held'])
  expect(settler.isBehind).toBe(false)
  settler.add(owed('b'))
  await turn()
  await turn()
  runtime.pass(2_000)
  await turn()
  expect(requests).toEqual([['held', 'a'], ['b'], ['held']])
  expect(settler.jobs().map(({ id }) => id)).toEqual(['held'])
  isHeld = false
  runtime.pass(2_000)
  await settler.idle()
  expect(requests.slice(3)).toEqual([['held']])
  await turn()
  expect(notices).toHaveLength(2)
})

test('while the store is away one group at most is under way', async () => {
  const { settler, requests } = start(() => Promise.reject(away()))
  settler.add(owed('a'))
  await turn()
  await turn()
  for (let n = 0; n < 500; n++) settler.add(owed('x'))
  await turn()
  expect(requests).toEqual([['a']])
  expect(settler.abandon()).toBe(501)
})

test('a request has at most a thousand outcomes', async () => {
  const { settler, requests } = start(accept)
  for (let n = 0; n < 2_001; n++) settler.add(owed(`${n}`))
  expect(settler.isBehind).toBe(true)
  await settler.idle()
  expect(requests.map(({ length }) => length)).toEqual([1_000, 1_000, 1])
  expect(settler.isBehind).toBe(false)
})

test('a job is forgotten whatever the answer', async () => {
  const { settler } = start(() => Promise.resolve(['accepted', 'superseded', 'cancelled']))
  for (const id of ['a', 'b', 'c']) settler.add(owed(id))
  await settler.idle()
  expect(settler.size).toBe(0)
})

test('while the store is away everything is kept and sent again, and nothing more should be claimed', async () => {
  let isAway = true
  const { runtime, settler, requests, notices } = start((settlements) =>
    isAway ? Promise.reject(away()) : accept(settlements),
  )
  settler.add(owed('a'))
  await turn()
  settler.add(owed('b'))
  for (let n = 0; n < 5; n++) {
    runtime.pass(5_000)
    await turn()
  }
  expect(settler).toMatchObject({ size: 2, isBehind: true })
  isAway = false
  runtime.pass(5_000)
  await settler.idle()
  expect(requests.slice(0, 6)).toEqual(Array(6).fill(['a']))
  expect(requests.at(-1)).toEqual(['b'])
  expect(settler.isBehind).toBe(false)
  expect(notices).toEqual(['Settling jobs failed: It is away. Trying again.', 'Settling jobs works again.'])
})

test('an outcome that the store does not take is settled again as failed', async () => {
  const { settler, outcomes } = start((settlements) =>
    Promise.resolve(
      settlements.map(({ ref, outcome }) => (ref === 'b' && outcome === succeeded ? 'invalid' : 'accepted')),
    ),
  )
  for (const id of ['a', 'b', 'c']) settler.add(owed(id))
  await settler.idle()
  expect(outcomes.get('a')).toBe(succeeded)
  expect(outcomes.get('b')).toMatchObject({ type: 'failed', reason: 'failed' })
})

test('a batch refused for no reason the store can name is halved until the bad outcome stands alone', async () => {
  const refuse = (settlements: readonly Settlement[]): boolean =>
    settlements.some(({ ref, outcome }) => ref === 'c' && outcome === succeeded)
  const { settler, requests, outcomes } = start((settlements) =>
    refuse(settlements) ? Promise.reject(new CeleriacError('STORE_FAILED', 'What is this?')) : accept(settlements),
  )
  for (const id of ['a', 'b', 'c', 'd']) settler.add(owed(id))
  await settler.idle()
  expect(requests).toEqual([['a', 'b', 'c', 'd'], ['a', 'b'], ['c', 'd'], ['c'], ['d'], ['c']])
  expect(outcomes.get('c')).toMatchObject({ type: 'failed', failure: { message: 'What is this?' } })
  expect(outcomes.get('d')).toBe(succeeded)
})

test('when nothing else works either, the fault is not in what was sent', async () => {
  let isBroken = true
  const broken = (): Promise<never> => Promise.reject(new CeleriacError('STORE_FAILED', 'The disk is gone.'))
  const { runtime, settler, outcomes } = start((settlements) => (isBroken ? broken() : accept(settlements)), {
    probe: () => (isBroken ? broken() : Promise.resolve()),
  })
  settler.add(owed('a'))
  await turn()
  await turn()
  isBroken = false
  runtime.pass(5_000)
  await settler.idle()
  expect(outcomes.get('a')).toBe(succeeded)
})

test('the parts of a large canvas go first, in order; other outcomes do not wait for them', async () => {
  const graph = { id: 'g', jobs: Array(5).fill({ args: '[]' }), barriers: [] } as unknown as Graph
  const { runtime, settler, requests } = start(accept)
  const uploads: number[] = []
  const part = Promise.withResolvers<void>()
  const slow = start(accept, {
    store: {
      partSize: 2,
      upload: async (_, number) => {
        await part.promise
        uploads.push(number)
      },
      settle: (settlements) => {
        requests.push(settlements.map(({ ref }) => ref as string))
        return accept(settlements)
      },
    },
    runtime,
  })
  slow.settler.add(owed('large', { type: 'continued', graph }))
  slow.settler.add(owed('a'))
  await turn()
  await turn()
  expect(requests).toEqual([['a']])
  expect(slow.settler.jobs().map(({ id }) => id)).toEqual(['large'])
  part.resolve()
  await slow.settler.idle()
  expect(uploads).toEqual([0, 1, 2])
  expect(requests).toEqual([['a'], ['large']])
  expect(settler.size).toBe(0)
})

// ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────

const mebibyte = 1024 * 1024
const ofSize = (bytes: number): Outcome => ({ type: 'succeeded', result: `"${'x'.repeat(bytes - 2)}"` })
const sizeOfRequest = (settlements: readonly Settlement[]): number =>
  settlements.reduce((sum, { outcome }) => sum + ((outcome.type === 'succeeded' && outcome.result?.length) || 0), 0)
const unanswered = (): StoreUnavailable => new StoreUnavailable('No answer in time.', { mayBeStored: true })

/** Lets time go on until everything is settled. */
async function settleAll(settler: Settler, runtime: ReturnType<typeof manualRuntime>): Promise<void> {
  for (let n = 0; n < 1_000 && settler.size > 0; n++) {
    runtime.pass(5_000)
    await turn()
  }
}

test('a request carries at most 8 MiB of results, and at least one', async () => {
  const sizes: number[] = []
  const { settler } = start((settlements) => {
    sizes.push(sizeOfRequest(settlements))
    return accept(settlements)
  })
  for (let n = 0; n < 20; n++) settler.add(owed(`${n}`, ofSize(mebibyte)))
  settler.add(owed('larger', ofSize(9 * mebibyte)))
  await settler.idle()
  expect(sizes).toEqual([8, 8, 4, 9].map((count) => count * mebibyte))
})

test('a request that gets no answer is sent again in halves, until the store answers', async () => {
  const sizes: number[] = []
  const { settler, runtime, outcomes } = start((settlements) => {
    sizes.push(sizeOfRequest(settlements) / mebibyte)
    return sizes.at(-1)! > 2 ? Promise.reject(unanswered()) : accept(settlements)
  })
  for (let n = 0; n < 8; n++) settler.add(owed(`${n}`, ofSize(mebibyte)))
  await settleAll(settler, runtime)
  expect(settler.size).toBe(0)
  expect(sizes).toEqual([8, 4, 2, 2, 4, 2, 2])
  expect([...outcomes.values()].every(({ type }) => type === 'succeeded')).toBe(true)
})

test('an outcome that alone gets no answer fails its job as too large, if the store answers others', async () => {
  const codes: string[] = []
  const { settler, runtime, outcomes, notices } = start(
    (settlements) => (sizeOfRequest(settlements) > mebibyte / 2 ? Promise.reject(unanswered()) : accept(settlements)),
    {
      asRefused: (_, { code, why }) => {
        codes.push(code)
        return { type: 'failed', reason: 'failed', failure: { name: 'Error', message: why, attempt: 1, at: '' } }
      },
    },
  )
  settler.add(owed('a'))
  settler.add(owed('large', ofSize(mebibyte)))
  settler.add(owed('b'))
  await settleAll(settler, runtime)
  expect(codes).toEqual(['TOO_LARGE'])
  expect(outcomes.get('large')).toMatchObject({ type: 'failed', failure: { message: /^it has 1024 KiB/ } })
  expect(outcomes.get('a')).toBe(succeeded)
  expect(outcomes.get('b')).toBe(succeeded)
  expect(notices.some((notice) => notice.includes('store the data elsewhere'))).toBe(true)
})

test('a large outcome waits for a store that answers nothing', async () => {
  let isAway = true
  const large = ofSize(mebibyte)
  const { settler, runtime, outcomes } = start(
    (settlements) => (isAway ? Promise.reject(unanswered()) : accept(settlements)),
    { probe: () => (isAway ? Promise.reject(unanswered()) : Promise.resolve()) },
  )
  settler.add(owed('large', large))
  for (let n = 0; n < 100; n++) {
    runtime.pass(5_000)
    await turn()
  }
  expect(settler.size).toBe(1)
  isAway = false
  await settleAll(settler, runtime)
  expect(outcomes.get('large')).toBe(large)
})

test('a part of a canvas that gets no answer fails its job as too large, if the store answers others', async () => {
  const args = `["${'x'.repeat(mebibyte)}"]`
  const graph = { id: 'g', jobs: Array(3).fill({ args }), barriers: [] } as unknown as Graph
  const codes: string[] = []
  const { settler, runtime } = start(accept, {
    store: { partSize: 2, upload: () => Promise.reject(unanswered()), settle: accept },
    asRefused: (_, { code }) => {
      codes.push(code)
      return { type: 'failed', reason: 'failed', failure: { name: 'Error', message: '', attempt: 1, at: '' } }
    },
  })
  settler.add(owed('large', { type: 'continued', graph }))
  await settleAll(settler, runtime)
  expect(codes).toEqual(['TOO_LARGE'])
})

test('nothing more is claimed while 64 MiB of outcomes are unsettled', async () => {
  const answered = Promise.withResolvers<void>()
  const { settler } = start(async (settlements) => {
    await answered.promise
    return accept(settlements)
  })
  for (let n = 0; n < 64; n++) settler.add(owed(`${n}`, ofSize(mebibyte)))
  expect(settler.isBehind).toBe(false)
  settler.add(owed('more'))
  expect(settler.isBehind).toBe(true)
  answered.resolve()
  await settler.idle()
  expect(settler.isBehind).toBe(false)
})

test('no outcome goes before the log lines of its job', async () => {
  const order: string[] = []
  const { settler } = start(
    (settlements) => {
      order.push('outcome')
      return accept(settlements)
    },
    {
      before: async () => {
        await turn()
        order.push('lines')
      },
    },
  )
  settler.add(owed('a'))
  await settler.idle()
  expect(order).toEqual(['lines', 'outcome'])
})

test('giving up says how much was lost, and lets go of whoever waits', async () => {
  const { settler } = start(() => Promise.reject(away()))
  settler.add(owed('a'))
  settler.add(owed('b'))
  const idle = settler.idle()
  await turn()
  expect(settler.abandon()).toBe(2)
  await idle
  expect(settler.abandon()).toBe(0)
})

test('a store that was closed is not asked again', async () => {
  const { settler, requests, notices } = start(() => Promise.reject(new CeleriacError('CLOSED', 'Closed.')))
  settler.add(owed('a'))
  await settler.idle()
  expect(requests).toHaveLength(1)
  expect(notices[0]).toMatch(/^The app was closed while its worker ran/)
})

test('of a request that fails after it was abandoned it says nothing', async () => {
  const late = Promise.withResolvers<never>()
  const { settler, notices } = start(() => late.promise)
  settler.add(owed('a'))
  await turn()
  settler.abandon()
  late.reject(new CeleriacError('CLOSED', 'Closed.'))
  await turn()
  expect(notices).toEqual([])
})
