import type { CollectionEvent, CollectionSnapshot } from '../../core/handle.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'
import { part } from './line-view.ts'

/** Not more often than that, in milliseconds: who listens to a page has other things to hear as well. */
const pause = 4_000

/** Says what has happened to those who listen to the page: what failed, each quarter that is done, and the end. */
export class Announcer {
  readonly element = part('div', 'unseen')
  readonly #runtime: Runtime
  readonly #failed = new Set<string>()
  #quarter = 0
  #next = ''
  #timer: Timer | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    this.element.role = 'status'
  }

  hear(event: CollectionEvent, { jobs, progress: { done, total } }: CollectionSnapshot): void {
    const quarter = total === 0 ? 0 : Math.floor((4 * done) / total)
    if (event.type === 'snapshot') this.#quarter = quarter
    if (event.type === 'round') {
      this.#failed.clear()
      this.#quarter = quarter
      this.#say(`Round ${event.round} has begun.`)
    }
    if (event.type === 'state' && event.state === 'failed') this.#failed.add(event.jobId)
    const failed = jobs.filter(({ id }) => this.#failed.has(id)).map(({ task }) => task)
    const trouble = failed.length === 0 ? '' : ` ${failed.length === 1 ? failed[0] : `${failed.length} jobs`} failed.`
    if (event.type === 'settled') this.#say(`All is over: ${event.state}.${trouble}`)
    else if (quarter > this.#quarter || (event.type === 'state' && event.state === 'failed')) {
      this.#quarter = quarter
      this.#say(`${done} of ${total} done.${trouble}`)
    }
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#next = ''
    this.#failed.clear()
  }

  /** The newest is what counts. */
  #say(text: string): void {
    this.#next = text
    if (!this.#timer) this.#speak()
  }

  #speak(): void {
    this.element.textContent = this.#next
    this.#next = ''
    this.#timer = this.#runtime.after(pause, () => {
      this.#timer = undefined
      if (this.#next !== '') this.#speak()
    })
  }
}
