import { CeleriacError } from '../core/errors.ts'
import { isCanvas } from '../canvas/canvas.ts'
import { validate } from '../core/schema.ts'
import type { Attempt } from './attempt.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Unusable } from './unusable.ts'

/**
 * Calls a handler for each element of the list that comes first, in order, and gives the list of what it returned. One
 * that throws fails the job as a whole.
 */
export async function callForEach(
  attempt: Attempt,
  task: RunnableTask,
  [elements, ...given]: readonly unknown[],
): Promise<unknown[]> {
  if (!Array.isArray(elements)) throw unusable(task, 'its job has a chunk of a list, and no list came')
  const handler = task.handler as (...args: readonly unknown[]) => unknown
  const results: unknown[] = []
  for (const element of elements as unknown[]) {
    attempt.throwIfAborted()
    const result = await handler(...(await parse(task, [element, ...given])))
    if (isCanvas(result)) throw unusable(task, 'called for a chunk it may not return a canvas; leave out chunk')
    // In a list nothing cannot be left out.
    results.push(result === undefined ? null : result)
  }
  return results
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
