import { Celeriac } from '../app/celeriac.ts'
import { CeleriacError, NotFound } from '../core/errors.ts'
import { publicUrl } from '../core/public-url.ts'
import { copyStore, type CopyReport, undoCopy } from '../engine/copy.ts'
import type { Engine } from '../engine/engine.ts'
import type { Transfer } from '../engine/transfer.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { CopyDrawing } from './copy-drawing.ts'
import { drawCensus, readCensus } from './copy-table.ts'
import { UsageError } from './mistake.ts'
import { printJson } from './print.ts'
import { exitCodes } from './report.ts'
import { engineOf, fileOf } from './store.ts'

interface CopyOptions {
  readonly from?: string
  readonly to?: string
  readonly undo?: boolean
  readonly force?: boolean
}

export const addCopy: AddCommand = (program, context) => {
  program
    .command('copy')
    .description('copy everything to another store, and close this one')
    .option('--from <url>', 'the store as it is')
    .option('--to <url>', 'the empty store it is to be in')
    .option('--undo', 'give a copy up: empty what is not whole, use the old store again')
    .option('--force', 'with --undo: also where the copy was finished')
    .addHelpText('after', '\nStop all workers first. Broken off, it goes on when it is called again.')
    .action(async (_own, command) => {
      const options = optionsOf<CopyOptions>(command)
      if (options.from === undefined) throw new UsageError(`Say what is to be copied: ${example}`)
      if (options.to === undefined && !options.undo) throw new UsageError(`Say where it is to be copied: ${example}`)
      if (options.force && !options.undo) throw new UsageError('--force goes with --undo, and with nothing else.')
      const { from, to } = options
      await withEnd(context, '--from', from, async (source) => {
        if (to === undefined) return undo(context, options, source, null)
        return withEnd(context, '--to', to, (target) =>
          options.undo ? undo(context, options, source, target) : copy(context, options, source, target),
        )
      })
    })
}

const example = 'celeriac copy --from sqlite:celeriac.db --to postgres://localhost/shop'

// ── the two stores ───────────────────────────────────────────────────────────────────────────────────────────────

interface End {
  readonly engine: Engine
  readonly transfer: Transfer
  /** As it may be shown. */
  readonly url: string
}

async function withEnd(
  context: Context,
  option: '--from' | '--to',
  given: string,
  use: (end: End) => Promise<void>,
): Promise<void> {
  refuseMemory(option, given)
  const app = new Celeriac({ url: given, runtime: context.runtime })
  try {
    const engine = await engineOf(app)
    if (option === '--from') await checkSource(engine, given)
    await use({ engine, transfer: engine.transfer, url: publicUrl(engine.url ?? given) })
  } finally {
    await app.close()
  }
}

function refuseMemory(option: '--from' | '--to', given: string): void {
  if (/^sqlite:(\/\/)?:memory:/i.test(given))
    throw new CeleriacError('BAD_URL', `${option}: what is in memory ends with this process: name a file.`)
}

async function checkSource(engine: Engine, given: string): Promise<void> {
  if (await engine.isThere()) return
  const at = fileOf(engine) ?? publicUrl(engine.url ?? given)
  throw new CeleriacError(
    'STORE_MISSING',
    `There is no store at ${at}, so there is nothing to copy: name another one with --from`,
  )
}

// ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────

async function copy(context: Context, options: GlobalOptions, source: End, target: End): Promise<void> {
  if (source.engine.url !== null && source.engine.url === target.engine.url)
    throw new UsageError('--from and --to are the same store: name another one with --to.')
  if ((await source.transfer.standing()).type === 'empty')
    throw new NotFound(`There is nothing in ${source.url}, so there is nothing to copy: check what --from names`)
  const { terminal, runtime } = context
  const drawing = new CopyDrawing(terminal, options.json === true)
  const stop = new AbortController()
  const unlisten = context.onInterrupt(() => stop.abort())
  try {
    const report = await copyStore({
      source: source.transfer,
      target: target.transfer,
      from: source.url,
      to: target.url,
      runtime,
      onProgress: (progress) => drawing.draw(progress),
      signal: stop.signal,
    })
    drawing.close()
    tell(context, options, { report, from: source.url, to: target.url })
  } finally {
    drawing.close()
    unlisten()
  }
}

interface Told {
  readonly report: CopyReport
  readonly from: string
  readonly to: string
}

function tell({ terminal, finish }: Context, options: GlobalOptions, { report, from, to }: Told): void {
  const rows = 'source' in report ? readCensus(report.source, report.target) : []
  if (options.json) printJson(terminal, { state: report.type, from, to, rows })
  else if (rows.length > 0) terminal.print(...drawCensus(rows, terminal.view))
  if (report.type === 'differs') finish(exitCodes.failed)
  if (report.type === 'stopped') finish(exitCodes.interrupted)
  if (!options.json || report.type !== 'copied') terminal.note(...sentences(report.type))
}

function sentences(type: CopyReport['type']): string[] {
  switch (type) {
    case 'copied':
      return ['Copied. The source is closed from now on: start everything with the new url.']
    case 'before':
      return ['This was copied before, and the target is in use: nothing was done.']
    case 'differs':
      return [
        'The counts differ, so the target stays closed. Give the copy up (--undo) and copy again; should they differ',
        'again, what is in the source is damaged: celeriac doctor looks for that.',
      ]
    case 'stopped':
      return ['Stopped. The same command goes on; --undo gives it up. Until then neither store can be used.']
  }
}

async function undo(
  { terminal }: Context,
  { force, json }: CopyOptions & GlobalOptions,
  source: End,
  target: End | null,
): Promise<void> {
  await undoCopy({ source: source.transfer, target: target?.transfer ?? null, isForced: force === true })
  if (json) printJson(terminal, { state: 'undone', from: source.url, to: target?.url ?? null })
  terminal.note('The copy is given up: the source can be used again.')
}
