import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { rotateSecret, type SecretSource, signingSecrets } from '../callbacks/secrets.ts'
import { findModule } from './config.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { printJson } from './print.ts'
import { engineOf, openModule, withStore } from './store.ts'

export const addCallbacks: AddCommand = (program, context) => {
  const callbacks = program.command('callbacks').description('tell or change the secret that callbacks are signed with')
  callbacks
    .command('secret')
    .description('the secret that receivers check callbacks with')
    .action(async (_own, command) => tellSecret(context, optionsOf(command)))
  callbacks
    .command('rotate')
    .description('put a new secret in its place; the old one signs beside it for a day')
    .action(async (_own, command) => rotate(context, optionsOf(command)))
}

async function tellSecret(context: Context, options: GlobalOptions): Promise<void> {
  const { terminal } = context
  await withSecrets(context, options, async (source) => {
    const [newest = '', ...older] = await signingSecrets(source)
    if (options.json) return printJson(terminal, { secrets: [newest, ...older] })
    terminal.print(newest)
    if (older.length > 0)
      terminal.note(`${older.length === 1 ? 'An older one signs' : `${older.length} older ones sign`} beside it.`)
  })
}

async function rotate(context: Context, options: GlobalOptions): Promise<void> {
  const { terminal } = context
  await withSecrets(context, options, async (source, app) => {
    const secret = await rotateSecret(source, partsOf(app).newId)
    if (options.json) return printJson(terminal, { secret })
    terminal.print(secret)
    terminal.note('It signs from now on, and for a day the one before does too.', 'Give receivers the new one by then.')
  })
}

/** An app may be given its secrets where it is made, so that of the module counts where there is one. */
async function withSecrets(
  context: Context,
  options: GlobalOptions,
  use: (source: SecretSource, app: Celeriac) => Promise<void>,
): Promise<void> {
  const module = findModule(context, options)
  const open = module === undefined ? undefined : () => openModule(context, options, module)
  await withStore(
    context,
    options,
    async (app) => {
      const { callbacks: settings, runtime } = partsOf(app)
      await use({ settings, runtime, store: await engineOf(app) }, app)
    },
    open,
  )
}
