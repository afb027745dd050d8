import { Celeriac } from '../app/celeriac.ts'
import { CeleriacError } from '../core/errors.ts'
import { isNodeSupported, supportedNode } from '../core/node-version.ts'
import type { Diagnosis } from '../engine/engine.ts'
import { findModule } from './config.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { loadApp } from './load.ts'
import { printJson } from './print.ts'
import { exitCodes } from './report.ts'
import { addressOf, engineOf, fileOf, openApp } from './store.ts'
import { displayWidth, fit, printable, wrap } from './text.ts'
import { symbolsOf, type View } from './view.ts'

export const addDoctor: AddCommand = (program, context) => {
  program
    .command('doctor')
    .description('check Node, the module and the store, and say what to do')
    .action(async (_own, command) => {
      const options = optionsOf(command)
      const found = [checkNode(), ...(await checkModule(context, options)), ...(await checkStore(context, options))]
      const { terminal } = context
      if (options.json) printJson(terminal, found)
      else terminal.print(...drawDiagnoses(found, terminal.view))
      if (found.some(({ level }) => level === 'error')) context.finish(exitCodes.failed)
    })
}

export function checkNode(found = process.versions.node): Diagnosis {
  if (isNodeSupported(found)) return { check: 'Node', level: 'ok', found, advice: '' }
  return { check: 'Node', level: 'error', found, advice: `Use ${supportedNode}.` }
}

async function checkModule(context: Context, options: GlobalOptions): Promise<Diagnosis[]> {
  const module = findModule(context, options)
  if (module === undefined) return []
  try {
    // Not closed: a module is loaded once, so this may be the app whose store is looked at next.
    await loadApp(module, context.folder, options.app)
    return [{ check: 'module', level: 'ok', found: module, advice: '' }]
  } catch (error) {
    return [{ check: 'module', level: 'error', found: module, advice: messageOf(error) }]
  }
}

async function checkStore(context: Context, options: GlobalOptions): Promise<readonly Diagnosis[]> {
  let app: Celeriac | undefined
  try {
    app = await openApp(context, options)
    const engine = await engineOf(app)
    if (!(await engine.isThere())) {
      const advice = 'It is made when a worker starts or something is submitted; or name another with --url.'
      return [
        { check: 'store', level: 'warning', found: `${fileOf(engine) ?? addressOf(engine)} is not there yet`, advice },
      ]
    }
    return [{ check: 'store', level: 'ok', found: addressOf(engine), advice: '' }, ...(await engine.diagnose())]
  } catch (error) {
    // A module that does not load has been told of.
    if (error instanceof CeleriacError && error.code === 'NOT_AN_APP') return []
    return [{ check: 'store', level: 'error', found: 'it cannot be opened', advice: messageOf(error) }]
  } finally {
    await app?.close()
  }
}

const marks = {
  ok: { glyph: '✓', ascii: '+', style: 'green' },
  warning: { glyph: '!', ascii: '!', style: 'yellow' },
  error: { glyph: '✗', ascii: 'x', style: 'red' },
} as const

/** What was looked at on the left, what was found beside it, and what to do about it underneath. */
function drawDiagnoses(found: readonly Diagnosis[], view: View): string[] {
  const names = found.map(({ check }) => displayWidth(printable(check)))
  const width = Math.min(Math.max(...names), Math.floor(view.width / 3))
  return found.flatMap((diagnosis) => drawDiagnosis(diagnosis, width, view))
}

function drawDiagnosis({ check, level, found, advice }: Diagnosis, width: number, view: View): string[] {
  const { style, glyph, ascii } = marks[level]
  const mark = view.paint(style, view.unicode ? glyph : ascii)
  const { ellipsis } = symbolsOf(view)
  const room = view.width - width - 4
  const arrow = view.unicode ? '→ ' : '-> '
  const todo = wrap(advice, room - arrow.length).map((line, at) => (at === 0 ? arrow : ' '.repeat(arrow.length)) + line)
  const [first = '', ...rest] = [...wrap(found, room), ...todo]
  const name = fit(printable(check), width, 'left', ellipsis)
  return [`${mark} ${name}  ${first}`.trimEnd(), ...rest.map((line) => `${' '.repeat(width + 4)}${line}`)]
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
