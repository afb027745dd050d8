import type { StoredOptions } from '../core/job.ts'
import { readStored } from './stored.ts'

/** Most jobs of a task carry the same options, so the text is read once. */
const known = new Map<string, StoredOptions>()
const none: StoredOptions = {}

/** Reads the options of a job from the text in its row. Text that is no JSON object counts as no options. */
export function readOptions(text: string | null): StoredOptions {
  if (text === null || text === '') return none
  let options = known.get(text)
  if (options === undefined) {
    if (known.size > 1_000) known.clear()
    const read = readStored<unknown>(text, none)
    known.set(text, (options = typeof read === 'object' && read !== null ? read : none))
  }
  return options
}
