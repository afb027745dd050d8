import { runningJob } from '../app/current-job.ts'
import { RetryDirective, SnoozeDirective } from '../app/directives.ts'
import { isCanvas, nodeOf } from '../canvas/canvas.ts'
import { compileContinuation, type CompileContext } from '../canvas/compile.ts'
import { eachTask } from '../canvas/fragment.ts'
import { CeleriacError } from '../core/errors.ts'
import { type Failure, failureFrom } from '../core/failure.ts'
import { resultText } from '../core/json.ts'
import type { Graph } from '../core/graph.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Runtime } from '../core/runtime.ts'
import { validate } from '../core/schema.ts'
import { inherit } from '../core/stored-options.ts'
import { milliseconds } from '../core/time.ts'
import type { ClaimedJob, Work } from '../engine/work.ts'
import { reasonFor, type Attempt } from './attempt.ts'
import { callForEach } from './chunk.ts'
import { readArguments } from './input.ts'
import { decideOutcome, type Ending } from './outcome.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Unusable } from './unusable.ts'

/** What handlers are run with. */
export interface Workshop {
  readonly runtime: Runtime
  readonly store: Pick<Work, 'results' | 'notes'>
  /** undefined: this worker does not know the task. */
  readonly findTask: (name: string) => RunnableTask | undefined
  readonly compiling: CompileContext
  /** Throws where a task in it would not take its arguments. */
  readonly checkGraph: (graph: Graph) => Promise<void>
  /** How long a job of a task that is not known here is put off, in milliseconds. */
  readonly delayForUnknown: (task: string) => number
}

/** How many continuations may stand around one another. */
export const depthLimit = 100

type Soon<T> = T | Promise<T>

/**
 * Runs the handler of a job and says what the attempt came to. Never throws or rejects. Where nothing has to be waited
 * for, the answer is there at once: a promise costs more than a short handler does.
 */
export function execute(attempt: Attempt, shop: Workshop): Soon<Outcome> {
  const task = shop.findTask(attempt.job.task)
  if (task === undefined) return { type: 'released', started: false, delay: shop.delayForUnknown(attempt.job.task) }
  const execution: Execution = { attempt, task, shop }
  try {
    const ending = run(execution)
    if (!(ending instanceof Promise)) return finish(execution, ending)
    return ending.then(
      (ended) => finish(execution, ended),
      (thrown: unknown) => finish(execution, endingOf(execution, thrown)),
    )
  } catch (thrown) {
    return finish(execution, endingOf(execution, thrown))
  }
}

/** A handler that did not wait for its `completeWithin` is not over before that is, and has what it throws for its own. */
function finish(execution: Execution, ending: Ending): Soon<Outcome> {
  const { completing } = execution.attempt
  if (completing === null) return decide(execution, ending)
  return completing.then((failed) =>
    decide(execution, failed && ending.type === 'returned' ? endingOf(execution, failed.error) : ending),
  )
}

/** What is known of an execution from its beginning. Every step takes it, with what the step before came to. */
interface Execution {
  readonly attempt: Attempt
  readonly task: RunnableTask
  readonly shop: Workshop
}

function run(execution: Execution): Soon<Ending> {
  const read = readInput(execution)
  const parsed = next(read, (args) => parse(execution, args))
  const returned = next(parsed, (args) => call(execution, args))
  return next(returned, (value) => readResult(execution, value))
}

/** Goes on at once, or when the value before has come. */
function next<A, B>(value: Soon<A>, step: (value: A) => Soon<B>): Soon<B> {
  return value instanceof Promise ? value.then(step) : step(value)
}

// ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────

function readInput({ attempt, shop }: Execution): Soon<unknown[]> {
  try {
    const args = readArguments(attempt.job, shop.store)
    if (attempt.job.options.chunked) return readChunk(attempt, shop, args).catch(throwUnreadable)
    return args instanceof Promise ? args.catch(throwUnreadable) : args
  } catch (error) {
    return throwUnreadable(error)
  }
}

/** Reads which of its elements earlier attempts finished, too. */
async function readChunk(attempt: Attempt, shop: Workshop, args: Soon<unknown[]>): Promise<unknown[]> {
  const { job } = attempt
  const [list, known] = await Promise.all([args, job.attempt === 1 ? [] : shop.store.notes(job.ref)])
  attempt.openNotes(known)
  return list
}

function parse({ attempt, task }: Execution, args: readonly unknown[]): Soon<readonly unknown[]> {
  // Of a chunk each element is parsed on its own.
  if (task.schema === null || attempt.job.options.chunked) return args
  try {
    const parsed = validate(task.schema, args, task.name)
    return parsed instanceof Promise ? parsed.catch(throwUnusable) : parsed
  } catch (error) {
    return throwUnusable(error)
  }
}

