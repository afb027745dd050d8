import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Celeriac } from '../app/celeriac.ts'
import { CeleriacError } from '../core/errors.ts'
import { didYouMean } from '../core/misspelling.ts'
import { DetailedError } from './mistake.ts'
import { resolveTypeScript, typeScriptAdvice } from './typescript.ts'

/**
 * Loads a module, TypeScript or JavaScript, and gives the app it exports: as default, as `app`, or under any name.
 *
 * @param path relative to `folder`
 * @param name the export to take, where there are several apps
 * @throws CeleriacError NOT_AN_APP
 */
export async function loadApp(path: string, folder: string, name?: string): Promise<Celeriac> {
  const file = resolve(folder, path)
  if (!existsSync(file)) throw notAnApp(`There is no module ${path}${suggestFile(file, folder)}`)
  if (statSync(file).isDirectory()) throw notAnApp(`${path} is a folder${suggestIn(file, folder)}`)
  const exported = await importModule(file, path, folder)
  const apps = Object.entries(exported).filter((entry): entry is [string, Celeriac] => entry[1] instanceof Celeriac)
  return name === undefined ? theOnlyApp(apps, exported, path) : theNamedApp(name, apps, path)
}

function theOnlyApp(apps: readonly [string, Celeriac][], exported: object, path: string): Celeriac {
  const [first] = apps
  if (!first) throw notAnApp(adviceForNone(exported, path))
  if (apps.every(([, app]) => app === first[1])) return first[1]
  const names = apps.map(([name]) => name).join(', ')
  throw notAnApp(`${path} exports several apps (${names}): take one of them with --app ${apps.at(-1)![0]}`)
}

function theNamedApp(name: string, apps: readonly [string, Celeriac][], path: string): Celeriac {
  const found = apps.find(([exported]) => exported === name)
  if (found) return found[1]
  const names = apps.map(([exported]) => exported)
  const known = names.length > 0 ? `; its apps are ${names.join(', ')}` : '; it exports none'
  throw notAnApp(`${path} exports no app called "${name}"${didYouMean(name, names) || known}`)
}

function adviceForNone(exported: object, path: string): string {
  const isForeign = Object.values(exported).some((value) => {
    const kind: unknown = typeof value === 'object' && value !== null ? (value as object).constructor : undefined
    return typeof kind === 'function' && kind.name === 'Celeriac'
  })
  if (isForeign) {
    return `The app in ${path} comes from another copy of celeriac than this command: run npx celeriac in its project`
  }
  const names = Object.keys(exported)
  const found = names.length > 0 ? `it exports ${names.slice(0, 8).join(', ')}` : 'it exports nothing'
  return `${path} does not export an app, ${found}: write export const app = new Celeriac()`
}

async function importModule(file: string, path: string, folder: string): Promise<object> {
  resolveTypeScript()
  try {
    return (await import(pathToFileURL(file).href)) as object
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const [first = '', ...rest] = reason.split('\n')
    const details = [
      ...rest.filter((line) => line.trim() !== ''),
      ...placeOf(error, file, folder),
      ...typeScriptAdvice(error, file),
    ]
    throw new DetailedError('NOT_AN_APP', `${path} does not load: ${first}`, details, { cause: error })
  }
}

/** The code of this command: an error is not there when it comes by way of our hook for imports. */
const own = new URL('.', import.meta.url).href

/** Where in a file the error lies: with the line itself where the syntax is wrong, else the innermost call in a file. */
function placeOf(error: unknown, file: string, folder: string): string[] {
  if (!(error instanceof Error)) return []
  const stack = error.stack ?? ''
  const frame = readFrame(stack) ?? (error instanceof SyntaxError ? readFrame(explainSyntax(file)) : undefined)
  if (frame) return shorten(frame, folder)
  const call = stack
    .split('\n')
    .find((line) => /^\s+at .*file:\/\//.test(line) && !line.includes('/node_modules/') && !line.includes(own))
  return call ? shorten([call.trim()], folder) : []
}

/** The lines before the message: `file:///…:3`, the line of the file, and a mark under it. */
function readFrame(text: string): string[] | undefined {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^file:\/\/.*:\d+$/.test(line))
  if (start === -1) return undefined
  const end = lines.findIndex((line, index) => index > start && (line.trim() === '' || /^\w*Error\b/.test(line)))
  return lines.slice(start, end === -1 ? start + 3 : end)
}

/**
 * Of a mistake in JavaScript an error does not say where it is; only Node itself does, when it fails for it. Nothing of
 * the module is run: it is not even parsed.
 */
function explainSyntax(file: string): string {
  const { stderr } = spawnSync(process.execPath, ['--import', pathToFileURL(file).href, '--eval', ''], {
    encoding: 'utf8',
    timeout: 10_000,
  })
  return stderr
}

const shorten = (lines: readonly string[], folder: string): string[] =>
  lines.map((line) => line.replaceAll(`${pathToFileURL(folder).href}/`, ''))

/** A file with the same name and another ending, or one spelled nearly like it. */
function suggestFile(file: string, folder: string): string {
  const place = dirname(file)
  const advice = ': name the file that exports your app, such as tasks.ts'
  if (!existsSync(place)) return advice
  const names = readdirSync(place).filter((name) => /\.[cm]?[jt]s$/.test(name))
  const sameName = names.find((name) => name.replace(/\.\w+$/, '') === basename(file).replace(/\.\w+$/, ''))
  if (sameName) return `: did you mean "${relative(folder, resolve(place, sameName))}"?`
  return didYouMean(basename(file), names) || advice
}

/** The modules in a folder, where there are few. */
function suggestIn(place: string, folder: string): string {
  const names = readdirSync(place).filter((name) => /\.[cm]?[jt]s$/.test(name))
  const shown = names.slice(0, 5).map((name) => relative(folder, resolve(place, name)))
  const [first = 'tasks.ts'] = shown
  return names.length === 0
    ? ', and no module is in it: name the file that exports your app, such as tasks.ts'
    : `: name the file in it that exports your app, such as ${first}${shown.length > 1 ? ` (there are ${shown.join(', ')}${names.length > 5 ? ', …' : ''})` : ''}`
}

const notAnApp = (message: string): CeleriacError => new CeleriacError('NOT_AN_APP', message)
