import type { CollectionState } from '../core/collection.ts'
import type { JobState } from '../core/job.ts'
import { jobStates } from '../core/job.ts'
import type { Style, View } from './view.ts'

interface Look {
  readonly glyph: string
  readonly ascii: string
  readonly style: Style | undefined
}

const looks: Readonly<Record<JobState, Look>> = {
  waiting: { glyph: '·', ascii: '.', style: 'dim' },
  scheduled: { glyph: '◷', ascii: '@', style: 'cyan' },
  queued: { glyph: '○', ascii: 'o', style: 'cyan' },
  running: { glyph: '●', ascii: '*', style: 'yellow' },
  succeeded: { glyph: '✓', ascii: '+', style: 'green' },
  failed: { glyph: '✗', ascii: 'x', style: 'red' },
  cancelled: { glyph: '⊘', ascii: '!', style: 'magenta' },
  skipped: { glyph: '−', ascii: '-', style: 'dim' },
}

/** As wide as the longest name of a state. */
export const stateWidth = 9

export const glyphOf = (state: JobState | CollectionState, view: Pick<View, 'unicode'>): string =>
  view.unicode ? looks[state].glyph : looks[state].ascii

export const styleOf = (state: JobState | CollectionState): Style | undefined => looks[state].style

/** `3 succeeded · 1 failed`, in the order a job goes through them; states without jobs are left out. */
export function describeCounts(counts: { readonly [state in JobState]?: number }, separator: string): string {
  const told = jobStates.filter((state) => (counts[state] ?? 0) > 0)
  return told.map((state) => `${formatCount(counts[state] ?? 0)} ${state}`).join(separator)
}

export const countStates = (jobs: readonly { readonly state: JobState }[]): { [state in JobState]?: number } => {
  const counts: { [state in JobState]?: number } = {}
  for (const { state } of jobs) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

export const formatCount = (count: number): string => count.toLocaleString('en-US')
