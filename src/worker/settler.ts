import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { Graph } from '../core/graph.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Intake } from '../engine/intake.ts'
import type { ClaimedJob, SettleAnswer, Settlement, Work } from '../engine/work.ts'
import { Backoff } from '../core/backoff.ts'
import { argumentSize, comesInParts, partsOf } from '../engine/parts.ts'
import { sizeOfOutcome } from './outcome-size.ts'
import { isPassing } from './passing.ts'
import type { Reporter } from './report.ts'

/** A settlement on its way, and the job it is of. */
export interface OwedSettlement extends Settlement {
  readonly job: ClaimedJob
  /** When its attempt ended, and how long that ran; nothing where it had not begun. In milliseconds. */
  readonly endedAt: number
  readonly ran: number
  /** It stands in the place of one that was refused. */
  readonly isSubstitute?: true
}

export interface SettlerParts {
  readonly store: Pick<Work, 'settle'> & Pick<Intake, 'upload' | 'partSize'>
  readonly runtime: Runtime
  readonly reporter: Reporter
  /** What must be stored before any outcome is: the log lines of the jobs. Null when there is nothing. */
  readonly before: () => Promise<void> | null
  /** Any other write to the store: throws when that does not work either. */
  readonly probe: () => Promise<unknown>
  /** What a job comes to when the store refuses the data of what it came to. */
  readonly asRefused: (job: ClaimedJob, refusal: Refusal) => Outcome
  /** The store has answered for one. */
  readonly onAnswered: (item: OwedSettlement, answer: SettleAnswer) => void
  /** A group has just been sent: a claim that is made now may share its commit. */
  readonly onSent: (batch: readonly OwedSettlement[]) => void
  /** A flush is over: there may be room again. */
  readonly onFlushed: () => void
}

const largestBatch = 1_000
/** Maximum size of one request, in characters of results, failures and arguments. One outcome may be larger by itself. */
const largestBytes = 8 * 1024 * 1024
/** A request below this size, in characters, is not too large for a store: if it fails, its size is not the cause. */
const smallBytes = 64 * 1024
/** After so many requests without an answer a large outcome alone is taken to be the cause, if the store answers others. */
const mostUnanswered = 5
/** While a store that answers later works on one group, this worker fills the next. An embedded one works on this thread. */
const mostRequests = 2
/** A group beside another one has to be worth a request of its own. */
const fewestBeside = 100
/** The longest pause before what somebody holds is sent again, in milliseconds. */
const longestHeld = 2_000
/** With so many outcomes unsettled, or so many characters of them, claiming more would only fill the memory. */
const tooMany = 2_000
const tooManyBytes = 64 * 1024 * 1024

/**
 * Settles in groups. The first outcome of an idle worker goes at the end of this turn of the event loop, with whatever
 * else ended in it; while one request is under way the next group gathers, and goes before it is answered only when it has
 * become large. While the store is away everything is kept. A request that gets no answer may be too large for it: the
 * next one carries half.
 */
export class Settler {
  readonly #parts: SettlerParts
  readonly #backoff: Backoff
  #pending: OwedSettlement[] = []
  /** The groups under way, and what waits for the parts of its canvas to be stored. */
  readonly #groups = new Set<Group>()
  readonly #uploading = new Set<OwedSettlement>()
  #size = 0
  #bytes = 0
  /** Somebody holds what these need: they are sent again by themselves, and hold up no others. */
  #held: OwedSettlement[] = []
  #retried: readonly OwedSettlement[] = []
  readonly #heldBackoff: Backoff
  #isRetrying = false
  /** A group goes at the end of this turn. */
  #isDue = false
  /** The store answered for the last group in a later turn of the event loop than the one in which it was sent. */
  #answersLater = false
  #isAbandoned = false
  #waiters: (() => void)[] = []

  constructor(parts: SettlerParts) {
    this.#parts = parts
    this.#backoff = new Backoff(parts.runtime)
    this.#heldBackoff = new Backoff(parts.runtime, longestHeld)
  }

  /** Outcomes that the store has not answered for yet. */
  get size(): number {
    return this.#size
  }

  /** The jobs whose outcomes these are. */
  jobs(): ClaimedJob[] {
    return this.#items().map(({ job }) => job)
  }

  /** Outcomes that have not been sent. */
  get unsent(): readonly OwedSettlement[] {
    return this.#pending
  }

  /** When the first of these attempts ended; null when there is none. */
  get unsettledSince(): number | null {
    const items = this.#items()
    return items.length === 0 ? null : items.reduce((first, { endedAt }) => Math.min(first, endedAt), Infinity)
  }

