import { resolve } from 'node:path'
import { findModule } from './config.ts'
import { type AddCommand, type GlobalOptions, optionsOf } from './context.ts'
import { UsageError } from './mistake.ts'
import { readPort } from './server.ts'
import { supervise } from './supervise.ts'
import { addWorkerOptions, type OwnWorkerOptions, writeWorkerOptions } from './worker-options.ts'

/** Who changes code does not want to wait for jobs. */
const grace = '2s'

export const addDev: AddCommand = (program, context) => {
  const command = program
    .command('dev')
    .description('run a worker, and the HTTP API, that restart when the module, or what it imports, changes')
    .argument('[module]', 'the file that exports the app')
  command.option('--port <port>', 'where the HTTP API listens (default: 8080, or what is free)', readPort)
  addWorkerOptions(command, grace).action(async (given: string | undefined, _own, self) => {
    const options = optionsOf<OwnWorkerOptions & { readonly port?: number }>(self)
    const module = given ?? findModule(context, options)
    if (module === undefined) throw new UsageError('Name the module that exports the app: celeriac dev tasks.ts')
    const own = writeWorkerOptions({ grace, ...options, http: options.port ?? 'anywhere' })
    await supervise(context, resolve(context.folder, module), [
      'worker',
      module,
      ...own,
      ...writeGlobalOptions(options),
    ])
  })
}

const writeGlobalOptions = ({ url, app, verbose }: GlobalOptions): string[] => [
  ...(url === undefined ? [] : ['--url', url]),
  ...(app === undefined ? [] : ['--app', app]),
  ...(verbose ? ['--verbose'] : []),
]
