import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { ClaimedJob, Heartbeat as Beat, HeartbeatAnswer } from '../engine/work.ts'
import { Attempt } from './attempt.ts'
import { Heartbeat } from './heartbeat.ts'
import { createReporter } from './report.ts'
import { Tallies } from './tallies.ts'

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
  const tallies = new Tallies({
    now: () => runtime.now(),
    unsettledSince: () => null,
    onChange: () => heartbeat.noteTallies(),
  })
  const heartbeat: Heartbeat = new Heartbeat({
    runtime,
    reporter: createReporter(({ message }) => void notices.push(message)),
    session: { id: 's', name: 'w', host: 'h', pid: 1, queues: null, concurrency: 1 },
    lease: 12_000,
    held: () => held,
    isHolding: () => held.length > 0,
    tallies,
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
      elapsed: () => runtime.elapsed(),
      note: (one) => heartbeat.note(one),
      complete: () => Promise.reject(new Error('Nothing here completes within.')),
    },
    0,
  )
  return { runtime, heartbeat, beats, told, notices, held, pass, attempt, tallies }
}

test('it beats three times in a lease, and lists the jobs held', async () => {
  const { beats, pass } = await start()
  await pass(12_000, 1_000)
  expect(beats).toHaveLength(4)
  expect(beats[3]).toMatchObject({ held: [{ id: 'a', token: 1 }], lease: 12_000 })
})

test('what an attempt keeps goes with a beat while it runs, and again where that beat failed', async () => {
  let isAway = false
  const answer = (): Promise<HeartbeatAnswer> =>
    isAway ? Promise.reject(new StoreUnavailable('Away', { mayBeStored: true })) : Promise.resolve(nothing)
  const { attempt, beats, pass } = await start(answer)
  attempt.openNotes([])
  attempt.notes?.keep(':0', 'early')
  await pass(900, 100)
  expect(beats).toHaveLength(1)
  await pass(200, 100)
  isAway = true
  attempt.notes?.keep(':1', 'late')
  await pass(100, 10)
  isAway = false
  attempt.notes?.keep(':2', 'later')
  await pass(2_000, 100)
  const note = (name: string, value: string) => ({ ref: job.ref, token: job.token, note: { name, value } })
  const sent = beats.flatMap(({ notes }) => (notes?.length ? [notes] : []))
  expect(sent[0]).toEqual([note(':0', '"early"'), note(':1', '"late"')])
  expect(sent.at(-1)).toEqual([note(':0', '"early"'), note(':1', '"late"'), note(':2', '"later"')])
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
  expect(notices).toEqual(['The store refused progress or a log line; it is left out.'])
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

const counted = { task: 't', outcome: 'succeeded', answer: 'accepted', endedAt: Date.UTC(2026, 0, 1), ran: 1 } as const

test('tallies are told within 5 s, by a worker that is idle and whose session a thread keeps alive too', async () => {
  const { heartbeat, beats, held, pass, tallies } = await start()
  heartbeat.isRelieved = true
  held.pop()
  await pass(100)
  tallies.count(counted)
  expect(beats).toHaveLength(1)
  await pass(5_000)
  expect(beats).toHaveLength(2)
  expect(beats[1]?.tallies).toMatchObject([{ task: 't', succeeded: 1 }])
  await pass(10_000, 100)
  expect(beats).toHaveLength(2)
})

test('tallies go with a beat that goes anyway, yet not with every one of many', async () => {
  const { beats, pass, tallies, attempt } = await start()
  const told = (): number => beats.filter((beat) => beat.tallies !== undefined).length
  for (let n = 0; n < 30; n++) {
    tallies.count(counted)
    attempt.log.info('line')
    await pass(100)
  }
  expect(beats.length).toBeGreaterThan(25)
  expect(told()).toBe(3)
  await pass(5_000)
  expect(told()).toBe(4)
  expect(beats.findLast((beat) => beat.tallies !== undefined)?.tallies).toMatchObject([{ succeeded: 30 }])
})

test('tallies of a beat that failed go with the next, and the last beat takes the rest', async () => {
  let isAway = false
  const { beats, pass, tallies, heartbeat, held } = await start(() =>
    isAway ? Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.')) : Promise.resolve(nothing),
  )
  heartbeat.isRelieved = true
  held.pop()
  tallies.count(counted)
  isAway = true
  await pass(5_000, 100)
  expect(beats.at(-1)?.tallies).toHaveLength(1)
  isAway = false
  await pass(2_000, 100)
  expect(beats.at(-1)?.tallies).toHaveLength(1)
  expect(tallies.hasChanged).toBe(false)
  tallies.count(counted)
  await heartbeat.end()
  expect(beats.at(-1)).toMatchObject({ ended: true, tallies: [{ succeeded: 2 }] })
})

// ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('progress goes without the list of the jobs held, which goes on three times in a lease', async () => {
  const { beats, pass, attempt } = await start()
  for (let n = 0; n < 120; n++) {
    attempt.progress(n)
    await pass(100)
  }
  expect(beats.filter(({ progress }) => progress.length > 0).length).toBeGreaterThan(100)
  expect(beats.filter(({ held, progress }) => progress.length > 0 && held !== null).length).toBeLessThan(5)
  expect(beats.filter(({ held }) => held !== null).length).toBeGreaterThanOrEqual(4)
})

