import fc from 'fast-check'
import { expect } from 'vitest'
import type { CanvasValue } from '../../src/canvas/canvas.ts'
import type { CollectionHandle } from '../../src/index.ts'
import type { Place } from '../engines.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { arbitraryCanvas } from './arbitrary-canvas.ts'
import { type Compared, differences } from './compare.ts'
import { evaluate, type Expected } from './evaluate.ts'
import { brokenRules, readHistory } from './history.ts'
import { modelTasks } from './model-tasks.ts'
import { checkAlways } from './random-test.ts'
import { calm, playOut, type Troubles } from './play.ts'
import { createWorld, mendedTasks, type World } from './world.ts'

/** What people do meanwhile and afterwards. */
type Twist =
  | 'none'
  | 'cancelled and retried'
  | 'mended and retried'
  | 'mended and run again whole'
  | 'mended and retried job by job'

interface Case {
  readonly canvas: CanvasValue
  readonly twist: Twist
  readonly troubles: Troubles
  readonly seed: number
}

const arbitraryCase: fc.Arbitrary<Case> = fc.record({
  canvas: arbitraryCanvas(),
  twist: fc.constantFrom<Twist>(
    'none',
    'cancelled and retried',
    'mended and retried',
    'mended and run again whole',
    'mended and retried job by job',
  ),
  troubles: fc.oneof(
    { weight: 1, arbitrary: fc.constant(calm) },
    {
      weight: 3,
      arbitrary: fc.record({
        zombies: fc.constantFrom(0, 0.3),
        crashes: fc.constantFrom(0, 0.05),
        returns: fc.constantFrom(0, 0.2),
      }),
    },
  ),
  seed: fc.nat(),
})

/**
 * So many random canvases, run by hand-driven workers with whatever may go wrong, against the naive evaluator and the
 * rules of history. A failure prints the seed and path that repeat it.
 */
export async function checkRandomCanvases(makePlace: () => Place | Promise<Place>, count: number): Promise<void> {
  let world: World | null = null
  await checkAlways(arbitraryCase, count, async (one) => {
    world ??= createWorld(await makePlace())
    const current = world
    try {
      expect(await wrongWith(current, one)).toEqual([])
    } catch (error) {
      // What is left of it must not run into the next.
      world = null
      await current.close()
      throw error
    }
  })
  await (world as World | null)?.close()
}

async function wrongWith(world: World, { canvas, twist, troubles, seed }: Case): Promise<string[]> {
  const random = seededRandom(seed)
  world.isMended = false
  world.calls.clear()
  const cursor = await world.engine.cursor()
  const handle = (await world.app.submit(canvas as never)) as CollectionHandle<unknown>
  const found = await live({ world, handle, canvas, twist, troubles, random })
  if (found.length === 0) found.push(...brokenRules(await readHistory(world.engine, [handle.id], cursor)))
  if (found.length === 0) await world.engine.remove(handle.id)
  return found.map((what) => `${twist}: ${what}`)
}

interface Life extends Omit<Case, 'seed'> {
  readonly world: World
  readonly handle: CollectionHandle<unknown>
  readonly random: () => number
}

async function live(life: Life): Promise<string[]> {
  const { world, handle, canvas, twist, troubles, random } = life
  const asWritten = evaluate(canvas.node, modelTasks)
  const cancel = async (): Promise<void> => handle.cancel()
  const found = await playOut(
    world,
    handle.id,
    random,
    troubles,
    twist === 'cancelled and retried' ? cancel : undefined,
  )
  if (found.length > 0) return found
  const { state } = await handle.snapshot()
  if (twist === 'cancelled and retried') {
    if (state === 'cancelled')
      return secondRound(life, asWritten, async () => handle.retry(), { branches: false, attempts: false })
    return differs(life, asWritten, { branches: true, attempts: false })
  }
  found.push(...(await differs(life, asWritten, { branches: true, attempts: troubles === calm })))
  if (found.length > 0 || twist === 'none') return found
  const whenMended = evaluate(canvas.node, mendedTasks)
  world.isMended = true
  if (twist === 'mended and run again whole') {
    return secondRound(life, whenMended, async () => handle.retry({ mode: 'all' }), { branches: true, attempts: false })
  }
  if (state === 'succeeded') return []
  // Some canvases fail for what cannot be mended: an `each` over something that is no list.
  if (twist === 'mended and retried' || whenMended.outcome.type !== 'succeeded')
    return secondRound(life, whenMended, async () => handle.retry(), { branches: false, attempts: false })
  return jobByJob(life, whenMended)
}

async function secondRound(
  life: Life,
  expected: Expected,
  again: () => Promise<void>,
  compared: Compared,
): Promise<string[]> {
  const { world, handle, random, troubles } = life
  await again()
  const found = await playOut(world, handle.id, random, troubles)
  return found.length > 0 ? found : differs(life, expected, compared)
}

/** Retries, one after the other, main jobs that failed by themselves, until the collection succeeded. */
async function jobByJob(life: Life, expected: Expected): Promise<string[]> {
  const { world, handle, random, troubles } = life
  for (let round = 0; round < 300; round++) {
    const { state, jobs } = await handle.snapshot()
    if (state === 'succeeded') return differs(life, expected, { branches: false, attempts: false })
    const lost = jobs.filter(
      (job) =>
        job.role === 'main' && (job.state === 'cancelled' || (job.state === 'failed' && job.failedJobId === job.id)),
    )
    const chosen = lost[Math.floor(random() * lost.length)]
    if (!chosen) return [`it is ${state}, and nothing in it can be retried`]
    const refusal = await (await world.app.job(chosen.id)).retry().then(
      () => null,
      (error: unknown) => error,
    )
    if (refusal) {
      // What was cancelled behind something that failed has to wait for that.
      if (lost.length > 1 && (refusal as { code?: string }).code === 'NOT_RETRYABLE') continue
      return [`${chosen.task} was not retried: ${String(refusal)}`]
    }
    const found = await playOut(world, handle.id, random, troubles)
    if (found.length > 0) return found
  }
  return ['retrying job by job does not come to an end']
}

async function differs({ world, handle }: Life, expected: Expected, compared: Compared): Promise<string[]> {
  const detail = await world.engine.collection(handle.id)
  if (!detail) return ['the collection is not there']
  const found = differences(detail, world.calls, expected, compared)
  if (expected.outcome.type !== 'succeeded' || found.length > 0) return found
  const result = JSON.stringify((await handle.result()) ?? null)
  const wanted = JSON.stringify(expected.outcome.result)
  return result === wanted ? [] : [`the result is ${result}, not ${wanted}`]
}
