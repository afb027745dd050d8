import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { CeleriacError } from '../core/errors.ts'
import type { Context, GlobalOptions } from './context.ts'

/**
 * The module that exports the app, where one is named: by `--module`, by CELERIAC_MODULE, or in the package.json of the
 * project as `"celeriac": { "module": "src/tasks.ts" }`.
 */
export function findModule({ folder, environment }: Context, options: GlobalOptions): string | undefined {
  return options.module ?? environment['CELERIAC_MODULE'] ?? readProject(folder, folder)
}

/** Looks in the folder and those above it, up to the first package.json. */
function readProject(folder: string, from: string): string | undefined {
  const file = join(folder, 'package.json')
  if (!existsSync(file)) return dirname(folder) === folder ? undefined : readProject(dirname(folder), from)
  const module = moduleIn(file)
  return module === undefined ? undefined : relative(from, join(folder, module)) || undefined
}

function moduleIn(file: string): string | undefined {
  let project: unknown
  try {
    project = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
  const settings = property(project, 'celeriac')
  const module = property(settings, 'module')
  if (module === undefined || typeof module === 'string') return module
  throw new CeleriacError('BAD_OPTION', `${file}: "celeriac": { "module": … } is the path of a file, as a text.`)
}

const property = (object: unknown, key: string): unknown =>
  typeof object === 'object' && object !== null ? (object as Record<string, unknown>)[key] : undefined
