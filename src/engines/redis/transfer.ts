import { jobStates } from '../../core/job.ts'
import {
  arrivingText,
  type Census,
  type Copy,
  liveError,
  movedError,
  movedText,
  notEmptyError,
  type Position,
  type Row,
  type RowKind,
  type Standing,
  type Transfer,
} from '../../engine/transfer.ts'
import { attemptOutcomeCode, reason, state } from '../../engine/codes.ts'
import { jobsPerStep, sessionsPerTurn } from '../../engine/recovery.ts'
import type { Database } from './database.ts'
import { exportRows, lastNumber, numbersPerCall } from './export.ts'
import { storeRows } from './import.ts'
import { hidden } from './record.ts'
import { reading, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
import { talliesKeys } from './statistics.ts'
import { tie } from './tie.ts'
import { writing } from './work.ts'
import { workingSet } from './working-set.ts'

/**
 * @param open the store, whether it is closed to all other use or not
 * @param runs what runs scripts on it, closed or not
 */
export function redisTransfer(open: () => Promise<Database>, runs: Runs): Transfer {
  return {
    standing: async () => standing(await open()),
    census: async () => census(await open()),
    leave: async (copy, isFinished) => leave(await open(), runs, copy, isFinished),
    stay: async () => stay(await open()),
    exportRows: async (kind, after, limit) => exportRows(await open(), kind, after, limit),
    begin: async (copy) => begin(await open(), copy),
    importRows: async (kind, rows, position) => importRows(await open(), kind, rows, position),
    finish: async (next) => finish(await open(), next),
    abandon: async () => abandon(await open()),
  }
}

// ── standing ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Leaving {
  readonly copy: Copy
  readonly isFinished: boolean
}
interface Arriving {
  readonly copy: Copy
  readonly position: Position | null
}

/**
 * A store is empty if it has neither jobs nor paused queues. Values do not count: whoever looks at the new store beforehand
 * leaves a secret or a key there, and what is copied takes their place.
 */
const standingScript = reading(
  'standing',
  `
local marks = call('HMGET', P .. 'meta', 'leaving', 'arriving', 'arrived')
return {marks[1] or '', marks[2] or '', marks[3] or '', call('EXISTS', P .. 'ids') == 1 and 1 or call('EXISTS', P .. 'queues')}
`,
)

export async function standing(db: Database): Promise<Standing> {
  const [leaving, arriving, arrived, isFilled] = await db.read<[string, string, string, number]>(standingScript)
  if (leaving !== '') return { type: 'leaving', ...(JSON.parse(leaving) as Leaving) }
  if (arriving !== '') return { type: 'arriving', ...(JSON.parse(arriving) as Arriving) }
  if (isFilled === 0) return { type: 'empty' }
  return { type: 'used', copy: arrived === '' ? null : (JSON.parse(arrived) as Copy) }
}

const meta = (db: Database): string => `${db.prefix}meta`

// ── the source ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Gives the worker that lives, or closes the store. More is left to do where it gives nothing and closes nothing: a call ends the sessions
 * that are over up to so many of their jobs.
 */
const leaveScript = writing(
  'leave',
  `
local text, mark = arg(), arg()
local live = call('ZRANGEBYSCORE', P .. 'alive', '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, 1)[1]
if live then return call('HMGET', P .. 'session:' .. live, 'name', 'host', 'pid') end
local room = ${jobsPerStep}
local function endSession(session)
  local running = numbersIn(call('SRANDMEMBER', P .. 'run:' .. session, room))
  S.loadJobs(running)
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    if not job then S.remove('run:' .. session, seq)
    elseif job.marked then
      S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, seq)
    else
      S.recordAttempt(job, ${attemptOutcomeCode('released')})
      job.token = nil
      S.putBack(job, 0)
    end
  end
  S.flush()
  room = room - #running
  if room <= 0 then return false end
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'lost', 1)
  call('ZADD', P .. 'ended', now, session)
  call('DEL', P .. 'tokens:' .. session)
  call('ZREM', P .. 'alive', session)
  call('ZREM', P .. 'leases', session)
  call('HDEL', P .. 'losing', session)
  return true
end
local sessions = call('ZRANGE', P .. 'alive', 0, ${sessionsPerTurn - 1})
for _, session in ipairs(call('HKEYS', P .. 'losing')) do sessions[#sessions + 1] = session end
for _, session in ipairs(sessions) do
  if not endSession(session) then return {} end
end
if call('EXISTS', P .. 'alive', P .. 'losing') > 0 then return {} end
call('DEL', P .. 'leases')
-- Whoever goes on, here or at the copy, begins its turns anew.
call('HDEL', P .. 'meta', 'sweptAt', 'sweepAt', 'calmAt', 'calmUntil', 'choresAt')
if S.settleWork() then return {} end
S.flush()
call('HSET', P .. 'meta', 'closed', text, 'leaving', mark)
return {}
`,
  settling,
)

