import type { QueueSummary } from '../app/queues.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { printJson } from './print.ts'
import { formatCount } from './state.ts'
import { withStore } from './store.ts'
import { type Column, drawTable } from './table.ts'
import { printable } from './text.ts'

export const addQueues: AddCommand = (program, context) => {
  const queues = program.command('queues').description('list the queues, pause or resume them')
  queues
    .command('list', { isDefault: true })
    .description('the queues, and how many jobs are in them')
    .action(async (_own, command) => listQueues(context, optionsOf(command)))
  queues
    .command('pause')
    .description('take no more jobs from these queues; what runs goes on')
    .argument('<names...>')
    .action(async (names: string[], _own, command) => setPaused(context, optionsOf(command), names, true))
  queues
    .command('resume')
    .description('take jobs from these queues again')
    .argument('<names...>')
    .action(async (names: string[], _own, command) => setPaused(context, optionsOf(command), names, false))
}

async function listQueues(context: Context, options: GlobalOptions): Promise<void> {
  const { terminal } = context
  await withStore(context, options, async (app) => {
    const queues = await app.queues.list()
    if (options.json) return printJson(terminal, queues)
    if (queues.length === 0) return terminal.note('No queues.')
    terminal.print(...drawTable(columns, queues, terminal.view))
  })
}

async function setPaused(
  context: Context,
  options: GlobalOptions,
  names: readonly string[],
  paused: boolean,
): Promise<void> {
  await withStore(context, options, async (app) => {
    for (const name of names) {
      await (paused ? app.queues.pause(name) : app.queues.resume(name))
      context.terminal.note(`Queue ${printable(name)} is ${paused ? 'paused' : 'running'}.`)
    }
  })
}

const count = (state: keyof QueueSummary['counts']): Column<QueueSummary> => ({
  title: state,
  value: ({ counts }) => formatCount(counts[state]),
  align: 'right',
})

const columns: Column<QueueSummary>[] = [
  { title: 'queue', value: ({ name }) => name, least: 12 },
  {
    title: 'state',
    value: ({ paused }) => (paused ? 'paused' : 'running'),
    style: ({ paused }) => (paused ? 'yellow' : undefined),
  },
  count('queued'),
  count('running'),
  count('scheduled'),
  count('waiting'),
]
