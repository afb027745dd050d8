import type { CollectionEvent, CollectionSnapshot } from '../../core/handle.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'

/** Not more often than that, in milliseconds: who listens to a page has other things to hear as well. */
const pause = 4_000

/** Says what has happened to those who listen to the page: what failed, each quarter that is done, and the end. */
export class Announcer {
  readonly #runtime: Runtime
  readonly #say: (text: string) => void
  readonly #failed = new Set<string>()
  #quarter = 0
  #isNews = false
  #end = ''
  #timer: Timer | undefined

  constructor(runtime: Runtime, say: (text: string) => void) {
    this.#runtime = runtime
    this.#say = say
  }

  hear(event: CollectionEvent): void {
    if (event.type === 'snapshot' || event.type === 'round') {
      this.#failed.clear()
      this.#end = ''
      this.#quarter = event.type === 'snapshot' ? quarterOf(event.collection) : 0
      this.#isNews = event.type === 'round'
    } else if (event.type === 'settled') {
      this.#end = `All is over: ${event.state}.`
      this.#isNews = true
    } else if (event.type === 'state' && event.state === 'failed') {
      this.#failed.add(event.jobId)
      this.#isNews = true
    }
  }

  /** Called when the page shows how things stand, again and again. */
  show(snapshot: CollectionSnapshot): void {
    const quarter = quarterOf(snapshot)
    this.#isNews ||= quarter > this.#quarter
    if (!this.#isNews || this.#timer) return
    this.#isNews = false
    this.#quarter = quarter
    const { jobs, progress } = snapshot
    const failed = jobs.filter(({ id }) => this.#failed.has(id)).map(({ task }) => task)
    const trouble = failed.length === 0 ? '' : ` ${failed.length === 1 ? failed[0] : `${failed.length} jobs`} failed.`
    this.#say((this.#end || `${progress.done} of ${progress.total} done.`) + trouble)
    this.#timer = this.#runtime.after(pause, () => (this.#timer = undefined))
  }

  /** Whether something is still to be said, when it may be. */
  get hasNews(): boolean {
    return this.#isNews
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#isNews = false
  }
}

const quarterOf = ({ progress: { done, total } }: CollectionSnapshot): number =>
  total === 0 ? 0 : Math.floor((4 * done) / total)
