import type { Inspection } from '../engine/inspect.ts'

export interface WorkerSummary {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly pid: number
  /** Absent: every queue. */
  readonly queues?: readonly string[]
  readonly concurrency: number
  /** `lost`: it was not heard of for too long, and its jobs run elsewhere. */
  readonly state: 'running' | 'ended' | 'lost'
  readonly startedAt: Date
  readonly seenAt: Date
  readonly runningCount: number
}

export async function listWorkers(store: Pick<Inspection, 'workers'>): Promise<readonly WorkerSummary[]> {
  const workers = await store.workers()
  return workers.map(({ id, name, host, pid, queues, concurrency, state, startedAt, seenAt, runningCount }) => ({
    id,
    name,
    host,
    pid,
    ...(queues && { queues }),
    concurrency,
    state,
    startedAt: new Date(startedAt),
    seenAt: new Date(seenAt),
    runningCount,
  }))
}
