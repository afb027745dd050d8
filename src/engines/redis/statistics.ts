import { talliesKept } from '../../engine/retention.ts'
import type { Tally } from '../../engine/work.ts'
import type { Database } from './database.ts'
import { part } from './scripts.ts'

const hour = 60 * 60_000
const day = 24 * hour
const fieldsPerCall = 1_000

/**
 * `storeTallies(session)` reads them from the arguments. Totals only grow, so the greater ones are the newer: a beat may arrive behind
 * the one that was sent after it. What an hour came to goes by itself two days after it was last added to.
 */
export const tallying = part(`
local function storeTallies(session)
  for _ = 1, number() do
    local minute, task = number(), arg()
    local key, field = P .. 'tallies:' .. math.floor(minute / ${hour}), string.format('%.0f', minute) .. ',' .. session .. ',' .. task
    local totals = {number(), number(), number(), number(), number(), number()}
    local known, at = call('HGET', key, field) or '', 0
    for total in string.gmatch(known, '%d+') do
      at = at + 1
      totals[at] = math.max(totals[at], tonumber(total))
    end
    for n = 1, 6 do totals[n] = string.format('%.0f', totals[n]) end
    call('HSET', key, field, table.concat(totals, ','))
    call('PEXPIRE', key, ${talliesKept + hour})
  end
end
`)

/** As arguments, in the order in which they are stored. */
export const tallyArguments = (tally: Tally): (string | number)[] => [
  tally.minute,
  tally.task,
  ...[tally.succeeded, tally.failed, tally.retried, tally.cancelled, tally.ran, tally.longest],
]

interface StatisticsQuery {
  readonly from: number
  readonly to: number
  readonly task?: string
}

/** Summed up here: of many workers and tasks there may be many, and nobody is to wait for the server meanwhile. */
export async function statistics(db: Database, { from, to, task }: StatisticsQuery): Promise<Tally[]> {
  const now = db.runtime.now()
  const first = Math.max(from, now - talliesKept)
  const sums = new Map<string, Tally>()
  const add = (tally: Tally): void => {
    if (tally.minute < first || tally.minute >= to || (task !== undefined && tally.task !== task)) return
    const name = `${tally.minute},${tally.task}`
    const known = sums.get(name)
    sums.set(name, known === undefined ? tally : sumOf(known, tally))
  }
  await Promise.all(
    keysOf(db, first, Math.min(to, now + day)).map(async (key) => {
      for (const tally of await readHour(db, key)) add(tally)
    }),
  )
  return [...sums.values()].sort(
    (one, other) => one.minute - other.minute || (one.task < other.task ? -1 : Number(one.task !== other.task)),
  )
}

/** Where the minutes from one instant up to another are kept. */
function keysOf({ prefix }: Database, from: number, to: number): string[] {
  const first = Math.floor(from / hour)
  return Array.from({ length: Math.max(Math.ceil(to / hour) - first, 0) }, (_, at) => `${prefix}tallies:${first + at}`)
}

/** Every place in which there may be something at this instant. */
export const talliesKeys = (db: Database): string[] => {
  const now = db.runtime.now()
  return keysOf(db, now - talliesKept - hour, now + day)
}

/** While others write, a field may be told twice. */
async function readHour(db: Database, key: string): Promise<Iterable<Tally>> {
  const found = new Map<string, Tally>()
  for (let cursor = ''; cursor !== '0';) {
    const [next, flat] = await db.send<[string, string[]]>(
      ...['HSCAN', key, cursor === '' ? '0' : cursor, 'COUNT', String(fieldsPerCall)],
    )
    for (let at = 0; at < flat.length; at += 2) {
      const field = flat[at] as string
      found.set(field, readTally(field, flat[at + 1] as string))
    }
    cursor = next
  }
  return found.values()
}

function readTally(field: string, totals: string): Tally {
  const [minute, , ...task] = field.split(',')
  const [succeeded = 0, failed = 0, retried = 0, cancelled = 0, ran = 0, longest = 0] = totals.split(',').map(Number)
  return { task: task.join(','), minute: Number(minute), succeeded, failed, retried, cancelled, ran, longest }
}

const sumOf = (one: Tally, other: Tally): Tally => ({
  ...one,
  succeeded: one.succeeded + other.succeeded,
  failed: one.failed + other.failed,
  retried: one.retried + other.retried,
  cancelled: one.cancelled + other.cancelled,
  ran: one.ran + other.ran,
  longest: Math.max(one.longest, other.longest),
})
