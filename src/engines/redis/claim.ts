import type { Runtime } from '../../core/runtime.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest, JobInput, Settlement } from '../../engine/work.ts'
import { isSentAgain, type ScriptArgument } from './database.ts'
import { argumentsPerClaim, surelyFit } from '../../engine/limits.ts'
import { dueJobs } from './due.ts'
import { role, roleName, state } from '../../engine/codes.ts'
import { collectionRetention } from '../../engine/retention.ts'
import {
  type About,
  aboutIn,
  claimInputs,
  inputBehind,
  inputIn,
  type InputReply,
  nothing,
  type Shared,
} from './inputs.ts'
import type { ResultReply } from './gather.ts'
import { lines } from './lines.ts'
import { section } from './pack.ts'
import { type JobRow, readJob, readStanding, type Standing } from './rows.ts'
import { library, type Runs } from './scripts.ts'
import { writing } from './work.ts'

/** What this engine wants to be told again of a job that was claimed: how it stands, exactly, so that nobody else has touched it. */
export interface Ref {
  readonly seq: number
  readonly collection: number
  readonly about: About
  readonly standing: string
  readonly feeds: number | null
  /** The job that its success lets go, and the queue of both, where that is all there is to it. */
  readonly next: number | null
  readonly isNextTimed: boolean
  readonly queue: string
  readonly isTimed: boolean
  /**
   * What its end means for retention: of a job alone how long it is kept, `aside` where it is a side branch, else empty: then its
   * collection says so when it settles.
   */
  readonly leaving: string
  readonly round: number
  readonly crashes: number
}
/** So many expired jobs at most are looked at by a claim. */
const mostLate = 1_000

export const isAlone = ({ seq, collection }: Ref): boolean => seq === collection

/**
 * `claim()` reads its arguments, takes jobs and gives its reply. In a script that has settled before, `letGo` is what that let go and
 * what has not come into a queue yet (see settle.ts). `S.mine` is the claim under way.
 */
