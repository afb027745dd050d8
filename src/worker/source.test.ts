import { describe, expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest } from '../engine/work.ts'
import { createReporter } from './report.ts'
import { roomFor, Source } from './source.ts'

describe('how many jobs are claimed', () => {
  test('as many as there are free slots, while nothing is known of the handlers', () => {
    expect(roomFor(20, 0, null)).toBe(20)
    expect(roomFor(0, 0, null)).toBe(0)
  })

  test('and ahead of them what is done within 50 ms', () => {
    expect(roomFor(20, 0, 1)).toBe(70)
    expect(roomFor(0, 0, 5)).toBe(10)
    expect(roomFor(3, 0, 51)).toBe(3)
  })

  test('at most 500 at once', () => {
    expect(roomFor(20, 0, 0.004)).toBe(500)
    expect(roomFor(1_000, 0, null)).toBe(500)
  })

  test('twice as much ahead where two requests may be under way', () => {
    expect(roomFor(20, 500, 0.004)).toBe(0)
    expect(roomFor(20, 500, 0.004, 2)).toBe(500)
    expect(roomFor(20, 600, 0.004, 2)).toBe(0)
  })

  test('none ahead before half of what was held is used', () => {
    expect(roomFor(0, 26, 1)).toBe(0)
    expect(roomFor(0, 25, 1)).toBe(25)
  })
})

const job = (id: string): ClaimedJob => ({ id, token: 1, args: '[]', input: { from: 'nothing' } }) as ClaimedJob
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A source on a line of jobs, with slots that the test frees. */
function start(slots: number, { pace = null as number | null, endsAtOnce = false } = {}) {
  const runtime = manualRuntime()
  const line: ClaimedJob[] = []
  const requests: ClaimRequest[] = []
  const running: string[] = []
  const givenBack: string[] = []
  const notices: string[] = []
  let answer = (request: ClaimRequest): Promise<ClaimAnswer> =>
    Promise.resolve({ jobs: line.splice(0, request.limit), nextAt: null })
  let isHeldBack = false
  let isAboutToSettle = false
  let tokens = 0
  const source = new Source({
    runtime,
    reporter: createReporter(({ message }) => void notices.push(message)),
    session: 's',
    queues: null,
    newToken: () => ++tokens,
    isHeldBack: () => isHeldBack,
    isAboutToSettle: () => isAboutToSettle,
    giveBack: ({ id }) => void givenBack.push(id),
    onNextAt: () => {},
    store: {
      claim(request) {
        requests.push(request)
        return answer(request)
      },
    },
    sink: {
      get freeCount() {
        return slots - running.length
      },
      paceOfJobs: () => pace,
      start: ({ id }) => void (endsAtOnce || running.push(id)),
    },
  })
  return {
    runtime,
    source,
    requests,
    running,
    givenBack,
    notices,
    queue: (...ids: string[]) => void line.push(...ids.map(job)),
    answerBy: (by: typeof answer) => void (answer = by),
    holdBack: (value: boolean) => void (isHeldBack = value),
    settleSoon: (value: boolean) => void (isAboutToSettle = value),
  }
}

test('claims into free slots, and again when one is freed', async () => {
  const { source, requests, running, queue } = start(2)
  queue('a', 'b', 'c')
  source.wake()
  await turn()
  expect(running).toEqual(['a', 'b'])
  running.shift()
  source.pull()
  await turn()
  expect(running).toEqual(['b', 'c'])
  expect(requests.map(({ limit }) => limit)).toEqual([2, 1])
})

test('does not ask again when there was less than it asked for, until it is woken', async () => {
  const { source, requests, queue } = start(2)
  queue('a')
  source.wake()
  await turn()
  source.pull()
  await turn()
  expect(requests).toHaveLength(1)
  source.wake()
  await turn()
  expect(requests).toHaveLength(2)
})

test('claims behind the outcomes that are about to be sent, not before them', async () => {
  const { source, requests, queue, settleSoon } = start(2)
  queue('a')
  settleSoon(true)
  source.wake()
  await turn()
  expect(requests).toHaveLength(0)
  settleSoon(false)
  source.pull()
  await turn()
  expect(requests).toHaveLength(1)
})

test('a wake-up while a request is under way is not lost', async () => {
  const { source, requests, running, queue, answerBy } = start(2)
  const first = Promise.withResolvers<ClaimAnswer>()
  answerBy((request) => (request.token === 1 ? first.promise : Promise.resolve({ jobs: [job('late')], nextAt: null })))
  source.wake()
  queue('late')
  source.wake()
  expect(requests).toHaveLength(1)
  first.resolve({ jobs: [], nextAt: null })
  await turn()
  expect(running).toEqual(['late'])
})

