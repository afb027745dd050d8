import { span, type Span } from './line.ts'
import { symbolsOf, type View } from './view.ts'

/** How much of a whole, as a bar of so many columns: full only when all is done, empty only when nothing is. */
export function drawBar(share: number, columns: number, view: View): Span[] {
  const { full, empty } = symbolsOf(view)
  const exact = Math.round(share * columns)
  const filled = share >= 1 ? columns : share <= 0 ? 0 : Math.min(columns - 1, Math.max(1, exact))
  return [span(full.repeat(filled), 'green'), span(empty.repeat(columns - filled), 'dim')]
}