export const claiming = library(
  `
function S.start(job)
  local mine = S.mine
  job.state, job.session, job.token, job.started = ${state.running}, tonumber(mine.session), mine.token, now
  job.attempt, job.version, job.finished, job.result = job.attempt + 1, job.version + 1, nil, ''
  S.save(job)
  S.tell(${state.running}, job.collection, job.seq, job.attempt, job.version)
  mine.taken[#mine.taken + 1] = job
  mine.isTold = true
end

-- Of a job without a time-out and an expiry that did not fail yet nothing needs to be known but what is told of it. Those let go together
-- mostly stand alike, and those side by side in a graph have one head.
local quickHead = '^%d+,(%d+),(%d+),[^,]*,[^,]*,[^,]*,%d+,%d,(%-?%d*),%d,[^,]*,[^,]*,[^,]*,[^,]*,,,%-?%d+,(.*)$'
local begun, head, base, collection, behind, input = {}, nil, nil, nil, nil, nil
local function begin(standing)
  local version, attempt = string.match(standing, '^%d,(%d+),(%d+),[%d,]*$')
  if not version then return false end
  local to = {version = version + 1, attempt = attempt + 1}
  to.text = '${state.running},' .. S.digits[to.version] .. ',' .. S.digits[to.attempt] .. ',' .. S.mine.text
  return to
end
function S.startQuickly(seq, row, standing)
  standing = standing or '${state.waiting},1,0,,,,'
  local to = begun[standing]
  if to == nil then
    to = begin(standing)
    begun[standing] = to
  end
  local ownHead = string.match(row, '^[^\\n]*')
  if ownHead ~= head then
    head, base, collection, behind, input = ownHead, string.match(ownHead, quickHead)
    base = tonumber(base)
    behind = base and behind ~= '' and base + behind or nil
  end
  if not to or not base then return nil end
  S.tell(${state.running}, collection, seq, to.attempt, to.version)
  S.mine.isTold = true
  return {seq = tonumber(seq), row = row, base = base, collection = tonumber(collection), behind = behind, input = input, text = to.text}
end

function S.backInLine(numbers)
  S.loadJobs(numbers)
  for _, seq in ipairs(numbers) do
    local job = S.jobAt(seq)
    if job then
      local score = S.score(job.priority, job.collection)
      call('ZADD', P .. 'queue:' .. job.queue, score, S.place(seq))
      S.enterLine(job.queue, score)
    end
  end
end
-- Of those that have expired a call ends only some: what is left must not start, and goes back in line. A call looks at so many of them;
-- whoever asks is told to come again at once.
function S.popInTime(room)
  local digits, inRun, late = {}, {}, {}
  repeat
    local popped, areInRun = S.popFirst(room - #digits)
    local lapses = many('ZMSCORE', P .. 'expiring', popped)
    for n, seq in ipairs(popped) do
      if lapses[n] and tonumber(lapses[n]) <= now then late[#late + 1] = tonumber(seq)
      else
        digits[#digits + 1] = seq
        inRun[#digits] = areInRun[n]
      end
    end
  until #popped == 0 or #digits == room or #late >= ${mostLate}
  S.mine.mayBeMore = #digits < room and #late >= ${mostLate}
  S.backInLine(late)
  return digits, inRun
end
-- How many of these jobs one claim may bring, by their long arguments. Rows as they are stored.
function S.fitting(digits, rows)
  local left, count, byte = ${argumentsPerClaim}, #digits, string.byte
  for n = 1, count do
    local row = rows[n]
    if row and byte(row, -1) == 13 then
      left = left - (S.ask('arguments of job number ' .. digits[n], 'STRLEN', P .. 'g:' .. digits[n]) or 0)
      if left < 0 and n > 1 then return n - 1 end
    end
  end
  return count
end
function S.take()
  local mine = S.mine
  if mine.hasRare and call('EXISTS', P .. 'suspects') == 1 then
    for _, job in ipairs(S.suspectsIn(mine.session, mine.limit)) do S.start(job) end
  end
  local taken, fresh, room = mine.taken, mine.fresh, mine.limit - #mine.taken
  if room <= 0 then return end
  local digits, inRun
  if mine.isAnyLate then digits, inRun = S.popInTime(room) else digits, inRun = S.popFirst(room) end
  if #digits == 0 then return end
  local heads, standings, single = {}, {}, {}
  for n, seq in ipairs(digits) do
    heads[n], standings[n] = P .. 'j:' .. seq, P .. 's:' .. seq
    if not inRun[n] then single[#single + 1] = standings[n] end
  end
  local rows, stands, singles = many('MGET', nil, heads), many('MGET', nil, single), 0
  local most = #digits > ${surelyFit} and S.fitting(digits, rows) or #digits
  if most < #digits then
    mine.mayBeMore = true
    local beyond = {}
    for n = most + 1, #digits do
      beyond[n - most] = tonumber(digits[n])
      digits[n] = nil
    end
    S.backInLine(beyond)
  end
  local haveSeen = next(S.jobs) ~= nil
  local writes, filled, running = S.writes, #S.writes, S.listOf('additions', 'run:' .. mine.session)
  for n, seq in ipairs(digits) do
    local row, standing = rows[n], nil
    if not inRun[n] then
      singles = singles + 1
      standing = stands[singles]
    end
    local seen, job = haveSeen and S.jobs[tonumber(seq)] or nil, nil
    if row and not seen and (inRun[n] or (not standing and string.find(row, '^%d+\\n'))) then
      S.tell(${state.running}, '0', seq, 1, 2)
      job = {seq = seq, row = row, text = fresh}
    elseif row and not seen then
      job = S.startQuickly(seq, row, standing)
    end
    if job then
      writes[filled + 1], writes[filled + 2] = standings[n], job.text
      filled = filled + 2
      running[#running + 1] = seq
      taken[#taken + 1] = job
    elseif row then
      job = seen or S.parse(tonumber(seq), row, standing)
      S.jobs[tonumber(seq)] = job
      if job then
        job.isPopped = true
        S.start(job)
      end
    end
  end
end

function S.pairsOf(map)
  local list = {}
  for key, value in pairs(map) do
    list[#list + 1] = key
    list[#list + 1] = value
  end
  return list
end
-- For each: number, row, standing (0: the fresh one), long arguments and input (0: neither).
function S.tellTaken()
  local mine, reply, filled = S.mine, {}, 0
  if mine.isTold then S.readShared(mine.taken) end
  for _, job in ipairs(mine.taken) do
    local row = job.row
    local long = string.byte(row, -1) == 13 and S.textAt('g:' .. job.seq) or ''
    local input = mine.isTold and job.input and job.input ~= '' and S.inputOf(job) or 0
    reply[filled + 1], reply[filled + 2], reply[filled + 3] = tonumber(job.seq), row, job.text == mine.fresh and 0 or job.text
    reply[filled + 4] = (long ~= '' or input ~= 0) and {long, input} or 0
    filled = filled + 4
  end
  return reply
end

-- Does all of it come before what stands in line? It is queued there with no priority.
local function isFirst(letGo)
  local isOpen, latest = {}, 0
  for n, queue in ipairs(letGo.queues) do
    local collection = tonumber(letGo.collections[n])
    if collection > latest then latest = collection end
    if isOpen[queue] == nil then isOpen[queue] = S.isOpen(queue) end
    if not isOpen[queue] then return false end
  end
  return not S.isAnyBefore(latest) and call('EXISTS', P .. 'suspects') == 0
end
-- What settlements in this script let go mostly is all that is first in line. Then it is handed out as it is, and whoever has settled
-- what it waited for has its input: only the numbers and rows are told.
function S.handOff()
  local letGo, mine = S.letGo, S.mine
  local numbers, collections, at, text = letGo.numbers, letGo.collections, letGo.writes, mine.freshBehind
  if letGo.isTimed or #numbers > mine.limit or not isFirst(letGo) then return end
  local names = {}
  for n = 1, #numbers do names[n] = P .. 'j:' .. numbers[n] end
  local rows = many('MGET', nil, names)
  for n = 1, #numbers do
    if not rows[n] then return end
  end
  if #numbers > ${surelyFit} and S.fitting(numbers, rows) < #numbers then return end
  S.letGo = false
  local running, handed, writes = S.listOf('additions', 'run:' .. mine.session), mine.handed, S.writes
  local before = #running
  for n = 1, #numbers do
    local seq, row = numbers[n], rows[n]
    if at[n] then writes[at[n]] = text else S.put(P .. 's:' .. seq, text) end
    running[before + n] = seq
    if string.byte(row, -1) == 13 then row = string.sub(row, 1, -2) .. (S.textAt('g:' .. seq) or '') end
    handed[2 * n - 1], handed[2 * n] = seq, row
    S.tell(${state.running}, collections[n], seq, 1, 3)
  end
  S.releaseStarted(collections)
  mine.limit = mine.limit - #numbers
end

function S.moveDue()
  S.releaseDue()
  S.expire()
  S.settleBarriers()
  S.flush()
end
function S.noteTaken()
  local mine = S.mine
  if mine.hasRare then
    local collections = {}
    for n, job in ipairs(mine.taken) do collections[n] = job.collection or job.seq end
    S.releaseStarted(collections)
  end
  local tokens = P .. 'tokens:' .. mine.session
  if call('LPUSH', tokens, mine.token) > 64 then call('LTRIM', tokens, '0', '31') end
  S.flush()
end
function S.claim()
  local session, token, limit, isAgain, wanted = call('HGET', P .. 'sessions', arg()), arg(), number(), arg() == '1', {}
  for at = 1, number() do wanted[at] = arg() end
  if not session or not call('ZSCORE', P .. 'alive', session) then return {'', '', {}, {}, {}, '', {}} end
  local text = token .. ',' .. session .. ',' .. S.digits[now] .. ','
  local mine = {
    session = session, token = token, limit = limit, names = #wanted > 0 and wanted, wanted = #wanted > 0 and {}, text = text, taken = {}, handed = {}, isTold = false, hasRare = false, isAnyLate = false, mayBeMore = false,
    fresh = '${state.running},2,1,' .. text, freshBehind = '${state.running},3,1,' .. text
  }
  for _, name in ipairs(wanted) do mine.wanted[name] = true end
  S.mine = mine
  local isKnown = call('LPOS', P .. 'tokens:' .. session, token)
  if isKnown then
    S.flush()
    mine.taken, mine.isTold = S.takenBefore(session, token, limit), true
  end
  local nextAt = S.firstIn('due')
  if not isKnown then
    local expiresAt = S.firstIn('expiring')
    if (nextAt and nextAt <= now) or (expiresAt and expiresAt <= now) then
      S.moveDue()
      nextAt, expiresAt = S.firstIn('due'), S.firstIn('expiring')
      mine.isAnyLate = expiresAt and expiresAt <= now
    end
    if limit > 0 then
      if S.letGo then S.handOff() end
      if mine.limit > 0 then
        if not S.isClean() then S.flush() end
        mine.hasRare = call('EXISTS', P .. 'suspects', P .. 'holds') > 0
        S.take()
      end
    end
    if mine.mayBeMore then nextAt = now end
    -- Should what was asked first come only now, it finds that its token was used.
    if #mine.taken > 0 or #mine.handed > 0 or isAgain then S.noteTaken() end
  end
  return {nextAt and nextAt - now or '', mine.fresh, S.tellTaken(), mine.isTold and S.pairsOf(S.inputs) or {},
    mine.isTold and S.pairsOf(S.collections) or {}, mine.freshBehind, mine.handed}
end
`,
  lines,
  dueJobs,
  claimInputs,
)