test('a request that fails is sent again under the same token', async () => {
  const { runtime, source, requests, running, answerBy } = start(1)
  let failures = 2
  answerBy(() =>
    failures-- > 0
      ? Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.'))
      : Promise.resolve({ jobs: [job('a')], nextAt: null }),
  )
  source.wake()
  for (let n = 0; n < 2; n++) {
    await turn()
    runtime.pass(5_000)
  }
  await turn()
  expect(requests.map(({ token }) => token)).toEqual([1, 1, 1])
  // What was asked first may come to the store behind the others.
  expect(requests.map(({ isRepeated }) => isRepeated)).toEqual([false, true, true])
  expect(running).toEqual(['a'])
})

test('nothing is claimed while it is held back', async () => {
  const { source, requests, running, queue, holdBack } = start(1)
  queue('a')
  holdBack(true)
  source.wake()
  await turn()
  expect(requests).toEqual([])
  holdBack(false)
  source.pull()
  await turn()
  expect(running).toEqual(['a'])
})

test('what was claimed ahead is handed back when it stops, and what an answer still brings', async () => {
  const { source, running, givenBack, queue, answerBy } = start(1, { pace: 10 })
  queue('a', 'b', 'c')
  source.wake()
  await turn()
  expect(running).toEqual(['a'])
  const late = Promise.withResolvers<ClaimAnswer>()
  answerBy(() => late.promise)
  source.wake()
  const stopped = source.stop()
  expect(givenBack).toEqual(['b', 'c'])
  late.resolve({ jobs: [job('d')], nextAt: null })
  await stopped
  expect(givenBack).toEqual(['b', 'c', 'd'])
  expect(running).toEqual(['a'])
})

