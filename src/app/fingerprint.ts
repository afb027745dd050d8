import { createHash } from 'node:crypto'
import type { Graph } from '../core/graph.ts'

/**
 * Tells one canvas from another, whatever ids they were given: the same calls, options and structure have the same
 * fingerprint, in every process and whatever the order of the properties in their arguments.
 */
export function fingerprintOf(graph: Graph): string {
  const hash = createHash('sha256')
  for (const { id: _, args, ...job } of graph.jobs) hash.update(ordered({ ...job, args: JSON.parse(args) as unknown }))
  hash.update(ordered([graph.barriers, graph.exit, graph.shape]))
  return hash.digest('base64url')
}

function ordered(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (isPlainObject(inner) ? sortedByKey(inner) : inner))
}

const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function sortedByKey(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // Without a prototype, so that a key called __proto__ is a key like any other.
  const sorted = Object.create(null) as Record<string, unknown>
  for (const key of Object.keys(object).sort()) sorted[key] = object[key]
  return sorted
}
