import { isCanvas, nodeOf } from '../../src/canvas/canvas.ts'
import type { CanvasNode, ChainNode, EachNode, GroupNode, SignatureNode } from '../../src/canvas/node.ts'
import type { When } from '../../src/core/graph.ts'
import type { FinalState } from '../../src/core/job.ts'

/**
 * What a canvas comes to, worked out by plain recursion from the rules alone: no graph, no barriers, no order of events.
 * Written apart from the compiler and the engines, so that one can be held against the other.
 */
export function evaluate(node: CanvasNode, tasks: ModelTasks): Expected {
  return evaluateNode(node, { tasks, input: nothing, begins: true, retryLimit: undefined })
}

/** The tasks of the model, by name. The same functions can be registered with an app. */
export type ModelTasks = ReadonlyMap<string, ModelTask>

export interface ModelTask {
  /** What the handler does at this attempt, from 1: gives a value or a canvas, or throws. */
  run(args: readonly unknown[], attempt: number): unknown
  readonly retryLimit?: number
}

/** What is expected of a canvas, in the shape of the canvas. */
export interface Expected {
  /** One job, or its parts in the order written. */
  readonly parts: ExpectedJob | readonly Expected[]
  readonly outcome: ExpectedOutcome
  readonly branches: readonly ExpectedBranch[]
}

export type ExpectedOutcome =
  | { readonly type: 'succeeded'; readonly result: unknown }
  /** It failed because of the first of these, whichever that was. */
  | { readonly type: 'failed'; readonly causes: readonly Cause[] }
  /** It never began. */
  | { readonly type: 'skipped' }

/** A job that fails on its own account, and how the message of what is thrown begins. */
export interface Cause {
  readonly task: string
  readonly message: string
}

export interface ExpectedJob {
  readonly task: string
  /** More than one where a failFast group around it failed: then it depends on who was first. */
  readonly states: readonly FinalState[]
  /** What its handler is called with, if it is; null where it never is, or where that cannot be told. */
  readonly args: readonly unknown[] | null
  /** How many attempts it takes, where nothing crashes; 0 where it never starts. */
  readonly attempts: number
  /** What becomes of the canvas that its handler returns. */
  readonly continuation: Expected | null
}

export interface ExpectedBranch {
  readonly when: When
  /** `maybe` inside a failFast group that failed. */
  readonly runs: 'yes' | 'no' | 'maybe'
  readonly canvas: Expected
}

/** What a model task is given in place of a FailureReport: the real one knows more. */
export const modelReport = { modelReport: true } as const
/** What a model task is given in place of a SettledSummary. */
export const modelSummary = (state: 'succeeded' | 'failed') => ({ modelSummary: state }) as const

/** The jobs in the order of the graph, without those of continuations: a line in one piece, then its side branches. */
export function listJobs(expected: Expected): readonly ExpectedJob[] {
  return [...lineOf(expected), ...branchesOf(expected).flatMap(({ canvas }) => listJobs(canvas))]
}

/** The jobs of a canvas without those of its side branches and continuations, in the order written. */
export function lineOf({ parts }: Expected): readonly ExpectedJob[] {
  return isJob(parts) ? [parts] : parts.flatMap(lineOf)
}

/** All side branches in a canvas, the inner ones first, but not those of side branches. */
export function branchesOf({ parts, branches }: Expected): readonly ExpectedBranch[] {
  return [...(isJob(parts) ? [] : parts.flatMap(branchesOf)), ...branches]
}

const isJob = (parts: Expected['parts']): parts is ExpectedJob => !Array.isArray(parts)

// ── canvases ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Surroundings {
  readonly tasks: ModelTasks
  readonly input: Input
  /** Did what stands before it succeed? */
  readonly begins: boolean
  /** How often jobs without a limit of their own, here or in their task, are tried again. */
  readonly retryLimit: number | undefined
}

/** What is put before the arguments of the first calls; none at the front. */
type Input = { readonly value: unknown } | null
const nothing: Input = null

function evaluateNode(node: CanvasNode, outer: Surroundings): Expected {
  const around = { ...outer, retryLimit: node.options.retry?.limit ?? outer.retryLimit }
  const own = evaluateOwn(node, around)
  const branches = node.branches.map(({ when, node: branch }) => evaluateBranch(when, branch, own.outcome, outer))
  return { ...own, branches }
}

