import type { JobState } from '../../core/job.ts'
import { LineView, part } from './line-view.ts'
import { moreKey, pageSize, type Row } from './rows.ts'

/** Rows as a tree that can be walked through by keys: https://www.w3.org/WAI/ARIA/apg/patterns/treeview/ */
export class TreeView {
  readonly element = part('div', 'tree')
  /** What people have opened or closed; and of what is long, how much they want to see. */
  readonly open = new Map<string, boolean>()
  readonly shown = new Map<string, number>()
  readonly whole = new Set<string>()
  only: JobState | null = null
  readonly #views = new Map<string, LineView>()
  readonly #changed: () => void
  #rows: readonly Row[] = []
  /** The one row that the tab key leads to. */
  #current = ''

  /** @param changed called when people want to see something else */
  constructor(changed: () => void) {
    this.#changed = changed
    this.element.role = 'tree'
    this.element.addEventListener('click', (event) => this.#click(event))
    this.element.addEventListener('keydown', (event) => this.#press(event))
    this.element.addEventListener('focusin', (event) => this.#moveTo(keyOf(event.target)))
  }

  show(rows: readonly Row[]): void {
    this.#rows = rows
    const kept = new Set(rows.map(({ key }) => key))
    const hadFocus = this.#views.get(this.#current)?.element.matches(':focus') ?? false
    for (const [key, view] of this.#views) {
      if (kept.has(key)) continue
      view.element.remove()
      this.#views.delete(key)
    }
    const isGone = !kept.has(this.#current)
    if (isGone) this.#current = rows[0]?.key ?? ''
    for (const [index, row] of rows.entries()) this.#place(row, index)
    if (isGone && hadFocus) this.#focus(this.#current)
  }

  #place(row: Row, index: number): void {
    const view = this.#views.get(row.key) ?? this.#add(row.key)
    const { element } = view
    view.show(row)
    element.classList.toggle('more', row.key.startsWith(moreKey))
    element.style.setProperty('--level', String(row.level))
    element.ariaLevel = String(row.level)
    element.ariaPosInSet = String(row.place)
    element.ariaSetSize = String(row.size)
    element.ariaExpanded = row.isOpen === null ? null : String(row.isOpen)
    element.tabIndex = row.key === this.#current ? 0 : -1
    const there = this.element.children[index]
    if (there !== element) this.element.insertBefore(element, there ?? null)
  }

  #add(key: string): LineView {
    const view = new LineView('row')
    view.element.role = 'treeitem'
    view.element.dataset['key'] = key
    this.#views.set(key, view)
    return view
  }

  #click({ target }: Event): void {
    const key = keyOf(target)
    this.#focus(key)
    // People select in a failure: its words open nothing.
    if ((target as Element).closest('.failure')) return
    this.#act(key, (target as Element).closest('.all') !== null)
  }

  #press(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return
    const index = this.#rows.findIndex(({ key }) => key === this.#current)
    const row = this.#rows[index]
    if (!row || !this.#go(event.key, row, index)) return
    event.preventDefault()
    event.stopPropagation()
  }

  /** Whether the key means something here. */
  #go(key: string, row: Row, index: number): boolean {
    const rows = this.#rows
    switch (key) {
      case 'ArrowDown':
        return this.#focus(rows[index + 1]?.key)
      case 'ArrowUp':
        return this.#focus(rows[index - 1]?.key)
      case 'Home':
        return this.#focus(rows[0]?.key)
      case 'End':
        return this.#focus(rows.at(-1)?.key)
      case 'ArrowRight':
        return row.isOpen === false ? this.#act(row.key) : this.#focus(row.isOpen ? rows[index + 1]?.key : undefined)
      case 'ArrowLeft':
        if (row.isOpen) return this.#act(row.key)
        return this.#focus(rows.slice(0, index).findLast(({ level }) => level < row.level)?.key)
      case 'Enter':
      case ' ':
        return this.#act(row.key)
      default:
        return false
    }
  }

  /** Opens or closes it, or shows more; `isOfFailure`: of its failure. */
  #act(key: string, isOfFailure = false): boolean {
    const row = this.#rows.find((one) => one.key === key)
    if (!row) return false
    if (key.startsWith(moreKey)) {
      const parent = key.slice(moreKey.length)
      this.shown.set(parent, (this.shown.get(parent) ?? pageSize) + pageSize)
    } else if (row.isOpen !== null && !isOfFailure) this.open.set(key, !row.isOpen)
    else if (row.isLong && !this.whole.delete(key)) this.whole.add(key)
    this.#changed()
    return true
  }

  #focus(key: string | undefined): boolean {
    this.#views.get(key ?? '')?.element.focus()
    return true
  }

  #moveTo(key: string): void {
    if (!this.#views.has(key) || key === this.#current) return
    const before = this.#views.get(this.#current)
    if (before) before.element.tabIndex = -1
    this.#current = key
    this.#views.get(key)!.element.tabIndex = 0
  }
}

const keyOf = (target: EventTarget | null): string =>
  (target as Element | null)?.closest<HTMLElement>('[data-key]')?.dataset['key'] ?? ''
