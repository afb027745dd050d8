/** One thing that is measured, by one or more contenders in the same run. One file each, in cases/. */
export interface Case {
  /** What `--only` takes, and the file is called. */
  readonly name: string
  /** How often each contender is sampled; the first sample of each is a warm-up and dropped unless this is 1. */
  readonly rounds: number
  /** Runs once before the samples, in a process of its own: makes files that the contenders share. */
  readonly prepare?: (run: Run) => Promise<void>
  /** Each lives in a process of its own, and they are sampled in turn. */
  readonly contenders: Readonly<Record<string, Contender>>
  /** What the table says of it. */
  readonly lines: readonly Line[]
}

export type Contender = (run: Run) => Promise<Figures>

export interface Run {
  /** A folder of this case alone, the same for its contenders; removed afterwards. */
  readonly folder: string
  /** Smaller numbers, for a look in between. */
  readonly quick: boolean
}

export type Figures = Readonly<Record<string, number>>

/** Names one figure of one contender: `celeriac.rate`. */
export type FigureName = `${string}.${string}`

export interface Line {
  readonly label: string
  readonly section: Section
  readonly figure: FigureName
  /** What it is compared with: in each round apart, then the median of these ratios. */
  readonly beside?: FigureName
  readonly decimals?: number
  readonly target?: Target
}

/** `peer`: beside plainjob. `itself`: beside Celeriac under other circumstances. `alone`: beside nothing. */
export type Section = 'peer' | 'itself' | 'alone'

export type Target =
  /** The figure is at least so many times what it is compared with. */
  | { readonly type: 'ratio'; readonly atLeast: number }
  /** The figure itself is below. */
  | { readonly type: 'below'; readonly limit: number }
