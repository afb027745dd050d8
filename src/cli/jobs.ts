import type { JobSummary } from '../core/handle.ts'
import { jobStates, type JobState } from '../core/job.ts'
import { formatDuration } from '../core/time.ts'
import { formatAge } from './age.ts'
import { type AddCommand, optionsOf } from './context.ts'
import { durationOf } from './job-line.ts'
import { addListOptions, type ListOptions, listQuery, noteMore, readStates } from './list-options.ts'
import { printJson } from './print.ts'
import { glyphOf, styleOf } from './state.ts'
import { withStore } from './store.ts'
import { type Column, drawTable } from './table.ts'
import type { View } from './view.ts'

interface JobsOptions extends ListOptions {
  readonly state?: readonly JobState[]
  readonly task?: string
  readonly queue?: string
  readonly collection?: string
  readonly text?: string
}

export const addJobs: AddCommand = (program, context) => {
  const command = program
    .command('jobs')
    .description('list jobs, newest first')
    .option('--state <state>', 'in this state; several are separated by commas', readStates(jobStates))
    .option('--task <name>', 'of this task; * stands for any characters')
    .option('--queue <name>', 'in this queue')
    .option('--collection <id>', 'of this collection')
    .option('--text <text>', 'with this in its task, description, tags, arguments or failure')
  addListOptions(command).action(async (_own, self) => {
    const { terminal } = context
    const options = optionsOf<JobsOptions>(self)
    const { state, task, queue, collection, text } = options
    const query = { state, task, queue, collection, text, ...listQuery(options) }
    await withStore(context, options, async (app) => {
      const page = await app.jobs.list(query)
      if (options.json) return printJson(terminal, page)
      if (page.items.length === 0) return terminal.note('No jobs.')
      terminal.print(...drawTable(columnsOf(terminal.view), page.items, terminal.view))
      noteMore(terminal, 'jobs', page.next)
    })
  })
}

function columnsOf(view: View): Column<JobSummary>[] {
  return [
    { title: 'id', value: ({ id }) => id },
    {
      title: 'state',
      value: ({ state }) => `${glyphOf(state, view)} ${state}`,
      style: ({ state }) => styleOf(state),
    },
    { title: 'task', value: ({ task }) => task, least: 12 },
    { title: 'queue', value: ({ queue }) => queue, expendable: 3 },
    { title: 'attempt', value: ({ attempt }) => (attempt > 0 ? String(attempt) : ''), align: 'right', expendable: 2 },
    { title: 'took', value: (job) => tookOf(job, view.now), align: 'right', expendable: 1 },
    { title: 'sent', value: ({ createdAt }) => formatAge(view.now - createdAt.getTime()), align: 'right' },
  ]
}

function tookOf(job: JobSummary, now: number): string {
  const took = durationOf(job, now)
  return took === null ? '' : formatDuration(Math.max(0, took))
}
