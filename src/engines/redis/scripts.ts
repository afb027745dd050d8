import { rowsPerCall } from '../../engine/limits.ts'
import { defineScript, type Script, type ScriptArgument } from './database.ts'

/**
 * A piece of Lua that scripts are made of, with the pieces it needs. Each file has its own beside the TypeScript that speaks with it:
 *
 * ```
 * export const cascade = library(`function S.settleBarriers() … end`, changes, journal)
 * const script = writing('settle', `… return answers`, cascade)
 * ```
 *
 * What one piece has for others it puts into S; its other functions are its own. A function of a library comes into being when it is
 * first asked of S, with what it shares with others of its library: making one costs the server 0.1 to 0.3 µs in every call, and there
 * are more than a hundred, of which a call mostly needs a few. So nothing in S is ever nil: what is unknown is false, or a word.
 *
 * What every piece knows:
 *
 * ```
 * P            what keys begin with
 * call         redis.call; but a key of another type by mistake is as good as none (see damage.ts)
 * now          the instant of this call, in milliseconds: the server's clock, or the one that the client tells (in tests)
 * arg()        the next argument, a string          number() the same as a number, nil where it is empty
 * many(command, first, list)     what MGET, HMGET, … answer for so many keys or fields, however many; first: the key, nil for MGET
 * change(command, first, list)   the same of commands that write (ZADD, HSET, SREM, …; nil as first: MSET, DEL)
 * S            what the call knows: its rows, what changed, what is left to do (see the files); and what the libraries can do
 * ```
 *
 * Numbers: every value in Lua is a double, and turned into text with 14 digits, which is enough for instants and numbers of rows. Tokens
 * and scores have up to 16: tokens stay text, scores go through string.format('%.0f').
 *
 * No script stops half-way. Arguments are checked before they are sent; where the server is out of memory it refuses the first
 * command that would need more of it and none after that; and a key that is damaged fails no command, but for "meta", "numbers", "ids" and
 * "values", which are asked, or given their number, before anything else is written. So a script either fails before that or not at all.
 */
export interface Part {
  readonly lua: string
  readonly needs: readonly Part[]
  /** Made, a function at a time, when it is first needed. */
  readonly isLibrary: boolean
}

/** Rows that come packed are written without being looked into: so many take no longer than that. */
export const partSize = 2_500

/** A piece that stands in the script as it is: its functions and values are locals of the script, 200 at most in all. */
export function part(lua: string, ...needs: readonly Part[]): Part {
  return { lua: lua.trim(), needs, isLibrary: false }
}

/** A piece that is made when something of it is first asked of S. */
export function library(lua: string, ...needs: readonly Part[]): Part {
  return { lua: lua.trim(), needs, isLibrary: true }
}

export const prelude = part(`
local P = KEYS[1]
local faulty, attempt = {}, redis.pcall
-- Only where a command failed: what it answers all the same, or its error.
local function amend(answer, command, key, ...)
  local name, said = string.sub(key or '', #P + 1), answer.err
  local isNumber = string.find(said, 'not an integer') or string.find(said, 'would overflow') or string.find(said, 'equal or smaller')
  local isDamaged = isNumber or string.find(said, '^WRONGTYPE')
  if not isDamaged or name == 'meta' or name == 'numbers' or name == 'ids' or name == 'values' then error(answer, 0) end
  faulty['key ' .. name] = string.sub(said, 1, 500)
  local function isOneOf(commands) return string.find(commands, ' ' .. command .. ' ', 1, true) end
  if isOneOf(' ZADD SADD HSET HSETNX HINCRBY INCRBY LPUSH RPUSH XADD ') then
    if isNumber and command == 'HINCRBY' then redis.call('HDEL', key, (...)) else redis.call('DEL', key) end
    return redis.call(command, key, ...)
  end
  if isOneOf(' ZREM SREM HDEL ZCARD SCARD HLEN LLEN STRLEN HEXISTS SISMEMBER ') then return 0 end
  if isOneOf(' HGET GET ZSCORE LPOS ') then return false end
  if string.find(command, 'SCAN') then return {'0', {}} end
  return {}
end
local function call(...)
  local answer = attempt(...)
  if type(answer) == 'table' and answer.err then return amend(answer, ...) end
  return answer
end
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local argAt = 2
local function arg()
  argAt = argAt + 1
  return ARGV[argAt]
end
local function number()
  argAt = argAt + 1
  return tonumber(ARGV[argAt])
end
-- A number as one is written here: with at most 14 digits, so that it is written the same again. Nil where the text is none.
local function numberIn(text)
  return string.find(text, '^[1-9]%d*$') and #text < 15 and tonumber(text) or nil
end
-- Where a graph begins, and how much of it there is: a loop over numbers that are too large would hold the server for ever. No canvas has
-- ten million jobs.
local function isSpan(base, jobs, barriers)
  return base and #base < 15 and #jobs < 8 and #barriers < 8
end
-- The numbers of jobs among these texts, in order; and the others, which are no job's.
local function numbersIn(list)
  local numbers, others = {}, {}
  for _, text in ipairs(list) do
    local one = numberIn(text)
    if one then numbers[#numbers + 1] = one else others[#others + 1] = text end
  end
  table.sort(numbers)
  return numbers, others
end
local function many(command, first, list)
  local count = #list
  if count == 0 then return {} end
  local all = {}
  for from = 1, count, 4000 do
    local to = math.min(from + 3999, count)
    local some
    if first then some = call(command, first, unpack(list, from, to)) else some = call(command, unpack(list, from, to)) end
    if count <= 4000 then return some end
    for at = 1, #some do all[from + at - 1] = some[at] end
  end
  return all
end
local function change(command, first, list)
  local count = #list
  if count == 0 then return end
  for from = 1, count, 4000 do
    local to = math.min(from + 3999, count)
    if first then call(command, first, unpack(list, from, to)) else call(command, unpack(list, from, to)) end
  end
end
`)

