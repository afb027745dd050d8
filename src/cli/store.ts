import { relative } from 'node:path'
import { Celeriac } from '../app/celeriac.ts'
import { defaultUrl } from '../app/connect.ts'
import { partsOf } from '../app/parts.ts'
import { CeleriacError } from '../core/errors.ts'
import { publicUrl } from '../core/public-url.ts'
import type { Engine } from '../engine/engine.ts'
import { findModule } from './config.ts'
import type { Context, GlobalOptions } from './context.ts'
import { loadApp } from './load.ts'

/**
 * Which store a command works with: `--url`, else CELERIAC_URL, else that of the module's app where a module is named,
 * else `sqlite:celeriac.db` in the working folder.
 */
export async function openApp(context: Context, options: GlobalOptions): Promise<Celeriac> {
  const url = options.url ?? (context.environment['CELERIAC_URL'] || undefined)
  const module = url === undefined ? findModule(context, options) : undefined
  return module === undefined
    ? new Celeriac({ url: url ?? defaultUrl, runtime: context.runtime })
    : openModule(context, options, module)
}

/** The app of a module, on the store that `--url` names where it is given. */
export async function openModule(context: Context, options: GlobalOptions, module: string): Promise<Celeriac> {
  // The module makes its app when it is loaded, and looks here for the url.
  if (options.url !== undefined) context.environment['CELERIAC_URL'] = options.url
  const app = await loadApp(module, context.folder, options.app)
  if (options.url !== undefined) await checkUrlTaken(app, options.url, module)
  return app
}

/** Opens the app for the time of `use`. A store that is not there is not made: there would be nothing to read in it. */
export async function withStore<T>(
  context: Context,
  options: GlobalOptions,
  use: (app: Celeriac) => Promise<T>,
  open: () => Promise<Celeriac> = () => openApp(context, options),
): Promise<T> {
  const app = await open()
  try {
    await checkStoreExists(app, context)
    return await use(app)
  } finally {
    await app.close()
  }
}

export const engineOf = async (app: Celeriac): Promise<Engine> => (await partsOf(app).connect()).engine

/** Where a store is, as it may be printed: never with a password. */
export const addressOf = ({ name, url }: Pick<Engine, 'name' | 'url'>): string => (url === null ? name : publicUrl(url))

/** The file of a SQLite store; null for any other. */
export function fileOf({ name, url }: Pick<Engine, 'name' | 'url'>): string | null {
  return name === 'sqlite' && url !== null
    ? decodeURIComponent(url.replace(/^sqlite:/, '').replace(/\?.*$/s, ''))
    : null
}

async function checkStoreExists(app: Celeriac, { folder }: Context): Promise<void> {
  const engine = await engineOf(app)
  if (await engine.isThere()) return
  throw new CeleriacError(
    'STORE_MISSING',
    `There is no store at ${shownNear(engine, folder)} yet: start a worker or submit something, or name another store with --url`,
  )
}

/** A file as seen from the working folder, where it lies in it. */
function shownNear(engine: Engine, folder: string): string {
  const file = fileOf(engine)
  if (file === null) return addressOf(engine)
  const near = relative(folder, file)
  return near.startsWith('..') ? file : near
}

async function checkUrlTaken(app: Celeriac, url: string, module: string): Promise<void> {
  const wanted = new Celeriac({ url })
  const [taken, given] = [await engineOf(app), await engineOf(wanted)]
  await wanted.close()
  if (taken.name === given.name && taken.url === given.url) return
  throw new CeleriacError(
    'BAD_OPTION',
    `${module} names its store itself, so --url does not count: leave it out, or write new Celeriac() there`,
  )
}
