import fc from 'fast-check'
import { expect } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { ClaimedJob } from '../../src/engine/work.ts'
import type { Place } from '../engines.ts'
import { type ManualRuntime, seededRandom } from '../fixtures/clock.ts'
import { alone, chainOf, chordOf, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, failure, hand, type Hand, lease, retried, succeeded, sweepAll } from '../fixtures/hand.ts'
import { brokenRules, type History, readHistory } from './history.ts'
import { checkAlways, reached } from './random-test.ts'
import { reusedStore } from './reused-store.ts'

/** What a store is asked, in any order at all, whether it makes sense or not. */
const operations = [
  'submit',
  'claim',
  'claim',
  'claim',
  'settle',
  'settle',
  'settle and claim',
  'settle and claim',
  'settle again',
  'settle as a stranger',
  'cancel job',
  'cancel collection',
  'retry job',
  'retry collection',
  'retry whole',
  'sweep',
  'pass time',
  'beat',
  'beat without knowing',
  'end session',
  'lose session',
  'pause',
  'resume',
] as const
type Operation = (typeof operations)[number]
export type Step = { readonly operation: Operation; readonly seed: number }

export const arbitrarySteps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ operation: fc.constantFrom(...operations), seed: fc.nat() }),
  { minLength: 10, maxLength: 120 },
)

interface Stage {
  engine: Engine
  readonly clock: ManualRuntime
  readonly random: () => number
  readonly graphs: Graph[]
  readonly settled: { job: ClaimedJob; outcome: Outcome }[]
  workers: Hand[]
  held: { job: ClaimedJob; worker: Hand }[]
}

/** So many random sequences of operations, checked against the rules of history. A failure prints how to repeat it. */
export async function checkRandomOperations(makePlace: () => Place | Promise<Place>, count: number): Promise<void> {
  const store = reusedStore(makePlace)
  await checkAlways(arbitrarySteps, count, (steps) =>
    store.use(async (engine, clock) => {
      expect(brokenRules(await play(engine, clock, steps))).toEqual([])
    }),
  )
  await store.close()
}

/**
 * Plays them, then brings everything that was begun to an end, and gives the history of it all.
 *
 * @param move gives the engine to go on with half-way, when no worker lives: the history is then told from there on
 */
export async function play(
  engine: Engine,
  clock: ManualRuntime,
  steps: readonly Step[],
  move?: () => Promise<Engine>,
): Promise<History> {
  let cursor = await engine.cursor()
  const common = { engine, clock, graphs: [] as Graph[], settled: [] as Stage['settled'] }
  const stage: Stage = {
    ...common,
    random: seededRandom(1),
    workers: [await hand(engine), await hand(engine)],
    held: [],
  }
  for (const [at, { operation, seed }] of steps.entries()) {
    if (move && at === Math.floor(steps.length / 2)) cursor = await goOnWith(stage, move)
    reached(`step ${at}, ${operation}, on ${stage.engine.name}`)
    await operate(Object.assign(stage, { random: seededRandom(seed) }), operation)
  }
  reached('bringing everything to an end')
  await finish(stage)
  const sent = stage.graphs.map(({ id }) => id)
  return readHistory(stage.engine, sent, cursor)
}

/** One worker ends, the others are not heard of any more. What they knew means nothing to another store. */
async function goOnWith(stage: Stage, move: () => Promise<Engine>): Promise<string> {
  await stage.workers[0]?.beat({ ended: true })
  stage.clock.pass(2 * lease)
  stage.engine = await move()
  stage.workers = [await hand(stage.engine), await hand(stage.engine)]
  stage.held.splice(0)
  stage.settled.splice(0)
  return stage.engine.cursor()
}

async function operate(stage: Stage, operation: Operation): Promise<void> {
  const { engine, clock, random, graphs } = stage
  const graph = any(stage, graphs)
  const job = graph && any(stage, graph.jobs)
  const worker = any(stage, stage.workers) as Hand
  switch (operation) {
    case 'submit':
      graphs.push(anyGraph(stage))
      return void (await engine.submit([submission(graphs.at(-1) as Graph)]))
    case 'claim':
      return claimSome(stage, worker)
    case 'settle':
      return settleAny(stage)
    case 'settle and claim': {
      const settling = settleAny(stage)
      const claiming = claimSome(stage, worker)
      await settling
      return claiming
    }
    case 'settle again':
      return settleAgain(stage)
    case 'settle as a stranger': {
      const held = any(stage, stage.held)
      return void (
        held && (await engine.settle([{ ref: held.job.ref, token: held.job.token + 1, outcome: succeeded('stolen') }]))
      )
    }
    case 'cancel job':
      return void (job && random() < 0.5 && (await engine.cancel({ jobId: job.id })))
    case 'cancel collection':
      return void (graph && random() < 0.3 && (await engine.cancel({ collectionId: graph.id })))
    case 'retry job':
      return void (
        job &&
        graph &&
        (await engine.retry({
          selection: { jobId: job.id },
          expectedRound: await roundOf(engine, graph),
          mode: 'failed',
          ...(random() < 0.5 && { args: JSON.stringify(['other', Math.floor(random() * 100)]) }),
        }))
      )
    case 'retry collection':
    case 'retry whole': {
      const mode = operation === 'retry whole' ? 'all' : 'failed'
      return void (
        graph &&
        (await engine.retry({
          selection: { collectionId: graph.id },
          expectedRound: await roundOf(engine, graph),
          mode,
        }))
      )
    }
    case 'sweep':
      return void (await engine.sweep())
    case 'pass time':
      return clock.pass(Math.floor(random() * 3_000))
    case 'beat':
      return void (await worker.beat())
    case 'beat without knowing':
      return void (await worker.beat({ held: null }))
    case 'end session':
      await worker.beat({ ended: true })
      return replace(stage, worker)
    case 'lose session':
      await replace(stage, worker)
      return letExpire(stage)
    case 'pause':
    case 'resume':
      return engine.putQueues([{ name: 'default', paused: operation === 'pause' }])
  }
}

