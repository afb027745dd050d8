import { canvasOf, isCanvas, nodeOf } from '../../src/canvas/canvas.ts'
import { compileContinuation, type CompileContext } from '../../src/canvas/compile.ts'
import { expandEach } from '../../src/canvas/each-node.ts'
import { eachTask } from '../../src/canvas/fragment.ts'
import { readNode } from '../../src/canvas/read-node.ts'
import type { Graph, GraphJob, Input } from '../../src/core/graph.ts'
import type { FinalState, StoredResult } from '../../src/core/job.ts'
import { assemble } from '../../src/core/shape.ts'
import { modelReport, modelSummary, type Cause, type ModelTasks } from './evaluate.ts'

/**
 * Runs a graph in memory, one job at a time in an order drawn by `random`, going by what core/graph.ts says of graphs
 * and nothing else. It shows what the compiler made of a canvas without an engine and a worker.
 */
export function runGraph(graph: Graph, shop: Shop): FinishedGraph {
  const run: Run = {
    graph,
    shop,
    jobs: graph.jobs.map((job) => ({
      job,
      state: 'waiting',
      isMarked: false,
      cause: null,
      result: null,
      args: null,
      continuation: null,
    })),
    barriers: graph.barriers.map(({ inputs }) => ({ open: inputs, decision: null, cause: null })),
    ready: [],
  }
  graph.jobs.forEach((job, n) => {
    if (job.behind === null) run.ready.push(n)
  })
  graph.barriers.forEach(({ inputs }, n) => {
    if (inputs === 0) decide(run, n)
  })
  while (run.ready.length > 0) runOne(run)
  return finish(run)
}

export interface Shop {
  readonly tasks: ModelTasks
  readonly context: CompileContext
  /** A number from 0 up to, not including, 1. */
  random(): number
}

export interface FinishedGraph {
  readonly jobs: readonly FinishedJob[]
  readonly outcome:
    | { readonly type: 'succeeded'; readonly result: StoredResult }
    | { readonly type: 'failed'; readonly cause: Cause | null }
}

export interface FinishedJob {
  readonly job: GraphJob
  readonly state: FinalState
  readonly args: readonly unknown[] | null
  readonly continuation: FinishedGraph | null
}

interface Run {
  readonly graph: Graph
  readonly shop: Shop
  readonly jobs: JobState[]
  readonly barriers: BarrierState[]
  /** Positions of the jobs that may start. */
  readonly ready: number[]
}

interface JobState {
  readonly job: GraphJob
  state: FinalState | 'waiting'
  /** To be cancelled as soon as its barrier decides. */
  isMarked: boolean
  cause: Cause | null
  result: StoredResult | null
  args: readonly unknown[] | null
  continuation: FinishedGraph | null
}

interface BarrierState {
  open: number
  decision: 'success' | 'failure' | null
  cause: Cause | null
}

function runOne(run: Run): void {
  const at = Math.floor(run.shop.random() * run.ready.length)
  const n = run.ready.splice(at, 1)[0]!
  const state = run.jobs[n]!
  state.args = [...inputOf(run, state.job), ...(JSON.parse(state.job.args) as unknown[])]
  for (let attempt = 1; ; attempt++) {
    try {
      return succeed(run, n, call(run, state.job, state.args, attempt))
    } catch (error) {
      if (attempt <= (state.job.options.retry?.limit ?? 0)) continue
      return settle(run, n, 'failed', { task: state.job.task, message: (error as Error).message })
    }
  }
}

function call({ shop }: Run, { task, options }: GraphJob, args: readonly unknown[], attempt: number): unknown {
  if (task === eachTask) return builtInEach(args)
  const { run } = shop.tasks.get(task)!
  if (!options.chunked) return run(args, attempt)
  const [elements, ...given] = args as [readonly unknown[], ...unknown[]]
  return elements.map((element) => refuseCanvas(run([element, ...given], attempt)) ?? null)
}

function builtInEach(args: readonly unknown[]): unknown {
  const [list, of, chunk] = args
  if (!Array.isArray(list)) throw new Error('each(…) takes a list')
  return canvasOf(expandEach(list, readNode(of, 'each'), chunk as number | null))
}

function refuseCanvas(value: unknown): unknown {
  if (isCanvas(value)) throw new Error('a chunked task may not return a canvas')
  return value
}