  #items(): OwedSettlement[] {
    const sent = [...this.#groups].flatMap(({ items }) => items)
    return [...sent, ...this.#pending, ...this.#uploading, ...this.#held, ...this.#retried]
  }

  /** Is it so far behind, or the store away, that nothing more should be claimed? */
  get isBehind(): boolean {
    return this.#size > tooMany || this.#bytes > tooManyBytes || this.#backoff.failures > 0
  }

  /** Outcomes are sent within a turn of the event loop. */
  get isAboutToFlush(): boolean {
    if (this.#pending.length === 0) return false
    return this.#isDue || [...this.#groups].every(({ isAnswered }) => isAnswered)
  }

  add(item: OwedSettlement): void {
    if (this.#isAbandoned) return
    this.#size++
    this.#bytes += this.#sizeOf(item)
    if (item.outcome.type === 'continued' && comesInParts(item.outcome.graph, this.#parts.store.partSize)) {
      void this.#uploadFirst(item, item.outcome.graph)
    } else this.#enqueue(item)
  }

  /** Resolves when the store has answered for everything, or it was given up. */
  idle(): Promise<void> {
    return this.#size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Gives up on what is left; says how much that was. */
  abandon(): number {
    const lost = this.#size
    this.#isAbandoned = true
    this.#pending = []
    this.#bytes = 0
    this.#backoff.cancel()
    this.#heldBackoff.cancel()
    this.#held = []
    this.#shrink(lost)
    return lost
  }

  #sizeOf({ outcome }: OwedSettlement): number {
    return sizeOfOutcome(outcome, this.#parts.store.partSize)
  }

  #sizeOfAll(items: readonly OwedSettlement[]): number {
    return items.reduce((sum, item) => sum + this.#sizeOf(item), 0)
  }

  #enqueue(item: OwedSettlement): void {
    this.#pending.push(item)
    this.#flushWhenDue()
  }

  /** The next group starts with a turn of its own, so that short jobs gather even where the store answers at once. */
  #flushWhenDue(): void {
    if (this.#isDue || this.#pending.length === 0) return
    const { size } = this.#groups
    const most = this.#answersLater && this.#backoff.failures === 0 ? mostRequests : 1
    if (size >= most || (size > 0 && this.#pending.length < fewestBeside)) return
    this.#isDue = true
    this.#parts.runtime.soon(() => void this.#flush())
  }

  async #flush(): Promise<void> {
    const items = this.#pending
    this.#pending = items.splice(this.#fitting(items))
    const group: Group = { items, isAnswered: false }
    this.#isDue = false
    this.#groups.add(group)
    const settling = this.#settle(items, group)
    this.#parts.onSent(items)
    await settling
    this.#groups.delete(group)
    this.#flushWhenDue()
    this.#parts.onFlushed()
  }

  /** How many of these fit into one request: at least one. */
  #fitting(items: readonly OwedSettlement[]): number {
    const most = Math.min(items.length, largestBatch)
    let bytes = 0
    for (let count = 0; count < most; count++) {
      bytes += this.#sizeOf(items[count]!)
      if (bytes > largestBytes && count > 0) return count
    }
    return most
  }

  async #settle(batch: readonly OwedSettlement[], group: Group): Promise<void> {
    const load = { count: batch.length, bytes: this.#sizeOfAll(batch) }
    const result = await this.#persist('Settling jobs failed', load, () => this.#request(batch, group))
    if (result === 'stored' || result === 'abandoned') return
    // One bad or large outcome must not hold up the others: the batch is halved until it stands alone.
    const middle = batch.length >> 1
    if (middle === 0 && result !== 'unanswered') return this.#refuse(batch[0]!, result)
    await this.#settle(batch.slice(0, middle), group)
    await this.#settle(batch.slice(middle), group)
  }

  async #request(batch: readonly OwedSettlement[], group: Group): Promise<void> {
    const before = this.#parts.before()
    if (before) await before
    let isLater = false
    this.#parts.runtime.soon(() => void (isLater = true))
    const answers = await this.#parts.store.settle(batch)
    this.#answersLater = isLater
    group.isAnswered = true
    for (let n = 0; n < batch.length; n++) {
      if (answers[n] === 'invalid') {
        this.#refuse(batch[n]!, { code: 'STORE_FAILED', why: 'the store does not take its data' })
        continue
      }
      if (answers[n] === 'busy') {
        this.#held.push(batch[n]!)
        continue
      }
      this.#parts.onAnswered(batch[n]!, answers[n]!)
      this.#settled(batch[n]!)
    }
    if (this.#held.length > 0 && !this.#isRetrying) void this.#retryHeld()
  }

  /** Sends what is held again and again, beside all others, until none of it is. */
  async #retryHeld(): Promise<void> {
    const { reporter } = this.#parts
    this.#isRetrying = true
    while (this.#held.length > 0) {
      reporter.warn(
        'held',
        'Somebody holds rows that outcomes need, in a transaction of their own: those outcomes wait for it.',
      )
      await this.#heldBackoff.wait()
      this.#retried = this.#held.splice(0, this.#fitting(this.#held))
      if (this.#retried.length > 0) await this.#settle(this.#retried, { items: this.#retried, isAnswered: false })
      this.#retried = []
    }
    this.#heldBackoff.reset()
    this.#isRetrying = false
    if (!this.#isAbandoned) reporter.over('held', 'Nobody holds rows any more that outcomes need.')
  }

  /**
   * Tries until it is done, refused for its data, or given up: nothing may be lost because the store is away. Several large
   * outcomes that got no answer come back at once, to be sent in smaller requests.
   */
  async #persist(what: string, { count, bytes }: Load, call: () => Promise<void>): Promise<Persisted> {
    const { reporter } = this.#parts
    for (let unanswered = 0; !this.#isAbandoned;) {
      try {
        await call()
        this.#backoff.reset()
        reporter.over('settle', 'Settling jobs works again.')
        return 'stored'
      } catch (error) {
        if (this.#isAbandoned) break
        if (isClosed(error)) return this.#giveUp()
        if (await this.#isFaultOfData(error)) return refusalBy(error)
        reporter.trouble('settle', what, error)
        if (bytes > smallBytes && isUnanswered(error)) unanswered++
        if (unanswered >= mostUnanswered && count === 1 && (await this.#works())) return tooLarge(bytes)
        await this.#backoff.wait()
        if (unanswered > 0 && count > 1) return 'unanswered'
      }
    }
    return 'abandoned'
  }

  /** A store that fails for no reason it can name may have met data that it cannot take: then something else still works. */
  async #isFaultOfData(error: unknown): Promise<boolean> {
    return !isPassing(error) && (await this.#works())
  }

  async #works(): Promise<boolean> {
    try {
      await this.#parts.probe()
      return true
    } catch {
      return false
    }
  }

  #giveUp(): 'abandoned' {
    this.#parts.reporter.warn(
      'closed',
      'The app was closed while its worker ran: jobs under way will run again. Stop the worker first.',
    )
    this.abandon()
    return 'abandoned'
  }

  #refuse(item: OwedSettlement, refusal: Refusal): void {
    this.#parts.reporter.warn('refused', `The store refused a job's outcome (${refusal.why}). The job fails.`)
    if (item.isSubstitute) return this.#settled(item)
    const substitute: OwedSettlement = {
      ...item,
      outcome: this.#parts.asRefused(item.job, refusal),
      isSubstitute: true,
    }
    this.#bytes += this.#sizeOf(substitute) - this.#sizeOf(item)
    this.#enqueue(substitute)
  }

  async #uploadFirst(item: OwedSettlement, graph: Graph): Promise<void> {
    const { store } = this.#parts
    this.#uploading.add(item)
    let result: Persisted = 'stored'
    for (const [part, { from, to }] of partsOf(graph, store.partSize).entries()) {
      const load = { count: 1, bytes: argumentSize(graph.jobs.slice(from, to)) }
      result = await this.#persist('Storing a large canvas failed', load, () => store.upload(graph, part, item))
      if (result !== 'stored') break
    }
    this.#uploading.delete(item)
    if (typeof result === 'object') this.#refuse(item, result)
    else if (result === 'stored') this.#enqueue(item)
  }

  #settled(item: OwedSettlement): void {
    if (this.#isAbandoned) return
    this.#bytes -= this.#sizeOf(item)
    this.#shrink(1)
  }

  #shrink(count: number): void {
    this.#size -= count
    if (this.#size > 0) return
    for (const resolve of this.#waiters.splice(0)) resolve()
  }
}

/** What was sent together. */
interface Group {
  readonly items: readonly OwedSettlement[]
  isAnswered: boolean
}

/** What one request carries. */
interface Load {
  readonly count: number
  /** In characters. */
  readonly bytes: number
}

/** Why a store does not take an outcome. */
export interface Refusal {
  readonly code: 'TOO_LARGE' | 'STORE_FAILED'
  readonly why: string
}

type Persisted = 'stored' | 'abandoned' | 'unanswered' | Refusal

function refusalBy(error: unknown): Refusal {
  const isTooLarge = error instanceof CeleriacError && error.code === 'TOO_LARGE'
  return {
    code: isTooLarge ? 'TOO_LARGE' : 'STORE_FAILED',
    why: error instanceof Error ? error.message : String(error),
  }
}

const tooLarge = (bytes: number): Refusal => ({
  code: 'TOO_LARGE',
  why: `it has ${Math.ceil(bytes / 1024)} KiB, and the store answers smaller requests only: store the data elsewhere and return where it is`,
})

/** It was sent, and no answer came: it may have been too much for the time that there is. */
const isUnanswered = (error: unknown): boolean => error instanceof StoreUnavailable && error.mayBeStored
const isClosed = (error: unknown): boolean => error instanceof CeleriacError && error.code === 'CLOSED'