type Own = Omit<Expected, 'branches'>

function evaluateOwn(node: CanvasNode, around: Surroundings): Own {
  switch (node.type) {
    case 'signature':
      return evaluateCall(node, around)
    case 'chain':
      return evaluateChain(node, around)
    case 'group':
      return evaluateGroup(node, around)
    case 'each':
      return evaluateEach(node, around)
  }
}

function evaluateChain({ links }: ChainNode, around: Surroundings): Own {
  const parts: Expected[] = []
  let { input } = around
  let outcome: ExpectedOutcome | undefined
  for (const link of links) {
    const begins = around.begins && (outcome === undefined || outcome.type === 'succeeded')
    const part = evaluateNode(link, { ...around, input, begins })
    parts.push(part)
    // Once a link has failed, that is what the chain came to, and the rest is skipped.
    if (outcome?.type !== 'failed') outcome = part.outcome
    if (part.outcome.type === 'succeeded') input = { value: part.outcome.result }
  }
  return { parts, outcome: outcome! }
}

function evaluateGroup({ members, failFast }: GroupNode, around: Surroundings): Own {
  const parts = members.map((member) => evaluateNode(member, around))
  const outcome = around.begins ? outcomeOfGroup(parts) : skipped
  return { parts: failFast && outcome.type === 'failed' ? parts.map(blur) : parts, outcome }
}

function outcomeOfGroup(parts: readonly Expected[]): ExpectedOutcome {
  const causes = parts.flatMap(({ outcome }) => (outcome.type === 'failed' ? outcome.causes : []))
  if (causes.length > 0) return { type: 'failed', causes }
  return succeeded(parts.map(({ outcome }) => (outcome.type === 'succeeded' ? outcome.result : undefined)))
}

function evaluateBranch(when: When, node: CanvasNode, outcome: ExpectedOutcome, around: Surroundings): ExpectedBranch {
  const input = inputOfBranch(when, outcome)
  // What a canvas says of retries is not for what hangs on it.
  const canvas = evaluateNode(node, { ...around, input, begins: input !== null, retryLimit: undefined })
  return { when, runs: input === null ? 'no' : 'yes', canvas }
}

/** What a side branch is given; nothing where it does not run. */
function inputOfBranch(when: When, outcome: ExpectedOutcome): Input {
  if (outcome.type === 'skipped') return nothing
  if (when === 'always') return { value: modelSummary(outcome.type) }
  if (outcome.type === 'succeeded') return when === 'success' ? { value: outcome.result } : nothing
  return when === 'failure' ? { value: modelReport } : nothing
}

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Call {
  readonly task: string
  readonly args: readonly unknown[]
  /** Called once for each attempt. */
  readonly run: (attempt: number) => unknown
  readonly retryLimit: number
}

function evaluateCall(node: SignatureNode, around: Surroundings): Own {
  const given = JSON.parse(node.args) as unknown[]
  const args = around.input === null || node.ignoresResult ? given : [around.input.value, ...given]
  const task = around.tasks.get(node.task)
  if (!task) throw new Error(`the model has no task ${node.task}`)
  const run = (attempt: number): unknown => task.run(args, attempt)
  return attempt({ task: node.task, args, run, retryLimit: around.retryLimit ?? task.retryLimit ?? 0 }, around)
}

/** A job that continues as the group of what its elements come to. */
function evaluateEach(node: EachNode, around: Surroundings): Own {
  const list: unknown = node.list === null ? around.input?.value : JSON.parse(node.list)
  const args = [list, node.of, node.chunk]
  if (!around.begins) return neverCalled('celeriac.each')
  if (!Array.isArray(list)) return failed('celeriac.each', args, 1, 'each(…) takes a list')
  const parts =
    node.chunk === null ? elements(node.of, list, around) : chunks(node.of as SignatureNode, list, node.chunk, around)
  const outcome = outcomeOfGroup(parts)
  const isFlat = node.chunk !== null && outcome.type === 'succeeded'
  const flat = isFlat ? succeeded((outcome.result as unknown[][]).flat()) : outcome
  return continued('celeriac.each', args, 1, { parts, outcome: flat, branches: [] })
}

