/** One thing that is measured, by one or more contenders in the same run. One file each, in cases/. */
export interface Case {
  /** What `--only` takes, and where the file is: `postgres/drain`. */
  readonly name: string
  /** The servers it is measured on, and what must be on this machine besides; none by default. */
  readonly needs?: readonly (keyof Urls)[]
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
  /** How long to keep a load up where a case does so; null: as long as it thinks right. */
  readonly seconds: number | null
  /** The servers of this run that the case needs. */
  readonly urls: Urls
}

/** Where the servers of the bench are; only those that a case needs are there. */
export interface Urls {
  readonly postgres: string
  readonly redis: string
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

/**
 * The store and what its figures stand beside. `itself`: Celeriac under other circumstances, or what the same store can do
 * at most. `alone`: nothing.
 */
export type Section =
  | `${'sqlite' | 'postgres' | 'redis'} ${'itself' | 'alone'}`
  | 'plainjob'
  | 'graphile-worker'
  | 'bullmq'
  | 'celery'
  | 'hono'
  | 'http alone'

export type Target =
  /** The figure is at least so many times what it is compared with. */
  | { readonly type: 'ratio'; readonly atLeast: number }
  /** The figure is at most so many times what it is compared with: for times. */
  | { readonly type: 'share'; readonly atMost: number }
  /** The figure itself is below. */
  | { readonly type: 'below'; readonly limit: number }
