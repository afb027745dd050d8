import type { CanvasValue } from '../../src/canvas/canvas.ts'
import { chain, group, named } from '../fixtures/drawing.ts'
import type { ModelTask, ModelTasks } from './evaluate.ts'

/**
 * The tasks that random canvases are made of. They take anything and never surprise, so that whatever a random canvas
 * gives them has one answer. Register them as they are: `(...args) => task.run(args, currentJob().attempt)`.
 */
const list: Readonly<Record<string, ModelTask>> = {
  /** Gives what it is given. */
  id: { run: ([x]) => x },
  /** Gives nothing. */
  note: { run: () => undefined },
  add: { run: ([x, y]) => numberOf(x) + numberOf(y) },
  /** All numbers in what it is given. */
  sum: { run: ([x]) => numberOf(x) },
  fail: {
    run: (args) => {
      throw new Error(`Expected ${JSON.stringify(args.at(-1) ?? null)}`)
    },
  },
  failOnce: {
    retryLimit: 1,
    run: ([x], attempt) => {
      if (attempt === 1) throw new Error('Expected once')
      return x
    },
  },
  /** Continues as a chain that comes to what it was given. */
  become: { run: ([x]): CanvasValue => chain(call('id', x), call('id')) },
  /** Continues as a task that continues, and so on, until the number it is given is used up. */
  descend: { run: ([x]) => (depthOf(x) === 0 ? x : call('descend', depthOf(x) - 1)) },
  /** Continues as a group with a member for each element. */
  fan: { run: ([x]): CanvasValue => group(...listOf(x).map((element) => call('id', element))) },
  /** Continues as a group that fails, with a side branch that runs. */
  fanFail: { run: ([x]): CanvasValue => group(call('id', x), call('fail', 'inside').onError(call('note'))) },
}

export const modelTasks: ModelTasks = new Map(Object.entries(list))

/** A call of one of them. Without a value it is given the result before it alone. */
function call(task: string, ...args: unknown[]): any {
  return named(task).s(...args.map((arg) => arg ?? null))
}

function numberOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((total: number, one) => total + numberOf(one), 0)
  return typeof value === 'number' ? value : 0
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])
const depthOf = (value: unknown): number => Math.min(3, Math.abs(Math.trunc(numberOf(value))))
