import { CeleriacError } from './errors.ts'
import type { StoredResult } from './job.ts'

/** The shape that takes one result and is it. */
export const one = '.'

/** The shape of a list of the given shapes, in order. Equal neighbours are counted: `list(['.', '.', '.'])` is `[3.]`. */
export function list(shapes: readonly string[]): string {
  return `[${runs(shapes)}]`
}

/** The shape of one list that is the given shapes, each a list, end to end: `concat(['.', '.'])` is `<2.>`. */
export function concat(shapes: readonly string[]): string {
  return `<${runs(shapes)}>`
}

/** The shape of an empty list in place of `count` results, which are taken and left out: a group of nothing, after them. */
export function emptyInPlaceOf(count: number): string {
  return count === 0 ? '[]' : count === 1 ? '[-]' : `[${count}-]`
}

/** The same shape `count` times over, in a list, without writing it that often. */
export function listOf(count: number, shape: string): string {
  return count === 0 ? '[]' : `[${repeated(count, shape)}]`
}

/**
 * Nests results by a shape, into one JSON text. A result that is missing is `null`; one that refers to others is nested by
 * the shape it carries.
 *
 * @throws CeleriacError INPUT_TOO_LARGE over 64 MiB; STORE_CORRUPT where results are missing
 * @example
 * assemble('[.[2.]]', [{ json: '1' }, { json: '2' }, { json: '3' }]) // '[1,[2,3]]'
 */
export function assemble(shape: string, results: readonly StoredResult[], limit = inputLimit): string {
  throw new CeleriacError('UNSUPPORTED', `not yet: ${shape} ${results.length} ${limit}`)
}

/** The most characters of text that one job is given as its input. */
export const inputLimit = 64 * 1024 * 1024

function runs(shapes: readonly string[]): string {
  let text = ''
  for (let n = 0, next; n < shapes.length; n = next) {
    next = n + 1
    while (next < shapes.length && shapes[next] === shapes[n]) next++
    text += repeated(next - n, shapes[n]!)
  }
  return text
}

const repeated = (count: number, shape: string): string => (count === 1 ? shape : `${count}${shape}`)
