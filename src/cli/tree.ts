import type { CollectionSnapshot } from '../core/handle.ts'
import type { JobState } from '../core/job.ts'
import { foldParts } from './fold.ts'
import { drawHeader } from './header.ts'
import { drawJob, drawJobDetails } from './job-line.ts'
import { drawLine, span } from './line.ts'
import { jobsOf, outlineOf, type Outline, type PartsOutline, stateOf } from '../core/outline.ts'
import { rightOf } from './right.ts'
import { countStates, describeCounts, formatCount, glyphOf, styleOf } from './state.ts'
import { symbolsOf, type View } from './view.ts'

export interface TreeOptions {
  /** Nothing is folded, and side branches that were not needed are shown. */
  readonly all?: boolean | undefined
  /** Every job with its id, not only those that failed. */
  readonly ids?: boolean | undefined
  /** At most so many lines, for redrawing in place. */
  readonly rows?: number | undefined
}

/** From how many parts on they are folded; the smaller ones are tried where there are too few rows. */
const limits = [10, 6, 3, 1]

/**
 * A collection as lines: a chain reads downward, the members of a group stand side by side under one heading, what a
 * handler returned stands under its job, side branches under their canvas.
 *
 * ```
 * ✗ failed  Back up the shop                                             1.3 s
 *   0199b1f0-1c7e-7000-8000-3c2d8b1a4e11
 *   3 succeeded · 1 failed · 1 skipped
 *
 * ├─ ✓ backup.scan  "/srv/shop"                              succeeded    9 ms
 * ├─ ✓ group of 2                                            succeeded   40 ms
 * │  ├─ ✓ backup.pack  0                                     succeeded   40 ms
 * │  └─ ✓ backup.pack  1                                     succeeded   38 ms
 * ├─ ✗ backup.transfer                                       failed       3 ms
 * │    connect ECONNREFUSED 127.0.0.1:9000
 * │    job 0199b1f0-1c80-7000-8000-5d1c0f2b3a44
 * └─ − backup.restore                                        skipped
 * ```
 */
export function renderTree(collection: CollectionSnapshot, view: View, options: TreeOptions = {}): string[] {
  const { rows = Infinity, all = false } = options
  const header = drawHeader(collection, view)
  const outline = outlineOf(collection.jobs, { all })
  if (!outline) return header
  let lines: string[] = []
  for (const limit of all ? [Infinity] : limits) {
    lines = [...header, '', ...new Tree(view, options, limit).draw(outline)]
    if (lines.length <= rows) return lines
  }
  const { ellipsis } = symbolsOf(view)
  return [
    ...lines.slice(0, rows - 1),
    view.paint('dim', `${ellipsis} ${formatCount(lines.length - rows + 1)} more lines`),
  ]
}

type Entry = { readonly outline: Outline; readonly isSide: boolean } | { readonly folded: readonly Outline[] }

class Tree {
  readonly #view: View
  readonly #options: TreeOptions
  readonly #limit: number

  constructor(view: View, options: TreeOptions, limit: number) {
    this.#view = view
    this.#options = options
    this.#limit = limit
  }

  draw(outline: Outline): string[] {
    const entries = outline.kind === 'chain' ? this.#entriesOf(outline) : [{ outline, isSide: false }]
    return this.#drawEntries(entries, '')
  }

  #entriesOf(outline: PartsOutline): Entry[] {
    const parts = foldParts(outline.kind, outline.parts, this.#limit)
    const told = parts.map((one) => ('part' in one ? { outline: one.part, isSide: false } : one))
    return [...told, ...sideEntries(outline)]
  }

  #childrenOf(outline: Outline): Entry[] {
    if (outline.kind !== 'job') return this.#entriesOf(outline)
    const { inside } = outline
    if (!inside) return sideEntries(outline)
    const within = inside.kind === 'job' ? [{ outline: inside, isSide: false }] : this.#entriesOf(inside)
    return [...within, ...sideEntries(outline)]
  }

  #drawEntries(entries: readonly Entry[], prefix: string): string[] {
    const { tee, corner, pipe } = symbolsOf(this.#view)
    const shown = shorten(prefix, this.#view)
    return entries.flatMap((entry, index) => {
      const isLast = index === entries.length - 1
      const below = shown + (isLast ? '   ' : pipe)
      return this.#drawEntry(entry, shown + (isLast ? corner : tee), below)
    })
  }

  #drawEntry(entry: Entry, lead: string, below: string): string[] {
    if ('folded' in entry) return [this.#drawFolded(entry.folded, lead)]
    const { outline, isSide } = entry
    const view = this.#view
    const children = this.#childrenOf(outline)
    const start = [span(lead, 'dim'), span(isSide ? symbolsOf(view).side : '', 'dim')]
    const drawn = this.#drawEntries(children, below)
    if (outline.kind !== 'job') return [this.#drawParts(outline, start), ...drawn]
    const under = below + (children.length > 0 ? symbolsOf(view).pipe.trimEnd() + ' ' : '  ')
    return [
      drawJob(outline.job, start, describeInside(outline.inside), view),
      ...drawJobDetails(outline.job, under, this.#options.ids ?? false, view),
      ...drawn,
    ]
  }

  #drawParts(outline: PartsOutline, start: readonly { text: string }[]): string {
    const state = stateOf(outline)
    const jobs = jobsOf(outline)
    const counts = countStates(jobs)
    const isMixed = Object.keys(counts).length > 1
    const told = isMixed ? `  ${describeCounts(counts, ', ')}` : ''
    const left = [
      ...start,
      span(`${glyphOf(state, this.#view)} `, styleOf(state)),
      span(`${outline.kind} of ${formatCount(outline.parts.length)}`),
      span(told, 'dim'),
    ]
    return drawLine(left, rightOf(state, spanOfTime(outline, state, this.#view.now), this.#view), this.#view)
  }

  #drawFolded(folded: readonly Outline[], lead: string): string {
    const counts = describeCounts(countStates(folded.flatMap(jobsOf)), ', ')
    const text = `${symbolsOf(this.#view).ellipsis} ${formatCount(folded.length)} more: ${counts}`
    return drawLine([span(lead, 'dim'), span(text, 'dim')], [], this.#view)
  }
}

const sideEntries = ({ branches }: Outline): Entry[] => branches.map((outline) => ({ outline, isSide: true }))

/** What stands before the arguments of a job whose handler returned a canvas. */
function describeInside(inside: Outline | null): string {
  if (!inside || inside.kind === 'job') return ''
  return `${inside.kind} of ${formatCount(inside.parts.length)}`
}

/** From the first start to the last end, or to now. */
function spanOfTime(outline: Outline, state: JobState, now: number): number | null {
  const jobs = jobsOf(outline)
  let from = Infinity
  let to = -Infinity
  for (const { startedAt, finishedAt } of jobs) {
    if (startedAt) from = Math.min(from, startedAt.getTime())
    if (startedAt) to = Math.max(to, finishedAt?.getTime() ?? now)
  }
  if (from === Infinity) return null
  return (state === 'running' ? Math.max(to, now) : to) - from
}

/** Deep nesting must leave room for names: past a third of the width, the outer levels are left out. */
function shorten(prefix: string, view: View): string {
  const room = Math.floor(view.width / 9) * 3
  const { ellipsis } = symbolsOf(view)
  return prefix.length <= room ? prefix : ellipsis.padEnd(3) + prefix.slice(prefix.length - room + 3)
}
