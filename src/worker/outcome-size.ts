import { sizeOfFailure } from '../core/failure.ts'
import type { Graph } from '../core/graph.ts'
import type { Outcome } from '../core/outcome.ts'
import { argumentSize, comesInParts } from '../engine/parts.ts'

/**
 * The characters that an outcome adds to the request which settles it, about. A graph that is uploaded before adds none.
 *
 * @param rows the engine's `partSize`
 */
export function sizeOfOutcome(outcome: Outcome, rows: number): number {
  switch (outcome.type) {
    case 'succeeded':
      return outcome.result?.length ?? 0
    case 'failed':
    case 'retried':
      return sizeOfFailure(outcome.failure)
    case 'continued':
      return sizeOfGraph(outcome.graph, rows)
    default:
      return 0
  }
}

const sizeOfGraph = (graph: Graph, rows: number): number => (comesInParts(graph, rows) ? 0 : argumentSize(graph.jobs))
