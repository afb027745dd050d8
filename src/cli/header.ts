import type { CollectionSnapshot, CollectionSummary } from '../core/handle.ts'
import { drawBar } from './bar.ts'
import { nameOf } from './job-line.ts'
import { drawLine, span } from './line.ts'
import { durationColumn } from './right.ts'
import { describeCounts, formatCount, glyphOf, styleOf } from './state.ts'
import { printable, wrap } from './text.ts'
import { symbolsOf, type View } from './view.ts'

/** What stands over the tree: state, description, how long; the id; how many jobs are in which state. */
export function drawHeader(collection: CollectionSnapshot, view: View): string[] {
  const { state, settledAt, createdAt } = collection
  const took = (settledAt?.getTime() ?? view.now) - createdAt.getTime()
  const [first] = collection.jobs
  const title = collection.description === undefined && first ? nameOf(first) : printable(collection.description ?? '')
  const about = [collection.id, ...circumstances(collection)].join(` ${symbolsOf(view).dot} `)
  const word = collection.cancelling && state === 'running' ? 'cancelling' : state
  return [
    drawLine(
      [span(`${glyphOf(state, view)} ${word}`, styleOf(state)), span(`  ${title}`, 'bold')],
      [span(durationColumn(took), 'dim')],
      view,
    ),
    drawLine([span(`  ${about}`, 'dim')], [], view),
    ...(state === 'running' ? [drawTotal(collection, view)] : []),
    ...drawCounts(collection, view),
  ]
}

function drawTotal({ progress: { done, total } }: CollectionSummary, view: View): string {
  const bar = total > 0 ? drawBar(done / total, 24, view) : []
  return drawLine([span('  '), ...bar, span(` ${formatCount(done)} of ${formatCount(total)}`)], [], view)
}

function drawCounts({ counts }: CollectionSummary, view: View): string[] {
  const told = describeCounts(counts, ` ${symbolsOf(view).dot} `) || 'no jobs'
  return wrap(told, view.width - 2).map((line) => `  ${line}`)
}

const circumstances = ({ round, actor, tags }: CollectionSummary): string[] => [
  ...(round > 1 ? [`round ${round}`] : []),
  ...(actor ? [`by ${printable(actor.id)}`] : []),
  ...(tags.length > 0 ? [tags.map((tag) => `#${printable(tag)}`).join(' ')] : []),
]
