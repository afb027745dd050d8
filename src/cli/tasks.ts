import { partsOf } from '../app/parts.ts'
import type { TaskDefinition } from '../canvas/definition.ts'
import { formatDuration } from '../core/time.ts'
import { findModule } from './config.ts'
import { type AddCommand, optionsOf } from './context.ts'
import { UsageError } from './mistake.ts'
import { printJson } from './print.ts'
import { openModule } from './store.ts'
import { type Column, drawTable } from './table.ts'

export const addTasks: AddCommand = (program, context) => {
  program
    .command('tasks')
    .description('list the tasks that an app defines')
    .argument('[module]', 'the file that exports the app')
    .action(async (given: string | undefined, _own, command) => {
      const { terminal } = context
      const options = optionsOf(command)
      const module = given ?? findModule(context, options)
      if (module === undefined)
        throw new UsageError('Whose tasks? Name the module that exports the app: celeriac tasks tasks.ts')
      const app = await openModule(context, options, module)
      const tasks = partsOf(app)
        .registry.all()
        .map(tellTask)
        .sort((one, other) => (one.name < other.name ? -1 : 1))
      await app.close()
      if (options.json) return printJson(terminal, tasks)
      if (tasks.length === 0) return terminal.note('It defines no tasks.')
      terminal.print(...drawTable(columns, tasks, terminal.view))
    })
}

interface ToldTask {
  readonly name: string
  /** It is defined in another service. */
  readonly declared: boolean
  readonly schema: boolean
  readonly queue: string
  readonly priority: number
  readonly retries: number
  readonly timeout?: number
  readonly description?: string
}

function tellTask({ name, handler, schema, terms: { job, description } }: TaskDefinition): ToldTask {
  return {
    name,
    declared: handler === null,
    schema: schema !== null,
    queue: job.queue ?? 'default',
    priority: job.priority ?? 0,
    retries: job.retry?.limit ?? 0,
    ...(job.timeout === undefined ? {} : { timeout: job.timeout }),
    ...(description === undefined ? {} : { description }),
  }
}

const columns: Column<ToldTask>[] = [
  { title: 'task', value: ({ name, declared }) => `${name}${declared ? ' (elsewhere)' : ''}`, least: 20 },
  { title: 'queue', value: ({ queue }) => queue, least: 8 },
  { title: 'retries', value: ({ retries }) => String(retries), align: 'right' },
  {
    title: 'timeout',
    value: ({ timeout }) => (timeout === undefined ? '' : formatDuration(timeout)),
    align: 'right',
    expendable: 1,
  },
  { title: 'arguments', value: ({ schema }) => (schema ? 'checked' : ''), expendable: 2 },
  { title: 'about', value: ({ description }) => description ?? '', least: 8, expendable: 3 },
]
