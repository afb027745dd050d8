import type { Failure } from '../../core/failure.ts'
import { decideFailure } from '../../core/retry.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { SweepAnswer } from '../../engine/work.ts'
import { dueJobs } from './due.ts'
import { attemptOutcomeCode, reason, state } from '../../engine/codes.ts'
import { removal } from './removal.ts'
import { readOptions } from './rows.ts'
import { part, reading, rowsPerCall, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
import { writing } from './work.ts'

/** How long a running job that was told to stop may take, and how far past its deadline a worker may settle it itself. */
const cancelGrace = 10_000
const deadlineGrace = 2_000
const poisonLimit = 3
const uploadMemory = 60 * 60_000

/** Gives how many jobs became queued, and when to come again. */
export async function sweep(runs: Runs, runtime: Runtime): Promise<SweepAnswer> {
  const [swept, now, needs, next] = await runs.write<Swept>(sweepScript, [0])
  // Where nothing was to be done it has said so itself: idle workers ask once.
  if (next !== 'later') return { released: swept, nextAt: instantIn(next, runtime) }
  let released = swept
  if (needs.length > 0) {
    // Scripts can neither write down an instant nor read a retry policy: what these jobs come to is said here.
    const verdicts = needs.flatMap((need) => verdictOf(need, now, runtime))
    const [more] = await runs.write<Swept>(sweepScript, [needs.length, ...verdicts])
    released += more
  }
  return { released, nextAt: instantIn(await runs.read<number | string>(nextScript), runtime) }
}

/** By this process's clock: the server's may be another, and what counts for whoever waits is how long. */
const instantIn = (wait: number | string, runtime: Runtime): number | null =>
  wait === '' ? null : runtime.now() + Number(wait)

/** `next` as `nextScript` answers it, or `later`: what was done has yet to be written. */
type Swept = [released: number, now: number, needs: readonly Need[], next: number | string]
type Need = readonly [
  seq: number,
  attempt: number,
  kind: 'poisoned' | 'late',
  /** How often its worker died, or how often it failed. */
  count: number,
  /** The name of the worker, or its options and its time-out. */
  detail: string,
  timeout: number,
]

/** The arguments that say what one of them comes to: number, attempt, delay of a further try, failure. */
function verdictOf(
  [seq, attempt, kind, count, detail, timeout]: Need,
  now: number,
  runtime: Runtime,
): (string | number)[] {
  const at = new Date(now).toISOString()
  if (kind === 'poisoned') {
    const message = `Its worker died ${count} times while it ran; the last one was ${detail}.`
    return [seq, attempt, '', JSON.stringify({ name: 'JobPoisoned', message, attempt, at } satisfies Failure)]
  }
  const message = `It took longer than its ${timeout} ms, and did not stop when told.`
  const failure: Failure = { name: 'JobTimedOut', message, attempt, at }
  const policy = readOptions(detail).retry
  const outcome = decideFailure({ reason: 'timeout', failure, policy, failures: count, random: runtime.random() })
  return [seq, attempt, outcome.type === 'failed' ? '' : outcome.delay, JSON.stringify(failure)]
}

const turns = part(`
-- After a gap longer than a lease (the machine slept, nobody was there) every session looks dead: nothing is given up for one lease, so
-- that those who live can say so.
local function takeTurn()
  local lease = 0
  for _, session in ipairs(call('ZRANGE', P .. 'alive', 0, -1)) do
    local expiresAt, seenAt = unpack(call('HMGET', P .. 'session:' .. session, 'expiresAt', 'seenAt'))
    if expiresAt and seenAt then lease = math.max(lease, expiresAt - seenAt) end
  end
  local sweptAt, calmUntil = unpack(call('HMGET', P .. 'meta', 'sweptAt', 'calmUntil'))
  calmUntil = tonumber(calmUntil or 0)
  if tonumber(sweptAt or 0) + lease < now then calmUntil = now + lease end
  call('HSET', P .. 'meta', 'sweptAt', now, 'calmUntil', calmUntil)
  return calmUntil > now
end
`)

const losing = part(
  `
local verdicts, needs = {}, {}
local function readVerdicts()
  for _ = 1, number() do
    local seq, attempt, delay, failure = number(), number(), number(), arg()
    verdicts[seq] = {attempt = attempt, delay = delay, failure = failure}
  end
end
local function verdictOn(job)
  local verdict = verdicts[job.seq]
  return verdict and verdict.attempt == job.attempt and verdict or nil
end
local function endMarked(job)
  S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq)
end

-- One that was suspect already is to blame. Where none was, each of them may be.
local function giveUp(job, isSuspect)
  if job.marked then return endMarked(job) end
  local crashes = job.crashes + (isSuspect and 1 or 0)
  if crashes >= ${poisonLimit} then return S.endJob(job, ${state.failed}, ${reason.poisoned}, job.seq, verdictOn(job).failure) end
  S.recordAttempt(job, ${attemptOutcomeCode('lost')})
  job.token, job.session, job.crashes = nil, nil, crashes
  S.putBack(job, 0)
end
-- False where it cannot be given up yet: somebody must say first how its poisoned jobs failed.
local function loseSession(session)
  local running, suspects = {}, false
  for _, seq in ipairs(call('SMEMBERS', P .. 'run:' .. session)) do running[#running + 1] = tonumber(seq) end
  table.sort(running)
  S.loadJobs(running)
  for _, seq in ipairs(running) do suspects = suspects or S.jobAt(seq).crashes > 0 end
  local asked = #needs
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    local isSuspect = not suspects or job.crashes > 0
    if not job.marked and isSuspect and job.crashes + 1 >= ${poisonLimit} and not verdictOn(job) then
      local name = call('HGET', P .. 'session:' .. session, 'name') or ''
      needs[#needs + 1] = {seq, job.attempt, 'poisoned', job.crashes + 1, name, 0}
    end
  end
  if #needs > asked then return 0 end
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    giveUp(job, not suspects or job.crashes > 0)
  end
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'lost', 1)
  call('ZREM', P .. 'alive', session)
  return #running
end
local function loseSessions()
  local count = 0
  for _, session in ipairs(call('ZRANGEBYSCORE', P .. 'alive', '-inf', now)) do count = count + loseSession(session) end
  return count
end

-- Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not listen.
local function timeOut(job)
  local verdict = verdictOn(job)
  if not verdict then
    local row = call('GET', P .. 'j:' .. job.seq)
    local options = string.match(row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
    needs[#needs + 1] = {job.seq, job.attempt, 'late', job.failures, options, job.timeout}
    return 0
  end
  if verdict.delay then
    S.retryLater(job, verdict.failure, verdict.delay)
    job.token = nil
  else S.endJob(job, ${state.failed}, ${reason.timeout}, job.seq, verdict.failure) end
  return 1
end
local function stopLate()
  local count = 0
  for _, seq in ipairs(call('ZRANGEBYSCORE', P .. 'marked', '-inf', now - ${cancelGrace})) do
    local job = S.jobAt(tonumber(seq))
    if job and job.state == ${state.running} then
      endMarked(job)
      count = count + 1
    end
  end
  for _, seq in ipairs(call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', now - ${deadlineGrace})) do
    local job = S.jobAt(tonumber(seq))
    if job and job.state == ${state.running} then
      if job.marked then endMarked(job) else count = count + timeOut(job) end
    end
  end
  if count > 0 then S.stops = true end
  return count
end
`,
  settling,
)

const abandoning = part(
  `
-- Removes uploads that nobody goes on with, from their end, some rows at a time.
local function abandonUploads()
  local all = call('HGETALL', P .. 'uploads')
  for at = 1, #all, 2 do
    local collection, base, jobCount, barrierCount, created, touched = string.match(all[at + 1], '^(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)$')
    if tonumber(touched) < now - ${uploadMemory} then
      base, jobCount, barrierCount = tonumber(base), tonumber(jobCount), tonumber(barrierCount)
      local last, numbers = base + jobCount + barrierCount - 1, {}
      local first = math.max(base, last - ${rowsPerCall - 1})
      for number = first, last do numbers[#numbers + 1] = number end
      S.loadJobs(numbers)
      S.removedIds = {}
      for _, number in ipairs(numbers) do
        if number < base + jobCount then S.removeJob(number) else S.removeBarrier(number) end
      end
      change('HDEL', P .. 'ids', S.removedIds)
      S.left = S.left - #numbers
      if first > base then
        jobCount = math.min(jobCount, first - base)
        call('HSET', P .. 'uploads', all[at],
          table.concat({collection, base, jobCount, first - base - jobCount, created, touched}, ','))
      else
        S.removeBarrier(base - 1)
        call('HDEL', P .. 'uploads', all[at])
      end
      return
    end
  end
end
`,
  removal,
)

/** In how long something will have to be swept again, as far as can be foreseen from what is written. */
const foresight = part(`
local function nextSweepIn()
  local nextAt
  local function note(at)
    if at and (not nextAt or at < nextAt) then nextAt = at end
  end
  local function first(key)
    return tonumber(call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2])
  end
  if call('EXISTS', P .. 'work') == 1 then note(0) end
  note(first('due'))
  note(first('expiring'))
  local deadline, marked, expires = first('deadlines'), first('marked'), first('alive')
  note(deadline and deadline + ${deadlineGrace})
  note(marked and marked + ${cancelGrace})
  -- Nobody is given up before the calm after a gap is over.
  note(expires and math.max(expires, tonumber(call('HGET', P .. 'meta', 'calmUntil') or 0)))
  return nextAt and nextAt - now or ''
end
`)

const sweepScript = writing(
  'sweep',
  `
readVerdicts()
local isCalm = takeTurn()
local released = S.releaseDue()
S.expire()
if not isCalm then released = released + loseSessions() end
released = released + stopLate()
abandonUploads()
local isAtRest = #needs == 0 and not next(S.arrivals) and #S.pending == 0 and S.isClean()
return {released, now, needs, isAtRest and nextSweepIn() or 'later'}
`,
  turns,
  losing,
  dueJobs,
  abandoning,
  foresight,
)

const nextScript = reading('nextSweep', 'return nextSweepIn()', foresight)
