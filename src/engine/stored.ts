import type { Failure } from '../core/failure.ts'

/**
 * Reads JSON that a store keeps. Text that is none counts as `otherwise`: one damaged row must hold up no claim, list or sweep of others.
 *
 * @example
 * readStored<string[]>(row.tags, [])
 */
export function readStored<T>(text: string | null | undefined, otherwise: T): T {
  if (text === null || text === undefined) return otherwise
  try {
    return JSON.parse(text) as T
  } catch {
    return otherwise
  }
}

const damaged: Failure = {
  name: 'Error',
  message: 'What the store keeps of this failure is damaged.',
  attempt: 0,
  at: new Date(0).toISOString(),
}
/** A failure as a store keeps it. */
export const storedFailure = (text: string | null): Failure | null => (text === null ? null : readStored(text, damaged))
