import { CeleriacError } from './errors.ts'
import type { StoredResult } from './job.ts'

/**
 * How the flat, ordered results of a barrier nest, as a short text. `.` takes the next result, `-` takes it and leaves
 * it out, `[…]` is a list, `<…>` one list made of lists end to end; a number repeats what comes after it.
 *
 * ```
 * group(a, b)                 [2.]        chunks of each       <3.>
 * group(a, group(b, c))       [.[2.]]     chain(a, group())    [-]
 * ```
 */
export const one = '.'

/** The shape of a list of these shapes, in order. Equal neighbours are counted, so 10,000 jobs side by side are `[10000.]`. */
export function list(shapes: readonly string[]): string {
  return `[${runsOf(shapes)}]`
}

/** The shape of one list made of these shapes, each of them a list, end to end. */
export function concat(shapes: readonly string[]): string {
  return `<${runsOf(shapes)}>`
}

/** The shape of an empty list that stands in place of `count` results: a group of nothing, behind so many jobs. */
export function emptyInPlaceOf(count: number): string {
  return count === 0 ? '[]' : `[${repeated(count, '-')}]`
}

/** The most characters of text that one job is given as its input. */
export const inputLimit = 64 * 1024 * 1024

/**
 * Nests results by a shape, into one JSON text. A result that is missing becomes `null`; one that refers to others is nested
 * by the shape it carries. What it costs is linear in its text, for any number of results and any depth.
 *
 * @throws CeleriacError INPUT_TOO_LARGE over `limit` characters; STORE_CORRUPT where shape and results do not fit
 * @example
 * assemble('[.[2.]]', [{ json: '1' }, { json: '2' }, { json: '3' }]) // '[1,[2,3]]'
 */
export function assemble(shape: string, results: readonly StoredResult[], limit = inputLimit): string {
  const root: Level = { source: sourceOf(shape, results), list: { isEmpty: true }, isSpliced: false, pending: 0 }
  const assembly: Assembly = { text: '', limit, levels: [root] }
  for (let level = assembly.levels.at(-1); level; level = assembly.levels.at(-1)) {
    if (level.pending > 0) takeResult(assembly, level)
    else if (level.source.at < level.source.shape.length) takeToken(assembly, level)
    else leaveSource(assembly, level)
  }
  return assembly.text
}

interface Assembly {
  text: string
  readonly limit: number
  /** What is being written, the innermost last: a stack of our own, because results may nest deeper than calls can. */
  readonly levels: Level[]
}

/** A list that is open, or the whole of a source. */
interface Level {
  readonly source: Source
  /** Where what is written here ends up. */
  readonly list: { isEmpty: boolean }
  /** What stands here are lists, of which only the elements are written. */
  readonly isSpliced: boolean
  /** Results still to be taken here before reading on. */
  pending: number
  /** For a list: how often it is still to be written, and where its own shape begins. */
  readonly repeat?: { left: number; readonly from: number; readonly hasBrackets: boolean }
}

interface Source {
  readonly shape: string
  at: number
  readonly results: readonly StoredResult[]
  taken: number
  /** How many values stand side by side in the shape: it must come to one. */
  values: number
}

const sourceOf = (shape: string, results: readonly StoredResult[]): Source => ({
  shape,
  at: 0,
  results,
  taken: 0,
  values: 0,
})

type Reference = Extract<StoredResult, { readonly shape: string }>

function takeToken(assembly: Assembly, level: Level): void {
  const { source } = level
  const count = readCount(source)
  const token = source.shape[source.at++]
  if (!level.repeat) source.values += count
  if (token === '.') level.pending = count
  else if (token === '-') source.taken += count
  else if (token === '[' || token === '<') openList(assembly, level, token === '<', count)
  else if (token === (level.isSpliced ? '>' : ']') && level.repeat) closeList(assembly, level, level.repeat)
  else throw corrupt(`a shape with "${token ?? ''}" at ${source.at - 1}`)
}

function readCount(source: Source): number {
  let count = 0
  let code = source.shape.charCodeAt(source.at)
  for (; code >= 48 && code <= 57; code = source.shape.charCodeAt(++source.at)) count = count * 10 + code - 48
  return count === 0 ? 1 : count
}

function takeResult(assembly: Assembly, level: Level): void {
  const { source } = level
  while (level.pending > 0) {
    level.pending--
    const result = source.results[source.taken++]
    if (result === undefined) throw corrupt(`${source.results.length} results, and a shape for more`)
    if (!('json' in result)) return enterReference(assembly, level, result)
    write(assembly, level, result.json ?? 'null')
  }
}

function write(assembly: Assembly, { list, isSpliced }: Level, json: string): void {
  const text = isSpliced ? elementsOf(json) : json
  if (isSpliced && text === '') return
  assembly.text += list.isEmpty ? text : ',' + text
  list.isEmpty = false
  if (assembly.text.length > assembly.limit) throw tooLarge(assembly.limit)
}

function openList(assembly: Assembly, level: Level, isSpliced: boolean, left: number): void {
  const hasBrackets = !level.isSpliced
  const repeat = { left, from: level.source.at, hasBrackets }
  if (hasBrackets) openBracket(assembly, level)
  const list = hasBrackets ? { isEmpty: true } : level.list
  assembly.levels.push({ source: level.source, list, isSpliced, pending: 0, repeat })
}

function closeList(assembly: Assembly, level: Level, repeat: NonNullable<Level['repeat']>): void {
  if (repeat.hasBrackets) assembly.text += ']'
  if (assembly.text.length > assembly.limit) throw tooLarge(assembly.limit)
  repeat.left--
  if (repeat.left === 0) return void assembly.levels.pop()
  level.source.at = repeat.from
  if (!repeat.hasBrackets) return
  assembly.text += ',['
  level.list.isEmpty = true
}

function openBracket(assembly: Assembly, { list }: Level): void {
  assembly.text += list.isEmpty ? '[' : ',['
  list.isEmpty = false
}

function enterReference(assembly: Assembly, level: Level, result: Reference): void {
  if (result.results === null) throw corrupt('a result that was left out for its size and not loaded')
  const source = sourceOf(result.shape, result.results)
  assembly.levels.push({ source, list: level.list, isSpliced: level.isSpliced, pending: 0 })
}

function leaveSource(assembly: Assembly, level: Level): void {
  if (level.repeat) throw corrupt('a shape that is cut off')
  if (level.source.values !== 1) throw corrupt(`a shape of ${level.source.values} values`)
  assembly.levels.pop()
}

/** `[1,2]` → `1,2`. A chunk's result is always a list. */
function elementsOf(json: string): string {
  if (json[0] !== '[') throw corrupt('a chunk whose result is not a list')
  return json.slice(1, -1).trim()
}

function runsOf(shapes: readonly string[]): string {
  let text = ''
  for (let n = 0, next = 0; n < shapes.length; n = next) {
    while (next < shapes.length && shapes[next] === shapes[n]) next++
    text += repeated(next - n, shapes[n]!)
  }
  return text
}

const repeated = (count: number, shape: string): string => (count === 1 ? shape : `${count}${shape}`)

function tooLarge(limit: number): CeleriacError {
  const most = `${Math.floor(limit / 1024 / 1024)} MiB`
  return new CeleriacError(
    'INPUT_TOO_LARGE',
    `the results before this job are more than ${most}: store them elsewhere and hand on where they are`,
  )
}

const corrupt = (found: string): CeleriacError =>
  new CeleriacError('STORE_CORRUPT', `the results of this canvas cannot be put together: the store holds ${found}`)
