import { callTerms, type CallTerms } from '../core/call-options.ts'
import { CeleriacError } from '../core/errors.ts'
import type { JobHandle } from '../core/handle.ts'
import { argumentsText } from '../core/json.ts'
import { kind } from '../core/kind.ts'
import { readable } from '../core/option.ts'
import type { CallOptions } from '../core/options.ts'
import { validate } from '../core/schema.ts'
import { inherit, noOptions } from '../core/stored-options.ts'
import type { Binding } from './binding.ts'
import { canvasOf, type CanvasValue, type Signature } from './canvas.ts'
import type { TaskDefinition } from './definition.ts'
import type { Handler, ResultOf } from './handler.ts'
import { signatureNode } from './node.ts'

/** A task is the function it was made from, plus ways to send it. `Args` is what travels: the wire types. */
export type Task<F extends Handler, Args extends readonly unknown[] = Parameters<F>> = F &
  TaskCalls<Args, ResultOf<ReturnType<F>>> & { readonly name: string }

/** How a task is called other than here and now. Also what `task.with(options)` gives. */
export interface TaskCalls<Args extends readonly unknown[], out Result> {
  readonly ' task': { readonly takes: (args: Args) => void; readonly gives: Result }
  /**
   * Sends one job. Resolves once it is stored.
   *
   * @throws CeleriacError NOT_JSON, TOO_LARGE, TOO_DEEP, INVALID_ARGUMENTS, or what the store answers
   * @example
   * const job = await add.delay(2, 2)
   * await job.result() // 4
   */
  delay(...args: Args): Promise<JobHandle<Result>>
  /** Sends many jobs in one request: all of them or, where it throws, none. */
  delayMany(argumentLists: readonly Readonly<Args>[]): Promise<JobHandle<Result>[]>
  /**
   * The same task with these options for the calls made from what this returns.
   *
   * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
   * @example
   * await add.with({ startIn: '5m', priority: 5 }).delay(2, 2)
   */
  with(options: CallOptions): TaskCalls<Args, Result>
  /** Describes a call, for a canvas. Leave out the first argument to have it filled by the result before. */
  readonly s: Binding<Args, Result>
  /** Describes a call with every argument bound, which ignores the result before. */
  si(...args: Args): Signature<Result, unknown[]>
}

export type AnyTask = ((...args: never) => unknown) & { readonly ' task': unknown; readonly name: string }

/** What sends the jobs of tasks. Arguments are JSON text, options are checked. */
export interface Sender {
  send(definition: TaskDefinition, args: string, terms: CallTerms): Promise<JobHandle<any>>
  /** In one request; the handles are in the order of the calls. */
  sendMany(definition: TaskDefinition, calls: readonly Call[]): Promise<JobHandle<any>[]>
}

export interface Call {
  readonly args: string
  readonly terms: CallTerms
}

/** Makes the task that a definition describes: a function of its own around the user's, which stays as it is. */
export function createTask(definition: TaskDefinition, sender: Sender): AnyTask {
  const { name, handler } = definition
  const task = function (this: unknown, ...args: unknown[]): unknown {
    if (handler === null) throw declaredElsewhere(name)
    return Reflect.apply(handler, this, args)
  }
  Object.defineProperty(task, 'name', { value: name, configurable: true })
  Object.defineProperty(task, 'length', { value: handler?.length ?? 0, configurable: true })
  return Object.assign(task, createCalls(definition, { job: noOptions }, sender)) as unknown as AnyTask
}

/** What the types call TaskCalls. Functions that stand alone, so that `const { delay } = task` works. */
interface Calls {
  readonly [kind]: 'task'
  delay(...args: unknown[]): Promise<JobHandle<any>>
  delayMany(argumentLists: readonly (readonly unknown[])[]): Promise<JobHandle<any>[]>
  with(options: CallOptions): Calls
  s(...args: unknown[]): CanvasValue
  si(...args: unknown[]): CanvasValue
}

