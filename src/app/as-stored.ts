import type { Graph, GraphJob } from '../core/graph.ts'
import { mapByPages } from '../core/by-pages.ts'
import { type JobRecord, jobStates } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'
import { dueAt } from '../core/stored-options.ts'
import type { Submission } from '../engine/intake.ts'
import { addInput, type Inputs, Naming, SnapshotRoom } from '../engine/members.ts'
import type { ToldCollection } from './snapshots.ts'

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
  const inputs = inputsOf(graph)
  // The same bounds as where it is read: the answer to whoever sends it would else be hundreds of times as large as what was sent.
  const naming = new Naming()
  const room = new SnapshotRoom()
  const isAlone = graph.exit === null
  const jobs = await mapByPages(runtime, graph.jobs, (job): JobRecord => {
    const record = room.fit({
      ...jobAsStored(job, at),
      collectionId: graph.id,
      after: [],
      actor,
      description: isAlone ? description : null,
      tags: job.options.tags ?? [],
    })
    return job.behind === null ? record : { ...record, ...naming.of(job.behind, inputs[job.behind] as Inputs) }
  })
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

/** The jobs at each barrier, also through the barriers inside of it, in the order of the graph. */
function inputsOf({ jobs, barriers }: Graph): readonly Inputs[] {
  const inputs = barriers.map((): Inputs => ({ ids: [], count: 0 }))
  for (const { id, feeds } of jobs) {
    for (let barrier = feeds; barrier !== null; barrier = barriers[barrier]?.feeds ?? null)
      addInput(inputs[barrier] as Inputs, id)
  }
  return inputs
}
