import { part } from './scripts.ts'

/**
 * What users call their work: actor, description, tags. It stands as JSON at the end of a collection's row, in the label of a job
 * alone, or in options (tags). This engine wrote all of it, so scripts find it by what it begins with, and do not read the rest.
 */

/** The beginnings of the labels of a collection and of a job alone of this actor: the first two arguments of `meant`. */
export function beginnings(actor: string | undefined): readonly [ofCollection: string, ofJob: string] {
  const text = JSON.stringify(actor)
  return actor === undefined ? ['', ''] : [`{"actor":${text},`, `[${text},`]
}

/** The script sets `ofCollection` and `ofJob`, then `isMeant` tells what is there and of whoever is asked for. */
export const meant = part(`
local ofCollection, ofJob = '', ''
local function begins(text, with)
  return text and string.sub(text, 1, #with) == with
end
local known = {}
-- Is a collection, or a job alone, there and of whoever is asked for? Its rows, where they have been read.
local function isMeant(number, row, standing, job)
  if known[number] ~= nil then return known[number] end
  if not row and not job then
    row, standing, job = unpack(call('MGET', P .. 'c:' .. number, P .. 'k:' .. number, P .. 'j:' .. number))
  end
  if row then
    local isRemoved = standing and string.match(standing, '([^,]*)$') ~= ''
    local label = ofCollection ~= '' and string.match(row, '^' .. string.rep('[^\\n]*\\n', 4) .. '(.*)$')
    known[number] = not isRemoved and (ofCollection == '' or begins(label, ofCollection))
  else
    local label = job and ofJob ~= '' and string.match(job, '^' .. string.rep('[^\\n]*\\n', 5) .. '%d*;([^\\n]*)')
    known[number] = job and (ofJob == '' or begins(label, ofJob)) or false
  end
  return known[number]
end
`)

/**
 * `labelOf(row)` gives the tags of a job, each as JSON, and its description, as JSON; `tagsOf(row)` the tags of a collection;
 * `isIn(list, text)` whether one of them is this one.
 */
export const labels = part(`
-- Where a JSON text ends that begins at a place: it is a string, or null.
local function endOf(text, at)
  if string.byte(text, at) ~= 34 then return at + 3 end
  while true do
    at = string.find(text, '["\\\\]', at + 1)
    if not at then return #text end
    if string.byte(text, at) == 34 then return at end
    at = at + 1
  end
end
-- The strings of a list that begins at a place; nothing where no list does.
local function listAt(text, at)
  local list = {}
  if string.byte(text, at) ~= 91 then return list end
  while string.byte(text, at + 1) == 34 do
    local stop = endOf(text, at + 1)
    list[#list + 1] = string.sub(text, at + 1, stop)
    at = stop + 1
  end
  return list
end
-- No quotation mark stands unescaped within a string, so what is found first is the name.
local function tagsIn(object)
  local _, at = string.find(object, '"tags":', 1, true)
  return at and listAt(object, at + 1) or {}
end
local function labelOf(row)
  local options, label = string.match(row, '^' .. string.rep('[^\\n]*\\n', 4) .. '([^\\n]*)\\n([^\\n]*)')
  local list = string.match(label, '^%d*;(.*)$')
  if not list then return tagsIn(options) end
  local actorEnd = endOf(list, 2)
  local descriptionEnd = endOf(list, actorEnd + 2)
  local hasOwn = string.byte(list, descriptionEnd + 2) == 91
  return hasOwn and listAt(list, descriptionEnd + 2) or tagsIn(options), string.sub(list, actorEnd + 2, descriptionEnd)
end
local function tagsOf(row)
  return tagsIn(string.match(row, '^' .. string.rep('[^\\n]*\\n', 4) .. '(.*)$'))
end
local function isIn(list, text)
  for _, one in ipairs(list) do
    if one == text then return true end
  end
  return false
end
`)
