import { type StoredValue, type Values, valuesAtOnce } from '../../engine/values.ts'
import type { Database } from './database.ts'
import { numberIn } from './rows.ts'
import { part, reading, type Runs } from './scripts.ts'
import { writing } from './work.ts'

type NewValue = Parameters<Values['putValue']>[0]

/** What the hash `values` keeps under its field, as an instant and a text; nothing where its time is over. */
const reader = part(`
local function readValue(row)
  if not row then return nil end
  local expiresAt, text = string.match(row, '^(%d*)\\n(.*)$')
  if expiresAt ~= '' and tonumber(expiresAt) <= now then return nil end
  return text, expiresAt
end
`)

const valueScript = reading('value', `return (readValue(call('HGET', P .. 'values', arg())))`, reader)

const valuesScript = reading(
  'values',
  `
local first, behind, after = arg(), arg(), arg()
local found, from = {}, after == '' and '[' .. first or '(' .. after
while #found < ${3 * valuesAtOnce} do
  local fields = call('ZRANGEBYLEX', P .. 'values-ids', from, '(' .. behind, 'LIMIT', 0, ${valuesAtOnce})
  if #fields == 0 then break end
  for at, row in ipairs(many('HMGET', P .. 'values', fields)) do
    local text, expiresAt = readValue(row)
    if text and #found < ${3 * valuesAtOnce} then
      local size = #found
      found[size + 1], found[size + 2], found[size + 3] = string.sub(fields[at], #first + 1), text, expiresAt
    end
  end
  from = '(' .. fields[#fields]
end
return found
`,
  reader,
)

const putScript = writing(
  'putValue',
  `
local field, text, lifetime, isKept = arg(), arg(), number(), arg() == '1'
local there = readValue(call('HGET', P .. 'values', field))
if isKept and there then return there end
local expiresAt = lifetime and string.format('%.0f', now + lifetime)
call('HSET', P .. 'values', field, (expiresAt or '') .. '\\n' .. text)
call('ZADD', P .. 'values-ids', 0, field)
if expiresAt then call('ZADD', P .. 'values-until', expiresAt, field) else call('ZREM', P .. 'values-until', field) end
return text
`,
  reader,
)

const takeScript = writing(
  'takeValue',
  `
local field = arg()
local text = readValue(call('HGET', P .. 'values', field))
call('HDEL', P .. 'values', field)
call('ZREM', P .. 'values-ids', field)
call('ZREM', P .. 'values-until', field)
return text or false
`,
  reader,
)

/** No kind has a NUL in it, so this tells one value from every other. */
const fieldOf = (kind: string, id: string): string => `${kind}\0${id}`

export const value = (db: Database, kind: string, id: string): Promise<string | null> =>
  db.read<string | null>(valueScript, [fieldOf(kind, id)])

export async function values(db: Database, kind: string, after: string | null): Promise<StoredValue[]> {
  const behind = after === null ? '' : fieldOf(kind, after)
  const flat = await db.read<string[]>(valuesScript, [fieldOf(kind, ''), `${kind}\u0001`, behind])
  return Array.from({ length: flat.length / 3 }, (_, at) => ({
    id: flat[3 * at] as string,
    text: flat[3 * at + 1] as string,
    expiresAt: numberIn(flat[3 * at + 2]),
  }))
}

export const putValue = (runs: Runs, { kind, id, text, lifetime }: NewValue, isKept: boolean): Promise<string> =>
  runs.write(putScript, [fieldOf(kind, id), text, lifetime ?? '', isKept ? 1 : 0])

export const takeValue = (runs: Runs, kind: string, id: string): Promise<string | null> =>
  runs.write(takeScript, [fieldOf(kind, id)])