function elements(of: CanvasNode, list: readonly unknown[], around: Surroundings): Expected[] {
  return list.map((value) => evaluateNode(of, { ...around, input: { value } }))
}

function chunks(of: SignatureNode, list: readonly unknown[], size: number, around: Surroundings): Expected[] {
  const task = around.tasks.get(of.task)!
  const given = JSON.parse(of.args) as unknown[]
  const retryLimit = of.options.retry?.limit ?? around.retryLimit ?? task.retryLimit ?? 0
  return Array.from({ length: Math.ceil(list.length / size) }, (_, n) => {
    const some = list.slice(n * size, (n + 1) * size)
    const run = (attempt: number): unknown => some.map((element) => plain(task.run([element, ...given], attempt)))
    return { ...attempt({ task: of.task, args: [some, ...given], run, retryLimit }, around), branches: [] }
  })
}

function attempt({ task, args, run, retryLimit }: Call, around: Surroundings): Own {
  if (!around.begins) return neverCalled(task)
  for (let attempts = 1; ; attempts++) {
    try {
      const value = run(attempts)
      if (!isCanvas(value)) return returned(task, args, attempts, carried(value))
      const inside: Surroundings = { tasks: around.tasks, input: nothing, begins: true, retryLimit: undefined }
      return continued(task, args, attempts, evaluateNode(nodeOf(value, 'result'), inside))
    } catch (error) {
      if (attempts > retryLimit) return failed(task, args, attempts, (error as Error).message)
    }
  }
}

/** A value as it arrives: by way of JSON, nothing as null. */
const carried = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)))

function plain(value: unknown): unknown {
  if (isCanvas(value)) throw new Error('a chunked task may not return a canvas')
  return value
}

// ── what a job comes to ──────────────────────────────────────────────────────────────────────────────────────────

const skipped: ExpectedOutcome = { type: 'skipped' }
const succeeded = (result: unknown): ExpectedOutcome => ({ type: 'succeeded', result })

function neverCalled(task: string): Own {
  return { parts: { task, states: ['skipped'], args: null, attempts: 0, continuation: null }, outcome: skipped }
}

function returned(task: string, args: readonly unknown[], attempts: number, result: unknown): Own {
  const parts: ExpectedJob = { task, states: ['succeeded'], args, attempts, continuation: null }
  return { parts, outcome: succeeded(result) }
}

function failed(task: string, args: readonly unknown[], attempts: number, message: string): Own {
  const parts: ExpectedJob = { task, states: ['failed'], args, attempts, continuation: null }
  return { parts, outcome: { type: 'failed', causes: [{ task, message }] } }
}

function continued(task: string, args: readonly unknown[], attempts: number, continuation: Expected): Own {
  const state = continuation.outcome.type === 'succeeded' ? 'succeeded' : 'failed'
  return { parts: { task, states: [state], args, attempts, continuation }, outcome: continuation.outcome }
}

// ── failFast ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A part of a failFast group that failed: whatever was not over when the first job failed is cancelled. */
function blur(expected: Expected): Expected {
  const { parts } = expected
  return {
    ...expected,
    parts: isJob(parts) ? blurJob(parts) : parts.map(blur),
    branches: expected.branches.map((branch) => ({ ...branch, runs: 'maybe', canvas: forget(branch.canvas) })),
  }
}

function blurJob(job: ExpectedJob): ExpectedJob {
  const states: readonly FinalState[] = [...new Set([...job.states, 'cancelled', 'skipped'] as const)]
  return { ...job, states, continuation: job.continuation && blur(job.continuation) }
}

/** A side branch of something that may have been cancelled or not: anything may have become of it. */
function forget({ parts, branches }: Expected): Expected {
  const anything = { states: ['succeeded', 'failed', 'cancelled', 'skipped'], args: null, continuation: null } as const
  return {
    parts: isJob(parts) ? { ...parts, ...anything } : parts.map(forget),
    outcome: skipped,
    branches: branches.map((branch) => ({ ...branch, runs: 'maybe', canvas: forget(branch.canvas) })),
  }
}
