import { runningJob } from '../app/current-job.ts'
import { isCanvas } from '../canvas/canvas.ts'
import { CeleriacError } from '../core/errors.ts'
import type { CurrentJob } from '../core/handle.ts'
import { validate } from '../core/schema.ts'
import type { Attempt } from './attempt.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Unusable } from './unusable.ts'

/**
 * Calls a handler for each element of the list that comes first, in order, and returns the list of its results. An element
 * that an earlier attempt finished is not called again: its result is remembered. A handler that throws ends the attempt.
 */
export async function callForEach(
  attempt: Attempt,
  task: RunnableTask,
  [elements, ...given]: readonly unknown[],
): Promise<unknown[]> {
  if (!Array.isArray(elements)) throw unusable(task, 'its job has a chunk of a list, and no list came')
  const handler = task.handler as (...args: readonly unknown[]) => unknown
  const results: unknown[] = []
  for (const [at, element] of (elements as unknown[]).entries()) {
    const name = `:${at}`
    const remembered = attempt.notes?.get(name)
    if (remembered !== undefined) {
      results.push(JSON.parse(remembered))
      continue
    }
    attempt.throwIfAborted()
    const args = await parse(task, [element, ...given])
    const result = await runningJob.run(elementOf(attempt, name), handler, ...args)
    if (isCanvas(result)) throw unusable(task, 'called for a chunk it may not return a canvas; leave out chunk')
    // In a list nothing cannot be left out.
    results.push(result === undefined ? null : result)
    attempt.notes?.keep(name, results.at(-1))
  }
  return results
}

/** What the handler sees as its job while it is called for one element. */
function elementOf(attempt: Attempt, name: string): CurrentJob {
  return {
    id: attempt.id,
    key: attempt.id + name,
    attempt: attempt.attempt,
    collectionId: attempt.collectionId,
    // Made when it is first asked for.
    get signal() {
      return attempt.signal
    },
    log: attempt.log,
    progress: (done, total, message) => attempt.progress(done, total, message),
    retry: (options) => attempt.retry(options),
    snooze: (delay) => attempt.snooze(delay),
    completeWithin: (write) => attempt.completeWithin(write),
  }
}

async function parse(task: RunnableTask, args: readonly unknown[]): Promise<readonly unknown[]> {
  if (task.schema === null) return args
  try {
    return await validate(task.schema, args, task.name)
  } catch (error) {
    throw new Unusable(error)
  }
}

const unusable = (task: RunnableTask, problem: string): Unusable =>
  new Unusable(new CeleriacError('INVALID_ARGUMENTS', `${task.name}: ${problem}`))
