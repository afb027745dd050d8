import { relative } from 'node:path'
import { Option } from 'commander'
import { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { runWorkerProcess } from '../worker/process.ts'
import type { WorkerOptions } from '../worker/settings.ts'
import { findModule } from './config.ts'
import { keepForSupervisor } from './crash.ts'
import { type AddCommand, type Context, optionsOf } from './context.ts'
import { supervised, tellImports } from './imports.ts'
import { JobLog } from './job-log.ts'
import { UsageError } from './mistake.ts'
import { addressOf, engineOf, fileOf, openModule } from './store.ts'
import { openNotice } from './server.ts'
import { printable } from './text.ts'
import { addWorkerOptions, type OwnWorkerOptions, readServedAt, type ServedAt } from './worker-options.ts'

export const addWorker: AddCommand = (program, context) => {
  const command = program
    .command('worker')
    .description('run the jobs of an app')
    .argument('[module]', 'the file that exports the app')
  command.addOption(new Option('--http <port>').argParser(readServedAt).hideHelp())
  addWorkerOptions(command, '10s').action(async (given: string | undefined, _own, self) => {
    const options = optionsOf<OwnWorkerOptions>(self)
    const module = given ?? findModule(context, options)
    if (module === undefined) throw new UsageError('Name the module that exports the app: celeriac worker tasks.ts')
    const supervisor = context.environment[supervised]
    const onSole = supervisor === undefined ? undefined : obeySupervisor(supervisor)
    const app = await openModule(context, options, module)
    checkOwn(app, module)
    await work(context, app, module, options, onSole)
  })
}

async function work(
  context: Context,
  app: Celeriac,
  module: string,
  { queues, concurrency, name, lease, grace, exitWhenBlocked, http }: OwnWorkerOptions,
  /** undefined: nobody supervises this process. */
  onSole: WorkerOptions['onSole'],
): Promise<void> {
  const { terminal } = context
  const engine = await engineOf(app)
  const log = onSole && new JobLog(engine, terminal)
  const greeting = [describeWork(context, app, module, engine)]
  await log?.start()
  const serving = http === undefined ? undefined : await serveBeside(app, http, (message) => greeting.push(message))
  await runWorkerProcess(app, { queues, concurrency, name, lease, grace, exitWhenBlocked, onSole }, (message) =>
    terminal.note(...greeting.splice(0), message),
  )
  await serving?.close()
  await log?.stop()
  await app.close()
}

/** Who develops wants to work on, whatever else there is at that port. */
async function serveBeside(app: Celeriac, wanted: ServedAt, tell: (message: string) => void) {
  const { serve } = await import('../http/serve.ts')
  const ports = wanted === 'anywhere' ? [8080, 0] : [wanted]
  for (const port of ports) {
    try {
      const serving = await serve(app, { port, openLocally: true })
      tell(`Serving at ${serving.url}: /docs lists all there is.`)
      if (serving.isOpenLocally) openNotice.forEach((line) => tell(line))
      unchecked(app).forEach((name) => tell(`${name} takes any values over HTTP: give it a schema (input).`))
      return serving
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE')) throw error
    }
  }
  tell(`Port ${wanted} is taken, so the HTTP API is not served: name another with --port.`)
  return undefined
}

/** The tasks that strangers may send and of whose arguments no more than their number is checked. */
const unchecked = (app: Celeriac): readonly string[] =>
  partsOf(app)
    .registry.all()
    .filter(({ schema, terms }) => terms.expose && schema === null)
    .map(({ name }) => printable(name))

function describeWork({ folder }: Context, app: Celeriac, module: string, engine: Engine): string {
  const runnable = partsOf(app)
    .registry.all()
    .filter(({ handler }) => handler !== null)
  const tasks = runnable.length === 1 ? '1 task' : `${runnable.length} tasks`
  return `${tasks} of ${module}, jobs in ${placeOf(engine, folder)}`
}

function placeOf(engine: Engine, folder: string): string {
  const file = fileOf(engine)
  if (file === null) return addressOf(engine)
  const near = relative(folder, file)
  return near.startsWith('..') ? file : near
}

/** Handlers ask their own copy of the package for the job they run as: another copy could not answer. */
function checkOwn(app: unknown, module: string): void {
  if (app instanceof Celeriac) return
  const advice = 'run the command of its own project: npx celeriac'
  throw new CeleriacError(
    'NOT_AN_APP',
    `The app of ${module} is of another copy of celeriac than this command: ${advice}`,
  )
}

/** Returns what is to be called with the attempt that runs alone. */
function obeySupervisor(folder: string): NonNullable<WorkerOptions['onSole']> {
  tellImports((message) => process.send?.(message))
  // Whoever started this process is gone: it ends as if it had been told to.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  return keepForSupervisor(folder)
}
