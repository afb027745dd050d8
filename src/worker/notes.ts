import { resultText } from '../core/json.ts'
import type { Note } from '../engine/work.ts'

export interface NotesParts {
  /** What earlier attempts of the job kept. */
  readonly known: readonly Note[]
  readonly startedAt: number
  /** The measuring clock. */
  readonly elapsed: () => number
  /** There are notes to send. */
  readonly tell: () => void
}

/** Notes are sent at most so often, in milliseconds: they are of use only if the attempt does not end well. */
const notesEvery = 1_000
/** Maximum characters that a job keeps: a chunk with more results could not store them as its result either. */
const mostNoted = 1_048_576

/** What a job keeps by name for its later attempts: read before an attempt begins, sent while it runs. */
export class Notes {
  readonly #parts: NotesParts
  readonly #known: ReadonlyMap<string, string>
  #size: number
  #toldAt: number
  #unsent: { readonly name: string; readonly value: unknown }[] = []
  #returned: readonly Note[] = []

  constructor(parts: NotesParts) {
    this.#parts = parts
    this.#known = new Map(parts.known.map(({ name, value }) => [name, value]))
    this.#size = parts.known.reduce((sum, { value }) => sum + value.length, 0)
    this.#toldAt = parts.startedAt
  }

  /** The JSON text that an earlier attempt kept under this name. */
  get(name: string): string | undefined {
    return this.#known.get(name)
  }

  /** Keeps a value for later attempts. It is sent within a second of the next call, or by `flush`. */
  keep(name: string, value: unknown): void {
    this.#unsent.push({ name, value })
    const now = this.#parts.elapsed()
    if (now - this.#toldAt < notesEvery) return
    this.#toldAt = now
    this.#parts.tell()
  }

  /** Has what is left sent before the outcome of the attempt. A success needs none of it. */
  flush(hasSucceeded: boolean): void {
    if (hasSucceeded) this.#unsent = []
    else if (this.#unsent.length > 0) this.#parts.tell()
  }

  /** What is to be sent. Made into text only here: most attempts end well, and send nothing. */
  take(): readonly Note[] {
    const taken = [...this.#returned]
    for (const { name, value } of this.#unsent) {
      const text = textOf(value)
      if (text === null || this.#size + text.length > mostNoted) continue
      this.#size += text.length
      taken.push({ name, value: text })
    }
    this.#returned = []
    this.#unsent = []
    return taken
  }

  /** Takes back what could not be sent. */
  giveBack(notes: readonly Note[]): void {
    this.#returned = [...notes, ...this.#returned]
  }
}

/** null if JSON does not carry it: then the attempt cannot give it as a result either. */
function textOf(value: unknown): string | null {
  try {
    return resultText(value)
  } catch {
    return null
  }
}
