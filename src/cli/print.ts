import { toSnake } from '../core/snake.ts'
import type { Terminal } from './terminal.ts'

/** Prints one JSON document in the naming of the HTTP API: one program reads both. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(toSnake(value), null, 2))
}
