import type { Runtime, Timer } from '../core/runtime.ts'
import type { ClaimAnswer, ClaimedJob, Work } from '../engine/work.ts'
import { Backoff } from '../core/backoff.ts'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import { isPassing } from './passing.ts'
import type { Reporter } from './report.ts'

/** Where claimed jobs go. */
export interface Sink {
  readonly freeCount: number
  /** The mean time of late from the end of one job to the next, in milliseconds; null while unknown. */
  paceOfJobs(): number | null
  start(job: ClaimedJob): void
}

export interface SourceParts {
  readonly store: Pick<Work, 'claim'>
  readonly runtime: Runtime
  readonly reporter: Reporter
  readonly sink: Sink
  readonly session: string
  readonly queues: readonly string[] | null
  readonly newToken: () => number
  /** Is something else so far behind that nothing more is to be claimed? */
  readonly isHeldBack: () => boolean
  /** Outcomes are about to be sent. A claim goes right behind them: it may find what they let go, and share their commit. */
  readonly isAboutToSettle: () => boolean
  /** Hands back a job that was not begun. */
  readonly giveBack: (job: ClaimedJob) => void
  /** When the next delayed job is due; null when there is none. */
  readonly onNextAt: (at: number | null) => void
}

const mostPerClaim = 500
/** A claim asks for as many jobs as bring about so many characters of arguments and inputs, judged by the jobs before. */
const mostBytes = 8 * 1024 * 1024
/** No more than so many milliseconds of work is held for slots to come free. */
const mostWorkAhead = 50
/** Jobs that waited so long for a slot are better given to another worker. */
const longestWait = 100
/** Handlers that end at once are run so many milliseconds at a stretch; then the event loop gets its turn. */
const longestStretch = 10
/**
 * While what one request brought is run, a store that answers later prepares what the next one brings. An embedded store
 * works on this thread, so that asking it early gains nothing: batches only get smaller.
 */
const mostRequests = 2
/** A request beside another one has to be worth it. */
const fewestBeside = 100
/** Then so many handlers that end at once are run at a stretch: outcomes go to the store while the next ones run. */
const mostPerStretch = 250

/** Claims jobs into free slots, and a little ahead where they are short. */
export class Source {
  readonly #parts: SourceParts
  readonly #backoff: Backoff
  #waiting: ClaimedJob[] = []
  #next = 0
  /** When jobs were last claimed or begun, by the measuring clock. */
  #movedAt = 0
  readonly #claiming = new Set<Promise<void>>()
  /** How many jobs are asked for and have not come. */
  #asked = 0
  #mayBeMore = false
  /** The mean size of late claims' jobs, in characters. */
  #bytesPerJob = 1
  /** A request asks for no more than this: halved where one got no answer or was refused, doubled with every answer. */
  #most = mostPerClaim
  /** The last request was answered with as many jobs as it asked for. */
  #wasFull = false
  /** Counts the times it was woken: a request sent before may not have seen what it was woken for. */
  #wakes = 0
  /** The store answered the last request in a later turn of the event loop than the one in which it was asked. */
  #answersLater = false
  #stretchFrom: number | null = null
  #stretchCount = 0
  #isFilling = false
  #isStopped = false
  #staleTimer: Timer | null = null

  constructor(parts: SourceParts) {
    this.#parts = parts
    this.#backoff = new Backoff(parts.runtime)
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#next
  }

  /** There may be something to claim. */
  wake(): void {
    this.#mayBeMore = true
    this.#wakes++
    this.pull()
  }

  /** Fills the free slots, then claims where there is room. */
  pull(): void {
    this.#fill()
    this.#claimIntoRoom()
  }

