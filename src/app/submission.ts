import { checkArity } from '../canvas/arity.ts'
import { compile, type CompileContext } from '../canvas/compile.ts'
import type { TaskDefinition } from '../canvas/definition.ts'
import type { CanvasNode } from '../canvas/node.ts'
import { jobsPerTurn, nextTurn } from '../core/by-pages.ts'
import type { CallTerms, SubmitTerms } from '../core/call-options.ts'
import type { Graph, GraphJob, Input } from '../core/graph.ts'
import type { StoredOptions } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'
import { validate } from '../core/schema.ts'
import { one } from '../core/shape.ts'
import { inherit, noOptions } from '../core/stored-options.ts'
import type { Submission } from '../engine/intake.ts'
import type { CallbackSettings } from './callback-settings.ts'
import { checkCallbackUrl } from './callback-url.ts'
import { fingerprintOf, fingerprintOfCall } from './fingerprint.ts'
import type { Registry } from './registry.ts'

/** What turns calls and canvases into what is stored. */
export interface SubmissionContext {
  readonly runtime: Runtime
  readonly registry: Registry
  readonly newId: () => string
  /** How long collections are kept that do not say, in milliseconds. */
  readonly retention: number
  /** The most jobs that a canvas may come to. */
  readonly maxJobs: number
  readonly callbacks: Pick<CallbackSettings, 'allow'>
}

/** What the compiler needs of an app: also for the canvases that handlers return. */
export function compileContext({ registry, newId, maxJobs }: SubmissionContext): CompileContext {
  return { newId, jobLimit: maxJobs, defaultsOf: (task) => registry.get(task).terms.job }
}

/** One call of a task, sent on its own. The path of `delay`: everything that may be shared, is. */
export function submissionOfCall(
  context: SubmissionContext,
  definition: TaskDefinition,
  args: string,
  terms: CallTerms,
): Submission {
  const options = optionsFor(definition, terms.job)
  const graph = graphOfOne(context.newId(), definition.name, args, options)
  return {
    graph,
    description: terms.description ?? definition.terms.description ?? null,
    actor: terms.actor ?? null,
    tags: options.tags ?? noTags,
    callback: null,
    retention: options.retention ?? context.retention,
    idempotency: idempotencyOf(terms, () => fingerprintOfCall(definition.name, args, terms.job)),
    unique: terms.unique ?? null,
  }
}

/**
 * A canvas, with what belongs to the submission as a whole.
 *
 * @throws CeleriacError INVALID_ARGUMENTS, and what `compile` throws
 */
export async function submissionOfCanvas(
  context: SubmissionContext,
  node: CanvasNode,
  terms: SubmitTerms,
): Promise<Submission> {
  const { callback = null } = terms
  if (callback !== null) checkCallbackUrl(callback.url, context.callbacks.allow, 'callbackUrl')
  const callsBack = callback !== null
  const graph = compile(node, { ...compileContext(context), options: terms.job, callsBack })
  if (graph.jobs.length > jobsPerTurn) await nextTurn(context.runtime)
  await checkArguments(context, graph)
  const alone = jobAlone(graph, callsBack)
  const ofTask = alone && context.registry.find(alone.task)?.terms
  // A canvas as a whole is kept and tagged as its own outermost options say, then those of the submission.
  const options = alone ? alone.options : inherit(node.options, terms.job)
  return {
    graph,
    description: terms.description ?? ofTask?.description ?? null,
    actor: terms.actor ?? null,
    tags: options.tags ?? noTags,
    callback,
    retention: options.retention ?? context.retention,
    idempotency: idempotencyOf(terms, () => fingerprintOf(node, terms.job, callback)),
    unique: terms.unique ?? ofTask?.unique?.(JSON.parse(alone?.args ?? '[]') as unknown[]) ?? null,
  }
}

/** The one call that a submission is, with or without a callback: what its task says of itself counts for the whole. */
function jobAlone({ jobs, exit, shape }: Graph, callsBack: boolean): GraphJob | undefined {
  const isAlone = callsBack ? jobs.length === 2 && shape === one : exit === null
  return isAlone ? jobs[0] : undefined
}

/**
 * Checks the calls that are known whole, those that no result is put before, by the schemas of their tasks; and how many
 * arguments there are for a task that strangers may send and that has no schema. Of many calls, some in each turn of the event loop.
 *
 * @throws CeleriacError INVALID_ARGUMENTS
 */
export async function checkArguments(
  { registry, runtime }: Pick<SubmissionContext, 'registry' | 'runtime'>,
  { jobs }: Graph,
): Promise<void> {
  for (const [at, { task, args, input }] of jobs.entries()) {
    if (at > 0 && at % jobsPerTurn === 0) await nextTurn(runtime)
    const definition = registry.find(task)
    const hasInput = input.from !== 'nothing'
    if (!definition) continue
    if (definition.schema && !hasInput) await validate(definition.schema, JSON.parse(args) as unknown[], task)
    if (definition.schema === null && definition.terms.expose)
      checkArity(definition, (JSON.parse(args) as unknown[]).length, hasInput)
  }
}

const noTags: readonly string[] = []
const noInput: Input = { from: 'nothing' }

function graphOfOne(id: string, task: string, args: string, options: StoredOptions): Graph {
  const job = {
    id,
    task,
    args,
    behind: null,
    when: 'success',
    feeds: null,
    input: noInput,
    role: 'main',
    scope: null,
    options,
  } as const
  return { id, jobs: [job], barriers: [], exit: null, shape: one }
}

const idempotencyOf = ({ idempotencyKey }: CallTerms, fingerprint: () => string): Submission['idempotency'] =>
  idempotencyKey === undefined ? null : { key: idempotencyKey, fingerprint: fingerprint() }

/** Jobs with the same options share one object: engines write its text once. */
const merged = new WeakMap<StoredOptions, StoredOptions>()

/** The options of a call, and those of its task where it has none. Options of one call are never given to another task. */
function optionsFor(definition: TaskDefinition, own: StoredOptions): StoredOptions {
  if (own === noOptions) return definition.terms.job
  let options = merged.get(own)
  if (options === undefined) merged.set(own, (options = inherit(own, definition.terms.job)))
  return options
}
