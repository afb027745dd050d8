import { jobStates } from '../../core/job.ts'
import {
  arrivingText,
  type Cell,
  type Census,
  type Copy,
  type ExportPage,
  liveError,
  movedText,
  notEmptyError,
  pageSize,
  type Position,
  type Row,
  type RowKind,
  type Standing,
  type Transfer,
} from '../../engine/transfer.ts'
import { attemptOutcomeCode, reason, state } from './codes.ts'
import type { Database } from './database.ts'
import { defaultQueue } from './keys.ts'
import {
  barrierKinds,
  collectionKinds,
  exportBarrier,
  exportCollection,
  exportJob,
  importBarrier,
  importCollection,
  importJob,
  jobKinds,
  type JobTexts,
  listed,
  type Named,
  named,
  placesOf,
} from './portable.ts'
import { hidden } from './record.ts'
import { numberIn } from './rows.ts'
import { reading, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
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

/** Empty is a store without jobs and queues: processes that have it open rely on a queue that they met. */
const standingScript = reading(
  'standing',
  `
local marks = call('HMGET', P .. 'meta', 'leaving', 'arriving', 'arrived')
return {marks[1] or '', marks[2] or '', marks[3] or '', call('EXISTS', P .. 'ids') == 1 and 1 or call('HLEN', P .. 'queues') > 1 and 1 or 0}
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

/** Gives the worker that lives, or closes the store. More is left to do where it gives nothing and closes nothing. */
const leaveScript = writing(
  'leave',
  `
local text, mark = arg(), arg()
local live = call('ZRANGEBYSCORE', P .. 'alive', '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, 1)[1]
if live then return call('HMGET', P .. 'session:' .. live, 'name', 'host', 'pid') end
for _, session in ipairs(call('ZRANGE', P .. 'alive', 0, -1)) do
  local running = call('SMEMBERS', P .. 'run:' .. session)
  for at = 1, #running do running[at] = tonumber(running[at]) end
  table.sort(running)
  S.loadJobs(running)
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    if job.marked then
      S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, seq)
    else
      S.recordAttempt(job, ${attemptOutcomeCode('released')})
      job.token = nil
      S.putBack(job, 0)
    end
  end
  S.flush()
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'lost', 1)
  call('DEL', P .. 'tokens:' .. session)
end
call('DEL', P .. 'alive')
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
    if ((await standing(db)).type === 'leaving') return void (await db.send('HSET', meta(db), 'leaving', mark))
    const [name, host, pid] = await runs.write<string[]>(leaveScript, [movedText(copy.to), mark])
    if (name !== undefined) throw liveError({ name, host: host ?? '', pid: Number(pid) })
  }
}

async function stay(db: Database): Promise<void> {
  if ((await standing(db)).type === 'leaving') await db.send('HDEL', meta(db), 'closed', 'leaving')
}

// ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

const numbersPerCall = 2_000

