import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CeleriacError } from '../../core/errors.ts'

/**
 * The file that a connection was opened on. One that is deleted or replaced stays with whoever has it open: all they write is
 * stored, by their account, and gone with them. Asking costs 2 µs. Not by a file descriptor, whose end would take SQLite's locks.
 */
export class Place {
  readonly path: string
  readonly #id: string | null

  /** @param path of a file that has just been opened */
  constructor(path: string) {
    // The folder of the process may change; SQLite stays where it began.
    this.path = resolve(path)
    this.#id = fileAt(this.path)
  }

  get isSame(): boolean {
    return fileAt(this.path) === this.#id
  }

  /** @throws CeleriacError STORE_REPLACED */
  check(): void {
    if (this.isSame) return
    throw new CeleriacError(
      'STORE_REPLACED',
      `${this.path} was deleted or replaced while this process had it open, so what it stores would be lost: put the file back, or start this process again.`,
    )
  }
}

/** Null where there is none, or nobody can tell. */
function fileAt(path: string): string | null {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    return found === undefined ? null : `${found.dev} ${found.ino}`
  } catch {
    return null
  }
}
