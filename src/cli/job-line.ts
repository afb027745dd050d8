import type { Failure } from '../core/failure.ts'
import type { JobSummary } from '../core/handle.ts'
import type { Progress } from '../core/job.ts'
import { formatDuration } from '../core/time.ts'
import { drawBar } from './bar.ts'
import { drawLine, span, spansWidth, type Span } from './line.ts'
import { rightOf } from './right.ts'
import { isFinal } from '../core/transitions.ts'
import { formatCount, glyphOf, styleOf } from './state.ts'
import { displayWidth, printable, wrap } from './text.ts'
import { symbolsOf, type View } from './view.ts'

/** Reserved tasks are the package's own: their arguments say nothing to a reader. */
const reserved = 'celeriac.'

/** The name of its task. */
export const nameOf = ({ task }: Pick<JobSummary, 'task'>): string =>
  printable(task.startsWith(reserved) ? task.slice(reserved.length) : task)

/** One line of the tree: what is called, how far it is or with what, its state and how long it took. */
export function drawJob(job: JobSummary, start: readonly Span[], inside: string, view: View): string {
  const right = rightOf(job.state, durationOf(job, view.now), view)
  const left = [
    ...start,
    span(`${glyphOf(job.state, view)} `, styleOf(job.state)),
    span(nameOf(job), isFinal(job.state) ? undefined : 'bold'),
  ]
  const room = view.width - spansWidth(left) - spansWidth(right) - 3
  const about = [...noteworthy(job, view), inside].filter((text) => text !== '').map((text) => span(`  ${text}`, 'dim'))
  const middle = hasProgress(job)
    ? drawProgress(job.progress, room - spansWidth(about), view)
    : job.task.startsWith(reserved)
      ? []
      : [span(describeArgs(job.args, view), 'dim')]
  return drawLine(
    [...left, ...about, ...(middle.length > 0 && middle[0]!.text !== '' ? [span('  '), ...middle] : [])],
    right,
    view,
  )
}

/** The lines under a job: its failure, and the id by which to ask for more. */
export function drawJobDetails(job: JobSummary, prefix: string, withId: boolean, view: View): string[] {
  const isOwn = job.failedJobId === undefined || job.failedJobId === job.id
  const hasFailed = job.state === 'failed' && isOwn
  const failure = hasFailed || (!isFinal(job.state) && job.failures > 0) ? job.failure : undefined
  const lead = span(prefix, 'dim')
  const about = failure ? drawFailure(failure, view.width - displayWidth(prefix), view) : []
  const id = hasFailed || withId ? [[span(`job ${job.id}`, 'dim')]] : []
  return [...about.map((text) => [span(text, 'red')]), ...id].map((spans) => drawLine([lead, ...spans], [], view))
}

/** At most four lines, with what it comes from in the end: the stack is for `show` of the job. */
export function drawFailure(failure: Failure, width: number, view: View): string[] {
  const { ellipsis } = symbolsOf(view)
  const origin = originOf(failure)
  const because = origin === failure ? [] : wrap(`because ${describeFailure(origin)}`, width, 1, ellipsis)
  return [...wrap(describeFailure(failure), width, 3, ellipsis), ...because]
}

const originOf = (failure: Failure): Failure => (failure.cause ? originOf(failure.cause) : failure)

export const describeFailure = ({ name, message }: Failure): string =>
  name === 'Error' && message !== '' ? message : message === '' ? name : `${name}: ${message}`

/** How far it is, in so many columns: a bar, percent and message where the total is known, else what is known. */
export function drawProgress({ done, total, message }: Progress, width: number, view: View): Span[] {
  const told = message === undefined ? '' : printable(message)
  const separator = ` ${symbolsOf(view).dot} `
  if (total === undefined || total <= 0) return [span([formatCount(done), told].filter(Boolean).join(separator))]
  const share = Math.min(1, Math.max(0, done / total))
  const percent = `${Math.floor(share * 100)}%`.padStart(4)
  const columns = Math.min(
    16,
    width - percent.length - (told === '' ? 0 : Math.min(displayWidth(told), 24) + separator.length),
  )
  return [
    ...(columns >= 4 ? drawBar(share, columns, view) : []),
    span(percent),
    span(told === '' ? '' : `${separator}${told}`, 'dim'),
  ]
}

const hasProgress = (job: JobSummary): job is JobSummary & { readonly progress: Progress } =>
  job.progress !== undefined && !isFinal(job.state) && job.state !== 'waiting'

/** How long it took, or runs by now; null while it does neither, as where it waits for another attempt. */
export function durationOf(
  { state, startedAt, finishedAt }: Pick<JobSummary, 'state' | 'startedAt' | 'finishedAt'>,
  now: number,
): number | null {
  if (!startedAt || state === 'skipped') return null
  if (finishedAt) return finishedAt.getTime() - startedAt.getTime()
  return state === 'running' ? now - startedAt.getTime() : null
}

function noteworthy(job: JobSummary, view: View): string[] {
  const { state, dueAt, attempt, failures } = job
  const wait = dueAt && state === 'scheduled' ? dueAt.getTime() - view.now : 0
  return [
    attempt > 1 && state !== 'scheduled' ? `attempt ${formatCount(attempt)}` : '',
    failures > 0 && state === 'scheduled' ? `after ${failures === 1 ? 'a failure' : `${failures} failures`}` : '',
    wait > 0 ? `in ${formatDuration(wait)}` : '',
    job.cancelling && !isFinal(state) ? 'cancelling' : '',
    job.reason !== undefined && !['failed', 'cancelled', 'upstream'].includes(job.reason) ? job.reason : '',
  ]
}

/** Enough to tell one call from another: beside plain values, lists and objects are left out. */
function describeArgs(args: readonly unknown[], view: View): string {
  const { ellipsis } = symbolsOf(view)
  const isPlain = (arg: unknown): boolean => typeof arg !== 'object' || arg === null
  const short = (arg: unknown): string => (Array.isArray(arg) ? `[${ellipsis}]` : `{${ellipsis}}`)
  const hasPlain = args.some(isPlain)
  return args.map((arg) => (isPlain(arg) || !hasPlain ? printable(JSON.stringify(arg) ?? '') : short(arg))).join(' ')
}
