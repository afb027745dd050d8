import { type AddCommand, optionsOf } from './context.ts'
import { find } from './find.ts'
import { drawJobPage } from './job-page.ts'
import { printJson } from './print.ts'
import { withStore } from './store.ts'
import { drawResult } from './result.ts'
import { renderTree } from './tree.ts'

export const addShow: AddCommand = (program, context) => {
  program
    .command('show')
    .description('show a collection as a tree, or a job with its attempts, log and result')
    .argument('<id>', 'of a collection or a job; its first digits are enough')
    .option('--all', 'every job, also side branches that were not needed')
    .option('--ids', 'the id of every job')
    .action(async (id: string, _own, command) => {
      const options = optionsOf<{ readonly all?: boolean; readonly ids?: boolean }>(command)
      const { terminal } = context
      await withStore(context, options, async (app) => {
        const found = await find(app, id)
        if (found.kind === 'job') {
          const job = await found.handle.snapshot()
          if (options.json) printJson(terminal, job)
          else terminal.print(...drawJobPage(job, terminal.view))
          return
        }
        const collection = await found.handle.snapshot()
        const alone = collection.jobs.find((job) => job.id === collection.id)
        if (options.json) printJson(terminal, collection)
        else if (alone && collection.jobs.length === 1) {
          terminal.print(...drawJobPage(await (await app.job(alone.id)).snapshot(), terminal.view))
        } else
          terminal.print(...renderTree(collection, terminal.view, options), ...drawResult(collection, terminal.view))
      })
    })
}
