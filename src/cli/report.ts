import { CommanderError } from 'commander'
import { CeleriacError } from '../core/errors.ts'
import { DetailedError, UsageError } from './mistake.ts'
import type { Terminal } from './terminal.ts'
import { printable, wrap } from './text.ts'

export const exitCodes = { succeeded: 0, failed: 1, usage: 2, cancelled: 2, interrupted: 130 } as const

/** Tells an error in a sentence or two; answers with the exit code. The stack only where it was asked for. */
export function reportError(error: unknown, terminal: Terminal, isVerbose: boolean): number {
  // Commander has told it already, or it was only asked for help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.succeeded : exitCodes.usage
  const [sentence = '', ...details] = describeError(error)
  // In a log file it stays one line, to be found by.
  const lines = terminal.isLive ? wrap(sentence, terminal.view.width) : [sentence]
  terminal.note(...lines, ...details, ...(isVerbose ? describeStack(error) : []))
  return isUsage(error) ? exitCodes.usage : exitCodes.failed
}

export function describeError(error: unknown): string[] {
  if (!(error instanceof Error)) return [`error: ${printable(String(error))}`]
  const code = error instanceof CeleriacError ? ` (${error.code})` : ''
  const sentence = printable(error.message) || error.name
  const details = error instanceof DetailedError ? error.details : []
  return [`error: ${sentence}${code}`, ...details.map((line) => `  ${line}`)]
}

function describeStack(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  const own = (error.stack ?? '').split('\n').map((line) => `  ${line}`)
  return error.cause instanceof Error ? [...own, '  because:', ...describeStack(error.cause)] : own
}

const isUsage = (error: unknown): boolean =>
  error instanceof UsageError || (error instanceof CeleriacError && error.code.startsWith('BAD_'))