  /** Takes a job that was not begun out again, where it is here. */
  withdraw(id: string, token: number): ClaimedJob | undefined {
    const at = this.#waiting.findIndex((job, n) => n >= this.#next && job.id === id && job.token === token)
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]
  }

  /** The jobs that were claimed and not begun. */
  jobs(): ClaimedJob[] {
    return this.#waiting.slice(this.#next)
  }

  /** Claims no more and hands back what was not begun. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#backoff.cancel()
    this.#staleTimer?.cancel()
    this.#giveBackAll()
    await Promise.all(this.#claiming)
  }

  #claimIntoRoom(): void {
    if (this.#isStopped || !this.#mayBeMore || this.#parts.isHeldBack() || this.#parts.isAboutToSettle()) return
    const { sink } = this.#parts
    const most = this.#answersLater ? mostRequests : 1
    while (this.#claiming.size < most) {
      const room = roomFor(sink.freeCount, this.waitingCount + this.#asked, sink.paceOfJobs(), most)
      const limit = Math.min(room, this.#fitting)
      const isBeside = this.#claiming.size > 0
      if (limit === 0 || (isBeside && (limit < fewestBeside || !this.#wasFull))) return
      const claiming: Promise<void> = this.#claim(limit, () => this.#claiming.delete(claiming))
      this.#claiming.add(claiming)
    }
  }

  /** How many jobs one request may ask for: at least one. */
  get #fitting(): number {
    return Math.max(1, Math.min(this.#most, Math.floor(mostBytes / this.#bytesPerJob)))
  }

  /** Grows at once with the jobs that come, and shrinks by half a claim. */
  #measure(jobs: readonly ClaimedJob[]): void {
    if (jobs.length === 0) return
    const mean = jobs.reduce((sum, job) => sum + sizeOf(job), 0) / jobs.length
    this.#bytesPerJob = Math.max(1, mean, this.#bytesPerJob / 2)
  }

  async #claim(limit: number, answered: () => void): Promise<void> {
    const { newToken, runtime, onNextAt } = this.#parts
    const wakes = this.#wakes
    this.#asked += limit
    const { asked, ...answer } = await this.#request(newToken(), limit)
    this.#asked -= limit
    answered()
    this.#measure(answer.jobs)
    this.#wasFull = answer.jobs.length >= asked
    this.#mayBeMore = this.#wasFull || this.#wakes !== wakes
    this.#movedAt = runtime.elapsed()
    this.#waiting = [...this.jobs(), ...answer.jobs]
    this.#next = 0
    onNextAt(answer.nextAt)
    if (this.#isStopped) this.#giveBackAll()
    else this.pull()
  }

  /**
   * Asks again under the same token until it is answered: the store may have acted on a request whose reply was lost. What gets no
   * answer or is refused may be too large an answer: the repeat asks for half.
   */
  async #request(token: number, limit: number): Promise<ClaimAnswer & { readonly asked: number }> {
    const { store, session, queues, reporter, runtime } = this.#parts
    let asked = limit
    for (let isRepeated = false; !this.#isStopped; isRepeated = true) {
      try {
        let isLater = false
        runtime.soon(() => void (isLater = true))
        const answer = await store.claim({ session, token, limit: asked, queues, isRepeated })
        this.#most = Math.min(mostPerClaim, this.#most * 2)
        this.#answersLater = isLater
        this.#backoff.reset()
        reporter.over('claim', 'Claiming jobs works again.')
        return { ...answer, asked }
      } catch (error) {
        // It is not tried again.
        if (this.#isStopped) break
        reporter.trouble('claim', 'Claiming jobs failed', error)
        if (mayBeTooLarge(error)) this.#most = asked = Math.max(1, asked >> 1)
        await this.#backoff.wait()
      }
    }
    return { jobs: [], nextAt: null, asked }
  }

  #fill(): void {
    // A handler that runs at once may send jobs itself, and so come back here.
    if (this.#isFilling) return
    this.#isFilling = true
    const before = this.#next
    while (this.waitingCount > 0 && this.#parts.sink.freeCount > 0 && this.#hasStretchLeft()) {
      this.#parts.sink.start(this.#waiting[this.#next++]!)
      // A store that answers later can prepare the next jobs while the second half of these runs.
      if (this.#answersLater && (this.#next & 63) === 0) this.#claimIntoRoom()
    }
    this.#isFilling = false
    if (this.#next > before) this.#movedAt = this.#parts.runtime.elapsed()
    if (this.waitingCount === 0) {
      this.#waiting = []
      this.#next = 0
    } else if (this.#staleTimer === null) this.#watchForStale()
  }

  /** Counts from the first handler that began in this turn of the event loop. */
  #hasStretchLeft(): boolean {
    const { runtime } = this.#parts
    const now = runtime.elapsed()
    if (this.#stretchFrom === null) {
      this.#stretchFrom = now
      this.#stretchCount = 0
      runtime.soon(() => {
        this.#stretchFrom = null
        this.pull()
      })
    }
    if (this.#answersLater && ++this.#stretchCount > mostPerStretch) return false
    return now - this.#stretchFrom < longestStretch
  }

  #watchForStale(): void {
    const { runtime } = this.#parts
    this.#staleTimer = runtime.after(longestWait, () => {
      this.#staleTimer = null
      if (runtime.elapsed() - this.#movedAt >= longestWait) this.#giveBackAll()
      if (this.waitingCount > 0) this.#watchForStale()
    })
  }

  #giveBackAll(): void {
    const unbegun = this.#waiting.slice(this.#next)
    this.#waiting = []
    this.#next = 0
    if (unbegun.length > 0) this.#mayBeMore = true
    for (const job of unbegun) this.#parts.giveBack(job)
  }
}

const mayBeTooLarge = (error: unknown): boolean =>
  error instanceof StoreUnavailable ? error.mayBeStored : error instanceof CeleriacError && !isPassing(error)

/** The characters that a job brought along. */
function sizeOf({ args, input }: ClaimedJob): number {
  if (input.from !== 'results' || input.results === null) return args.length
  return input.results.reduce((sum, result) => sum + ('json' in result ? (result.json?.length ?? 0) : 0), args.length)
}

/**
 * How many jobs to claim: into free slots, and ahead of them only as many as are done within 50 ms. Claiming ahead
 * waits until half of what was held is used, so that requests stay few.
 *
 * @param freeSlots places for a handler to start at once
 * @param waiting jobs claimed or asked for and not begun
 * @param pace the mean time from the end of one job to the next, in milliseconds; null while unknown
 * @param requests how many requests may be under way at once: so many times as much is held ahead
 */
export function roomFor(freeSlots: number, waiting: number, pace: number | null, requests = 1): number {
  const ahead = pace === null ? 0 : Math.min(mostPerClaim * requests, Math.floor(mostWorkAhead / pace))
  if (waiting > freeSlots + ahead / 2) return 0
  return Math.min(mostPerClaim, Math.max(0, freeSlots + ahead - waiting))
}