const claimScript = writing('claim', 'return S.claim()', claiming)

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Details = readonly [args: string, input: InputReply] | 0
export type ClaimReply = readonly [
  nextIn: number | string,
  fresh: string,
  jobs: readonly (number | string | Details)[],
  inputs: readonly (number | readonly ResultReply[])[],
  collections: readonly (number | string)[],
  freshBehind: string,
  handed: readonly string[],
]

export async function claim(runs: Runs, request: ClaimRequest, runtime: Runtime): Promise<ClaimAnswer> {
  return claimAnswer(runs, await runs.write<ClaimReply>(claimScript, claimArgs(request)), request, runtime)
}

/** Of no queue at all nothing is to be had but when something is due. */
export const claimArgs = ({ session, token, limit, queues, isRepeated }: ClaimRequest): ScriptArgument[] => [
  session,
  token,
  queues?.length === 0 ? 0 : limit,
  isRepeated === true ? 1 : isSentAgain,
  ...section([...new Set(queues)].map((name) => [name])),
]

/** @param settlements what went before it in the same request */
export async function claimAnswer(
  runs: Runs,
  reply: ClaimReply,
  { token, queues }: ClaimRequest,
  runtime: Runtime,
  settlements: readonly Settlement[] = [],
): Promise<ClaimAnswer> {
  const [nextIn, fresh, rows, inputs, collections, freshBehind, handed] = reply
  const shared: Shared = {
    inputs: new Map(pairsIn(inputs) as [number, readonly ResultReply[] | 0][]),
    collections: new Map(pairsIn(collections).map(([number, row]) => [number, aboutIn(number, row as string)])),
  }
  const jobs = handed.length === 0 ? [] : handedOver(handed, freshBehind, token, settlements)
  for (let at = 0; at < rows.length; at += 4) {
    const [seq, row, standing, details] = rows.slice(at, at + 4) as [number, string, string | 0, Details]
    const job = readJob(seq, row)
    const text = standing === 0 ? fresh : standing
    const input =
      details === 0 ? nothing : inputIn(runs, job, details[1], shared, begunIn(job, text).startedAt as number)
    const args = details === 0 || details[0] === '' ? (job.args as string) : details[0]
    const known = input instanceof Promise ? await input : input
    jobs.push(claimed({ ...job, args }, text, token, known, shared.collections.get(job.collection)))
  }
  // The two clocks may differ: what counts for whoever waits is how long.
  const nextAt = nextIn === '' ? null : runtime.now() + Number(nextIn)
  return { jobs: queues?.length === 0 ? [] : jobs, nextAt }
}