// ── what is drawn ────────────────────────────────────────────────────────────────────────────────────────────────

const any = <T>({ random }: Stage, list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)]

function anyGraph(stage: Stage): Graph {
  const options = { retry: { limit: 1, base: 100, factor: 2, max: 1_000, jitter: false }, timeout: 5_000 }
  const made = [
    () => alone('alone'),
    () => alone('late', { startIn: 500, expires: 2_000 }),
    () => chainOf('a', 'b', 'c'),
    () => chordOf(['a', 'b', 'c']),
    () => groupOf('a', 'b'),
    () =>
      graphOf(
        {
          a: { feeds: 0, options },
          mourn: sideJob('failure', 0, { from: 'failure' }),
          note: sideJob('always', 0),
          b: { behind: 0, feeds: 1 },
        },
        [{}, {}],
      ),
    () =>
      graphOf(
        {
          a: { feeds: 0, scope: 0 },
          b: { feeds: 0, scope: 0, options: { priority: 3 } },
          c: { behind: 0, feeds: 1, scope: 0 },
        },
        [{}, { feeds: 2 }, {}],
      ),
    () =>
      graphOf(
        {
          a: { feeds: 0 },
          b: { behind: 0, feeds: 1 },
          cheer: sideJob('success', 1),
          mourn: sideJob('failure', 1),
          note: sideJob('always', 0),
        },
        [{}, { gate: 0 }],
      ),
    () =>
      graphOf(
        {
          a: { feeds: 0 },
          n: { ...sideJob('failure', 0), feeds: 1 },
          m: sideJob('failure', 1),
          back: { role: 'callback', when: 'always', behind: 0 },
        },
        [{}, {}],
        0,
      ),
  ]
  return (any(stage, made) as () => Graph)()
}

function anyOutcome(stage: Stage, job: ClaimedJob): Outcome {
  const role = job.role
  const dice = stage.random()
  if (dice < 0.4) return succeeded(job.task)
  if (dice < 0.55) return failed()
  if (dice < 0.62) return retried(Math.floor(stage.random() * 300))
  if (dice < 0.68) return { type: 'snoozed', delay: 200 }
  if (dice < 0.74) return { type: 'released', started: stage.random() < 0.5, delay: stage.random() < 0.5 ? 0 : 100 }
  if (dice < 0.78) return { type: 'failed', reason: 'timeout', failure: failure('Too slow') }
  if (dice < 0.8) return { type: 'cancelled' }
  if (job.depth > 2) return succeeded('deep')
  const inner = any(stage, [chainOf('x', 'y'), groupOf('x', 'y'), chordOf(['x', 'y'], 'z'), graphOf({}, [{}])]) as Graph
  return continued({ ...inner, jobs: inner.jobs.map((each) => ({ ...each, role })) })
}

// ── what is done ─────────────────────────────────────────────────────────────────────────────────────────────────

async function claimSome({ random, held }: Stage, worker: Hand): Promise<void> {
  const jobs = await worker.claim(1 + Math.floor(random() * 4))
  held.push(...jobs.map((job) => ({ job, worker })))
}

async function settleAny(stage: Stage): Promise<void> {
  if (stage.held.length === 0) return
  const [{ job, worker }] = stage.held.splice(Math.floor(stage.random() * stage.held.length), 1) as [
    Stage['held'][number],
  ]
  const outcome = anyOutcome(stage, job)
  await worker.settle(job, outcome)
  stage.settled.push({ job, outcome })
}

async function settleAgain(stage: Stage): Promise<void> {
  const old = any(stage, stage.settled)
  if (old) await stage.engine.settle([{ ref: old.job.ref, token: old.job.token, outcome: old.outcome }])
}

async function replace(stage: Stage, gone: Hand): Promise<void> {
  stage.workers = [...stage.workers.filter((worker) => worker !== gone), await hand(stage.engine)]
}

/** A lease goes by, in which the others beat. */
async function letExpire({ engine, clock, workers }: Stage): Promise<void> {
  for (let passed = 0; passed <= 2 * lease; passed += 5_000) {
    clock.pass(5_000)
    for (const worker of workers) await worker.beat()
    await engine.sweep()
  }
}

const roundOf = async (engine: Engine, { id }: Graph): Promise<number> =>
  (await engine.collection(id, { jobs: false }))?.round ?? 1

/** Everything is brought to an end by a worker that always succeeds. */
async function finish(stage: Stage): Promise<void> {
  const { engine, clock } = stage
  await engine.putQueues([{ name: 'default', paused: false }])
  for (const worker of stage.workers) await worker.beat({ ended: true })
  for (let idle = 0; idle < 3;) {
    const worker = await hand(engine)
    await letExpire({ ...stage, workers: [worker] })
    const ran = await worker.drain()
    await sweepAll(engine, clock.now())
    await worker.beat({ ended: true })
    idle = ran.length === 0 ? idle + 1 : 0
  }
}
