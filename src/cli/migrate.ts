import { type AddCommand, optionsOf } from './context.ts'
import { printJson } from './print.ts'
import { engineOf, openApp } from './store.ts'

export const addMigrate: AddCommand = (program, context) => {
  program
    .command('migrate')
    .description('make the store, or bring its schema up to date')
    .action(async (_own, command) => {
      const options = optionsOf(command)
      const app = await openApp(context, options)
      try {
        const { from, to } = await (await engineOf(app)).migrate()
        if (options.json) return printJson(context.terminal, { from, to })
        const told = from === to ? `Up to date: schema ${to}.` : `Schema ${from} became ${to}.`
        context.terminal.print(from === 0 ? `Made: schema ${to}.` : told)
      } finally {
        await app.close()
      }
    })
}
