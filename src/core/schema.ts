import type { StandardSchemaV1 } from '@standard-schema/spec'
import { CeleriacError } from './errors.ts'
import { pathText } from './path.ts'

/** Any Standard Schema for a task of one argument, or a list of them, one for each argument. */
export type InputSchema = StandardSchemaV1 | readonly StandardSchemaV1[]

/**
 * Parses arguments: at once where every schema answers at once, else by a promise. `what` names the task in the error.
 *
 * @throws CeleriacError INVALID_ARGUMENTS, which lists the issues with their paths; so does the promise reject
 * @example
 * validate(z.object({ width: z.number() }), [{ width: 'wide' }], 'images.resize')
 * // INVALID_ARGUMENTS: images.resize: args[0].width: Invalid input: expected number, received string
 */
export function validate(schema: InputSchema, args: readonly unknown[], what: string): Parsed | Promise<Parsed> {
  const schemas = isList(schema) ? schema : [schema]
  if (args.length > schemas.length) {
    throw invalid(what, [
      `it takes ${schemas.length} ${schemas.length === 1 ? 'argument' : 'arguments'}, not ${args.length}`,
    ])
  }
  const results: Result[] = []
  const waiting: Promise<void>[] = []
  for (const [n, one] of schemas.entries()) {
    const result = run(one, args[n])
    if (!isPromise(result)) results[n] = result
    else waiting.push(result.then((settled) => void (results[n] = settled)))
  }
  return waiting.length === 0 ? parsed(results, what) : Promise.all(waiting).then(() => parsed(results, what))
}

type Parsed = readonly unknown[]
type Result = StandardSchemaV1.Result<unknown>

const isList = (schema: InputSchema): schema is readonly StandardSchemaV1[] => Array.isArray(schema)
const isPromise = (result: Result | Promise<Result>): result is Promise<Result> => 'then' in result
const issuesShown = 20

/** A schema may throw, from a transformation of the user's own: that too is an argument it does not take. */
function run(schema: StandardSchemaV1, value: unknown): Result | Promise<Result> {
  try {
    const result = schema['~standard'].validate(value)
    return isPromise(result) ? result.catch(issueOf) : result
  } catch (thrown) {
    return issueOf(thrown)
  }
}

function issueOf(thrown: unknown): Result {
  return { issues: [{ message: `the schema threw ${thrown instanceof Error ? thrown.message : 'something'}` }] }
}

function parsed(results: readonly Result[], what: string): Parsed {
  const values: unknown[] = []
  for (const result of results) {
    if (result.issues) throw invalid(what, results.flatMap(issueLines))
    values.push(result.value)
  }
  return values
}

function issueLines({ issues = [] }: Result, argument: number): string[] {
  return issues.map(({ message, path = [] }) => {
    const steps = path.map((step) => (typeof step === 'object' ? step.key : step))
    return `${pathText('args', [argument, ...steps])}: ${message}`
  })
}

function invalid(what: string, problems: readonly string[]): CeleriacError {
  const more = problems.length > issuesShown ? [`and ${problems.length - issuesShown} more`] : []
  return new CeleriacError('INVALID_ARGUMENTS', `${what}: ${[...problems.slice(0, issuesShown), ...more].join('; ')}`)
}
