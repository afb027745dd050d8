import type { StoredOptions } from '../core/job.ts'

/** Most jobs of a task carry the same options, so the text is read once. */
const known = new Map<string, StoredOptions>()
const none: StoredOptions = {}

/**
 * Reads the options of a job from the text in its row. Text that is no JSON object counts as no options: one damaged row must
 * hold up no claim, list or sweep.
 */
export function readOptions(text: string | null): StoredOptions {
  if (text === null || text === '') return none
  let options = known.get(text)
  if (options === undefined) {
    if (known.size > 1_000) known.clear()
    known.set(text, (options = parsed(text)))
  }
  return options
}

function parsed(text: string): StoredOptions {
  try {
    const options = JSON.parse(text) as unknown
    return typeof options === 'object' && options !== null ? options : none
  } catch {
    return none
  }
}
