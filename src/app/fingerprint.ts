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

/** As JSON, with properties in the order of their names by code points. Stores that make fingerprints write it alike. */
function ordered(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(ordered).join()}]`
  const inner = value as Readonly<Record<string, unknown>>
  const names = Object.keys(inner)
    .filter((name) => inner[name] !== undefined)
    .sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
  return `{${names.map((name) => `${JSON.stringify(name)}:${ordered(inner[name])}`).join()}}`
}
