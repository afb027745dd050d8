import type { Runtime } from '../../core/runtime.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  Heartbeat,
  HeartbeatAnswer,
  SettleAnswer,
  Settlement,
} from '../../engine/work.ts'
import { claim, type Claimed, type Ref } from './claim.ts'
import type { Database } from './database.ts'
import { heartbeat } from './heartbeat.ts'
import { freeJobs, isHeld, settleApart } from './held.ts'
import { Places } from './line.ts'
import { settle, settleAndClaim } from './settle.ts'

/** The quick way is tried again after so long, in milliseconds: twice as long each time that it fails again, up to the longest. */
const firstCare = 10_000
const longestCare = 320_000
/** In the careful way, a claim that found too little is made again after so long, in milliseconds. */
const claimAgainAfter = 1_000

interface Changed<T> {
  readonly answer: T
  readonly bits: number
}

/**
 * The calls that workers live by. Each is made in the quick way, which waits for locks. Where one waited in vain, it and all that
 * come within a while go the careful way, which passes over what somebody holds.
 */
export class Careful {
  readonly #runtime: Runtime
  readonly #places = new Places()
  /** Progress that is not stored yet. */
  #owed: Heartbeat['progress'][number][] = []
  #care = firstCare
  #until = -Infinity

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  claim(db: Database, request: ClaimRequest): Promise<Claimed> {
    return this.#unlessHeld(
      () => this.#fromPlace(request, (place) => claim(db, db.now(), request, place)),
      async () => {
        const claimed = await this.#fromPlace(request, (place) => claim(db, db.now(), request, place, 'claim_free'))
        const { jobs, nextAt } = claimed.answer
        if (jobs.length === request.limit) return claimed
        // Nobody tells when what was passed over is free.
        const soon = this.#runtime.now() + claimAgainAfter
        return { ...claimed, answer: { jobs, nextAt: Math.min(nextAt ?? soon, soon) } }
      },
    )
  }

  settle(db: Database, settlements: readonly Settlement[]): Promise<Changed<SettleAnswer[]>> {
    return this.#unlessHeld(
      async () => {
        const { answers, bits } = await settle(db, db.now(), settlements)
        return { answer: answers, bits }
      },
      async () => {
        const seqOf = ({ ref }: Settlement): number => (ref as Ref).seq
        const free = await freeJobs(db, settlements.map(seqOf))
        const isFree = (settlement: Settlement): boolean => free.has(seqOf(settlement))
        const from = this.#runtime.random()
        const { answers, bits } = await settleApart(settlements, isFree, from, (some) =>
          settle(db, db.now(), some, 'settle_briefly'),
        )
        return { answer: answers, bits }
      },
    )
  }

  settleAndClaim(
    db: Database,
    settlements: readonly Settlement[],
    request: ClaimRequest,
  ): Promise<Changed<readonly [SettleAnswer[], ClaimAnswer]>> {
    return this.#unlessHeld(
      async () => {
        const { answers, answer, bits } = await this.#fromPlace(request, (place) =>
          settleAndClaim(db, db.now(), settlements, request, place),
        )
        return { answer: [answers, answer], bits }
      },
      async () => {
        const settled = await this.settle(db, settlements)
        const claimed = await this.claim(db, request)
        return { answer: [settled.answer, claimed.answer], bits: settled.bits | claimed.bits }
      },
    )
  }

  /** Progress of a job that somebody holds goes with a later beat: a session must not die of it. */
  async heartbeat(db: Database, beat: Heartbeat): Promise<Changed<HeartbeatAnswer>> {
    const owed = this.#owed
    this.#owed = []
    const all = { ...beat, progress: newestOf([...owed, ...beat.progress]) }
    try {
      return await this.#unlessHeld(
        () => heartbeat(db, db.now(), all),
        () => this.#heartbeatApart(db, all),
      )
    } catch (error) {
      // What came with this beat is given again by whoever sent it.
      this.#owed = newestOf([...owed, ...this.#owed])
      throw error
    }
  }

  async #heartbeatApart(db: Database, beat: Heartbeat): Promise<Changed<HeartbeatAnswer>> {
    const seqs = beat.progress.map(({ ref }) => (ref as Ref).seq)
    const free = seqs.length === 0 ? new Set<number>() : await freeJobs(db, seqs)
    const isFree = (_: unknown, at: number): boolean => free.has(seqs[at] as number)
    const answer = await heartbeat(db, db.now(), { ...beat, progress: beat.progress.filter(isFree) })
    this.#owed.push(...beat.progress.filter((each, at) => !isFree(each, at)))
    return answer
  }

  async #unlessHeld<T>(quickly: () => Promise<T>, carefully: () => Promise<T>): Promise<T> {
    const began = this.#runtime.elapsed()
    if (began < this.#until) return carefully()
    try {
      return await quickly()
    } catch (error) {
      if (!isHeld(error)) throw error
    }
    // Several calls may have waited for the same.
    if (began >= this.#until) this.#beginCare(this.#runtime.elapsed())
    return carefully()
  }

  #beginCare(now: number): void {
    // After a long time without care it is another matter.
    this.#care = now - this.#until < longestCare ? Math.min(this.#care * 2, longestCare) : firstCare
    this.#until = now + this.#care
  }

  /** A claim goes on from where the one before ended. */
  async #fromPlace<T extends Claimed>(
    { queues }: ClaimRequest,
    send: (place: string | null) => Promise<T>,
  ): Promise<T> {
    const began = this.#runtime.elapsed()
    const kept = this.#places.of(queues)
    try {
      const claimed = await send(kept.from(began))
      const { answer, place, now } = claimed
      if (place !== null) kept.keep(place, began, this.#runtime.elapsed())
      // The two clocks may differ: what counts for whoever waits is how long.
      const nextAt = answer.nextAt === null ? null : answer.nextAt - now + this.#runtime.now()
      return { ...claimed, answer: { ...answer, nextAt } }
    } catch (error) {
      kept.forget()
      throw error
    }
  }
}

/** Of each job the last: one that somebody holds for an hour reports thousands of times. */
export const newestOf = (progress: Heartbeat['progress']): Heartbeat['progress'][number][] => [
  ...new Map(progress.map((each) => [(each.ref as Ref).seq, each])).values(),
]
