import { shortText } from '../core/option.ts'
import type { Control } from '../engine/control.ts'
import type { Inspection } from '../engine/inspect.ts'

export interface QueueSummary {
  readonly name: string
  /** Nothing is taken from it. */
  readonly paused: boolean
  /** Its unfinished jobs, by state. */
  readonly counts: {
    readonly waiting: number
    readonly scheduled: number
    readonly queued: number
    readonly running: number
  }
}

export async function listQueues(store: Pick<Inspection, 'queues'>): Promise<readonly QueueSummary[]> {
  const queues = await store.queues()
  return queues.map(({ name, paused, counts }) => ({ name, paused, counts }))
}

/** @throws CeleriacError BAD_OPTION */
export async function setPaused(store: Pick<Control, 'putQueues'>, name: string, paused: boolean): Promise<void> {
  await store.putQueues([{ name: readName(name, 'the name of the queue'), paused }])
}

const readName = shortText(128)