function succeed(run: Run, n: number, value: unknown): void {
  const state = run.jobs[n]!
  if (!isCanvas(value)) {
    state.result = { json: JSON.stringify(value ?? null) }
    return settle(run, n, 'succeeded', null)
  }
  const { role, options } = state.job
  const inside = runGraph(compileContinuation(nodeOf(value, 'result'), { role, options }, run.shop.context), run.shop)
  state.continuation = inside
  if (inside.outcome.type === 'failed') return settle(run, n, 'failed', inside.outcome.cause)
  state.result = inside.outcome.result
  settle(run, n, 'succeeded', null)
}

function inputOf(run: Run, { input, behind }: GraphJob): unknown[] {
  switch (input.from) {
    case 'nothing':
      return []
    case 'results':
      return [JSON.parse(assemble(input.shape, behind === null ? [] : resultsAt(run, behind))) as unknown]
    case 'failure':
      return [modelReport]
    case 'summary':
      return [summaryOf(run, input)]
  }
}

function summaryOf({ jobs }: Run, { first, last }: Extract<Input, { from: 'summary' }>): unknown {
  const span = jobs.slice(first, last + 1)
  return modelSummary(span.every(({ state }) => state === 'succeeded') ? 'succeeded' : 'failed')
}

/** The results of all jobs that a barrier counts, itself or through barriers that feed it, by position. */
function resultsAt({ graph, jobs }: Run, barrier: number): StoredResult[] {
  const counts = (feeds: number | null): boolean =>
    feeds !== null && (feeds === barrier || counts(graph.barriers[feeds]!.feeds))
  return jobs.filter(({ job }) => counts(job.feeds)).map(({ result }) => result ?? { json: null })
}

function settle(run: Run, n: number, final: FinalState, cause: Cause | null): void {
  const state = run.jobs[n]!
  if (state.state !== 'waiting') throw new Error(`job ${n} settled twice`)
  state.state = final
  state.cause = cause
  if (state.job.scope !== null && (final === 'failed' || final === 'cancelled'))
    cancelScope(run, state.job.scope, cause)
  count(run, state.job.feeds, final === 'succeeded', cause)
}

function cancelScope(run: Run, scope: number, cause: Cause | null): void {
  run.jobs.forEach((other, n) => {
    if (other.job.scope !== scope || other.state !== 'waiting' || other.isMarked) return
    other.isMarked = true
    const at = run.ready.indexOf(n)
    if (at < 0) return
    run.ready.splice(at, 1)
    settle(run, n, 'cancelled', cause)
  })
}

function count(run: Run, barrier: number | null, isSuccess: boolean, cause: Cause | null): void {
  if (barrier === null) return
  const state = run.barriers[barrier]!
  state.open--
  state.cause ??= cause
  if (!isSuccess) state.decision = 'failure'
  if (state.open === 0) decide(run, barrier)
}

function decide(run: Run, barrier: number): void {
  const state = run.barriers[barrier]!
  state.decision ??= 'success'
  run.jobs.forEach((behind, n) => {
    if (behind.job.behind === barrier) release(run, n, state)
  })
  count(run, run.graph.barriers[barrier]!.feeds, state.decision === 'success', state.cause)
}

function release(run: Run, n: number, { decision, cause }: BarrierState): void {
  const { job, isMarked } = run.jobs[n]!
  const fits = job.when === 'always' || job.when === decision
  if (fits && began(run, job, decision!, cause)) {
    if (isMarked) settle(run, n, 'cancelled', cause)
    else run.ready.push(n)
  } else settle(run, n, 'skipped', job.when === 'success' && job.role === 'main' ? cause : null)
}

/** A side branch runs only if the gate decided success, and a failure has a cause. */
function began(run: Run, { behind, role }: GraphJob, decision: 'success' | 'failure', cause: Cause | null): boolean {
  if (role === 'main') return true
  const { gate } = run.graph.barriers[behind!]!
  return (decision === 'success' || cause !== null) && (gate === null || run.barriers[gate]!.decision === 'success')
}

function finish(run: Run): FinishedGraph {
  const { graph, jobs, barriers } = run
  const finished = jobs.map((one, n) => {
    if (one.state === 'waiting') throw new Error(`job ${n} never became final`)
    return { job: one.job, state: one.state, args: one.args, continuation: one.continuation }
  })
  const exit = graph.exit === null ? null : barriers[graph.exit]!
  const [only] = jobs
  const isSuccess = exit ? exit.decision === 'success' : only!.state === 'succeeded'
  if (!isSuccess) return { jobs: finished, outcome: { type: 'failed', cause: exit ? exit.cause : only!.cause } }
  const results = graph.exit === null ? [only!.result!] : resultsAt(run, graph.exit)
  return { jobs: finished, outcome: { type: 'succeeded', result: { json: assemble(graph.shape, results) } } }
}
