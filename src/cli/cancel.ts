import { type AddCommand, optionsOf } from './context.ts'
import { find } from './find.ts'
import { withStore } from './store.ts'

export const addCancel: AddCommand = (program, context) => {
  program
    .command('cancel')
    .description('cancel a collection, or one job; those that run are told to stop')
    .argument('<id>', 'of a collection or a job; its first digits are enough')
    .action(async (id: string, _own, command) => {
      const { terminal } = context
      await withStore(context, optionsOf(command), async (app) => {
        const { handle, kind } = await find(app, id)
        await handle.cancel()
        const { state } = await handle.snapshot()
        terminal.print(handle.id)
        const isOver = state !== 'cancelled' && (state === 'succeeded' || state === 'failed' || state === 'skipped')
        if (isOver) terminal.note(`The ${kind} had ${state} before: nothing was cancelled.`)
        else
          terminal.note(state === 'cancelled' ? 'Cancelled.' : 'It will be cancelled as soon as what runs has stopped.')
      })
    })
}
