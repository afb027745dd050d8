import type { Terminal } from './terminal.ts'

/** One JSON document, as a program reads it. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2))
}
