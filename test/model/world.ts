import { partsOf } from '../../src/app/parts.ts'
import { checkArguments, compileContext } from '../../src/app/submission.ts'
import { eachTask } from '../../src/canvas/fragment.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { ClaimedJob } from '../../src/engine/work.ts'
import { Celeriac, currentJob } from '../../src/index.ts'
import { Attempt } from '../../src/worker/attempt.ts'
import { builtInEach } from '../../src/worker/each-task.ts'
import { execute, type Workshop } from '../../src/worker/execute.ts'
import type { RunnableTask } from '../../src/worker/runnable-task.ts'
import type { Place } from '../engines.ts'
import { type ManualRuntime, manualRuntime } from '../fixtures/clock.ts'
import { modelReport, modelSummary } from './evaluate.ts'
import { modelTasks } from './model-tasks.ts'

/** A store, an app and the tasks of the model, under a clock that stands still. Nothing in it runs by itself. */
export interface World {
  readonly clock: ManualRuntime
  readonly engine: Engine
  readonly app: Celeriac
  /** What the worker does with a claimed job. */
  run(job: ClaimedJob): Promise<Outcome>
  /** What the handler of a job was called with last. */
  readonly calls: Map<string, readonly unknown[]>
  /** While it is true, `fail` gives what it would have thrown about: the cause has been mended. */
  isMended: boolean
  close(): Promise<void>
}

export function createWorld(place: Place): World {
  const clock = manualRuntime()
  const engine = place.connect(clock)
  const app = new Celeriac({ engine, runtime: clock })
  const world: World = {
    clock,
    engine,
    app,
    calls: new Map(),
    isMended: false,
    async run(job) {
      const outcome = await execute(
        new Attempt(
          job,
          {
            now: clock.now,
            elapsed: clock.elapsed,
            note: () => {},
            complete: () => Promise.reject(new Error('Nothing here completes within.')),
          },
          clock.elapsed(),
        ),
        shop,
      )
      // The handler of a chunk is called for each element, the job but once.
      if (job.options.chunked) world.calls.delete(job.id)
      return outcome
    },
    async close() {
      await app.close()
      await place.remove()
    },
  }
  const retry = (limit: number) => ({ retry: { limit, backoff: { base: 0, jitter: false } } })
  for (const [name, task] of modelTasks) {
    app.task(name, retry(task.retryLimit ?? 0), (...given: any[]): any => {
      const args = given.map(asInModel)
      const job = currentJob()
      world.calls.set(job.id, args)
      if (world.isMended && name === 'fail') return mended(args)
      return task.run(args, job.attempt)
    })
  }
  const shop = workshopOf(app, engine, clock)
  return world
}

/** What `fail` gives once it is mended. */
export const mended = (args: readonly unknown[]): unknown => args.at(-1) ?? null

/** The tasks of the model after that. */
export const mendedTasks: typeof modelTasks = new Map([...modelTasks, ['fail', { run: mended }]])

function workshopOf(app: Celeriac, engine: Engine, runtime: ManualRuntime): Workshop {
  const parts = partsOf(app)
  return {
    runtime,
    store: engine,
    findTask: (name) => (name === eachTask ? builtInEach : (parts.registry.find(name) as RunnableTask | undefined)),
    compiling: compileContext(parts),
    checkGraph: async (graph) => checkArguments(parts, graph),
    delayForUnknown: () => 1_000,
  }
}

/** Reports and summaries as the model has them, wherever they stand in a value. */
function asInModel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asInModel)
  if (typeof value !== 'object' || value === null) return value
  if ('failure' in value && 'reason' in value && 'task' in value) return modelReport
  if ('counts' in value && 'state' in value) return modelSummary(value.state === 'succeeded' ? 'succeeded' : 'failed')
  return value
}