function call({ attempt, task }: Execution, args: readonly unknown[]): Soon<unknown> {
  // Reading the input took its time, and the job may have been cancelled meanwhile.
  attempt.throwIfAborted()
  if (attempt.job.options.chunked) return callForEach(attempt, task, args)
  const returned: unknown = runningJob.run(attempt, task.handler as (...args: readonly unknown[]) => unknown, ...args)
  return isThenable(returned) ? Promise.resolve(returned) : returned
}

function readResult(execution: Execution, value: unknown): Soon<Ending> {
  try {
    if (isCanvas(value)) return continueAs(execution, value).catch(throwUnusable)
    return { type: 'returned', result: resultText(value) }
  } catch (error) {
    return throwUnusable(error)
  }
}

async function continueAs({ attempt: { job }, shop }: Execution, canvas: unknown): Promise<Ending> {
  if (job.depth >= depthLimit) {
    throw new CeleriacError(
      'CONTINUATION_TOO_DEEP',
      `${depthLimit} continuations stand around this one already: is it a task that continues as itself without end?`,
    )
  }
  const node = nodeOf(canvas, 'result')
  const options = inherit({ queue: job.queue }, job.options)
  const graph = compileContinuation(node, { role: job.role, options }, shop.compiling)
  // Of a list that a task gave, a bad element fails alone, when its turn comes.
  if (job.task !== eachTask) await shop.checkGraph(graph)
  return { type: 'continued', graph }
}

function decide({ attempt, task, shop }: Execution, ending: Ending): Outcome {
  const { job, abortedFor } = attempt
  return decideOutcome(ending, {
    policy: job.options.retry ?? task.terms.job.retry,
    when: task.terms.when,
    failures: job.failures,
    abortedFor,
    random: ending.type === 'returned' ? 0 : shop.runtime.random(),
  })
}

/**
 * What an attempt past its time comes to.
 *
 * @param where the stack of its handler, if that blocks the event loop
 */
export function executeTimedOut(attempt: Attempt, shop: Workshop, where?: string): Outcome {
  const task = shop.findTask(attempt.job.task)
  const reason = reasonFor('timeout', attempt.job)
  const failure = failureOf(attempt, shop.runtime, where === undefined ? reason : blocking(reason, where))
  if (task === undefined) return { type: 'failed', reason: 'timeout', failure }
  // It is over, so the abort does not count as the reason.
  return decide({ attempt, task, shop }, { type: 'timed-out', failure })
}

function blocking(reason: Error, where: string): Error {
  reason.message += ' Its handler blocks the event loop.'
  reason.stack = `${reason.name}: ${reason.message}\n${where}`
  return reason
}

export function failureOf({ attempt }: Pick<ClaimedJob, 'attempt'>, runtime: Runtime, thrown: unknown): Failure {
  return failureFrom(thrown, { attempt, at: runtime.now() })
}

// ── what is thrown ───────────────────────────────────────────────────────────────────────────────────────────────

function throwUnusable(error: unknown): never {
  throw new Unusable(error)
}

/** The store would not give the input now. */
class InputAway extends Error {}

function throwUnreadable(error: unknown): never {
  const isAway = error instanceof CeleriacError && error.code.startsWith('STORE_') && error.code !== 'STORE_CORRUPT'
  throw isAway ? new InputAway() : new Unusable(error)
}

const delayForInput = 1_000

function endingOf({ attempt, shop }: Execution, thrown: unknown): Ending {
  const tell = (about: unknown): Failure => failureOf(attempt, shop.runtime, about)
  try {
    if (attempt.isUnusable(thrown)) return { type: 'unusable', failure: tell(thrown) }
    if (thrown instanceof Unusable) return { type: 'unusable', failure: tell(thrown.cause) }
    if (thrown instanceof InputAway) return { type: 'put-back', delay: delayForInput }
    if (thrown instanceof SnoozeDirective) return { type: 'snooze', delay: milliseconds(thrown.delay, 'snooze') }
    if (thrown instanceof RetryDirective) return askedAgain(thrown, tell)
    return { type: 'threw', failure: tell(thrown) }
  } catch (error) {
    // A duration that is none is a mistake of the handler; something that cannot even be looked at is told as it is.
    return { type: 'threw', failure: tell(error instanceof CeleriacError ? error : thrown) }
  }
}

function askedAgain(directive: RetryDirective, tell: (about: unknown) => Failure): Ending {
  const delay = directive.in === undefined ? null : milliseconds(directive.in, 'retry: in')
  return { type: 'retry', delay, failure: tell(directive.cause ?? directive) }
}

/** Read once: a getter that throws is the handler's own failure. */
function isThenable(value: unknown): boolean {
  if (value instanceof Promise) return true
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
