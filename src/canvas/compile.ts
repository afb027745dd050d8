import type { Graph } from '../core/graph.ts'
import type { Role, StoredOptions } from '../core/job.ts'
import { one } from '../core/shape.ts'
import { noOptions } from '../core/stored-options.ts'
import { Draft, nothingBefore, type Place } from './draft.ts'
import { placeBranches, placeNode } from './fragment.ts'
import { createJobOptions, forCallback, forContinuation } from './job-options.ts'
import type { CanvasNode } from './node.ts'

/** What compiling needs to know besides the canvas. */
export interface CompileContext {
  readonly newId: () => string
  /** The default options of a task, by name. Throws UNKNOWN_TASK where there is none. */
  readonly defaultsOf: (task: string) => StoredOptions
  /** The options of the submission, for every job that has none nearer to it. */
  readonly options?: StoredOptions | undefined
  /** The graph's id, where it is known before. */
  readonly id?: string | undefined
  /** The most jobs that a canvas may come to. Default 100,000. */
  readonly jobLimit?: number | undefined
  /** `false`: a single job gets an exit too, for something that hangs on it. */
  readonly mayBeAlone?: boolean | undefined
  /** A last job calls back once the collection has settled, whatever the outcome. It hangs on the exit. */
  readonly callsBack?: boolean | undefined
}

/** The job whose handler returned the canvas. */
export interface ContinuedJob {
  readonly role: Role
  /** The options it runs with, its queue and priority filled in. */
  readonly options: StoredOptions
}

/**
 * A canvas as a graph: every job and barrier with its id, in time linear in their number. Nothing is sent.
 *
 * @throws CeleriacError UNKNOWN_TASK, TOO_MANY_JOBS, TOO_DEEP, TOO_LARGE, NEEDS_ARGUMENT
 * @example
 * compile(node, { newId: createIds(runtime), defaultsOf: (task) => registry.get(task).terms.job })
 */
export function compile(node: CanvasNode, context: CompileContext): Graph {
  return compileAs('main', node, context, context.options ?? noOptions, noOptions)
}

/**
 * The canvas that a handler returned, as a graph. It always has an exit, for the job that returned it waits there. Its
 * jobs take over that job's role and, where neither they nor their tasks have any, its queue, priority, retention and tags.
 *
 * @throws CeleriacError UNKNOWN_TASK, TOO_MANY_JOBS, TOO_DEEP, TOO_LARGE, NEEDS_ARGUMENT
 */
export function compileContinuation(node: CanvasNode, job: ContinuedJob, context: CompileContext): Graph {
  const fallback = forContinuation(job.options)
  return compileAs(job.role, node, { ...context, mayBeAlone: false }, noOptions, fallback)
}

const front: Place = { behind: null, when: 'success', gate: null, input: nothingBefore, resultCount: 0 }

function compileAs(
  role: Role,
  node: CanvasNode,
  context: CompileContext,
  options: StoredOptions,
  fallback: StoredOptions,
): Graph {
  const optionsOf = createJobOptions(context.defaultsOf, fallback)
  const draft = new Draft(context.newId, context.jobLimit ?? 100_000)
  const { shape } = placeNode(draft, node, front, { role, options, optionsOf, scope: null, depth: 0 })
  const mayBeAlone = context.mayBeAlone !== false && !context.callsBack
  const alone = mayBeAlone && shape === one ? draft.loneJob() : undefined
  if (alone) return { id: setId(alone, context.id), ...draft.finish(), exit: null, shape }
  // Behind a gate that failed nothing runs, and a callback does: an exit that has one stands behind no gate.
  const exit = draft.endCount === 0 ? draft.emptyBarrier() : draft.close(0, context.callsBack ? null : undefined)
  placeBranches(draft)
  if (context.callsBack) placeCallback(draft, exit, options)
  return { id: context.id ?? context.newId(), ...draft.finish(), exit, shape }
}

/** The name of the built-in task that calls back. Where to is kept with the collection. */
export const callbackTask = 'celeriac.callback'

/** It waits where a worker of the canvas looks: in the submission's queue, else in that of the first job. */
function placeCallback(draft: Draft, exit: number, submitted: StoredOptions): void {
  const options = forCallback(submitted, draft.firstQueue)
  const call = { task: callbackTask, args: '[]', input: nothingBefore, options }
  draft.addJob(call, { behind: exit, when: 'always' }, { role: 'callback', scope: null })
}

/** A job alone and its graph have one id. */
function setId(job: { id: string }, id: string | undefined): string {
  if (id !== undefined) job.id = id
  return job.id
}
