import type { CancelAnswer, QueueSettings, Selection } from '../../engine/control.ts'
import { reason } from '../../engine/codes.ts'
import { members } from './members.ts'
import type { Runs } from './scripts.ts'
import { writing } from './work.ts'

const cancelScript = writing(
  'cancel',
  `
local header, job = S.select(arg(), arg() == '1')
if header then return S.cancelCollection(header) end
if job then return S.cancelJob(job, ${reason.cancelled}) end
return 'not-found'
`,
  members,
)

export function cancel(runs: Runs, selection: Selection): Promise<CancelAnswer> {
  return runs.write(cancelScript, selected(selection))
}

/** What `select` reads: an id, and whether it is a collection's. */
export const selected = (selection: Selection): (string | number)[] =>
  'jobId' in selection ? [selection.jobId, 0] : [selection.collectionId, 1]

const putQueuesScript = writing(
  'putQueues',
  `
for _ = 1, number() do call('HSET', P .. 'queues', arg(), arg()) end
S.wakes = true
return false
`,
)

export async function putQueues(runs: Runs, settings: readonly QueueSettings[]): Promise<void> {
  await runs.write(putQueuesScript, [
    settings.length,
    ...settings.flatMap(({ name, paused }) => [name, paused ? 1 : 0]),
  ])
}
