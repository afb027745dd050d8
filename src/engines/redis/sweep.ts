import type { Runtime } from '../../core/runtime.ts'
import { attemptOutcomeCode, reason, state } from '../../engine/codes.ts'
import {
  blame,
  cancelGrace,
  deadlineGrace,
  jobsPerStep,
  lateOutcome,
  type NamedJob,
  poisonedFailure,
  sessionsPerTurn,
  Steps,
  suspicion,
  suspicionAfter,
  turnLength,
} from '../../engine/recovery.ts'
import { bySlices, restOfTurn } from '../../engine/retention.ts'
import type { SweepAnswer } from '../../engine/work.ts'
import { chores } from './chores.ts'
import { dueJobs } from './due.ts'
import type { Database, Script } from './database.ts'
import { noteOldest, retain } from './retention.ts'
import { part, reading, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
import { leaveChores, noteFaults, turns } from './turn.ts'
import { writing } from './work.ts'

export interface SweepParts {
  readonly db: Database
  readonly runs: Runs
  readonly runtime: Runtime
  readonly isClosed: () => boolean
}

/** Recovery first, stored a step at a time; then upkeep, of which each chore may fail for itself. */
export async function sweep(parts: SweepParts): Promise<SweepAnswer> {
  const { runs, runtime } = parts
  const [early, isTurn, hasChores, sessions, hasLate, next] = await runs.write<Begun>(beginScript)
  if (isTurn === 0) {
    const wait = next === 'later' ? await runs.read<Wait>(nextScript) : next
    return { released: early, nextAt: instantIn(wait, runtime) }
  }
  const steps = new Steps()
  let released = early
  for (const session of sessions)
    released += (await steps.run(`worker number ${session}`, () => lose(runs, steps, session))) ?? 0
  if (hasLate === 1) released += (await steps.run('deadlines', () => stopLate(runs, steps, runtime))) ?? 0
  const isDue = (await steps.run('retention', () => retainAll(parts))) ?? false
  if (hasChores === 1) {
    const run = async (chore: Script): Promise<boolean> => (await runs.write<number>(chore)) === 1
    await steps.runChores(chores, run, () => leaveChores(runs))
    await steps.run('numbers', () => noteOldest(parts.db))
  }
  const { faults } = steps
  if (faults.length > 0) await noteFaults(runs, steps.keptFaults)
  // Where nothing was to be done it has said so itself: idle workers ask once.
  const wait = next === 'later' ? await runs.write<Wait>(foreseeScript) : next
  const soonest = isDue ? Math.min(wait === '' ? restOfTurn : Number(wait), restOfTurn) : wait
  return { released, faults, nextAt: instantIn(soonest, runtime) }
}

const retainAll = ({ db, runs, runtime, isClosed }: SweepParts): Promise<boolean> =>
  bySlices(runtime, async () => !isClosed() && (await retain({ db, runs })))

/** In how long to come again; empty where nothing is foreseen. */
type Wait = number | string
/** By this process's clock: the server's may be another, and what counts for whoever waits is how long. */
const instantIn = (wait: Wait, runtime: Runtime): number | null => (wait === '' ? null : runtime.now() + Number(wait))

/** `next` as `foreseeScript` answers it, or `later`: what was done has yet to be written. */
type Begun = readonly [
  released: number,
  isTurn: number,
  hasChores: number,
  sessions: readonly string[],
  hasLate: number,
  next: Wait | 'later',
]

// ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Those that are over, and those whose jobs are being given back. */
const lostSessions = part(`
local function lostSessions()
  local lost = call('HKEYS', P .. 'losing')
  for _, session in ipairs(call('ZRANGEBYSCORE', P .. 'alive', '-inf', now)) do
    if #lost >= ${sessionsPerTurn} then break end
    if calmAt + (call('ZSCORE', P .. 'leases', session) or 0) <= now then lost[#lost + 1] = session end
  end
  return lost
end
`)

/**
 * Ends a session at once, and tells some of the jobs it held, in the order of the graph: number, attempt, how strongly it was
 * suspected, id. Who is to blame is decided at once for all of them. A session that has renewed itself meanwhile lives.
 */
const loseScript = writing(
  'lose',
  `
local session, after = arg(), number()
local run, trying = P .. 'run:' .. session, P .. 'trying:' .. session
local whose = call('HGET', P .. 'losing', session)
if not whose then
  local expiresAt = call('ZSCORE', P .. 'alive', session)
  if not expiresAt or tonumber(expiresAt) > now then return {0, '', {}} end
  local suspects = 0
  for _, seq in ipairs(numbersIn(call('SRANDMEMBER', trying, 100))) do
    local job = S.jobAt(seq)
    if job and job.state == ${state.running} and job.session == tonumber(session) then suspects = suspects + 1 end
  end
  whose = suspects == 0 and ${blame.everybody} or suspects == 1 and ${blame.onlySuspect} or ${blame.suspects}
  call('HSET', P .. 'losing', session, whose)
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'lost', 1)
  call('ZREM', P .. 'alive', session)
  call('ZREM', P .. 'leases', session)
  call('ZADD', P .. 'ended', now, session)
end
local held, others = numbersIn(call('SMEMBERS', run))
change('SREM', run, others)
local page = {}
for _, seq in ipairs(held) do
  if seq > after and #page < ${jobsPerStep} then page[#page + 1] = seq end
end
S.loadJobs(page)
local jobs = {}
for _, seq in ipairs(page) do
  local job = S.jobAt(seq)
  if job and job.state == ${state.running} and job.session == tonumber(session) then
    jobs[#jobs + 1] = {seq, job.attempt, job.crashes, S.idOf(job),
      S.ask('notes of job number ' .. job.digits, 'HGET', P .. 'notes:' .. seq, '!' .. job.attempt) or ''}
  else
    -- It was removed while it ran, or runs elsewhere.
    call('SREM', run, seq)
    call('SREM', trying, seq)
    if not job then
      call('ZREM', P .. 'deadlines', seq)
      call('ZREM', P .. 'marked', seq)
    end
  end
end
if call('EXISTS', run) == 0 then call('HDEL', P .. 'losing', session) end
return {tonumber(whose), call('HGET', P .. 'session:' .. session, 'name') or '', jobs, #page, page[#page] or 0, string.format('%.0f', now)}
`,
)
type Page = readonly [
  whose: number,
  worker: string,
  jobs: readonly (readonly [seq: number, attempt: number, crashes: number, id: string, words: string])[],
  count: number,
  last: number,
  now: string,
]

const giveUpScript = writing(
  'giveUp',
  `
local session, count, wanted, numbers = arg(), 0, {}, {}
for at = 1, number() do
  wanted[at] = {seq = number(), attempt = number(), crashes = number(), failure = arg(), words = arg()}
  numbers[at] = wanted[at].seq
end
-- A session that came back to life keeps what is left.
if call('HEXISTS', P .. 'losing', session) == 0 then return 0 end
S.loadJobs(numbers)
for _, each in ipairs(wanted) do
  local job = S.jobAt(each.seq)
  if job and job.state == ${state.running} and job.session == tonumber(session) and job.attempt == each.attempt then
    count = count + 1
    if job.marked then S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq)
    elseif each.failure ~= '' then S.endJob(job, ${state.failed}, ${reason.poisoned}, job.seq, each.failure)
    else
      S.recordAttempt(job, ${attemptOutcomeCode('lost')}, each.words ~= '' and each.words or nil)
      job.token, job.session, job.crashes = nil, nil, each.crashes
      S.putBack(job, 0)
    end
  end
end
return count
`,
  settling,
)

async function lose(runs: Runs, steps: Steps, session: string): Promise<number> {
  let released = 0
  for (let after = 0; ;) {
    const [whose, worker, jobs, count = 0, last = 0, now = '0'] = await runs.write<Page>(loseScript, [session, after])
    const named = jobs.map(([seq, attempt, crashes, id, words]) => {
      const level = suspicionAfter(crashes, whose)
      const isPoisoned = level >= suspicion.poisoned
      const failure = isPoisoned ? poisonedFailure(worker, words || null, attempt, Number(now)) : null
      return { seq, id, args: [seq, attempt, level, failure === null ? '' : JSON.stringify(failure), words] }
    })
    released += await steps.runAll(named, (some) =>
      runs.write<number>(giveUpScript, [session, some.length, ...some.flatMap(({ args }) => args)]),
    )
    if (count < jobsPerStep) break
    after = last
  }
  // Looks whether anything is left.
  if (released > 0) await runs.write<Page>(loseScript, [session, Number.MAX_SAFE_INTEGER])
  return released
}

// ── deadlines ────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * `lateJobs(after, size)`: running jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the
 * handler does not listen. After a gap they have their time anew: nobody knows how much of it they had. `isLate(job)`.
 */
const lateness = part(`
local function isLate(job)
  if not job or job.state ~= ${state.running} then return false end
  if job.marked and math.max(job.marked, calmAt) <= now - ${cancelGrace} then return true end
  if not job.timeout or not job.started then return false end
  return math.max(job.started, calmAt) + job.timeout <= now - ${deadlineGrace}
end
local function lateJobs(size)
  local late, seen = {}, {}
  for key, before in pairs({marked = now - ${cancelGrace}, deadlines = now - ${deadlineGrace}}) do
    for from = 0, 4000, 1000 do
      local numbers, others = numbersIn(call('ZRANGEBYSCORE', P .. key, '-inf', before, 'LIMIT', from, 1000))
      for _, other in ipairs(others) do S.remove(key, other) end
      S.loadJobs(numbers)
      for _, seq in ipairs(numbers) do
        local job = S.jobAt(seq)
        if not job or job.state ~= ${state.running} then S.remove(key, seq)
        elseif not seen[seq] and isLate(job) and #late < size then
          seen[seq] = true
          late[#late + 1] = seq
        end
      end
      if #numbers + #others < 1000 or #late >= size then break end
    end
  end
  table.sort(late)
  return late
end
`)

const lateScript = writing(
  'late',
  `
local found = {}
for at, seq in ipairs(lateJobs(${jobsPerStep})) do
  local job = S.jobAt(seq)
  local options = string.match(job.row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
  found[at] = {seq, job.attempt, job.failures, job.timeout or 0, options, S.idOf(job)}
end
return {string.format('%.0f', now), found}
`,
  turns,
  lateness,
)
type LateJob = readonly [seq: number, attempt: number, failures: number, timeout: number, options: string, id: string]

const stopScript = writing(
  'stop',
  `
local count, wanted, numbers = 0, {}, {}
for at = 1, number() do
  wanted[at] = {seq = number(), attempt = number(), delay = number(), failure = arg()}
  numbers[at] = wanted[at].seq
end
S.loadJobs(numbers)
for _, each in ipairs(wanted) do
  local job = S.jobAt(each.seq)
  if isLate(job) and job.attempt == each.attempt then
    count = count + 1
    if job.marked then S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq)
    elseif each.delay then
      S.retryLater(job, each.failure, each.delay)
      job.token = nil
    else S.endJob(job, ${state.failed}, ${reason.timeout}, job.seq, each.failure) end
  end
end
if count > 0 then S.stops = true end
return count
`,
  turns,
  lateness,
  settling,
)

async function stopLate(runs: Runs, steps: Steps, runtime: Runtime): Promise<number> {
  for (let stopped = 0, tried = new Set<number>(); ;) {
    const [now, found] = await runs.write<[string, readonly LateJob[]]>(lateScript)
    const fresh = found.filter(([seq]) => !tried.has(seq))
    if (fresh.length === 0) return stopped
    const named = fresh.map((job) => ({ seq: job[0], id: job[5], args: verdictOn(job, Number(now), runtime) }))
    stopped += await steps.runAll(named, (some) =>
      runs.write<number>(stopScript, [some.length, ...some.flatMap(({ args }) => args)]),
    )
    for (const { seq } of named satisfies readonly NamedJob[]) tried.add(seq)
  }
}

/** Scripts can neither write down an instant nor read a retry policy: number, attempt, delay of a further try, failure. */
function verdictOn(
  [seq, attempt, failures, timeout, options]: LateJob,
  now: number,
  runtime: Runtime,
): (string | number)[] {
  const outcome = lateOutcome({ attempt, failures, timeout, options }, now, runtime.random())
  return [seq, attempt, outcome.type === 'failed' ? '' : outcome.delay, JSON.stringify(outcome.failure)]
}

// ── what comes next ──────────────────────────────────────────────────────────────────────────────────────────────

/**
 * `nextSweepIn()`: in how long something will have to be swept again, as far as can be foreseen from what is written.
 */
const foresight = part(`
local function firstIn(key)
  return tonumber(call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2])
end
local function earliest(list)
  local nextAt
  for at = 1, 4 do
    if list[at] and (not nextAt or list[at] < nextAt) then nextAt = list[at] end
  end
  return nextAt
end
local function nextSweepIn()
  local lapses, sweepAt = firstIn('expiring'), tonumber(call('HGET', P .. 'meta', 'sweepAt') or nil)
  -- What is over in the calm after a gap waits for its end.
  if lapses and lapses <= now then lapses = math.max(lapses, tonumber(call('HGET', P .. 'meta', 'calmUntil') or 0)) end
  local nextAt = earliest({call('ZCARD', P .. 'work') > 0 and 0 or false, firstIn('due') or false, lapses or false, sweepAt or false})
  return nextAt and nextAt - now or ''
end
`)

/** `foresee()`: when the next turn is to be taken. Kept, so that others need not look for it. */
const foreseeing = part(
  `
local function foresee()
  local deadline, marked, expires, shortest = firstIn('deadlines'), firstIn('marked'), firstIn('alive'), S.shortestLease()
  local at = earliest({
    call('EXISTS', P .. 'losing') == 1 and now or false,
    deadline and deadline + ${deadlineGrace} or false,
    marked and math.max(marked, calmAt) + ${cancelGrace} or false,
    expires and math.min(math.max(expires, calmAt + (shortest or 0)), now + (shortest or 0) / 2) or false
  })
  -- What is due and stays due, since it failed or others hold it, waits for the next turn.
  if at and at <= now then at = now + ${turnLength} end
  if at then call('HSET', P .. 'meta', 'sweepAt', at) else call('HDEL', P .. 'meta', 'sweepAt') end
  return nextSweepIn()
end
`,
  turns,
  foresight,
)

const beginScript = writing(
  'begin',
  `
local isTurn = takeTurn()
local released = S.releaseDue()
S.expire()
local hasChores, sessions, hasLate = false, {}, false
if isTurn then
  hasChores, sessions, hasLate = takeChores(), lostSessions(), #lateJobs(1) > 0
end
local wait = 'later'
if #sessions == 0 and not hasLate and not next(S.arrivals) and #S.pending == 0 and S.isClean() then
  wait = isTurn and foresee() or nextSweepIn()
end
return {released, isTurn and 1 or 0, hasChores and 1 or 0, sessions, hasLate and 1 or 0, wait}
`,
  turns,
  lostSessions,
  lateness,
  dueJobs,
  foresight,
  foreseeing,
)

const foreseeScript = writing('foresee', 'S.flush() return foresee()', turns, foresight, foreseeing)
const nextScript = reading('nextSweep', 'return nextSweepIn()', foresight)
