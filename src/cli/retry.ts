import { Option } from 'commander'
import { type AddCommand, optionsOf } from './context.ts'
import { collectionOf, find } from './find.ts'
import { followCollection } from './following.ts'
import { UsageError } from './mistake.ts'
import { withStore } from './store.ts'

interface RetryOptions {
  readonly mode: 'failed' | 'all'
  readonly now?: boolean
  readonly follow?: boolean
  readonly all?: boolean
}

export const addRetry: AddCommand = (program, context) => {
  program
    .command('retry')
    .description('run again what failed, was cancelled or was skipped; what succeeded keeps its result')
    .argument('<id>', 'of a collection or a job; its first digits are enough')
    .addOption(new Option('--mode <mode>', 'all: everything again').choices(['failed', 'all']).default('failed'))
    .option('--now', 'also start jobs that had not begun, whatever their start time')
    .option('--follow', 'show it live until it has settled')
    .action(async (id: string, _own, command) => {
      const options = optionsOf<RetryOptions>(command)
      await withStore(context, options, async (app) => {
        const found = await find(app, id)
        if (found.kind === 'job' && options.mode === 'all') {
          throw new UsageError(`${found.handle.id} is one job of a collection: --mode all is for the collection`)
        }
        const collection = await collectionOf(app, found)
        const now = options.now === true
        if (found.kind === 'collection') await found.handle.retry({ mode: options.mode, now })
        else await found.handle.retry({ now })
        if (options.follow) return context.finish(await followCollection(context, app, collection, options))
        context.terminal.print(found.handle.id)
        context.terminal.note(`Runs again. Follow it: celeriac follow ${collection.id}`)
      })
    })
}