/** Jobs that settlements of the same request let go, which also tell what their input is. */
function handedOver(
  handed: readonly string[],
  text: string,
  token: number,
  settlements: readonly Settlement[],
): ClaimedJob[] {
  const before = new Map<number, Settlement>()
  for (const settlement of settlements) {
    const { next } = settlement.ref as Ref
    if (next !== null) before.set(next, settlement)
  }
  const jobs: ClaimedJob[] = []
  for (let at = 0; at < handed.length; at += 2) {
    const job = readJob(Number(handed[at]), handed[at + 1] as string)
    const { ref, outcome } = before.get(job.number) as Settlement
    const result = outcome.type === 'succeeded' ? outcome.result : null
    jobs.push(claimed(job, text, token, inputBehind(job, result), (ref as Ref).about))
  }
  const numbers = (job: ClaimedJob): Ref => job.ref as Ref
  return jobs.sort((one, other) => {
    const [before, after] = [numbers(one), numbers(other)]
    return before.collection - after.collection || before.seq - after.seq
  })
}

function pairsIn(list: readonly unknown[]): [number, unknown][] {
  const pairs: [number, unknown][] = []
  for (let at = 0; at < list.length; at += 2) pairs.push([list[at] as number, list[at + 1]])
  return pairs
}

const actorIn = (id: string | null): ClaimedJob['actor'] => (id === null ? null : { id })

