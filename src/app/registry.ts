import type { TaskDefinition } from '../canvas/definition.ts'
import { CeleriacError } from '../core/errors.ts'
import { didYouMean } from '../core/misspelling.ts'

/** The tasks that an app knows, by name. */
export interface Registry {
  /** @throws CeleriacError DUPLICATE_TASK */
  add(definition: TaskDefinition): void
  find(name: string): TaskDefinition | undefined
  /** @throws CeleriacError UNKNOWN_TASK, with the known name it resembles */
  get(name: string): TaskDefinition
  /** The same list until another task is added. */
  all(): readonly TaskDefinition[]
}

export function createRegistry(): Registry {
  const known = new Map<string, TaskDefinition>()
  let all: readonly TaskDefinition[] | null = null
  return {
    add(definition) {
      const before = known.get(definition.name)
      // Another service may declare what this one defines, in either order: what can run here wins.
      if (before && definition.handler === null) return
      if (before && before.handler !== null) throw duplicate(definition.name)
      known.set(definition.name, definition)
      all = null
    },
    find: (name) => known.get(name),
    get(name) {
      const definition = known.get(name)
      if (definition) return definition
      throw unknown(name, known.keys())
    },
    all: () => (all ??= [...known.values()]),
  }
}

function duplicate(name: string): CeleriacError {
  return new CeleriacError('DUPLICATE_TASK', `There are two tasks called "${name}": give one of them another name.`)
}

function unknown(name: string, names: Iterable<string>): CeleriacError {
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name
  const advice = ': define it with app.task(…), or app.declare(…) if another service runs it.'
  return new CeleriacError('UNKNOWN_TASK', `There is no task "${shown}"${didYouMean(shown, names) || advice}`)
}
