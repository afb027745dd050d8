import { argumentsText } from '../core/json.ts'
import { CeleriacError } from '../core/errors.ts'
import type { When } from '../core/graph.ts'
import type { StoredOptions } from '../core/job.ts'
import { noOptions } from '../core/stored-options.ts'

/**
 * A canvas as plain data: what every canvas is made of, what its `toJSON` gives (with arguments in place of their text)
 * and what `readNode` takes back.
 */
export type CanvasNode = SignatureNode | ChainNode | GroupNode | EachNode

export interface SignatureNode extends NodeParts {
  readonly type: 'signature'
  readonly task: string
  /** JSON text of the list of arguments given: written when the call is described, so later changes do not reach it. */
  readonly args: string
  /** Made by `si`: ignores the result before it. */
  readonly ignoresResult: boolean
}

export interface ChainNode extends NodeParts {
  readonly type: 'chain'
  readonly links: readonly CanvasNode[]
}

export interface GroupNode extends NodeParts {
  readonly type: 'group'
  readonly members: readonly CanvasNode[]
  readonly failFast: boolean
  /** The results of the members are lists, put end to end: the chunks of an `each`. Never read from outside. */
  readonly joinsLists: boolean
}

export interface EachNode extends NodeParts {
  readonly type: 'each'
  readonly of: CanvasNode
  /** How many elements go into one job; null: one. */
  readonly chunk: number | null
  /** JSON text of the list, where it is known; null: it is the result before. */
  readonly list: string | null
}

interface NodeParts {
  /** For every job inside that has none of its own. */
  readonly options: StoredOptions
  readonly branches: readonly Branch[]
}

/** What runs when its canvas succeeded, did not, or is final either way. */
export interface Branch {
  readonly when: When
  readonly node: CanvasNode
}

export const noBranches: readonly Branch[] = Object.freeze([])

/** How many canvases may stand around one another. Bounds the recursion of everything that walks through a canvas. */
export const depthLimit = 64

/** Throws where a canvas stands inside more than `depthLimit` others. */
export function checkDepth(depth: number): void {
  if (depth <= depthLimit) return
  const advice = 'a task that returns a canvas can continue the work'
  throw new CeleriacError('TOO_DEEP', `a canvas may be nested ${depthLimit} deep and this one is deeper: ${advice}`)
}

export function signatureNode(
  task: string,
  args: readonly unknown[],
  ignoresResult: boolean,
  options: StoredOptions,
): SignatureNode {
  return { type: 'signature', task, args: argumentsText(args), ignoresResult, options, branches: noBranches }
}

/** Nothing but members in a row: taking the row apart changes nothing. */
export function isPlainChain(node: CanvasNode): node is ChainNode {
  return node.type === 'chain' && node.options === noOptions && node.branches.length === 0
}

/** A chain of these links, the links of plain chains among them in their place. There must be at least one. */
export function chainNode(links: readonly CanvasNode[]): ChainNode {
  const spliced = links.some(isPlainChain) ? links.flatMap((link) => (isPlainChain(link) ? link.links : [link])) : links
  return { type: 'chain', links: spliced, options: noOptions, branches: noBranches }
}

export function groupNode(members: readonly CanvasNode[]): GroupNode {
  return {
    type: 'group',
    members,
    failFast: false,
    joinsLists: false,
    options: noOptions,
    branches: noBranches,
  }
}

export function eachNode(of: CanvasNode, chunk: number | null): EachNode {
  return { type: 'each', of, chunk, list: null, options: noOptions, branches: noBranches }
}

/** Does it come to no job at all, such as `group()` or `chain(group(), group())`? */
export function isEmpty(node: CanvasNode): boolean {
  if (node.type === 'chain') return node.links.every(isEmpty)
  return node.type === 'group' && node.members.every(isEmpty)
}
