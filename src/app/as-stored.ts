import type { Graph, GraphJob } from '../core/graph.ts'
import { mapByPages } from '../core/by-pages.ts'
import { type JobRecord, jobStates } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'
import { dueAt } from '../core/stored-options.ts'
import type { Submission } from '../engine/intake.ts'
import type { ToldCollection } from './snapshots.ts'

/** A job behind a large group names so many of the jobs it waits for. */
const mostAfter = 1_000

/**
 * A collection as it stands when it has just been stored: what a reader would find before any worker does, without asking the
 * store. Null where something is decided at once (an empty group), which only the store knows.
 *
 * @param at when it was stored, by the store's clock
 */
export async function collectionAsStored(
  runtime: Runtime,
  submission: Submission,
  at: number,
): Promise<ToldCollection | null> {
  const { graph, description, actor, tags, callback } = submission
  if (graph.barriers.some(({ inputs }) => inputs === 0)) return null
  const after = inputsOf(graph)
  const isAlone = graph.exit === null
  const jobs = await mapByPages(runtime, graph.jobs, (job): JobRecord => ({
    ...jobAsStored(job, at),
    collectionId: graph.id,
    after: job.behind === null ? [] : (after[job.behind] as readonly string[]),
    actor,
    description: isAlone ? description : null,
    tags: job.options.tags ?? [],
  }))
  const counts = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobRecord['state'], number>
  for (const { state } of jobs) counts[state]++
  return {
    id: graph.id,
    state: 'running',
    round: 1,
    description,
    actor,
    tags,
    callback,
    counts,
    progress: { done: 0, total: jobs.filter(({ role }) => role === 'main').length },
    createdAt: at,
    settledAt: null,
    cancelling: false,
    failure: null,
    failedJobId: null,
    jobs,
    result: null,
  }
}

function jobAsStored({ id, task, args, behind, role, options }: GraphJob, at: number) {
  const due = behind === null ? dueAt(options, at) : (options.startAt ?? null)
  return {
    id,
    task,
    state: behind !== null ? 'waiting' : due === null ? 'queued' : 'scheduled',
    reason: null,
    role,
    queue: options.queue ?? 'default',
    priority: options.priority ?? 0,
    args,
    parentId: null,
    attempt: 0,
    failures: 0,
    round: 1,
    version: 1,
    progress: null,
    failure: null,
    failedJobId: null,
    worker: null,
    createdAt: at,
    dueAt: due,
    startedAt: null,
    finishedAt: null,
    cancelling: false,
    continued: false,
  } as const
}

/** The ids of the jobs at each barrier, also through the barriers inside of it, in the order of the graph. */
function inputsOf({ jobs, barriers }: Graph): readonly (readonly string[])[] {
  const inputs: string[][] = barriers.map(() => [])
  for (const { id, feeds } of jobs) {
    for (let barrier = feeds; barrier !== null; barrier = barriers[barrier]?.feeds ?? null) {
      const ids = inputs[barrier] as string[]
      if (ids.length < mostAfter) ids.push(id)
    }
  }
  return inputs
}
