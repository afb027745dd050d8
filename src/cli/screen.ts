import type { Terminal } from './terminal.ts'

const escape = '\x1b['
const hideCursor = `${escape}?25l`
const showCursor = `${escape}?25h`
const clearBelow = `${escape}J`

/** A block of lines at the end of the output that is drawn over until it is left standing. */
export class Screen {
  readonly #terminal: Terminal
  #height = 0
  #isOpen = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** Draws the lines over those drawn before. They must fit into the window: what has scrolled out of it stays. */
  draw(lines: readonly string[]): void {
    const start = this.#isOpen ? this.#back() : hideCursor
    this.#isOpen = true
    // Each line is cleared after it is written, not before: nothing flickers.
    const text = lines.map((line) => `${line}${escape}K\n`).join('')
    this.#terminal.write(`${start}${text}${clearBelow}`)
    this.#height = lines.length
  }

  /** Draws for the last time, as long as it may be, and gives the cursor back. */
  close(lines?: readonly string[]): void {
    if (lines) this.draw(lines)
    if (this.#isOpen) this.#terminal.write(showCursor)
    this.#isOpen = false
    this.#height = 0
  }

  #back(): string {
    return this.#height > 0 ? `${escape}${this.#height}F` : ''
  }
}
