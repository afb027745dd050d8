import type { StandardSchemaV1 } from '@standard-schema/spec'
import { CeleriacError } from './errors.ts'

/** Any Standard Schema for a task of one argument, or a list of them, one for each argument. */
export type InputSchema = StandardSchemaV1 | readonly StandardSchemaV1[]

/**
 * Parses arguments: at once where every schema answers at once, else with a promise. The `what` names the task in the error.
 *
 * @throws CeleriacError INVALID_ARGUMENTS, listing every issue with its path (`args[0].width: expected a number`)
 */
export function validate(
  schema: InputSchema,
  args: readonly unknown[],
  what: string,
): readonly unknown[] | Promise<readonly unknown[]> {
  const schemas = Array.isArray(schema) ? (schema as readonly StandardSchemaV1[]) : [schema as StandardSchemaV1]
  if (args.length > schemas.length) throw invalid(what, [tooMany(schemas.length, args.length)])
  const results = schemas.map((one, n) => one['~standard'].validate(args[n]))
  return results.some((result) => result instanceof Promise)
    ? Promise.all(results.map(async (result) => result)).then((settled) => parsed(settled, what))
    : parsed(results as StandardSchemaV1.Result<unknown>[], what)
}

function parsed(results: readonly StandardSchemaV1.Result<unknown>[], what: string): readonly unknown[] {
  if (results.every((result) => !result.issues)) return results.map((result) => (result as { value: unknown }).value)
  const lines = results.flatMap((result, n) =>
    (result.issues ?? []).map((issue) => `args[${n}]${pathText(issue)}: ${issue.message}`),
  )
  throw invalid(what, lines)
}

const pathText = (issue: StandardSchemaV1.Issue): string =>
  (issue.path ?? []).map((step) => pathStep(typeof step === 'object' ? step.key : step)).join('')

const pathStep = (key: PropertyKey): string => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)
const tooMany = (wanted: number, given: number): string => `it takes ${wanted} arguments, ${given} were given`

function invalid(what: string, lines: readonly string[]): CeleriacError {
  return new CeleriacError('INVALID_ARGUMENTS', `${what}: ${lines.join('; ')}`)
}
