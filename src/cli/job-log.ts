import type { Change } from '../core/event.ts'
import type { JobDetail } from '../core/job.ts'
import { formatDuration } from '../core/time.ts'
import { isFinal } from '../core/transitions.ts'
import type { Engine } from '../engine/engine.ts'
import { describeFailure } from './job-line.ts'
import { drawLine, span } from './line.ts'
import { formatCount, glyphOf, styleOf } from './state.ts'
import type { Terminal } from './terminal.ts'
import { printable } from './text.ts'
import type { View } from './view.ts'

/** Jobs that ended are looked up one by one, so of many at once only so many are told of. */
const mostTold = 50

/** A line for each job that ends, whoever sent it: what somebody who develops tasks wants to see. */
export class JobLog {
  readonly #engine: Engine
  readonly #terminal: Terminal
  #cursor = ''
  #reading: Promise<void> | undefined
  #isStale = false
  #unsubscribe: () => void = () => {}

  constructor(engine: Engine, terminal: Terminal) {
    this.#engine = engine
    this.#terminal = terminal
  }

  async start(): Promise<void> {
    this.#cursor = await this.#engine.cursor()
    this.#unsubscribe = this.#engine.subscribe(({ changed }) => {
      if (changed) this.#wake()
    })
  }

  /** Tells what is still to be told. */
  async stop(): Promise<void> {
    this.#unsubscribe()
    this.#wake()
    await this.#reading
  }

  #wake(): void {
    this.#isStale = true
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined))
  }

  async #read(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      try {
        await this.#readPage()
      } catch {
        // The store is away: the worker says so, and the next signal tries again.
      }
    }
  }

  async #readPage(): Promise<void> {
    const { changes, cursor, more, gap } = await this.#engine.events({
      after: this.#cursor,
      collections: null,
      limit: 500,
    })
    this.#cursor = gap ? await this.#engine.cursor() : cursor
    this.#isStale ||= more
    const ended = [...new Set(changes.filter(isWorthTelling).map(({ jobId }) => jobId))]
    for (const id of ended.slice(0, mostTold)) {
      const job = await this.#engine.job(id)
      if (job) this.#terminal.note(...drawEnd(job, this.#terminal.view))
    }
    const rest = ended.length - mostTold
    if (rest > 0) this.#terminal.note(`… and ${formatCount(rest)} more jobs`)
  }
}

const isWorthTelling = (change: Change): change is Extract<Change, { type: 'job' }> =>
  change.type === 'job' && (change.state === 'succeeded' || change.state === 'failed' || change.state === 'scheduled')

function drawEnd(job: JobDetail, view: View): string[] {
  const { state, failure, startedAt, finishedAt } = job
  if (state === 'scheduled' && job.failures === 0) return []
  const took =
    startedAt !== null && isFinal(state) ? formatDuration(Math.max(0, (finishedAt ?? view.now) - startedAt)) : ''
  const why = failure && state !== 'succeeded' ? describeFailure(failure) : ''
  const left = [
    span(`${glyphOf(state, view)} `, styleOf(state)),
    span(printable(job.task)),
    span(why === '' ? '' : `  ${printable(why)}`, 'red'),
    span(state === 'scheduled' ? '  again soon' : '', 'dim'),
  ]
  return [drawLine(left, [span(`${took}  ${job.id.slice(0, 18)}`, 'dim')], view)]
}
