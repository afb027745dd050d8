import { createHash } from 'node:crypto'
import { type CanvasNode, noBranches } from '../canvas/node.ts'
import { nodeText } from '../canvas/node-text.ts'
import type { Callback } from '../core/collection.ts'
import type { StoredOptions } from '../core/job.ts'

/**
 * Tells one canvas from another: the same calls, options and structure have the same fingerprint, in every process and
 * whatever the order of the properties in their arguments. The defaults of tasks are not in it: they may change from one
 * version of a service to the next, while what was asked for is the same. Who is called back, and with which
 * results, is: somebody would wait in vain.
 */
export function fingerprintOf(node: CanvasNode, options: StoredOptions, callback: Callback | null = null): string {
  const called =
    callback === null ? [] : callback.results === 'exit' ? [callback.url] : [callback.url, callback.results]
  const text = ordered([JSON.parse(nodeText(node)), options, ...called])
  return createHash('sha256').update(text).digest('base64url')
}

/** The fingerprint of one call, which is that of the signature it could have been. */
export function fingerprintOfCall(task: string, args: string, options: StoredOptions): string {
  const node = { type: 'signature', task, args, ignoresResult: false, options: {}, branches: noBranches } as const
  return fingerprintOf(node, options)
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
