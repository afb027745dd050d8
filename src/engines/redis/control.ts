import type { CancelAnswer, QueueSettings, Selection } from '../../engine/control.ts'
import { reason } from '../../engine/codes.ts'
import { indexes } from './indexes.ts'
import { frontOfLine } from './keys.ts'
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
for _ = 1, number() do
  local queue, isPaused = arg(), arg() == '1'
  if isPaused then call('HSET', P .. 'queues', queue, 1)
  elseif call('HDEL', P .. 'queues', queue) == 1 and call('EXISTS', P .. 'queue:' .. queue, P .. 'runs:' .. queue) > 0 then
    -- A claim may have taken it out of the lines.
    S.enterLine(queue, '${frontOfLine}')
  end
end
S.wakes = true
return false
`,
  indexes,
)

export async function putQueues(runs: Runs, settings: readonly QueueSettings[]): Promise<void> {
  await runs.write(putQueuesScript, [
    settings.length,
    ...settings.flatMap(({ name, paused }) => [name, paused ? 1 : 0]),
  ])
}
