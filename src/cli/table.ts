import { drawLine, span } from './line.ts'
import { displayWidth, fit, printable } from './text.ts'
import { symbolsOf, type Style, type View } from './view.ts'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  readonly style?: (row: Row) => Style | undefined
  readonly align?: 'left' | 'right'
  /** May be cut down to so many columns of the terminal where there is too little room. Without it: never. */
  readonly least?: number
  /** Left out where there is still too little room; the highest number first. Without it: never. */
  readonly expendable?: number
}

/** Rows under titles, no wider than the view: wide columns are cut, then those that can be done without are left out. */
export function drawTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], view: View): string[] {
  const cells = rows.map((row) => new Map(columns.map((column) => [column, printable(column.value(row))])))
  const shown = chooseColumns(columns, cells, view.width)
  const { ellipsis } = symbolsOf(view)
  const drawRow = (
    cell: (column: Column<Row>) => string,
    style: (column: Column<Row>) => Style | undefined,
  ): string => {
    const spans = shown.flatMap(({ column, width }) => [
      span('  '),
      span(fit(cell(column), width, column.align, ellipsis), style(column)),
    ])
    return drawLine(spans.slice(1), [], view)
  }
  return [
    drawRow(
      ({ title }) => title,
      () => 'dim',
    ),
    ...rows.map((row, index) =>
      drawRow(
        (column) => cells[index]!.get(column)!,
        ({ style }) => style?.(row),
      ),
    ),
  ]
}

interface ShownColumn<Row> {
  readonly column: Column<Row>
  readonly width: number
}

function chooseColumns<Row>(
  columns: readonly Column<Row>[],
  cells: readonly ReadonlyMap<Column<Row>, string>[],
  room: number,
): ShownColumn<Row>[] {
  const natural = columns.map((column) => {
    const widths = cells.map((row) => displayWidth(row.get(column)!))
    return { column, width: widths.reduce((most, width) => Math.max(most, width), displayWidth(column.title)) }
  })
  const excess = natural.reduce((sum, { width }) => sum + width, (columns.length - 1) * 2) - room
  if (excess <= 0) return natural
  const shrunk = shrink(natural, excess)
  if (shrunk) return shrunk
  const mostExpendable = Math.max(...columns.map(({ expendable = 0 }) => expendable))
  if (mostExpendable === 0) return natural
  const rest = columns.filter(({ expendable = 0 }) => expendable !== mostExpendable)
  return chooseColumns(rest, cells, room)
}

/** Takes the excess from the columns that may be cut, the widest first; null where they cannot give so much. */
function shrink<Row>(columns: readonly ShownColumn<Row>[], excess: number): ShownColumn<Row>[] | null {
  const widths = columns.map(({ width }) => width)
  for (let left = excess; left > 0; left--) {
    let widest = -1
    for (const [index, { column }] of columns.entries()) {
      const canGive = column.least !== undefined && widths[index]! > column.least
      if (canGive && (widest === -1 || widths[index]! > widths[widest]!)) widest = index
    }
    if (widest === -1) return null
    widths[widest]! -= 1
  }
  return columns.map(({ column }, index) => ({ column, width: widths[index]! }))
}
