import { jobStates } from '../core/job.ts'
import { type Census, type RowKind, rowKinds } from '../engine/transfer.ts'
import { formatCount } from './state.ts'
import { type Column, drawTable } from './table.ts'
import type { View } from './view.ts'

/** What people call the rows. */
export const rowNames: Readonly<Record<RowKind, string>> = {
  sessions: 'past workers',
  queues: 'paused queues',
  collections: 'collections',
  barriers: 'barriers',
  jobs: 'jobs',
  attempts: 'earlier attempts',
  log: 'log lines',
  notes: 'kept values',
  unique: 'unique keys',
  idempotency: 'idempotency keys',
  leaving: 'ends of retention',
  values: 'API keys and secrets',
}

export interface CensusRow {
  readonly what: string
  readonly source: number
  readonly target: number
}

/** What was counted in both stores; the states that no job is in are left out. */
export function readCensus(source: Census, target: Census): CensusRow[] {
  const states = jobStates
    .map((state) => ({ what: `jobs ${state}`, source: source.jobs[state], target: target.jobs[state] }))
    .filter((row) => row.source > 0 || row.target > 0)
  const kinds = rowKinds.map((kind) => ({
    what: rowNames[kind],
    source: source.rows[kind],
    target: target.rows[kind],
  }))
  return kinds.flatMap((row) => (row.what === rowNames.jobs ? [row, ...states] : [row]))
}

export const drawCensus = (rows: readonly CensusRow[], view: View): string[] => drawTable(columnsFor(view), rows, view)

const isSame = ({ source, target }: CensusRow): boolean => source === target

const columnsFor = ({ unicode }: View): Column<CensusRow>[] => [
  { title: 'counted', value: ({ what }) => what, least: 12 },
  { title: 'source', value: ({ source }) => formatCount(source), align: 'right' },
  {
    title: 'target',
    value: ({ target }) => formatCount(target),
    align: 'right',
    style: (row) => (isSame(row) ? undefined : 'red'),
  },
  {
    title: '',
    value: (row) => (isSame(row) ? (unicode ? '✓' : '+') : 'differs'),
    style: (row) => (isSame(row) ? 'green' : 'red'),
  },
]
