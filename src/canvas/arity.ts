import { CeleriacError } from '../core/errors.ts'
import type { TaskDefinition } from './definition.ts'

interface Arity {
  readonly least: number
  /** null: nobody can tell. */
  readonly most: number | null
}

const known = new WeakMap<object, Arity>()

/**
 * Checks how many arguments a call has. It is all that can be known of a task that has no schema.
 *
 * @param hasInput a result is put before them, which the handler may leave alone
 * @throws CeleriacError INVALID_ARGUMENTS
 */
export function checkArity({ name, handler }: TaskDefinition, count: number, hasInput = false): void {
  if (handler === null) return
  let arity = known.get(handler)
  if (arity === undefined) known.set(handler, (arity = arityOf(handler)))
  const { least, most } = arity
  if (count + (hasInput ? 1 : 0) >= least && (most === null || count <= most)) return
  const takes = most === least ? `${least}` : most === null ? `at least ${least}` : `${least} to ${most}`
  throw new CeleriacError(
    'INVALID_ARGUMENTS',
    `${name}: it takes ${takes} ${takes === '1' ? 'argument' : 'arguments'}, not ${count}`,
  )
}

/** `length` counts up to the first parameter with a default. How many more there may be stands in the text of the function alone. */
function arityOf(handler: (...args: never[]) => unknown): Arity {
  const { length } = handler
  const text = Function.prototype.toString.call(handler)
  const isOpen = parametersOf(text).match(/[=]|\.\.\./) !== null || /\barguments\b|\[native code\]/.test(text)
  return { least: length, most: isOpen ? null : length }
}

function parametersOf(text: string): string {
  if (/^(async\s+)?[\p{ID_Start}$_][\p{ID_Continue}$]*\s*=>/u.test(text)) return ''
  const start = text.indexOf('(')
  for (let [at, depth] = [start, 0]; at < text.length; at++) {
    if ('([{'.includes(text[at]!)) depth++
    else if (')]}'.includes(text[at]!) && --depth === 0) return text.slice(start, at)
  }
  return '...'
}
