import type { JobRef } from '../core/job.ts'
import type { SessionRecord } from '../engine/work.ts'
import type { Attempt } from './attempt.ts'

/** The attempt that runs while no other does, as far as another process needs it to say what this process died of. */
export interface SoleAttempt {
  readonly url: string
  readonly session: SessionRecord
  /** In milliseconds. */
  readonly lease: number
  readonly jobId: string
  readonly ref: JobRef
  readonly token: number
  readonly attempt: number
}

/** Returns what passes on which attempt runs alone; null if nobody wants to know, or could not find the store without a url. */
export function soleReporter(
  url: string | null,
  session: SessionRecord,
  { onSole, lease }: { readonly onSole: ((attempt: SoleAttempt | null) => void) | null; readonly lease: number },
): ((attempt: Attempt | null) => void) | null {
  if (url === null || onSole === null) return null
  return (sole) => {
    if (sole === null) return onSole(null)
    const { id: jobId, ref, token, attempt } = sole.job
    onSole({ url, session, lease, jobId, ref, token, attempt })
  }
}
