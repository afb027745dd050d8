import { defineScript, type Script } from './database.ts'

/**
 * A piece of Lua that scripts are made of, with the pieces it needs. Each file has its own beside the TypeScript that speaks with it:
 *
 * ```
 * export const cascade = part(`local function settleBarriers() … end`, change, journal)
 * const script = writing('settle', `… return answers`, cascade, work)
 * ```
 *
 * A piece is `local function`s and `local`s at the top of the script, so their names are unique over all pieces, and there may be 200 in
 * all. The server makes every function anew in every call (0.1 µs each): what is seldom used belongs into a function of its own.
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
}

export function part(lua: string, ...needs: readonly Part[]): Part {
  return { lua: lua.trim(), needs }
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
  return [...placed].map(({ lua }) => lua).join('\n')
}

/** What runs scripts: the store's connection, with its time. */
export interface Runs {
  /** Runs a script that only reads; gives its answer. */
  read<T>(script: Script, args?: readonly (string | number)[]): Promise<T>
  /**
   * Runs a script that writes (see `writing` in work.ts). Its reply is [signal, left, answer]: what changed (1 queued + 2 changed
   * + 4 cancel) and whether anything is left to do of a large change, which whoever runs scripts then has done by `goOn`.
   */
  write<T>(script: Script, args?: readonly (string | number)[]): Promise<T>
}
