import { styleText } from 'node:util'

/** How to draw, decided once by the terminal: all that renders takes it and is pure besides. */
export interface View {
  /** Columns; no line is ever longer. */
  readonly width: number
  /** Box drawing and symbols; else ASCII. */
  readonly unicode: boolean
  readonly paint: Paint
  /** Milliseconds since 1970, for what is still under way. */
  readonly now: number
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta'
export type Paint = (style: Style | undefined, text: string) => string

export const plainPaint: Paint = (_, text) => text

export const colourPaint: Paint = (style, text) =>
  style === undefined || text === '' ? text : styleText(style, text, { validateStream: false })

export interface Symbols {
  readonly ellipsis: string
  readonly dot: string
  readonly tee: string
  readonly corner: string
  readonly pipe: string
  readonly side: string
  readonly full: string
  readonly empty: string
}

const drawn: Symbols = {
  ellipsis: '…',
  dot: '·',
  tee: '├─ ',
  corner: '└─ ',
  pipe: '│  ',
  side: '↳ ',
  full: '█',
  empty: '░',
}
const typed: Symbols = {
  ellipsis: '...',
  dot: '-',
  tee: '|- ',
  corner: '`- ',
  pipe: '|  ',
  side: '> ',
  full: '#',
  empty: '.',
}

export const symbolsOf = (view: Pick<View, 'unicode'>): Symbols => (view.unicode ? drawn : typed)
