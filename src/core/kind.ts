/**
 * Marks tasks, canvases and handles, so that one which strays into an argument or a result is called by its name. A
 * registered symbol, because two copies of this package may meet in one process. Symbols never cross as JSON.
 */
export const kind: unique symbol = Symbol.for('celeriac.kind')

export type Kind = 'task' | 'canvas' | 'handle'

/** What carries the mark. */
export interface Marked {
  readonly [kind]: Kind
}
