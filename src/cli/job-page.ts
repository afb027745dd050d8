import type { Failure } from '../core/failure.ts'
import type { Attempt, JobLogLine, JobSnapshot } from '../core/handle.ts'
import { formatDuration } from '../core/time.ts'
import { isFinal } from '../core/transitions.ts'
import { describeFailure, drawProgress, durationOf } from './job-line.ts'
import { drawLine, span } from './line.ts'
import { resultRow } from './result.ts'
import { durationColumn } from './right.ts'
import { drawSection, type Row } from './section.ts'
import { formatCount, glyphOf, styleOf } from './state.ts'
import { drawTable } from './table.ts'
import { clip, printable, wrap } from './text.ts'
import { formatInstant, formatTimeOfDay } from './instant.ts'
import { symbolsOf, type Style, type View } from './view.ts'

/** All there is to know of one job. */
export function drawJobPage(job: JobSnapshot, view: View): string[] {
  const { state } = job
  return [
    drawLine(
      [span(`${glyphOf(state, view)} ${state}`, styleOf(state)), span(`  ${printable(job.task)}`, 'bold')],
      [span(state === 'skipped' ? '' : durationColumn(durationOf(job, view.now)), 'dim')],
      view,
    ),
    drawLine([span(`  ${job.id}`, 'dim')], [], view),
    '',
    ...drawSection(rowsOf(job), view),
    ...drawProgressOf(job, view),
    ...(job.failure && state !== 'succeeded' ? ['', ...drawWholeFailure(job.failure, view)] : []),
    ...drawAttempts(job.attempts, view),
    ...drawOmitted(job.omitted?.failures, 'failures of older attempts', view),
    ...drawLog(job.log, view),
    ...drawOmitted(job.omitted?.lines, 'older log lines', view),
  ]
}

function rowsOf(job: JobSnapshot): Row[] {
  const isAlone = job.collectionId === job.id
  const elsewhere = job.failedJobId !== undefined && job.failedJobId !== job.id ? job.failedJobId : undefined
  const rows: (Row | false | undefined)[] = [
    job.description !== undefined && { title: 'about', text: job.description },
    !isAlone && { title: 'part of', text: job.collectionId },
    job.parentId !== undefined && { title: 'within', text: job.parentId },
    job.role !== 'main' && { title: 'role', text: job.role },
    job.reason !== undefined && job.reason !== 'failed' && { title: 'reason', text: job.reason },
    elsewhere !== undefined && { title: 'cause', text: elsewhere },
    { title: 'queue', text: `${job.queue}${job.priority === 0 ? '' : `, priority ${job.priority}`}` },
    job.actor && { title: 'asked by', text: job.actor.id },
    job.tags.length > 0 && { title: 'tags', text: job.tags.map((tag) => `#${tag}`).join(' ') },
    { title: 'sent', text: formatInstant(job.createdAt) },
    job.state === 'scheduled' && job.dueAt && { title: 'due', text: formatInstant(job.dueAt) },
    job.worker !== undefined && { title: 'worker', text: job.worker },
    job.cancelling && !isFinal(job.state) && { title: 'cancel', text: 'asked for' },
    { title: 'args', text: JSON.stringify(job.args), most: 8 },
    job.state === 'succeeded' && job.result !== undefined && resultRow(job.result),
  ]
  return rows.filter((row) => typeof row === 'object')
}

function drawProgressOf(job: JobSnapshot, view: View): string[] {
  if (!job.progress || isFinal(job.state)) return []
  return ['', drawLine([span('  '), ...drawProgress(job.progress, view.width - 2, view)], [], view)]
}

/** With its stack and what caused it: this is where one looks for them. */
function drawWholeFailure(failure: Failure, view: View): string[] {
  const { ellipsis } = symbolsOf(view)
  const lines = wrap(describeFailure(failure), view.width - 2, 20, ellipsis)
  const calls = callsOf(failure.stack ?? '')
  const cause = failure.cause ? [view.paint('dim', '  because'), ...drawWholeFailure(failure.cause, view)] : []
  return [
    ...lines.map((line) => `  ${view.paint('red', line)}`),
    ...calls.map((line) => view.paint('dim', `    ${clip(printable(line), view.width - 4, ellipsis)}`)),
    ...cause,
  ]
}

/** Down to the handler: what called it is the worker, which is nobody's mistake. */
function callsOf(stack: string): string[] {
  const calls = stack.split('\n').filter((line) => /^\s+at /.test(line))
  const worker = calls.findLastIndex((line) => line.includes('AsyncLocalStorage.run '))
  return worker < 1 ? calls : calls.slice(0, worker)
}

const outcomeStyles: { readonly [outcome in Attempt['outcome']]?: Style } = {
  succeeded: 'green',
  failed: 'red',
  retried: 'red',
  lost: 'red',
  running: 'yellow',
  cancelled: 'magenta',
}

function drawAttempts(attempts: readonly Attempt[], view: View): string[] {
  if (attempts.length === 0) return []
  const took = ({ startedAt, finishedAt }: Attempt): string =>
    formatDuration(Math.max(0, (finishedAt?.getTime() ?? view.now) - startedAt.getTime()))
  const table = drawTable<Attempt>(
    [
      { title: 'attempt', value: ({ attempt }) => String(attempt), align: 'right' },
      { title: 'round', value: ({ round }) => String(round), align: 'right', expendable: 1 },
      { title: 'outcome', value: ({ outcome }) => outcome, style: ({ outcome }) => outcomeStyles[outcome] },
      { title: 'started', value: ({ startedAt }) => formatInstant(startedAt) },
      { title: 'took', value: took, align: 'right' },
      { title: 'worker', value: ({ worker }) => worker ?? '', least: 8, expendable: 2 },
      { title: 'failure', value: ({ failure }) => (failure ? describeFailure(failure) : ''), least: 10, expendable: 3 },
    ],
    attempts,
    { ...view, width: view.width - 2 },
  )
  return ['', ...table.map((line) => `  ${line}`)]
}

const drawOmitted = (count: number | undefined, what: string, view: View): string[] =>
  count ? ['', view.paint('dim', `  ${formatCount(count)} ${what} are not shown: too large`)] : []

function drawLog(log: readonly JobLogLine[], view: View): string[] {
  if (log.length === 0) return []
  const styles = { info: undefined, warn: 'yellow', error: 'red' } as const
  const { ellipsis } = symbolsOf(view)
  const lines = log.flatMap(({ at, level, message, data }) => {
    const start = `  ${formatTimeOfDay(at)} ${level.padEnd(5)} `
    const told = data === undefined ? message : `${message} ${JSON.stringify(data)}`
    return wrap(told, view.width - start.length, 6, ellipsis).map(
      (line, index) =>
        view.paint('dim', index === 0 ? start : ' '.repeat(start.length)) + view.paint(styles[level], line),
    )
  })
  return ['', ...lines]
}
