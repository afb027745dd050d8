import type { CollectionState } from '../../core/collection.ts'
import type { JobState } from '../../core/job.ts'
import type { Row } from './rows.ts'

/** Colour is never the only sign: each state has one of its own, and its name stands beside it. */
const marks: Readonly<Record<JobState, string>> = {
  waiting: '·',
  scheduled: '◷',
  queued: '○',
  running: '●',
  succeeded: '✓',
  failed: '✗',
  cancelled: '⊘',
  skipped: '−',
}

export type Content = Pick<Row, 'name' | 'about' | 'progress' | 'failure' | 'duration'> &
  Partial<Pick<Row, 'isLong' | 'isWhole'>> & {
    readonly state: JobState | CollectionState
    readonly isSide?: boolean
    readonly isOpen?: boolean | null
  }

/** An element, which is a part that pages may style. Texts are set as text, whatever stands in them. */
export function part(kind: string, name: string, within?: Element): HTMLElement {
  const made = document.createElement(kind)
  made.className = name
  made.part.add(name)
  within?.append(made)
  return made
}

/** One line of the page: of the whole collection, or of a part of it. */
export class LineView {
  readonly element: HTMLElement
  readonly #kind: string
  readonly #mark: HTMLElement
  readonly #twist: HTMLElement
  readonly #name: Text
  readonly #about: HTMLElement
  readonly #state: HTMLElement
  readonly #duration: HTMLElement
  readonly #progress: HTMLElement
  readonly #bar: HTMLElement
  readonly #fill: HTMLElement
  readonly #text: HTMLElement
  readonly #failure: HTMLElement
  readonly #all: HTMLElement

  constructor(kind: 'head' | 'row') {
    this.#kind = kind
    this.element = part('div', kind)
    this.#mark = part('span', 'mark', this.element)
    const what = part('span', 'what', this.element)
    const name = part('span', 'name', what)
    this.#twist = part('span', 'twist', name)
    this.#name = name.appendChild(document.createTextNode(''))
    this.#about = part('span', 'about', what)
    const right = part('span', 'right', this.element)
    this.#state = part('span', 'state', right)
    this.#duration = part('span', 'duration', right)
    this.#progress = part('div', 'progress', this.element)
    this.#bar = part('span', 'bar', this.#progress)
    this.#fill = part('div', 'fill', this.#bar)
    this.#text = part('span', 'text', this.#progress)
    this.#failure = part('div', 'failure', this.element)
    this.#all = part('div', 'all', this.element)
    this.#mark.ariaHidden = this.#twist.ariaHidden = this.#text.ariaHidden = 'true'
    this.#bar.role = 'progressbar'
  }

  show(content: Content): void {
    const { state, name, about, duration, failure, isOpen = null, isSide = false } = content
    this.element.className = `${this.#kind} is-${state}`
    this.element.part.value = `${this.#kind} ${state}`
    write(this.#mark, marks[state])
    write(this.#twist, isOpen === null ? (isSide ? '↳' : '') : isOpen ? '▾' : '▸')
    this.#twist.hidden = this.#twist.textContent === ''
    write(this.#name, name)
    write(this.#about, about)
    write(this.#state, state)
    write(this.#duration, duration)
    write(this.#failure, failure)
    this.#about.hidden = about === ''
    this.#failure.hidden = failure === ''
    write(this.#all, content.isWhole ? 'Show less' : 'Show all of it')
    this.#all.hidden = content.isLong !== true
    this.#duration.hidden = duration === ''
    this.#showProgress(content)
  }

  #showProgress({ progress, name }: Content): void {
    this.#progress.hidden = !progress
    if (!progress) return
    const { share, text } = progress
    this.#fill.style.setProperty('--share', String(share ?? 0))
    this.#bar.hidden = share === null
    this.#bar.ariaLabel = name
    this.#bar.ariaValueMin = '0'
    this.#bar.ariaValueMax = '100'
    this.#bar.ariaValueNow = String(Math.floor((share ?? 0) * 100))
    this.#bar.ariaValueText = text
    write(this.#text, text)
  }
}

/** Only what differs is written: a page that is read aloud, or selected in, is left alone. */
function write(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}
