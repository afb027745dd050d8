import { canvasOf } from '../canvas/canvas.ts'
import { expandEach } from '../canvas/each-node.ts'
import { eachTask } from '../canvas/fragment.ts'
import { readNode } from '../canvas/read-node.ts'
import { CeleriacError } from '../core/errors.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Unusable } from './unusable.ts'

/** The built-in task behind `each(…)`: continues as a group with a member for every element, or chunk of elements. */
export const builtInEach: RunnableTask = {
  name: eachTask,
  schema: null,
  terms: { job: {} },
  handler: (list: unknown, of: unknown, chunk: number | null) => {
    if (!Array.isArray(list)) throw new Unusable(noList(list))
    return canvasOf(expandEach(list, readNode(of, 'each'), chunk))
  },
}

function noList(value: unknown): CeleriacError {
  const found = value === null ? 'null' : `a value of type ${typeof value}`
  return new CeleriacError('INVALID_ARGUMENTS', `each(…) takes a list, and what came before it gave ${found}`)
}
