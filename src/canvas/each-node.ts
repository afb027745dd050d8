import { CeleriacError } from '../core/errors.ts'
import { groupNode, type CanvasNode, type EachNode, type GroupNode, type SignatureNode } from './node.ts'

/**
 * What an `each` comes to once its list is known: a group with a member for every element or chunk of elements, which
 * gives the list of results in order.
 */
export function expandEach(list: readonly unknown[], of: CanvasNode, chunk: number | null): GroupNode {
  if (chunk === null) return groupNode(list.map((element) => withInput(of, JSON.stringify(element))))
  const call = of as SignatureNode
  const chunked: SignatureNode = { ...call, options: { ...call.options, chunked: true } }
  const members = chunks(list, chunk).map((elements) => withInput(chunked, JSON.stringify(elements)))
  return { ...groupNode(members), joinsLists: true }
}

/** Throws where the elements cannot be put together in one job. */
export function checkChunk({ of, chunk }: EachNode, place: string): void {
  if (chunk === null) return
  if (!Number.isInteger(chunk) || chunk < 1) {
    throw new CeleriacError('BAD_OPTION', `${place}: chunk is a whole number from 1 on, not ${String(chunk)}`)
  }
  const problem =
    of.type !== 'signature'
      ? 'is for each(task) or each(task.s(…)): what goes through a canvas goes element by element'
      : of.branches.length > 0
        ? 'is for a call without side branches: put them on the each(…) itself'
        : of.ignoresResult
          ? 'needs a call that takes the element: describe it with s(…)'
          : undefined
  if (problem) throw new CeleriacError('BAD_OPTION', `${place}: chunk ${problem}`)
}

/** The canvas with a result put before it, as JSON text: given to whatever in it would be given a result before it. */
export function withInput(node: CanvasNode, input: string): CanvasNode {
  switch (node.type) {
    case 'signature':
      return node.ignoresResult ? node : { ...node, args: prepended(input, node.args) }
    case 'chain':
      return { ...node, links: [withInput(node.links[0]!, input), ...node.links.slice(1)] }
    case 'group':
      return { ...node, members: node.members.map((member) => withInput(member, input)) }
    case 'each':
      return node.list === null ? { ...node, list: input } : node
  }
}

const prepended = (first: string, list: string): string => (list === '[]' ? `[${first}]` : `[${first},${list.slice(1)}`)

function chunks(list: readonly unknown[], size: number): unknown[][] {
  const all: unknown[][] = []
  for (let from = 0; from < list.length; from += size) all.push(list.slice(from, from + size))
  return all
}