function createCalls(definition: TaskDefinition, terms: CallTerms, sender: Sender): Calls {
  const describe = (args: readonly unknown[], ignoresResult: boolean): CanvasValue => {
    checkDescribable(terms)
    return canvasOf(signatureNode(definition.name, args, ignoresResult, terms.job))
  }
  return {
    [kind]: 'task',
    delay: (...args) => sendOne(definition, args, terms, sender),
    delayMany: (argumentLists) => sendMany(definition, argumentLists, terms, sender),
    with: (options) => createCalls(definition, merged(terms, callTerms(options, 'with')), sender),
    s: (...args) => describe(args, false),
    si: (...args) => describe(args, true),
  }
}

/** Not an async function: the promise of the sender is handed on as it is, because this path is hot. */
function sendOne(
  definition: TaskDefinition,
  args: unknown[],
  terms: CallTerms,
  sender: Sender,
): Promise<JobHandle<any>> {
  try {
    const call = callOf(definition, args, terms)
    const checked = checkArguments(definition, args)
    if (checked) return checked.then(() => sender.send(definition, call.args, call.terms))
    return sender.send(definition, call.args, call.terms)
  } catch (error) {
    return Promise.reject(error)
  }
}

async function sendMany(
  definition: TaskDefinition,
  argumentLists: readonly (readonly unknown[])[],
  terms: CallTerms,
  sender: Sender,
): Promise<JobHandle<any>[]> {
  const lists = readable('delayMany', () => checkedLists(argumentLists, terms), 'BAD_ARGUMENT')
  const calls = lists.map((args) => callOf(definition, args, terms))
  await Promise.all(lists.map((args) => checkArguments(definition, args)).filter((one) => one !== undefined))
  return sender.sendMany(definition, calls)
}

/** Throws at once, or gives a promise where the schema answers later; undefined when all is well. */
function checkArguments(definition: TaskDefinition, args: readonly unknown[]): Promise<unknown> | undefined {
  if (definition.schema === null) return undefined
  const parsed = validate(definition.schema, args, definition.name)
  return parsed instanceof Promise ? parsed : undefined
}

function callOf({ terms: { unique } }: TaskDefinition, args: readonly unknown[], terms: CallTerms): Call {
  const text = argumentsText(args)
  // A key that the task computes is only known now.
  return { args: text, terms: unique === undefined || terms.unique ? terms : { ...terms, unique: unique(args) } }
}

/** A copy, so that nothing is read of the given lists again. */
function checkedLists(argumentLists: unknown, terms: CallTerms): readonly (readonly unknown[])[] {
  if (!Array.isArray(argumentLists) || !argumentLists.every(Array.isArray)) {
    throw new CeleriacError('BAD_ARGUMENT', 'delayMany takes a list of argument lists, such as [[1, 2], [3, 4]]')
  }
  if (terms.idempotencyKey === undefined || argumentLists.length < 2) return argumentLists.map((args) => [...args])
  throw new CeleriacError(
    'BAD_OPTION',
    'idempotencyKey: it names one call, so send each with delay and a key of its own',
  )
}

/** Options given later count, as they name the call more closely. `startIn` and `startAt` are one. */
function merged(earlier: CallTerms, later: CallTerms): CallTerms {
  return { ...earlier, ...later, job: inherit(later.job, earlier.job) }
}

function checkDescribable(terms: CallTerms): void {
  const misplaced = (['idempotencyKey', 'unique', 'description', 'actor', 'within'] as const).find(
    (key) => key in terms,
  )
  if (misplaced === undefined) return
  const advice = 'give it to app.submit(canvas, options), or send the task with delay'
  throw new CeleriacError('BAD_OPTION', `${misplaced}: it names one submission, not a part of a canvas: ${advice}`)
}

function declaredElsewhere(name: string): CeleriacError {
  return new CeleriacError(
    'UNSUPPORTED',
    `${name} is defined in another service and cannot run here: send it with delay(…)`,
  )
}
