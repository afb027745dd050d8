import { type Cell, type ExportPage, pageSize, type Row, type RowKind } from '../../engine/transfer.ts'
import type { Database } from './database.ts'
import {
  barrierKinds,
  collectionKinds,
  exportBarrier,
  exportCollection,
  exportJob,
  jobKinds,
  type JobTexts,
  listed,
} from './portable.ts'
import { hidden } from './record.ts'
import { numberIn } from './rows.ts'
import { reading } from './scripts.ts'

/** A script looks at so many numbers. */
export const numbersPerCall = 2_000

export const lastNumber = async (db: Database): Promise<number> =>
  Number((await db.send<string | null>('GET', `${db.prefix}numbers`)) ?? 0)

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
  if main == 'notes:' then
    local all = call('HGETALL', P .. 'notes:' .. n)
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
  notes: [['notes:'], exportNotes],
}

export async function exportRows(
  db: Database,
  kind: RowKind,
  after: string | null,
  limit: number,
): Promise<ExportPage> {
  if (kind === 'leaving') return exportLeaving(db, after, limit)
  const way = numbered[kind]
  if (way === undefined) return exportFields(db, kind, after, limit)
  const [kinds, rows] = way
  // A job has several attempts, up to 1,000 log lines and as many notes.
  const most = kind === 'log' || kind === 'notes' ? 1 : kind === 'attempts' ? Math.ceil(limit / 10) : limit
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

function exportNotes(job: number, texts: JobTexts): Row[] {
  const rows = Array.from({ length: texts.length / 2 }, (_, at): Row => {
    return [job, String(texts[2 * at]), String(texts[2 * at + 1])]
  })
  return rows.sort(([, one], [, other]) => (String(one) < String(other) ? -1 : 1))
}

/** Rows that stand in a hash, in the order that the server keeps them in: nothing changes it while the store is closed. */
const fieldsScript = reading('fields', `return call('HSCAN', P .. arg(), arg(), 'COUNT', number())`)

/** The due time is part of each member. */
async function exportLeaving(db: Database, after: string | null, limit: number): Promise<ExportPage> {
  const from = Number(after ?? 0)
  const members = await db.send<string[]>('ZRANGE', `${db.prefix}leaving`, String(from), String(from + limit - 1))
  const rows = members.map((member): Row => {
    const at = member.indexOf(':')
    return [Number(member.slice(0, at)), member.slice(at + 1)]
  })
  return { rows, after: rows.length === limit ? String(from + limit) : null }
}

async function exportFields(db: Database, kind: RowKind, after: string | null, limit: number): Promise<ExportPage> {
  // A page may come to somewhat more than was asked for.
  const [cursor, flat] = await db.read<[string, string[]]>(fieldsScript, [kind, after ?? 0, Math.ceil(limit / 2)])
  const names = flat.filter((_, at) => at % 2 === 0)
  const rows = await Promise.all(names.map((name, at) => exportField(db, kind, name, flat[2 * at + 1] as string)))
  return { rows, after: cursor === '0' ? null : cursor }
}

async function exportField(db: Database, kind: RowKind, name: string, text: string): Promise<Row> {
  switch (kind) {
    case 'queues':
      return [name, Number(text)]
    case 'unique': {
      const [collection, until = '', expiresAt, ...id] = text.split(',')
      return [name, Number(collection), id.join(','), until, numberIn(expiresAt)]
    }
    case 'idempotency': {
      const [expiresAt, fingerprint = '', id = ''] = text.split('\n')
      const [scope = '', ...key] = name.split('\0')
      return [scope, key.join('\0'), fingerprint, id, Number(expiresAt)]
    }
    case 'values': {
      const [expiresAt, ...lines] = text.split('\n')
      const [of = '', ...id] = name.split('\0')
      return [of, id.join('\0'), lines.join('\n'), numberIn(expiresAt)]
    }
    default:
      return exportSession(await db.send('HMGET', `${db.prefix}session:${text}`, ...sessionFields), Number(text))
  }
}

export const sessionFields = [
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
