import type { CollectionState } from '../core/collection.ts'
import type { JobState } from '../core/job.ts'
import { formatDuration } from '../core/time.ts'
import { span, type Span } from './line.ts'
import { stateWidth, styleOf } from './state.ts'
import type { View } from './view.ts'

/** The right edge of a line of the tree: the state in a word, and how long it took. */
export function rightOf(state: JobState | CollectionState, ms: number | null, view: View): Span[] {
  const word = span(state.padEnd(stateWidth), styleOf(state))
  return view.width < 50 ? [word] : [word, span(` ${durationColumn(ms)}`, 'dim')]
}

export const durationColumn = (ms: number | null): string =>
  (ms === null ? '' : formatDuration(Math.max(0, ms))).padStart(7)
