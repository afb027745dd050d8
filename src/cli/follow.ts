import { type AddCommand, optionsOf } from './context.ts'
import { collectionOf, find } from './find.ts'
import { followCollection } from './following.ts'
import { withStore } from './store.ts'

export const addFollow: AddCommand = (program, context) => {
  program
    .command('follow')
    .description('show a collection live until it has settled')
    .argument('<id>', 'of a collection, or of a job in it; its first digits are enough')
    .option('--all', 'every job, also side branches that were not needed')
    .option('--ids', 'the id of every job')
    .addHelpText('after', '\nEnds with 0 when it succeeded, 1 when it failed, 2 when it was cancelled.')
    .action(async (id: string, _own, command) => {
      const options = optionsOf<{ readonly all?: boolean; readonly ids?: boolean }>(command)
      await withStore(context, options, async (app) => {
        const collection = await collectionOf(app, await find(app, id))
        context.finish(await followCollection(context, app, collection, options))
      })
    })
}
