import type { JobState } from '../../core/job.ts'
import { part } from './line-view.ts'

/** What needs attention comes first. */
const order: readonly JobState[] = [
  'failed',
  'running',
  'queued',
  'scheduled',
  'waiting',
  'cancelled',
  'skipped',
  'succeeded',
]

/** Of many jobs, those in one state: buttons that say how many there are. */
export class FilterView {
  readonly element = part('div', 'filter')
  readonly #buttons = new Map<JobState | null, HTMLButtonElement>()

  /** @param choose told of the state whose jobs people want to see; null: all of them, as a tree */
  constructor(choose: (only: JobState | null) => void) {
    this.element.role = 'group'
    this.element.ariaLabel = 'Show jobs'
    for (const state of [null, ...order]) {
      const button = part('button', 'choice', this.element) as HTMLButtonElement
      button.type = 'button'
      button.classList.add(`is-${state ?? 'all'}`)
      button.addEventListener('click', () => choose(state))
      this.#buttons.set(state, button)
    }
  }

  show(counts: Readonly<Record<JobState, number>>, only: JobState | null): void {
    for (const [state, button] of this.#buttons) {
      const text = state === null ? 'all' : `${counts[state].toLocaleString('en')} ${state}`
      if (button.textContent !== text) button.textContent = text
      button.hidden = state !== null && state !== only && counts[state] === 0
      button.ariaPressed = String(state === only)
    }
  }
}
