import type { StoredOptions } from '../core/job.ts'
import { checkDepth, type Branch, type CanvasNode } from './node.ts'

/**
 * A canvas as JSON text: the form that is stored, sent and read again by `readNode`. Arguments stay the text they are.
 *
 * @throws CeleriacError TOO_DEEP
 * @example
 * nodeText(…) // {"type":"chain","links":[{"type":"signature","task":"math.add","args":[1,2]}, …]}
 */
export function nodeText(node: CanvasNode, depth = 0): string {
  checkDepth(depth)
  const own = ownText(node, (child) => nodeText(child, depth + 1))
  return `{"type":"${node.type}",${own}${optionsText(node.options)}${branchesText(node.branches, depth)}}`
}

function ownText(node: CanvasNode, text: (child: CanvasNode) => string): string {
  switch (node.type) {
    case 'signature':
      return `"task":${JSON.stringify(node.task)},"args":${node.args}${node.ignoresResult ? ',"ignoresResult":true' : ''}`
    case 'chain':
      return `"links":[${node.links.map(text).join()}]`
    case 'group':
      return `"members":[${node.members.map(text).join()}]${node.failFast ? ',"failFast":true' : ''}`
    case 'each': {
      const chunk = node.chunk === null ? '' : `,"chunk":${node.chunk}`
      return `"of":${text(node.of)}${chunk}${node.list === null ? '' : `,"list":${node.list}`}`
    }
  }
}

/** In the words of the public options, so that one reader checks them wherever they come from. */
function optionsText(options: StoredOptions): string {
  const { retry, chunked: _, ...rest } = options
  const { limit, ...backoff } = retry ?? { limit: 0 }
  const written = retry ? { ...rest, retry: { limit, backoff } } : rest
  return Object.keys(written).length === 0 ? '' : `,"options":${JSON.stringify(written)}`
}

function branchesText(branches: readonly Branch[], depth: number): string {
  if (branches.length === 0) return ''
  const texts = branches.map(({ when, node }) => `{"when":"${when}","node":${nodeText(node, depth + 1)}}`)
  return `,"branches":[${texts.join()}]`
}