/**
 * A script that only reads. Its answer is what its body returns. Arguments: now, an empty one, then the body's.
 */
export function reading(name: string, body: string, ...needs: readonly Part[]): Script {
  return defineScript(name, assemble([prelude, ...needs, part(body)]))
}

/** The pieces, each once and behind what it needs. */
export function assemble(parts: readonly Part[]): string {
  const placed = new Set<Part>()
  const add = (each: Part): void => {
    each.needs.forEach(add)
    placed.add(each)
  }
  parts.forEach(add)
  const luaOf = (isLibrary: boolean): string[] =>
    [...placed].filter((each) => each.isLibrary === isLibrary).map(({ lua }) => lua)
  const libraries = luaOf(true)
  const [first = '', ...rest] = luaOf(false)
  return libraries.length === 0 ? [first, ...rest].join('\n') : [first, shelf(libraries), ...rest].join('\n')
}

/** What stands at the left margin of a library, up to the next that does: what it calls its own, and what it puts into S. */
interface Piece {
  readonly lua: string
  readonly own: readonly string[]
  readonly given: readonly string[]
}

const beginning = /^(?:local function (\w+)|local ([\w, ]+)|function S\.(\w+)|(S\.[\w, S.]+) =)/
function piecesOf(lua: string): Piece[] {
  const texts: string[] = []
  for (const line of lua.split('\n')) {
    if (line.startsWith('--') || line === '') continue
    if (beginning.test(line)) texts.push(line)
    else texts.push(`${texts.pop() ?? ''}\n${line}`)
  }
  return texts.map((text) => {
    const [, itself, locals, method, fields] = beginning.exec(text) ?? []
    const own = itself === undefined ? wordsIn(locals ?? '') : [itself]
    const given = method === undefined ? wordsIn(fields ?? '').filter((word) => word !== 'S') : [method]
    return { lua: text, own, given }
  })
}
const wordsIn = (text: string): string[] => text.match(/\w+/g) ?? []

/** Scripts have their libraries in common, and each is taken apart once: that is a good part of what opening a store takes. */
const known = new Map<string, Piece[][]>()
function groupsIn(lua: string): Piece[][] {
  let groups = known.get(lua)
  if (groups === undefined) known.set(lua, (groups = groupsOf(piecesOf(lua))))
  return groups
}

/** Pieces that share something of their own belong together; the others are made each by itself. */
function groupsOf(pieces: readonly Piece[]): Piece[][] {
  let groups: Piece[][] = []
  for (const piece of pieces) {
    const words = new Set(wordsIn(piece.lua))
    const isRelated = (group: readonly Piece[]): boolean => group.some(({ own }) => own.some((name) => words.has(name)))
    const related = groups.filter(isRelated)
    groups = [...groups.filter((group) => !related.includes(group)), [...related.flat(), piece]]
  }
  return groups.map((group) => group.sort((one, other) => pieces.indexOf(one) - pieces.indexOf(other)))
}

function shelf(libraries: readonly string[]): string {
  const groups = libraries.flatMap(groupsIn)
  const taken = new Set<string>()
  const makers = groups.map((group) => {
    const names = group.flatMap(({ given }) => given)
    for (const name of names) {
      if (taken.has(name))
        throw new Error(`Two pieces of a script both give S.${name}: the second would never be called.`)
      taken.add(name)
    }
    return `if ${names.map((name) => `name == '${name}'`).join(' or ')} then\n${group.map(({ lua }) => lua).join('\n')}`
  })
  return `
local S
S = setmetatable({
  told = {}, payloads = {}, wakes = false, isFirst = false, stops = false,
  jobs = {}, changedJobs = {}, barriers = {}, changedBarriers = {}, writes = {}, erased = {},
  additions = {}, removals = {}, counts = {},
  digits = setmetatable({[0] = '0', '1', '2', '3', '4', '5', '6', '7'}, {
    __index = function(all, number)
      local text = tostring(number)
      all[number] = text
      return text
    end
  }),
  isAhead = false, left = ${rowsPerCall}, pending = {}, arrivals = {}, headers = {}, anyCancelling = 'unknown', anyUnique = 'unknown',
  removedIds = {}, letGo = false, leaving = {}, faulty = faulty
}, {
  __index = function(all, name)
${makers.join('\nelse')}
end
    return rawget(all, name)
  end
})
`
}

/** What runs scripts: the store's connection, with its time. */
export interface Runs {
  /** Runs a script that only reads; gives its answer. */
  read<T>(script: Script, args?: readonly ScriptArgument[]): Promise<T>
  /**
   * Runs a script that writes (see `writing` in work.ts). Its reply is [signal, left, answer, said]: what changed (1 queued + 2 changed
   * + 4 cancel) and whether anything is left to do of a large change, which whoever runs scripts then has done by `goOn`.
   */
  write<T>(script: Script, args?: readonly ScriptArgument[]): Promise<T>
}
