import { findModule } from './config.ts'
import { type AddCommand, optionsOf } from './context.ts'
import { UsageError } from './mistake.ts'
import { addWorkerOptions, type OwnWorkerOptions } from './worker-options.ts'

export const addWorker: AddCommand = (program, context) => {
  const command = program
    .command('worker')
    .description('run the jobs of an app')
    .argument('[module]', 'the file that exports the app')
  addWorkerOptions(command).action(async (given: string | undefined, _own, self) => {
    const options = optionsOf<OwnWorkerOptions>(self)
    const module = given ?? findModule(context, options)
    if (module === undefined) throw new UsageError('Name the module that exports the app: celeriac worker tasks.ts')
  })
}
