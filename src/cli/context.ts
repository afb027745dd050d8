import type { Command } from 'commander'
import type { Runtime } from '../core/runtime.ts'
import type { Environment, Terminal } from './terminal.ts'

/** What every command is given: the world outside, and nothing of it is reached in another way. */
export interface Context {
  readonly terminal: Terminal
  readonly runtime: Runtime
  /** Of the process: modules that are loaded read it too. */
  readonly environment: Environment
  /** The working folder. */
  readonly folder: string
  /** Calls at ctrl-C, instead of the process ending. Returns the way to undo it. */
  onInterrupt(call: () => void): () => void
  /** Calls at ctrl-C and when the process is told to end, instead of it ending. Returns the way to undo it. */
  onStop(call: (signal: NodeJS.Signals) => void): () => void
  /** Says with which code the process is to end. */
  finish(code: number): void
}

/** Options that may stand anywhere on the command line. */
export interface GlobalOptions {
  readonly url?: string
  readonly module?: string
  readonly app?: string
  readonly json?: boolean
  readonly verbose?: boolean
}

/** Adds one command to the program. */
export type AddCommand = (program: Command, context: Context) => void

/** The options of a command, with the global ones among them. */
export const optionsOf = <Own extends object = object>(command: Command): GlobalOptions & Own =>
  command.optsWithGlobals<GlobalOptions & Own>()
