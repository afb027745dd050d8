import { printable, wrap } from './text.ts'
import { symbolsOf, type Style, type View } from './view.ts'

export interface Row {
  readonly title: string
  readonly text: string
  readonly style?: Style
  /** At most so many lines. */
  readonly most?: number
}

const titleWidth = 9

/** Titles on the left, texts beside them, broken into lines. */
export function drawSection(rows: readonly Row[], view: View): string[] {
  const { ellipsis } = symbolsOf(view)
  return rows.flatMap(({ title, text, style, most }) =>
    wrap(text, view.width - titleWidth - 2, most, ellipsis).map((line, index) => {
      const name = `  ${printable(index === 0 ? title : '').padEnd(titleWidth)}`
      return `${view.paint('dim', name)}${view.paint(style, line)}`
    }),
  )
}
