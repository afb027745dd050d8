import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError } from '../core/errors.ts'
import type { ClaimedJob, Heartbeat as Beat, HeartbeatAnswer } from '../engine/work.ts'
import { Attempt } from './attempt.ts'
import { Heartbeat } from './heartbeat.ts'
import { createReporter } from './report.ts'

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
const job = { id: 'a', ref: 'a', token: 1, attempt: 1 } as ClaimedJob
const nothing: HeartbeatAnswer = { lost: [], toCancel: [] }
const fromAnotherProcess = { queued: true, changed: true, cancel: true }
const fromHere = { queued: false, changed: true, cancel: true }

async function start(answer: (beat: Beat) => Promise<HeartbeatAnswer> = () => Promise.resolve(nothing)) {
  const runtime = manualRuntime()
  const beats: Beat[] = []
  const told: string[] = []
  const notices: string[] = []
  const held: ClaimedJob[] = [job]
  const heartbeat = new Heartbeat({
    runtime,
    reporter: createReporter(({ message }) => void notices.push(message)),
    session: { id: 's', name: 'w', host: 'h', pid: 1, queues: null, concurrency: 1 },
    lease: 12_000,
    held: () => held,
    isHolding: () => held.length > 0,
    onCancel: (id, token) => void told.push(`cancel ${id} ${token}`),
    onLost: (id, token) => void told.push(`lost ${id} ${token}`),
    store: {
      heartbeat(beat) {
        beats.push(beat)
        return answer(beat)
      },
    },
  })
  await heartbeat.start()
  const pass = async (ms: number, step = 10): Promise<void> => {
    for (let passed = 0; passed < ms; passed += step) {
      runtime.pass(step)
      await turn()
    }
  }
  const attempt = new Attempt(
    job,
    {
      now: () => runtime.now(),
      note: (one) => heartbeat.note(one),
      complete: () => Promise.reject(new Error('Nothing here completes within.')),
    },
    0,
  )
  return { runtime, heartbeat, beats, told, notices, held, pass, attempt }
}

test('it beats three times in a lease, and lists the jobs held', async () => {
  const { beats, pass } = await start()
  await pass(12_000, 1_000)
  expect(beats).toHaveLength(4)
  expect(beats[3]).toMatchObject({ held: [{ id: 'a', token: 1 }], lease: 12_000 })
})

test('what the store answers is told on', async () => {
  const answer = { lost: [{ id: 'a', token: 1 }], toCancel: [{ id: 'b', token: 2 }] }
  const { told } = await start(() => Promise.resolve(answer))
  expect(told).toEqual(['lost a 1', 'cancel b 2'])
})

test('an idle worker whose session a thread keeps alive says once in a lease that it holds nothing', async () => {
  const { heartbeat, beats, held, pass } = await start()
  heartbeat.isRelieved = true
  held.pop()
  await pass(11_000, 1_000)
  expect(beats).toHaveLength(1)
  await pass(1_000)
  expect(beats).toHaveLength(2)
  expect(beats[1]).toMatchObject({ held: [] })
  held.push(job)
  await pass(4_000, 1_000)
  expect(beats).toHaveLength(3)
})

test('a cancel from this process is looked for at once, one from another at once and then less often', async () => {
  const { heartbeat, beats, pass } = await start()
  heartbeat.nudge(fromHere)
  await turn()
  expect(beats).toHaveLength(2)
  await pass(2_000)
  // Another process that writes all the time, once every 20 ms, for a second.
  for (let n = 0; n < 50; n++) {
    heartbeat.nudge(fromAnotherProcess)
    await pass(20)
  }
  expect(beats.length - 2).toBeGreaterThanOrEqual(3)
  expect(beats.length - 2).toBeLessThanOrEqual(7)
  const before = beats.length
  heartbeat.nudge(fromAnotherProcess)
  heartbeat.nudge(fromHere)
  await turn()
  expect(beats.length).toBe(before + 1)
  await pass(2_000)
  heartbeat.nudge(fromAnotherProcess)
  await turn()
  expect(beats.length).toBe(before + 2)
})

test('signals that are not about cancels, or come while nothing is held, make no beat', async () => {
  const { heartbeat, beats, held } = await start()
  heartbeat.nudge({ queued: true, changed: true, cancel: false })
  held.pop()
  heartbeat.nudge(fromHere)
  await turn()
  expect(beats).toHaveLength(1)
})

test('a beat asked for while one is under way begins after it, once for all who ask', async () => {
  const answers = [Promise.resolve(nothing), Promise.withResolvers<HeartbeatAnswer>()] as const
  let count = 0
  const { heartbeat, beats } = await start(() => (++count === 2 ? answers[1].promise : answers[0]))
  const first = heartbeat.beat()
  const others = [heartbeat.beat(), heartbeat.beat()]
  await turn()
  expect(beats).toHaveLength(2)
  answers[1].resolve(nothing)
  await Promise.all([first, ...others])
  expect(beats).toHaveLength(3)
})

test('a beat that fails is tried again sooner than the next is due, and told of once', async () => {
  let isAway = false
  const { beats, notices, pass } = await start(() =>
    isAway ? Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.')) : Promise.resolve(nothing),
  )
  isAway = true
  await pass(7_000, 100)
  expect(beats.length).toBe(5)
  isAway = false
  await pass(1_000, 100)
  expect(notices).toEqual(['A heartbeat failed: Busy. Trying again.', 'Heartbeats work again.'])
})

test('news that the store will not take is dropped, and the session lives on', async () => {
  const { attempt, beats, notices, pass } = await start(({ log }) =>
    log.length > 0 ? Promise.reject(new CeleriacError('STORE_FAILED', 'Bad text.')) : Promise.resolve(nothing),
  )
  await pass(100)
  attempt.log.info('bad')
  await pass(100)
  expect(beats.map(({ log }) => log.length)).toEqual([0, 1, 0])
  expect(notices).toEqual(['The store refused progress or log lines; they are left out.'])
})

test('the last beat says so, and none comes after it', async () => {
  const { runtime, heartbeat, beats, attempt, pass } = await start()
  await heartbeat.end()
  await heartbeat.beat()
  attempt.log.info('late')
  heartbeat.nudge(fromHere)
  await pass(20_000, 1_000)
  expect(beats).toHaveLength(2)
  expect(beats[1]).toMatchObject({ ended: true, held: [] })
  expect(runtime.pending).toBe(0)
})
