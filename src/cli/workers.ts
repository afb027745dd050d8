import type { WorkerSummary } from '../app/workers.ts'
import { formatAge } from './age.ts'
import { type AddCommand, optionsOf } from './context.ts'
import { printJson } from './print.ts'
import { withStore } from './store.ts'
import { type Column, drawTable } from './table.ts'

export const addWorkers: AddCommand = (program, context) => {
  program
    .command('workers')
    .description('list the workers that live, and those that ended within a day')
    .action(async (_own, command) => {
      const { terminal } = context
      const options = optionsOf(command)
      await withStore(context, options, async (app) => {
        const workers = await app.workers.list()
        if (options.json) return printJson(terminal, workers)
        if (workers.length === 0) return terminal.note('No workers. Start one: celeriac worker <module>')
        terminal.print(...drawTable(columnsOf(terminal.view.now), workers, terminal.view))
      })
    })
}

const styles = { running: 'green', ended: 'dim', lost: 'red' } as const

const columnsOf = (now: number): Column<WorkerSummary>[] => [
  { title: 'worker', value: ({ name }) => name, least: 16 },
  { title: 'state', value: ({ state }) => state, style: ({ state }) => styles[state] },
  { title: 'jobs', value: ({ runningCount, concurrency }) => `${runningCount} of ${concurrency}`, align: 'right' },
  { title: 'queues', value: ({ queues }) => queues?.join(', ') ?? 'all', least: 8 },
  { title: 'host', value: ({ host }) => host, least: 8, expendable: 2 },
  { title: 'pid', value: ({ pid }) => String(pid), align: 'right', expendable: 1 },
  { title: 'up', value: ({ startedAt, seenAt }) => formatAge(seenAt.getTime() - startedAt.getTime()), align: 'right' },
  { title: 'seen', value: ({ seenAt }) => formatAge(now - seenAt.getTime()), align: 'right' },
]
