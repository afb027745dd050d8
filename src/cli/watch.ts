import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Runtime, Timer } from '../core/runtime.ts'

/** Editors write in several steps: a change counts once it has been quiet for so long, in milliseconds. */
const quiet = 80

/**
 * Watches files by way of their folders, so that one which is replaced, or missing for now, is seen too.
 * Calls once for a burst of changes: `isKnown` where one of the files added is among them.
 */
export class Watch {
  readonly #runtime: Runtime
  readonly #onChange: (file: string, isKnown: boolean) => void
  readonly #folders = new Map<string, FSWatcher>()
  readonly #files = new Map<string, string>()
  #timer: Timer | undefined
  #changed: { readonly file: string; readonly isKnown: boolean } | undefined

  constructor(runtime: Runtime, onChange: (file: string, isKnown: boolean) => void) {
    this.#runtime = runtime
    this.#onChange = onChange
  }

  add(file: string): void {
    if (this.#files.has(file)) return
    this.#files.set(file, stampOf(file))
    const folder = dirname(file)
    if (this.#folders.has(folder)) return
    // Without a name, any of its files may have changed.
    const watcher = watch(folder, (_event, name) => this.#look(folder, name ?? undefined))
    watcher.on('error', () => this.#folders.delete(folder))
    this.#folders.set(folder, watcher)
  }

  close(): void {
    this.#timer?.cancel()
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #look(folder: string, name: string | undefined): void {
    const known = [...this.#files.keys()].filter(
      (file) => dirname(file) === folder && (name === undefined || basename(file) === name),
    )
    for (const file of known) {
      const stamp = stampOf(file)
      // A look at a file, or a change of its rights, changes nothing in it.
      if (stamp !== this.#files.get(file)) this.#note({ file, isKnown: true })
      this.#files.set(file, stamp)
    }
    if (known.length === 0 && name !== undefined && isSource(name))
      this.#note({ file: join(folder, name), isKnown: false })
  }

  #note(change: { readonly file: string; readonly isKnown: boolean }): void {
    if (!this.#changed?.isKnown) this.#changed = change
    this.#timer?.cancel()
    this.#timer = this.#runtime.after(quiet, () => {
      const { file, isKnown } = this.#changed!
      this.#changed = undefined
      this.#onChange(file, isKnown)
    })
  }
}

const isSource = (name: string): boolean => /\.([cm]?[jt]sx?|json)$/.test(name)

/** Tells one content of a file from another, nearly always. */
function stampOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat ? `${stat.mtimeMs}/${stat.size}/${stat.ino}` : ''
}
