import { Option } from 'commander'
import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { callbackResults, type CallbackResults } from '../core/collection.ts'
import type { SubmitOptions } from '../core/options.ts'
import type { Duration } from '../core/time.ts'
import { readArguments } from './arguments.ts'
import { findModule } from './config.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { followCollection } from './following.ts'
import { readInteger } from './list-options.ts'
import { UsageError } from './mistake.ts'
import { printJson } from './print.ts'
import { openApp, openModule } from './store.ts'

interface OwnOptions {
  readonly follow?: boolean
  readonly queue?: string
  readonly priority?: number
  readonly startIn?: Duration
  readonly startAt?: string
  readonly expires?: Duration
  readonly timeout?: Duration
  readonly description?: string
  readonly actor?: string
  readonly tag?: readonly string[]
  readonly idempotencyKey?: string
  readonly callbackUrl?: string
  readonly callbackResults?: CallbackResults
}

export const addSubmit: AddCommand = (program, context) => {
  program
    .command('submit')
    .description('send one job')
    .argument('<task>', 'the name of the task')
    .argument('[args...]', 'its arguments as JSON; a plain word is taken as a text')
    .option('--follow', 'show it live until it has settled')
    .option('--queue <name>', 'the queue it waits in')
    .option('--priority <number>', 'from -1000 to 1000, higher first', readInteger)
    .option('--start-in <duration>', 'not before so long from now, such as 5m')
    .option('--start-at <instant>', 'not before then, such as 2026-03-01T09:00Z')
    .option('--expires <duration>', 'cancelled if it has not started by then')
    .option('--timeout <duration>', 'how long an attempt may take')
    .option('--description <text>', 'what it is about')
    .option('--actor <id>', 'who asks for it')
    .option('--tag <tags...>', 'tags, to be found by')
    .option('--idempotency-key <key>', 'the same key again gives the job made the first time')
    .option('--callback-url <url>', 'called by a signed POST once it has settled')
    .addOption(
      new Option('--callback-results <which>', 'the results it is sent, with --callback-url (default: exit)').choices(
        callbackResults,
      ),
    )
    .addHelpText('after', help)
    .action(async (task: string, args: string[], _own, command) => {
      await submit(context, optionsOf<OwnOptions>(command), task, readArguments(args))
    })
}

const help = `
Examples:
  celeriac submit greet World --module tasks.ts --follow
  celeriac submit math.add 2 3 --url sqlite:jobs.db
  celeriac submit mail.send '{"to":"a@example.org"}' --start-in 5m
  celeriac submit math.add 2 3 --callback-url https://example.org/hook

Where a module is named (--module, CELERIAC_MODULE, or "celeriac": { "module": … }
in package.json), the task's own options and schema count. Without one, any name
is taken as it is.`

async function submit(
  context: Context,
  options: GlobalOptions & OwnOptions,
  task: string,
  args: unknown[],
): Promise<void> {
  const { terminal } = context
  const module = findModule(context, options)
  const app = await (module === undefined ? openApp(context, options) : openModule(context, options, module))
  try {
    if (module !== undefined) partsOf(app).registry.get(task)
    const handle = await send(app, task, args, submitOptions(options))
    if (options.follow) return context.finish(await followCollection(context, app, handle, options))
    if (options.json) return printJson(terminal, { id: handle.id, task })
    terminal.print(handle.id)
    terminal.note(`Follow it: celeriac follow ${handle.id}`)
  } finally {
    await app.close()
  }
}

/** As a canvas of one call: so the options and the schema of the task count where it is defined. */
async function send(app: Celeriac, task: string, args: unknown[], options: SubmitOptions) {
  return app.submit(app.declare<(...args: unknown[]) => unknown>(task).si(...args), options)
}

function submitOptions({ actor, tag, startIn, startAt, ...options }: OwnOptions): SubmitOptions {
  const {
    queue,
    priority,
    expires,
    timeout,
    description,
    idempotencyKey,
    callbackUrl,
    callbackResults: results,
  } = options
  if (results !== undefined && callbackUrl === undefined)
    throw new UsageError('--callback-results says what is sent to --callback-url: give that, too.')
  return {
    queue,
    priority,
    startIn,
    startAt,
    expires,
    timeout,
    description,
    idempotencyKey,
    ...(results === undefined || callbackUrl === undefined
      ? { callbackUrl }
      : { callback: { url: callbackUrl, results } }),
    actor: actor === undefined ? undefined : { id: actor },
    tags: tag,
  }
}
