import type { CopyProgress } from '../engine/copy.ts'
import { drawBar } from './bar.ts'
import { rowNames } from './copy-table.ts'
import { drawLine, span } from './line.ts'
import { Screen } from './screen.ts'
import { formatCount } from './state.ts'
import type { Terminal } from './terminal.ts'

/** Without a terminal to draw on, a line for so many percent. */
const step = 10

/** How far a copy has come: a bar that is drawn over, or a line now and then beside the output. */
export class CopyDrawing {
  readonly #terminal: Terminal
  readonly #isSilent: boolean
  readonly #screen: Screen
  #told = -1

  constructor(terminal: Terminal, isSilent: boolean) {
    this.#terminal = terminal
    this.#isSilent = isSilent
    this.#screen = new Screen(terminal)
  }

  draw({ kind, done, total }: CopyProgress): void {
    if (this.#isSilent) return
    const share = total === 0 ? 1 : Math.min(1, done / total)
    const { view, isLive } = this.#terminal
    const told = `${formatCount(done)} of ${formatCount(total)} rows`
    if (isLive) {
      const right = [span(` ${Math.floor(share * 100)}%`.padStart(6), 'dim')]
      const left = [...drawBar(share, 24, view), span(`  ${told}  ${rowNames[kind]}`)]
      return this.#screen.draw([drawLine(left, right, view)])
    }
    const reached = Math.floor((share * 100) / step)
    if (reached <= this.#told) return
    this.#told = reached
    this.#terminal.note(`copied ${told} (${Math.floor(share * 100)}%)`)
  }

  close(): void {
    this.#screen.close()
  }
}