test('a request that fails does not hold up the stop', async () => {
  const { source, requests, answerBy } = start(1)
  answerBy(() => Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.')))
  source.wake()
  await turn()
  await source.stop()
  expect(requests).toHaveLength(1)
})

test('of a request that fails after the stop it says nothing', async () => {
  const { source, notices, answerBy } = start(1)
  const late = Promise.withResolvers<ClaimAnswer>()
  answerBy(() => late.promise)
  source.wake()
  await turn()
  const stopped = source.stop()
  late.reject(new CeleriacError('CLOSED', 'Closed.'))
  await stopped
  expect(notices).toEqual([])
})

test('jobs claimed ahead are handed back when no slot comes free for them', async () => {
  const { runtime, source, givenBack, queue } = start(1, { pace: 10 })
  queue('a', 'b', 'c')
  source.wake()
  await turn()
  runtime.pass(99)
  expect(givenBack).toEqual([])
  runtime.pass(1)
  expect(givenBack).toEqual(['b', 'c'])
})

test('a job can be withdrawn before it is begun, and only then', async () => {
  const { source, running, queue } = start(1, { pace: 10 })
  queue('a', 'b', 'c')
  source.wake()
  await turn()
  expect(source.withdraw('a', 1)).toBeUndefined()
  expect(source.withdraw('b', 2)).toBeUndefined()
  expect(source.withdraw('b', 1)).toMatchObject({ id: 'b' })
  expect(source.jobs().map(({ id }) => id)).toEqual(['c'])
  running.shift()
  source.pull()
  expect(running).toEqual(['c'])
})

test('handlers that end at once are run in stretches, so that the event loop gets its turn', async () => {
  const runtime = manualRuntime()
  const stretches: number[] = [0]
  let line = Array.from({ length: 100 }, (_, n) => job(`${n}`))
  const source = new Source({
    runtime,
    reporter: createReporter(() => {}),
    session: 's',
    queues: null,
    newToken: () => 1,
    isHeldBack: () => false,
    isAboutToSettle: () => false,
    giveBack: () => {},
    onNextAt: () => {},
    store: {
      claim({ limit }) {
        const jobs = line.slice(0, limit)
        line = line.slice(limit)
        return Promise.resolve({ jobs, nextAt: null })
      },
    },
    sink: {
      freeCount: 10,
      paceOfJobs: () => 0.5,
      start() {
        runtime.pass(1)
        stretches[stretches.length - 1]! += 1
      },
    },
  })
  source.wake()
  for (let n = 0; n < 12; n++) {
    await turn()
    stretches.push(0)
  }
  expect(Math.max(...stretches)).toBe(10)
  expect(stretches.reduce((sum, count) => sum + count)).toBe(100)
})

describe('a store that answers later', () => {
  /** A source whose requests are answered, full or with so many jobs, when the test says. */
  function startLater(pace = 0.004) {
    const parts = start(20, { pace, endsAtOnce: true })
    const open: { request: ClaimRequest; resolve: (answer: ClaimAnswer) => void }[] = []
    let ids = 0
    parts.answerBy((request) => new Promise((resolve) => void open.push({ request, resolve })))
    const answer = async (count = Infinity): Promise<void> => {
      await turn()
      const { request, resolve } = open.shift()!
      const jobs = Array.from({ length: Math.min(count, request.limit) }, () => job(`${++ids}`))
      resolve({ jobs, nextAt: null })
      for (let n = 0; n < 4; n++) await turn()
    }
    return { ...parts, answer, limits: () => open.map(({ request }) => request.limit) }
  }

  test('is asked for the next jobs while others are on their way, and no more than that', async () => {
    const { source, answer, limits } = startLater()
    source.wake()
    expect(limits()).toEqual([500])
    await answer()
    expect(limits()).toEqual([500, 500])
    source.wake()
    expect(limits()).toEqual([500, 500])
  })

  test('is asked once at a time when there was less than asked for', async () => {
    const { source, answer, limits } = startLater()
    source.wake()
    await answer(400)
    source.wake()
    expect(limits()).toHaveLength(1)
    source.wake()
    expect(limits()).toHaveLength(1)
  })

  test('is not asked a second time for a few', async () => {
    const { source, answer, limits } = startLater(0.5)
    source.wake()
    expect(limits()).toEqual([120])
    await answer()
    expect(limits()).toEqual([64])
  })

  test('what two requests still bring is handed back when it stops', async () => {
    const { source, givenBack, answer, limits } = startLater()
    source.wake()
    await answer()
    expect(limits()).toHaveLength(2)
    const stopped = source.stop()
    await answer(3)
    await answer(4)
    await stopped
    expect(givenBack).toHaveLength(7)
  })

  test('outcomes are sent while the other half of what it gave is run', async () => {
    const runtime = manualRuntime()
    const stretches: number[] = [0]
    let isFirst = true
    const source = new Source({
      runtime,
      reporter: createReporter(() => {}),
      session: 's',
      queues: null,
      newToken: () => 1,
      isHeldBack: () => false,
      isAboutToSettle: () => false,
      giveBack: () => {},
      onNextAt: () => {},
      store: {
        async claim({ limit }) {
          await turn()
          const jobs = isFirst ? Array.from({ length: limit }, (_, n) => job(`${n}`)) : []
          isFirst = false
          return { jobs, nextAt: null }
        },
      },
      sink: { freeCount: 20, paceOfJobs: () => 0.004, start: () => void (stretches[stretches.length - 1]! += 1) },
    })
    source.wake()
    for (let n = 0; n < 6; n++) {
      await turn()
      stretches.push(0)
    }
    expect(stretches.filter((count) => count > 0)).toEqual([250, 250])
  })
})

test('asks for as many jobs as bring 8 MiB, by the size of those before', async () => {
  const { source, requests, running, answerBy } = start(500)
  const large = `["${'x'.repeat(256 * 1024)}"]`
  answerBy(({ limit }) =>
    Promise.resolve({
      jobs: Array.from({ length: limit }, (_, n) => ({ ...job(`${requests.length}-${n}`), args: large })),
      nextAt: null,
    }),
  )
  source.wake()
  for (let n = 0; n < 3; n++) {
    await turn()
    running.splice(0)
    source.pull()
  }
  const [first, ...others] = requests.map(({ limit }) => limit)
  expect(first).toBe(500)
  expect(others.length).toBeGreaterThan(0)
  expect(others.every((limit) => limit * large.length <= 8 * 1024 * 1024)).toBe(true)
})

test('what gets no answer or is refused is asked for again in smaller claims', async () => {
  const { runtime, source, requests, running, answerBy } = start(500)
  const errors = [
    new StoreUnavailable('No answer.', { mayBeStored: true }),
    new CeleriacError('STORE_FAILED', 'Too much.'),
    // Nothing was sent: that is no sign of too large an answer.
    new StoreUnavailable('Away.', { mayBeStored: false }),
    new CeleriacError('STORE_BUSY', 'Busy.'),
  ]
  answerBy(({ limit }) => {
    const error = errors.shift()
    if (error) return Promise.reject(error)
    return Promise.resolve({
      jobs: Array.from({ length: limit }, (_, n) => job(`${requests.length}-${n}`)),
      nextAt: null,
    })
  })
  source.wake()
  for (let n = 0; n < 4; n++) {
    await turn()
    runtime.pass(10_000)
  }
  for (let n = 0; n < 3; n++) {
    await turn()
    running.splice(0)
    source.pull()
  }
  expect(requests.slice(0, 5).map(({ token, limit }) => [token, limit])).toEqual([
    [1, 500],
    [1, 250],
    [1, 125],
    [1, 125],
    [1, 125],
  ])
  // With every answer twice as many again.
  expect(requests.slice(5).map(({ limit }) => limit)).toEqual(expect.arrayContaining([250, 500]))
})
