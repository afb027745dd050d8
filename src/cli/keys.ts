import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import type { Duration } from '../core/time.ts'
import type { ApiKey } from '../http/keys.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { formatInstant } from './instant.ts'
import { printJson } from './print.ts'
import { openApp, withStore } from './store.ts'
import { type Column, drawTable } from './table.ts'
import { printable } from './text.ts'

interface CreateOptions {
  readonly name: string
  readonly scopes: readonly string[]
  readonly expires?: Duration
}

export const addKeys: AddCommand = (program, context) => {
  const keys = program.command('keys').description('list the API keys of the HTTP API, make or revoke them')
  keys
    .command('list', { isDefault: true })
    .description('the keys, and what each may do')
    .action(async (_own, command) => listAll(context, optionsOf(command)))
  keys
    .command('create')
    .description('make a key; it is shown once and never again')
    .requiredOption('--name <name>', 'what it is for')
    .option('--scopes <scopes>', 'read, submit, operate, admin: some of them, separated by commas', readScopes, [
      'read',
    ])
    .option('--expires <duration>', 'how long it is good for, such as 90d (default: until it is revoked)')
    .action(async (_own, command) => create(context, optionsOf<CreateOptions>(command)))
  keys
    .command('revoke')
    .description('from then on, within five seconds, it opens nothing')
    .argument('<ids...>')
    .action(async (ids: string[], _own, command) => revoke(context, optionsOf(command), ids))
}

async function listAll(context: Context, options: GlobalOptions): Promise<void> {
  const { terminal } = context
  await withStore(context, options, async (app) => {
    const { listKeys } = await import('../http/keys.ts')
    const keys = await listKeys((await partsOf(app).connect()).engine)
    if (options.json) return printJson(terminal, keys)
    if (keys.length === 0) return terminal.note('No keys. Make one: celeriac keys create --name … --scopes read,submit')
    terminal.print(...drawTable(columns, keys, terminal.view))
  })
}

/** A key may be made before anything else is, so a store that is not there yet is made. */
async function create(context: Context, options: GlobalOptions & CreateOptions): Promise<void> {
  const { terminal } = context
  const app: Celeriac = await openApp(context, options)
  try {
    const { createKey } = await import('../http/keys.ts')
    const { name, scopes, expires } = options
    const { key, about } = await createKey(await partsOf(app).connect(), { name, scopes, expiresIn: expires })
    if (options.json) return printJson(terminal, { key, ...about })
    terminal.print(key)
    terminal.note(`The key ${about.id} may ${about.scopes.join(', ')}. It is not shown again: keep it now.`)
  } finally {
    await app.close()
  }
}

async function revoke(context: Context, options: GlobalOptions, ids: readonly string[]): Promise<void> {
  await withStore(context, options, async (app) => {
    const { revokeKey } = await import('../http/keys.ts')
    const { engine } = await partsOf(app).connect()
    for (const id of ids) {
      const isGone = await revokeKey(engine, id)
      context.terminal.note(isGone ? `Key ${printable(id)} is revoked.` : `There is no key ${printable(id)}.`)
      if (!isGone) context.finish(1)
    }
  })
}

const readScopes = (text: string): string[] => text.split(',').map((scope) => scope.trim())

const columns: Column<ApiKey>[] = [
  { title: 'key', value: ({ id }) => id },
  { title: 'name', value: ({ name }) => name, least: 12 },
  { title: 'scopes', value: ({ scopes }) => scopes.join(', '), least: 8 },
  { title: 'made', value: ({ createdAt }) => formatInstant(createdAt), expendable: 1 },
  { title: 'expires', value: ({ expiresAt }) => (expiresAt ? formatInstant(expiresAt) : 'never') },
]