const censusScript = reading(
  'census',
  `
local first, last = number(), number()
local counts = {0, 0, 0, 0, 0}
for at = 6, 13 do counts[at] = 0 end
local function exists(kind, n) return call('EXISTS', P .. kind .. n) end
local numbers = {}
for n = first, last do numbers[#numbers + 1] = n end
S.loadJobs(numbers)
for n = first, last do
  if not isHidden(n) then
    local job = S.jobAt(n)
    if job then
      counts[3] = counts[3] + 1
      counts[6 + job.state] = counts[6 + job.state] + 1
      counts[4] = counts[4] + call('HLEN', P .. 'a:' .. n)
      counts[5] = counts[5] + call('LLEN', P .. 'log:' .. n)
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
  const [collections = 0, barriers = 0, jobs = 0, attempts = 0, log = 0, ...states] = sums
  const length = (name: string): Promise<number> => db.send<number>('HLEN', `${db.prefix}${name}`)
  const [sessions, queues, unique, idempotency] = await Promise.all(
    ['sessions', 'queues', 'unique', 'idempotency'].map(length),
  )
  return {
    rows: { sessions, queues, collections, barriers, jobs, attempts, log, unique, idempotency } as Census['rows'],
    jobs: Object.fromEntries(jobStates.map((name, at) => [name, states[at] ?? 0])) as Census['jobs'],
    next: last + 1,
  }
}

const lastNumber = async (db: Database): Promise<number> =>
  Number((await db.send<string | null>('GET', `${db.prefix}numbers`)) ?? 0)

// ── rows that leave ──────────────────────────────────────────────────────────────────────────────────────────────

/** What is kept under numbers, in their order, until it is enough. Gives how far it came and for each number its texts. */
const rowsScript = reading(
  'rows',
  `
local after, last, most, budget, main = number(), number(), number(), number(), arg()
local kinds = {}
for at = 1, number() do kinds[at] = arg() end
local function read(n)
  if main == 'a:' then
    local all = call('HGETALL', P .. 'a:' .. n)
    return all[1] and all
  end
  if main == 'log:' then
    local all = call('LRANGE', P .. 'log:' .. n, 0, -1)
    return all[1] and all
  end
  local keys = {}
  for at, kind in ipairs(kinds) do keys[at] = P .. kind .. n end
  local all = call('MGET', unpack(keys))
  return all[1] and all
end
local found, size, reached = {}, 0, after
local to = math.min(last, after + ${numbersPerCall})
for n = after + 1, to do
  local texts = not isHidden(n) and read(n)
  if texts then
    for _, text in ipairs(texts) do size = size + (text and #text or 0) end
    found[#found + 1] = {n, texts}
  end
  reached = n
  if #found >= most or size >= budget then break end
end
return {reached, found}
`,
  hidden,
)

/** How rows are read that stand under numbers: the key that tells of one first. */
const numbered: Readonly<
  Partial<
    Record<RowKind, readonly [kinds: readonly string[], rows: (number: number, texts: JobTexts) => readonly Row[]]>
  >
> = {
  jobs: [jobKinds, (number, texts) => [exportJob(number, texts)]],
  collections: [collectionKinds, (number, texts) => [exportCollection(number, texts)]],
  barriers: [barrierKinds, (number, texts) => [exportBarrier(number, texts)]],
  attempts: [['a:'], exportAttempts],
  log: [['log:'], exportLog],
}

async function exportRows(db: Database, kind: RowKind, after: string | null, limit: number): Promise<ExportPage> {
  const way = numbered[kind]
  if (way === undefined) return exportFields(db, kind, after, limit)
  const [kinds, rows] = way
  // A job has several attempts and up to 1,000 log lines.
  const most = kind === 'log' ? 1 : kind === 'attempts' ? Math.ceil(limit / 10) : limit
  const last = await lastNumber(db)
  const args = [Number(after ?? 0), last, most, pageSize, kinds[0] as string, kinds.length, ...kinds]
  const [reached, found] = await db.read<[number, [number, JobTexts][]]>(rowsScript, args)
  const page = found.flatMap(([number, texts]) => rows(number, texts))
  return { rows: page, after: reached >= last ? null : String(reached) }
}

function exportAttempts(job: number, texts: JobTexts): Row[] {
  const rows = Array.from({ length: texts.length / 2 }, (_, at) => {
    const [head = '', ...failure] = String(texts[2 * at + 1]).split('\n')
    const [round, session, startedAt, finishedAt, outcome] = head.split(',').map(numberIn)
    return listed('attempts', {
      job,
      attempt: Number(texts[2 * at]),
      round: round ?? 1,
      session: session ?? null,
      started_at: startedAt ?? 0,
      finished_at: finishedAt ?? 0,
      outcome: outcome ?? 0,
      failure: failure.length === 0 ? null : failure.join('\n'),
    })
  })
  return rows.sort((one, other) => Number(one[1]) - Number(other[1]))
}

/** Lines have no number here: they are given one that other stores can tell them by. */
function exportLog(job: number, texts: JobTexts): Row[] {
  return texts.map((text, at) => {
    const [attempt, when, level, message, data] = JSON.parse(String(text)) as Cell[]
    return [job * 1_000 + at, job, attempt, when, level, message, data] as Row
  })
}

/** Rows that stand in a hash: few enough to be read together, and told in the order of their names. */
async function exportFields(db: Database, kind: RowKind, after: string | null, limit: number): Promise<ExportPage> {
  const key = `${db.prefix}${kind}`
  const [names, texts] = [await db.send<string[]>('HKEYS', key), await db.send<string[]>('HVALS', key)]
  const fields = names.map((name, at) => [name, texts[at] as string])
  // Sessions are told in the order of their numbers.
  const placeOf = ([name, text]: readonly string[]): string =>
    String(kind === 'sessions' ? text?.padStart(16, '0') : name)
  const ordered = fields
    .filter((field) => after === null || placeOf(field) > after)
    .sort((one, other) => (placeOf(one) < placeOf(other) ? -1 : 1))
  const some = ordered.slice(0, limit)
  const rows = await Promise.all(some.map(([name = '', text = '']) => exportField(db, kind, name, text)))
  return { rows, after: ordered.length > limit ? placeOf(some.at(-1) ?? []) : null }
}

async function exportField(db: Database, kind: RowKind, name: string, text: string): Promise<Row> {
  switch (kind) {
    case 'queues':
      return [name, Number(text)]
    case 'unique': {
      const [collection, until = '', expiresAt] = text.split(',')
      return [name, Number(collection), until, numberIn(expiresAt)]
    }
    case 'idempotency': {
      const [expiresAt, fingerprint = '', id = ''] = text.split('\n')
      const [scope = '', ...key] = name.split('\0')
      return [scope, key.join('\0'), fingerprint, id, Number(expiresAt)]
    }
    default:
      return exportSession(await db.send('HMGET', `${db.prefix}session:${text}`, ...sessionFields), Number(text))
  }
}

const sessionFields = [
  'id',
  'name',
  'host',
  'pid',
  'queues',
  'concurrency',
  'startedAt',
  'seenAt',
  'expiresAt',
  'endedAt',
  'lost',
]

function exportSession(texts: JobTexts, number: number): Row {
  const counts = ['pid', 'concurrency', 'startedAt', 'seenAt', 'expiresAt', 'endedAt', 'lost']
  const values = sessionFields.map((name, at) =>
    counts.includes(name) ? numberIn(texts[at] ?? undefined) : (texts[at] ?? null),
  )
  return [number, ...values.slice(0, -1), values.at(-1) ?? 0]
}

// ── rows that arrive ─────────────────────────────────────────────────────────────────────────────────────────────

/** Commands, sent together: the order among them does not matter, and neither does sending them again. */
class Batch {
  readonly #commands = new Map<string, string[]>()

  /** Adds to the arguments of a command for one key, or of MSET. */
  add(command: string, ...args: string[]): void {
    let list = this.#commands.get(command)
    if (list === undefined) this.#commands.set(command, (list = []))
    list.push(...args)
  }

  async send(db: Database): Promise<void> {
    const sent: Promise<unknown>[] = []
    for (const [command, args] of this.#commands) {
      const [name = '', key] = command.split(' ', 2)
      const first = key === undefined ? [name] : [name, command.slice(name.length + 1)]
      for (let at = 0; at < args.length; at += 1_000) sent.push(db.send(...first, ...args.slice(at, at + 1_000)))
    }
    await Promise.all(sent)
  }
}

async function importRows(db: Database, kind: RowKind, rows: readonly Row[], position: Position): Promise<void> {
  const found = await standing(db)
  if (found.type !== 'arriving') throw new Error('No copy has begun here.')
  const batch = new Batch()
  await importers[kind](batch, db, rows)
  await batch.send(db)
  if (kind === 'jobs' || kind === 'barriers' || kind === 'collections') await reach(db, rows)
  const mark: Arriving = { copy: found.copy, position }
  await db.send('HSET', meta(db), 'arriving', JSON.stringify(mark))
}

/** Nobody else writes here, so this need not be one step. */
async function reach(db: Database, rows: readonly Row[]): Promise<void> {
  const highest = Number(rows.at(-1)?.[0] ?? 0)
  if (highest > (await lastNumber(db))) await db.send('SET', `${db.prefix}numbers`, String(highest))
}

type Import = (batch: Batch, db: Database, rows: readonly Row[]) => void | Promise<void>

const importers: Readonly<Record<RowKind, Import>> = {
  sessions(batch, { prefix }, rows) {
    for (const row of rows) {
      const [number, id, ...rest] = row.map((cell) => (cell === null ? null : String(cell)))
      batch.add(`HSET ${prefix}sessions`, String(id), String(number))
      const fields = sessionFields.flatMap((name, at) => {
        const value = name === 'id' ? id : rest[at - 1]
        return value === null || value === undefined || (name === 'lost' && value === '0') ? [] : [name, value]
      })
      batch.add(`HSET ${prefix}session:${number}`, ...fields)
    }
  },
  queues(batch, { prefix }, rows) {
    for (const [name, paused] of rows) batch.add(`HSET ${prefix}queues`, String(name), String(paused))
  },
  collections(batch, { prefix }, rows) {
    for (const row of rows.map((each) => named('collections', each))) {
      keep(batch, prefix, collectionKinds, Number(row.number), importCollection(row))
      batch.add(`HSET ${prefix}ids`, String(row.id), String(row.number))
      const isCancelling = row.state === 0 && row.cancelled_at !== null
      if (isCancelling) batch.add(`SADD ${prefix}cancelling`, String(row.number))
    }
  },
  barriers(batch, { prefix }, rows) {
    for (const row of rows.map((each) => named('barriers', each)))
      keep(batch, prefix, barrierKinds, Number(row.number), importBarrier(row))
  },
  jobs: importJobs,
  attempts(batch, { prefix }, rows) {
    for (const [job, attempt, round, session, startedAt, finishedAt, outcome, failure] of rows) {
      const head = [round, session ?? '', startedAt, finishedAt, outcome].join(',')
      batch.add(`HSET ${prefix}a:${job}`, String(attempt), failure === null ? head : `${head}\n${failure}`)
    }
  },
  log: importLog,
  unique(batch, { prefix }, rows) {
    for (const [key, collection, until, expiresAt] of rows) {
      batch.add(`HSET ${prefix}unique`, String(key), `${collection},${until},${expiresAt ?? ''}`)
      if (expiresAt === null || expiresAt === undefined)
        batch.add(`HSET ${prefix}holds`, String(collection), String(key))
      else batch.add(`ZADD ${prefix}unique-until`, String(expiresAt), String(key))
    }
  },
  idempotency(batch, { prefix }, rows) {
    for (const [scope, key, fingerprint, id, expiresAt] of rows) {
      batch.add(`HSET ${prefix}idempotency`, `${scope}\0${key}`, `${expiresAt}\n${fingerprint}\n${id}`)
      batch.add(`ZADD ${prefix}idempotency-until`, String(expiresAt), `${scope}\0${key}`)
    }
  },
}

function keep(batch: Batch, prefix: string, kinds: readonly string[], number: number, texts: JobTexts): void {
  kinds.forEach((kind, at) => {
    const text = texts[at]
    if (text !== null && text !== undefined) batch.add('MSET', `${prefix}${kind}${number}`, text)
  })
}

async function importJobs(batch: Batch, db: Database, rows: readonly Row[]): Promise<void> {
  const jobs = rows.map((row) => named('jobs', row))
  const roles = await rolesOf(db, jobs)
  for (const row of jobs) {
    keep(
      batch,
      db.prefix,
      jobKinds,
      Number(row.seq),
      importJob(row, (number) => roles.get(number) === 0),
    )
    batch.add(`HSET ${db.prefix}ids`, String(row.id), String(row.seq))
    for (const [key, score, member] of placesOf(row)) batch.add(`ZADD ${db.prefix}${key}`, score, member)
    const isCancelling = row.collection === row.seq && row.marked_at !== null && Number(row.state) < state.succeeded
    if (isCancelling) batch.add(`SADD ${db.prefix}cancelling`, String(row.seq))
  }
}

/** The roles of these jobs and of those that their summaries are about, which came before. */
async function rolesOf(db: Database, jobs: readonly Named<'jobs'>[]): Promise<ReadonlyMap<number, number>> {
  const roles = new Map(jobs.map((row) => [Number(row.seq), Number(row.role)]))
  const missing = new Set<number>()
  for (const { input } of jobs) {
    if (typeof input !== 'string' || !input.startsWith('s')) continue
    const [first = 1, last = 0] = input.slice(1).split(',').map(Number)
    for (let number = first; number <= last; number++) if (!roles.has(number)) missing.add(number)
  }
  const numbers = [...missing]
  for (let at = 0; at < numbers.length; at += 1_000) {
    const some = numbers.slice(at, at + 1_000)
    const texts = await db.send<(string | null)[]>('MGET', ...some.map((number) => `${db.prefix}j:${number}`))
    texts.forEach((text, n) => roles.set(some[n] as number, Number(text?.split(',', 8)[7] ?? 0)))
  }
  return roles
}

/** A list has no names for its lines: what a page brings again of a job must not stand there twice. */
async function importLog(batch: Batch, db: Database, rows: readonly Row[]): Promise<void> {
  const byJob = Map.groupBy(rows, ([, job]) => Number(job))
  for (const [job, lines] of byJob) {
    const key = `${db.prefix}log:${job}`
    const there = new Set(await db.send<string[]>('LRANGE', key, '0', '-1'))
    for (const [, , attempt, at, level, message, data] of lines) {
      const text = JSON.stringify([attempt, at, level, message, data])
      if (!there.has(text)) batch.add(`RPUSH ${key}`, text)
    }
  }
}

// ── the target ───────────────────────────────────────────────────────────────────────────────────────────────────

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
  'b:',
  'l:',
  'n:',
  'c:',
  'k:',
  'm:',
  'scope:',
]
const whole = [
  ...[
    'ids',
    'queues',
    'suspects',
    'due',
    'expiring',
    'deadlines',
    'marked',
    'waiting',
    'scheduled',
    'sessions',
    'alive',
  ],
  ...['unique', 'unique-until', 'holds', 'idempotency', 'idempotency-until', 'uploads', 'work', 'cancelling', 'events'],
]

/** Removes all but what is known of the store itself. Cursors into what was told before lead nowhere from here on. */
async function clear(db: Database): Promise<void> {
  const last = await lastNumber(db)
  for (let first = 1; first <= last; first += 100) {
    const numbers = Array.from({ length: Math.min(100, last - first + 1) }, (_, at) => first + at)
    await db.send('UNLINK', ...numbers.flatMap((number) => numberedKinds.map((kind) => `${db.prefix}${kind}${number}`)))
  }
  const sessions = await db.send<string[]>('HVALS', `${db.prefix}sessions`)
  const queues = await db.send<string[]>('HKEYS', `${db.prefix}queues`)
  const names = [
    ...sessions.flatMap((session) => ['session:', 'run:', 'trying:', 'tokens:'].map((kind) => `${kind}${session}`)),
    ...queues.map((queue) => `queue:${queue}`),
    ...whole,
  ]
  for (let at = 0; at < names.length; at += 1_000)
    await db.send('UNLINK', ...names.slice(at, at + 1_000).map((name) => `${db.prefix}${name}`))
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
  await db.send('HSET', `${db.prefix}queues`, defaultQueue, '0')
  await db.send('HDEL', meta(db), 'closed', 'arriving')
}
