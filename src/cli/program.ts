import { Command } from 'commander'
import { didYouMean } from '../core/misspelling.ts'
import { packageVersion } from '../core/version.ts'
import { addCallbacks } from './callbacks.ts'
import { addCancel } from './cancel.ts'
import { addCollections } from './collections.ts'
import type { AddCommand, Context } from './context.ts'
import { addCopy } from './copy.ts'
import { addDev } from './dev.ts'
import { addDoctor } from './doctor.ts'
import { addFollow } from './follow.ts'
import { addJobs } from './jobs.ts'
import { addKeys } from './keys.ts'
import { addMigrate } from './migrate.ts'
import { addQueues } from './queues.ts'
import { reportError } from './report.ts'
import { addRetry } from './retry.ts'
import { addServer } from './server.ts'
import { addShow } from './show.ts'
import { addSubmit } from './submit.ts'
import { addTasks } from './tasks.ts'
import { addWorker } from './worker.ts'
import { addWorkers } from './workers.ts'
import { printable } from './text.ts'

/** The commands, in the order of the help: a new one is a file of its own and a word here. */
const groups: readonly (readonly [heading: string, commands: readonly AddCommand[]])[] = [
  ['Run:', [addDev, addWorker, addServer, addSubmit, addTasks]],
  ['Look:', [addCollections, addJobs, addShow, addFollow, addQueues, addWorkers]],
  ['Act:', [addRetry, addCancel]],
  ['Keep:', [addKeys, addMigrate, addCopy, addCallbacks, addDoctor]],
]

/** Runs one command line; answers with the exit code: 0 for success, 1 for an error, 2 for a command written wrongly. */
export async function run(args: readonly string[], context: Omit<Context, 'finish'>): Promise<number> {
  let code = 0
  const program = createProgram({ ...context, finish: (given) => (code = given) })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return reportError(error, context.terminal, args.includes('--verbose'))
  }
}

function createProgram(context: Context): Command {
  const { terminal } = context
  const program = new Command('celeriac')
    .description('Background tasks: run them, look at them, follow them, retry them.')
    .version(packageVersion, '--version', 'tell the version')
    .option('--url <url>', 'the store, such as sqlite:celeriac.db (else CELERIAC_URL)')
    .option('-m, --module <file>', 'the module that exports the app (else CELERIAC_MODULE)')
    .option('--app <name>', 'which of the apps that the module exports')
    .option('--json', 'answer with JSON')
    .option('--verbose', 'errors with their stack')
    .showHelpAfterError('(celeriac --help tells more)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
      getOutHelpWidth: () => Math.min(80, terminal.view.width),
      getErrHelpWidth: () => Math.min(80, terminal.view.width),
    })
    .addHelpCommand(new Command('help').argument('[command]').description('tell about a command').helpGroup('Keep:'))
  for (const [heading, commands] of groups) {
    program.commandsGroup(heading)
    for (const add of commands) add(program, context)
  }
  for (const group of program.commands) group.hook('preSubcommand', refuseUnknown)
  return program
}

/** Where one command of a group is run by default, what is no command would be an argument of it too many. */
function refuseUnknown(group: Command): void {
  const [name] = group.args
  const known = group.commands.map((one) => one.name())
  if (name === undefined || name.startsWith('-') || known.includes(name) || name === 'help') return
  group.error(
    `error: unknown command '${printable(name)}'${didYouMean(name, known) || `: there are ${known.join(', ')}`}`,
  )
}
