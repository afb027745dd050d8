import { CeleriacError } from '../core/errors.ts'
import type { When } from '../core/graph.ts'
import type { StoredOptions } from '../core/job.ts'
import { argumentLimits, jsonText } from '../core/json.ts'
import { didYouMean } from '../core/misspelling.ts'
import { noOptions, storedOptions } from '../core/stored-options.ts'
import { words } from './fit.ts'
import { checkChunk } from './each-node.ts'
import { chainNode, checkDepth, eachNode, groupNode, noBranches, signatureNode } from './node.ts'
import type { Branch, CanvasNode } from './node.ts'

/**
 * Reads a canvas from the plain data that `nodeText` writes, whoever sent it. `path` names the data in errors. Whether
 * its tasks exist is found out when it is compiled.
 *
 * @throws CeleriacError NOT_A_CANVAS, EMPTY_CHAIN, TOO_DEEP, BAD_OPTION and what arguments are refused for
 * @example
 * readNode({ type: 'signature', task: 'math.add', args: [1, 2] }, 'canvas')
 */
export function readNode(value: unknown, path: string, depth = 0): CanvasNode {
  checkDepth(depth)
  const data = readObject(value, path)
  const type = data['type']
  if (!isType(type)) throw refused(`${path}.type`, `one of ${Object.keys(readers).join(', ')}`)
  checkKeys(data, path, [...keys[type], 'type', 'options', 'branches'])
  const node = readers[type](data, path, depth)
  const options = readOptions(data['options'], `${path}.options`)
  const branches = readBranches(data['branches'], `${path}.branches`, depth)
  return options === noOptions && branches === noBranches ? node : { ...node, options, branches }
}

type Data = Readonly<Record<string, unknown>>
type Type = CanvasNode['type']

const keys: Readonly<Record<Type, readonly string[]>> = {
  signature: ['task', 'args', 'ignoresResult'],
  chain: ['links'],
  group: ['members', 'failFast'],
  each: ['of', 'chunk', 'list'],
}

const readers: Readonly<Record<Type, (data: Data, path: string, depth: number) => CanvasNode>> = {
  signature(data, path) {
    const { task, args = [] } = data
    if (typeof task !== 'string') throw refused(`${path}.task`, 'the name of a task')
    if (!Array.isArray(args)) throw refused(`${path}.args`, 'the list of arguments')
    return signatureNode(task, args, readFlag(data, 'ignoresResult', path), noOptions)
  },
  chain(data, path, depth) {
    const links = readNodes(data['links'], `${path}.links`, depth)
    if (links.length === 0) throw new CeleriacError('EMPTY_CHAIN', `${path}: ${words.emptyChain}`)
    return chainNode(links)
  },
  group(data, path, depth) {
    const node = groupNode(readNodes(data['members'], `${path}.members`, depth))
    return { ...node, failFast: readFlag(data, 'failFast', path) }
  },
  each(data, path, depth) {
    const node = eachNode(readNode(data['of'], `${path}.of`, depth + 1), (data['chunk'] ?? null) as number | null)
    checkChunk(node, path)
    const { list } = data
    if (list === undefined) return node
    if (!Array.isArray(list)) throw refused(`${path}.list`, 'a list')
    return { ...node, list: jsonText(list, `${path}.list`, argumentLimits) }
  },
}

function readObject(value: unknown, path: string): Data {
  const isPlain = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isPlain) throw refused(path, 'an object with a type')
  return value as Data
}

/** A name that nobody reads is a mistake of the sender, told rather than dropped. */
function checkKeys(data: Data, path: string, known: readonly string[]): void {
  for (const key of Object.keys(data)) {
    if (known.includes(key)) continue
    const name = key.slice(0, 60)
    throw notACanvas(`${path}.${name}`, `there is no such property here${didYouMean(name, known)}`)
  }
}

const isType = (type: unknown): type is Type => typeof type === 'string' && Object.hasOwn(readers, type)

function readNodes(value: unknown, path: string, depth: number): CanvasNode[] {
  if (!Array.isArray(value)) throw refused(path, 'a list of canvases')
  return value.map((one, n) => readNode(one, `${path}[${n}]`, depth + 1))
}

function readFlag(data: Data, key: string, path: string): boolean {
  const value = data[key] ?? false
  if (typeof value !== 'boolean') throw refused(`${path}.${key}`, 'true or false')
  return value
}

function readOptions(value: unknown, path: string): StoredOptions {
  if (value === undefined) return noOptions
  return storedOptions(readObject(value, path), path)
}

function readBranches(value: unknown, path: string, depth: number): readonly Branch[] {
  if (value === undefined) return noBranches
  if (!Array.isArray(value)) throw refused(path, 'a list of side branches')
  return value.map((one, n) => readBranch(readObject(one, `${path}[${n}]`), `${path}[${n}]`, depth))
}

const isWhen = (when: unknown): when is When => when === 'success' || when === 'failure' || when === 'always'

function readBranch(data: Data, path: string, depth: number): Branch {
  checkKeys(data, path, ['when', 'node'])
  const { when } = data
  if (!isWhen(when)) throw refused(`${path}.when`, 'success, failure or always')
  return { when, node: readNode(data['node'], `${path}.node`, depth + 1) }
}

const refused = (path: string, expected: string): CeleriacError => notACanvas(path, `${expected} is needed here`)

function notACanvas(path: string, problem: string): CeleriacError {
  return new CeleriacError('NOT_A_CANVAS', `${path}: this is not a canvas as JSON: ${problem}`)
}