type Begun = Pick<Standing, 'attempt' | 'failures' | 'crashes' | 'startedAt'> & { readonly round: number | null }

/** Most jobs of a claim stand alike, so the text is read once; what is seldom said is read of each. */
let alike: { readonly text: string; readonly begun: Begun } = {
  text: '',
  begun: { attempt: 0, failures: 0, crashes: 0, startedAt: null, round: null },
}
function begunIn(job: JobRow, text: string): Begun {
  if (text !== alike.text) {
    const begun = readStanding(job, text)
    if (text.includes(';')) return begun
    alike = { text, begun: { ...begun, round: null } }
  }
  return alike.begun
}

const leavingOf = (job: JobRow): string =>
  job.collection === job.number
    ? String(job.label.retention ?? collectionRetention)
    : job.role === role.main
      ? ''
      : 'aside'

function claimed(
  job: JobRow,
  text: string,
  token: number,
  input: JobInput,
  of: About = { id: job.id, actor: job.label.actor },
): ClaimedJob {
  const standing = begunIn(job, text)
  const round = standing.round ?? job.round
  const about = job.collection === job.number ? { id: job.id, actor: job.label.actor } : of
  return {
    ref: {
      seq: job.number,
      collection: job.collection,
      about,
      standing: text,
      feeds: job.feeds,
      next: job.next,
      isNextTimed: job.isNextTimed,
      queue: job.queue,
      isTimed: job.timeout !== null,
      leaving: leavingOf(job),
      round,
      crashes: standing.crashes,
    } satisfies Ref,
    token,
    id: job.id,
    collectionId: about.id,
    task: job.task,
    args: job.args as string,
    role: roleName(job.role),
    attempt: standing.attempt,
    failures: standing.failures,
    round,
    queue: job.queue,
    options: job.options,
    actor: actorIn(about.actor),
    depth: job.depth,
    createdAt: job.createdAt,
    deadlineAt: job.timeout === null ? null : (standing.startedAt as number) + job.timeout,
    input,
  }
}
