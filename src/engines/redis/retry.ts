import { newArguments, type RetryAnswer, type RetryRequest } from '../../engine/control.ts'
import { selected } from './control.ts'
import { longArgs } from './keys.ts'
import { startingNow, taking } from '../../engine/resets.ts'
import { retrying } from './rounds.ts'
import type { Runs } from './scripts.ts'
import { writing } from './work.ts'

/** Arguments end the row of a job: the other six lines stay as they were submitted. */
const script = writing(
  'retry',
  `
local id, isCollection, round, what = arg(), arg() == '1', number(), number()
local answer = S.retry(id, isCollection, round, what)
local args, long = arg(), arg()
if answer == 'retried' and args ~= '' then
  local job = S.jobAt(tonumber(call('HGET', P .. 'ids', id)))
  job.row = string.match(job.row, '^' .. string.rep('[^\\n]*\\n', 6)) .. args
  S.put(P .. 'j:' .. job.digits, job.row)
  S.erase(P .. 'notes:' .. job.digits)
  if long ~= '' then S.put(P .. 'g:' .. job.digits, long) else S.erase(P .. 'g:' .. job.digits) end
end
return answer
`,
  retrying,
)

export async function retry(runs: Runs, request: RetryRequest): Promise<RetryAnswer> {
  const { selection, expectedRound, mode, now } = request
  const args = newArguments(request)?.args ?? ''
  const isLong = args.length > longArgs
  return runs.write(script, [
    ...selected(selection),
    expectedRound,
    (mode === 'all' ? taking.all : taking.failed) + (now === true ? startingNow : 0),
    isLong ? '\r' : args,
    isLong ? args : '',
  ])
}
