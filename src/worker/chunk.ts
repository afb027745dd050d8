import { runningJob } from '../app/current-job.ts'
import { isCanvas } from '../canvas/canvas.ts'
import { CeleriacError } from '../core/errors.ts'
import type { CurrentJob } from '../core/handle.ts'
import { validate } from '../core/schema.ts'
import type { Duration } from '../core/time.ts'
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
    const result = await runningJob.run(new ChunkElement(attempt, name), handler, ...args)
    if (isCanvas(result)) throw unusable(task, 'called for a chunk it may not return a canvas; leave out chunk')
    // In a list nothing cannot be left out.
    results.push(result === undefined ? null : result)
    attempt.notes?.keep(name, results.at(-1))
  }
  return results
}

/** What the handler sees as its job while it is called for one element. */
export class ChunkElement implements CurrentJob {
  readonly owner: Attempt
  readonly key: string

  constructor(owner: Attempt, name: string) {
    this.owner = owner
    this.key = owner.id + name
  }

  get id(): string {
    return this.owner.id
  }

  get attempt(): number {
    return this.owner.attempt
  }

  get collectionId(): string {
    return this.owner.collectionId
  }

  get signal(): AbortSignal {
    return this.owner.signal
  }

  get log(): CurrentJob['log'] {
    return this.owner.log
  }

  progress(...how: Parameters<CurrentJob['progress']>): void {
    this.owner.progress(...how)
  }

  retry(options?: Parameters<CurrentJob['retry']>[0]): never {
    return this.owner.retry(options)
  }

  snooze(delay: Duration): never {
    return this.owner.snooze(delay)
  }

  completeWithin<R, Client extends object>(write: (client: Client) => R | Promise<R>): Promise<R> {
    return this.owner.completeWithin(write)
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
