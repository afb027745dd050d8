import { taskTerms, type TaskTerms } from '../core/call-options.ts'
import { CeleriacError } from '../core/errors.ts'
import { readable } from '../core/option.ts'
import type { TaskOptions } from '../core/options.ts'
import type { InputSchema } from '../core/schema.ts'
import type { Handler } from './handler.ts'

/** All that is known of a task: what `app.task(…)` or `app.declare(…)` said. */
export interface TaskDefinition {
  readonly name: string
  /** null: another service defines it. */
  readonly handler: Handler | null
  /** What arguments are parsed by; null: they are taken as they come. */
  readonly schema: InputSchema | null
  /** Its defaults, checked. */
  readonly terms: TaskTerms
}

/**
 * Checks what a task is defined by.
 *
 * @throws CeleriacError BAD_ARGUMENT (name, handler), BAD_OPTION, BAD_DURATION
 */
export function defineTask(
  name: string,
  options: TaskOptions & { readonly input?: unknown },
  handler: Handler,
): TaskDefinition {
  checkTaskName(name)
  if (typeof handler !== 'function') {
    throw new CeleriacError('BAD_ARGUMENT', `task ${name}: it needs a function: app.task('${name}', (…) => …)`)
  }
  const schema = readable(`task ${name}`, () =>
    options.input === undefined ? null : inputSchema(options.input, `task ${name}: input`),
  )
  return { name, handler, schema, terms: taskTerms(options, `task ${name}`) }
}

/** A task that another service defines. @throws CeleriacError BAD_ARGUMENT */
export function declareTask(name: string): TaskDefinition {
  checkTaskName(name)
  return { name, handler: null, schema: null, terms: { job: {} } }
}

/** What the names of the package's own tasks begin with. */
export const reservedPrefix = 'celeriac.'

/** @throws CeleriacError BAD_ARGUMENT where a task may not be called that. */
export function checkTaskName(name: string): void {
  const problem = problemOfName(name)
  if (problem) throw new CeleriacError('BAD_ARGUMENT', `task name ${shown(name)}: ${problem}`)
}

function problemOfName(name: unknown): string | undefined {
  if (typeof name !== 'string') return 'it must be a text'
  if (name === '') return 'it must not be empty'
  if (name.length > 200) return 'it must not be longer than 200 characters'
  if (/\p{Cc}/u.test(name)) return 'it must not have control characters in it'
  if (!name.isWellFormed()) return 'it must not have half a surrogate pair in it'
  if (name.startsWith(reservedPrefix)) return `names that begin with ${reservedPrefix} are the package's own`
  return undefined
}

const shown = (name: unknown): string => (typeof name === 'string' ? JSON.stringify(name.slice(0, 60)) : String(name))

function inputSchema(input: unknown, what: string): InputSchema {
  const schemas: readonly unknown[] = Array.isArray(input) ? input : [input]
  const isSchema = (one: unknown): boolean =>
    ((typeof one === 'object' && one !== null) || typeof one === 'function') && '~standard' in one
  if (schemas.every(isSchema)) return input as InputSchema
  throw new CeleriacError('BAD_OPTION', `${what}: give a Standard Schema, or a list of them, one for each argument`)
}
