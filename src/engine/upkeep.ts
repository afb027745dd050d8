import { formatDuration } from '../core/time.ts'
import type { Diagnosis } from './engine.ts'
import type { KnownFault } from './recovery.ts'

/** What a diagnosis says about upkeep. */
export function upkeepDiagnosis(known: readonly KnownFault[]): Diagnosis {
  const check = 'upkeep'
  if (known.length === 0) return { check, level: 'ok', found: 'nothing failed', advice: '' }
  const shown = known.slice(0, 5).map(({ item, message }) => `${item}: ${message.replace(/\.$/, '')}`)
  const more = known.length > shown.length ? `; and ${known.length - shown.length} more` : ''
  return {
    check,
    level: 'warning',
    found: `failed and is tried again: ${shown.join('; ')}${more}`,
    advice:
      'The rest is done all the same. See what is wrong with what is named here; a job can be cancelled and sent anew.',
  }
}

/** A clock that was set back this far makes delays longer than it is worth a word, in milliseconds. */
const largestStep = 1_000
/** How long a step of the clock is told of, in milliseconds. */
const stepShown = 24 * 60 * 60_000

/**
 * What a diagnosis says about steps of the store's clock.
 *
 * @param at when it was set back last; 0 where it never was
 * @param by how far, in milliseconds
 */
export function stepDiagnosis(at: number, by: number, now: number): Diagnosis {
  const check = 'clock steps'
  if (by < largestStep || at < now - stepShown) return { check, level: 'ok', found: 'none known', advice: '' }
  return {
    check,
    level: 'warning',
    found: `${new Date(at).toISOString()}: the clock went back by ${formatDuration(by)}`,
    advice:
      'It was set, or another server took over. Leases were cut to fit; delays, retries and expiries from before last longer by as much. Set all clocks by NTP.',
  }
}
