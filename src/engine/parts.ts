import type { Graph } from '../core/graph.ts'

/** Maximum size of the arguments in one part of a graph, in characters. A single job may not be divided further. */
export const partBytes = 4 * 1024 * 1024

/** Positions in the lists of jobs and of barriers: from one up to, not including, another. */
export interface GraphPart {
  readonly from: number
  readonly to: number
}

/** Whether a graph has to be uploaded before it is submitted: it is more than one part. */
export function comesInParts({ jobs, barriers }: Graph, rows: number): boolean {
  if (jobs.length > rows || barriers.length > rows) return true
  return jobs.length > 1 && argumentSize(jobs) > partBytes
}

/** The characters in the arguments of a graph's jobs: the part of a graph that a user makes large. */
export function argumentSize(jobs: Graph['jobs']): number {
  let size = 0
  for (const { args } of jobs) size += args.length
  return size
}

/**
 * Divides a graph so that no part has more than `rows` jobs, `rows` barriers or `partBytes` of arguments. The division
 * follows from the graph alone, so that a part that is sent again is the same part.
 *
 * @param rows the engine's `partSize`
 * @example partsOf(graph, engine.partSize).length // 1: it needs no upload
 */
export function partsOf(graph: Graph, rows: number): readonly GraphPart[] {
  const known = divided.get(graph)
  if (known?.rows === rows) return known.parts
  const parts = divide(graph, rows)
  divided.set(graph, { rows, parts })
  return parts
}
/** One part; an empty one behind the last. */
export function partAt(graph: Graph, rows: number, part: number): GraphPart {
  return partsOf(graph, rows)[part] ?? { from: Infinity, to: Infinity }
}

const divided = new WeakMap<Graph, { readonly rows: number; readonly parts: readonly GraphPart[] }>()

function divide({ jobs, barriers }: Graph, rows: number): GraphPart[] {
  const end = Math.max(jobs.length, barriers.length)
  const parts: GraphPart[] = []
  let from = 0
  let size = 0
  for (let at = 0; at < end; at++) {
    const own = jobs[at]?.args.length ?? 0
    if (at > from && (at - from === rows || size + own > partBytes)) {
      parts.push({ from, to: at })
      from = at
      size = 0
    }
    size += own
  }
  return [...parts, { from, to: end }]
}