const line = 'x'.repeat(8_000)
const linesIn = (beats: readonly Beat[]): string[] =>
  beats.flatMap(({ log }) => log.map(({ line: { data } }) => JSON.parse(data ?? 'null') as string))
const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}${line}`)

test('log lines go in requests of at most 4 MiB, in order', async () => {
  const { beats, pass, attempt } = await start()
  for (const text of numbered(1_000)) attempt.log.info('a line', text)
  await pass(100)
  const sizes = beats.map(({ log }) => log.reduce((sum, { line: { data } }) => sum + (data?.length ?? 0), 0))
  expect(sizes.filter((size) => size > 0).length).toBe(2)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * 1024 * 1024)
  expect(linesIn(beats)).toEqual(numbered(1_000))
})

test('where one request of several fails, what was not stored is sent again, and nothing twice', async () => {
  let isAway = false
  const stored: Beat[] = []
  const { pass, attempt } = await start((beat) => {
    if (stored.length === 2) isAway = true
    if (isAway) return Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'away'))
    stored.push(beat)
    return Promise.resolve(nothing)
  })
  for (const text of numbered(1_000)) attempt.log.info('a line', text)
  await pass(500)
  isAway = false
  stored.push({} as Beat)
  await pass(5_000)
  expect(linesIn(stored.filter(({ log }) => log !== undefined))).toEqual(numbered(1_000))
})

test('of the lines in a request that the store refuses only the one that it does not take is left out', async () => {
  const stored: Beat[] = []
  const { pass, attempt, notices } = await start((beat) => {
    if (linesIn([beat]).some((text) => text.startsWith('37')))
      return Promise.reject(new CeleriacError('TOO_LARGE', 'no'))
    stored.push(beat)
    return Promise.resolve(nothing)
  })
  for (const text of numbered(100)) attempt.log.info('a line', text)
  await pass(100)
  expect(linesIn(stored)).toEqual(numbered(100).filter((text) => !text.startsWith('37')))
  expect(notices).toEqual(['The store refused progress or a log line; it is left out.'])
})

test('whoever waits for what is not stored yet waits for the request under way, too', async () => {
  const answer = Promise.withResolvers<void>()
  const { heartbeat, pass, attempt, beats } = await start(async ({ log }) => {
    if (log.length > 0) await answer.promise
    return nothing
  })
  attempt.log.info('a line')
  await pass(100)
  expect(beats.at(-1)?.log).toHaveLength(1)
  let isStored = false
  const sent = heartbeat.sendNews()?.then(() => void (isStored = true))
  await pass(100)
  expect(sent).toBeDefined()
  expect(isStored).toBe(false)
  answer.resolve()
  await sent
  expect(heartbeat.sendNews()).toBe(null)
})