async function leave(db: Database, runs: Runs, copy: Copy, isFinished: boolean): Promise<void> {
  const mark = JSON.stringify({ copy, isFinished } satisfies Leaving)
  for (;;) {
    const found = await standing(db)
    if (found.type === 'leaving' && found.copy.id !== copy.id) throw movedError(found.copy.to)
    if (found.type === 'leaving') return void (await db.send('HSET', meta(db), 'leaving', mark))
    const [name, host, pid] = await runs.write<string[]>(leaveScript, [movedText(copy.to), mark])
    if (name !== undefined) throw liveError({ name, host: host ?? '', pid: Number(pid) })
  }
}

async function stay(db: Database): Promise<void> {
  if ((await standing(db)).type === 'leaving') await db.send('HDEL', meta(db), 'closed', 'leaving')
}

// ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

const censusScript = reading(
  'census',
  `
local first, last = number(), number()
local counts = {0, 0, 0, 0, 0, 0}
for at = 7, 14 do counts[at] = 0 end
local function exists(kind, n) return call('EXISTS', P .. kind .. n) end
local numbers = {}
for n = first, last do numbers[#numbers + 1] = n end
S.loadJobs(numbers)
for n = first, last do
  if not isHidden(n) then
    local job = S.jobAt(n)
    if job then
      counts[3] = counts[3] + 1
      counts[7 + job.state] = counts[7 + job.state] + 1
      counts[4] = counts[4] + call('HLEN', P .. 'a:' .. n)
      counts[5] = counts[5] + call('LLEN', P .. 'log:' .. n)
      counts[6] = counts[6] + call('HLEN', P .. 'notes:' .. n)
    else
      counts[1] = counts[1] + exists('c:', n)
      counts[2] = counts[2] + exists('b:', n)
    end
  end
end
return counts
`,
  workingSet,
  hidden,
)

async function census(db: Database): Promise<Census> {
  const last = await lastNumber(db)
  const sums: number[] = new Array<number>(13).fill(0)
  for (let first = 1; first <= last; first += numbersPerCall) {
    const counts = await db.read<number[]>(censusScript, [first, Math.min(first + numbersPerCall - 1, last)])
    counts.forEach((count, at) => (sums[at] = (sums[at] ?? 0) + count))
  }
  const [collections = 0, barriers = 0, jobs = 0, attempts = 0, log = 0, notes = 0, ...states] = sums
  const length = (name: string): Promise<number> => db.send<number>('HLEN', `${db.prefix}${name}`)
  const [sessions, queues, unique, idempotency, values] = await Promise.all(
    ['sessions', 'queues', 'unique', 'idempotency', 'values'].map(length),
  )
  const leaving = await db.send<number>('ZCARD', `${db.prefix}leaving`)
  return {
    rows: {
      sessions,
      queues,
      collections,
      barriers,
      jobs,
      attempts,
      log,
      notes,
      unique,
      idempotency,
      leaving,
      values,
    } as Census['rows'],
    jobs: Object.fromEntries(jobStates.map((name, at) => [name, states[at] ?? 0])) as Census['jobs'],
    next: last + 1,
  }
}

// ── the target ───────────────────────────────────────────────────────────────────────────────────────────────────

async function importRows(db: Database, kind: RowKind, rows: readonly Row[], position: Position): Promise<void> {
  const found = await standing(db)
  if (found.type !== 'arriving') throw new Error('No copy has begun here.')
  await storeRows(db, kind, rows)
  if (kind === 'jobs' || kind === 'barriers' || kind === 'collections') await reach(db, rows)
  const mark: Arriving = { copy: found.copy, position }
  await db.send('HSET', meta(db), 'arriving', JSON.stringify(mark))
}

/** Nobody else writes here, so this need not be one step. */
async function reach(db: Database, rows: readonly Row[]): Promise<void> {
  const highest = Number(rows.at(-1)?.[0] ?? 0)
  if (highest > (await lastNumber(db))) await db.send('SET', `${db.prefix}numbers`, String(highest))
}

