import type { TaskDefinition } from '../canvas/definition.ts'

/** A task whose handler is here. */
export type RunnableTask = Pick<TaskDefinition, 'name' | 'schema' | 'terms'> & {
  readonly handler: (...args: never) => unknown
}
