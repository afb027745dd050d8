import { defineScript, type Script, type ScriptArgument } from './database.ts'

/**
 * A piece of Lua that scripts are made of, with the pieces it needs. Each file has its own beside the TypeScript that speaks with it:
 *
 * ```
 * export const cascade = library(`function S.settleBarriers() … end`, changes, journal)
 * const script = writing('settle', `… return answers`, cascade)
 * ```
 *
 * What one piece has for others it puts into S; its other functions are its own. A library comes into being when something is
 * first asked of S that is not there yet: making a function costs the server 0.1 to 0.3 µs in every call, and there are more than a
 * hundred, of which a call mostly needs a few. So nothing in S is ever nil: what is unknown is false, or a word.
 *
 * What every piece knows:
 *
 * ```
 * P            what keys begin with
 * call         redis.call
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
 * command that would need more of it and none after that, so a script either fails before it has written anything or not at all.
 */
export interface Part {
  readonly lua: string
  readonly needs: readonly Part[]
  /** Made when it is first needed. */
  readonly isLibrary: boolean
}

/** A call touches at most about so many rows; the rest is done later, from the list in `work`. */
export const rowsPerCall = 1_000
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
local call = redis.call
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

/** What a library puts into S, by its own lines. */
const namesIn = (lua: string): string[] =>
  lua
    .split('\n')
    .flatMap(
      (line) => /^function S\.(\w+)/.exec(line)?.[1] ?? /^(S\.[\w, S.]+) =/.exec(line)?.[1]?.match(/\w+(?=,|$)/g) ?? [],
    )

const shelf = (libraries: readonly string[]): string => `
local S
local libraries = {
${libraries.map((lua) => `function()\n${lua}\nend`).join(',\n')}
}
S = setmetatable({
  told = {}, payloads = {}, wakes = false, isFirst = false, stops = false,
  jobs = {}, changedJobs = {}, barriers = {}, changedBarriers = {}, writes = {}, erased = {},
  additions = {}, removals = {}, counts = {},
  digits = setmetatable({}, {
    __index = function(all, number)
      local text = tostring(number)
      all[number] = text
      return text
    end
  }),
  isAhead = false, left = ${rowsPerCall}, pending = {}, arrivals = {}, headers = {}, anyCancelling = 'unknown', anyUnique = 'unknown', removedIds = {}, letGo = false
}, {
  __index = function(all, name)
    ${libraries
      .map(
        (lua, at) =>
          `if ${namesIn(lua)
            .map((name) => `name == '${name}'`)
            .join(' or ')} then libraries[${at + 1}]()`,
      )
      .join('\n    else')}
    end
    return rawget(all, name)
  end
})
`

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