const beginScript = reading(
  'begin',
  `
local live = call('ZRANGEBYSCORE', P .. 'alive', '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, 1)[1]
if live then return call('HMGET', P .. 'session:' .. live, 'name', 'host', 'pid') end
call('HSET', P .. 'meta', 'closed', arg(), 'arriving', arg())
return {}
`,
)

async function begin(db: Database, copy: Copy): Promise<void> {
  const found = await standing(db)
  const isBegun = found.type === 'arriving' && found.copy.id === copy.id
  if (isBegun && found.position !== null) return
  if (!isBegun && found.type !== 'empty') throw notEmptyError()
  const mark: Arriving = { copy, position: null }
  const [name, host, pid] = await db.read<string[]>(beginScript, [arrivingText(copy.from), JSON.stringify(mark)])
  if (name !== undefined) throw liveError({ name, host: host ?? '', pid: Number(pid) })
  if (!isBegun) await db.send('SET', `${db.prefix}numbers`, '0')
  await clear(db)
}

const numberedKinds = [
  'j:',
  's:',
  'g:',
  'r:',
  'f:',
  'p:',
  'h:',
  'u:',
  'a:',
  'log:',
  'notes:',
  'b:',
  'l:',
  'n:',
  'c:',
  'k:',
  'm:',
  'scope:',
  'look:',
]
const whole = [
  ...[
    'ids',
    'queues',
    'lines',
    'suspects',
    'due',
    'expiring',
    'deadlines',
    'marked',
    'waiting',
    'scheduled',
    'sessions',
    'alive',
    'leases',
    'ended',
    'losing',
    'faults',
  ],
  ...[
    'unique',
    'unique-until',
    'holds',
    'idempotency',
    'idempotency-until',
    'uploads',
    'work',
    'work-later',
    'cancelling',
    'events',
  ],
  ...['values', 'values-ids', 'values-until', 'leaving', 'more'],
]

/** Removes all but what is known of the store itself. Cursors into what was told before lead nowhere from here on. */
async function clear(db: Database): Promise<void> {
  const last = await lastNumber(db)
  for (let first = 1; first <= last; first += 100) {
    const numbers = Array.from({ length: Math.min(100, last - first + 1) }, (_, at) => first + at)
    await db.send('UNLINK', ...numbers.flatMap((number) => numberedKinds.map((kind) => `${db.prefix}${kind}${number}`)))
  }
  const sessions = await db.send<string[]>('HVALS', `${db.prefix}sessions`)
  const queues = [
    ...(await db.send<string[]>('HKEYS', `${db.prefix}queues`)),
    ...(await db.send<string[]>('ZRANGE', `${db.prefix}lines`, '0', '-1')),
    ...(await db.send<string[]>('HKEYS', `${db.prefix}suspects`)),
  ]
  const names = [
    ...sessions.flatMap((session) => ['session:', 'run:', 'trying:', 'tokens:'].map((kind) => `${kind}${session}`)),
    ...queues.flatMap((queue) => [`queue:${queue}`, `runs:${queue}`, `suspects:${queue}`]),
    ...whole,
  ]
  for (let at = 0; at < names.length; at += 1_000)
    await db.send('UNLINK', ...names.slice(at, at + 1_000).map((name) => `${db.prefix}${name}`))
  await db.send('UNLINK', ...talliesKeys(db))
  await db.send('HDEL', meta(db), 'oldest')
  await db.send('HSET', meta(db), 'epoch', freshEpoch(db))
}

function freshEpoch({ runtime }: Database): string {
  const bytes = new Uint8Array(6)
  runtime.randomBytes(bytes)
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function finish(db: Database, next: number): Promise<void> {
  const found = await standing(db)
  if (found.type !== 'arriving') return
  const sessions = (await db.send<string[]>('HVALS', `${db.prefix}sessions`)).map(Number)
  // Sessions take their numbers from the same counter here.
  await db.send('SET', `${db.prefix}numbers`, String(Math.max(next - 1, 0, ...sessions)))
  await tie(db, next - 1)
  await db.send('HSET', meta(db), 'arrived', JSON.stringify(found.copy))
  await db.send('HDEL', meta(db), 'closed', 'arriving')
}

async function abandon(db: Database): Promise<void> {
  if ((await standing(db)).type !== 'arriving') return
  await clear(db)
  await db.send('HDEL', meta(db), 'closed', 'arriving')
}
