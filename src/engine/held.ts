import type { Heartbeat, HeartbeatAnswer } from './work.ts'

/** A beat that lists more jobs than this, or whose session runs more, compares them some at a time. */
export const heldAtOnce = 1_000

/** A job as the store says that it runs. `isOld`: it was claimed a lease ago. */
export type RunningJob = readonly [seq: number, token: number, isOld: boolean | number]

export interface RunningPage {
  readonly running: readonly RunningJob[]
  readonly toCancel: HeartbeatAnswer['toCancel']
  /** What the next page goes on behind; null where there is none. */
  readonly next: string | null
}

interface Comparing {
  readonly held: NonNullable<Heartbeat['held']>
  /** The next jobs that the session runs. One may come twice. */
  readonly page: (after: string | null) => Promise<RunningPage>
  /** Gives back what still runs like that and is still old. At most as many as a page has. */
  readonly release: (jobs: readonly RunningJob[]) => Promise<unknown>
}

/**
 * Compares the jobs that a worker holds with those that its session runs, page by page: the session was renewed before, so nobody else
 * takes them meanwhile. What is claimed meanwhile is not old, and so is not given back for being unlisted.
 */
export async function compareHeld({ held, page, release }: Comparing): Promise<HeartbeatAnswer> {
  const listed = new Map(held.map(({ ref, token }) => [(ref as { readonly seq: number }).seq, token]))
  const tokens = new Map<number, number>()
  const toCancel = new Map<string, number>()
  for (let after: string | null = null; ;) {
    const { running, toCancel: marked, next } = await page(after)
    for (const [seq, token] of running) tokens.set(seq, token)
    for (const { id, token } of marked) toCancel.set(id, token)
    const unlisted = running.filter(([seq, token, isOld]) => listed.get(seq) !== token && isOld)
    if (unlisted.length > 0) await release(unlisted)
    if (next === null) break
    after = next
  }
  const lost = held.filter(({ ref, token }) => tokens.get((ref as { readonly seq: number }).seq) !== token)
  return {
    lost: lost.map(({ id, token }) => ({ id, token })),
    toCancel: [...toCancel].map(([id, token]) => ({ id, token })),
  }
}

/** Goes on with a beat of a session that holds many, once it is renewed: `compare` by pages, and then, where it ends, `end` without what is stored by now. */
export async function beatByPages(
  beat: Heartbeat,
  compare: (lease: number, held: Comparing['held']) => Promise<HeartbeatAnswer>,
  end: (beat: Heartbeat) => Promise<unknown>,
): Promise<HeartbeatAnswer> {
  if (beat.ended !== true) return compare(beat.lease, beat.held ?? [])
  // All of it is given back before the session ends: should this process die meanwhile, its lease does.
  await compare(0, [])
  await end({ ...beat, progress: [], log: [], notes: [], tallies: [] })
  return { lost: [], toCancel: [] }
}
