import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Runtime } from '../src/core/runtime.ts'
import type { Engine } from '../src/engine/engine.ts'
import { sqlite, sqliteFromUrl } from '../src/engines/sqlite/sqlite.ts'

/** An empty store of its own, somewhere. */
export interface Place {
  /** What an app is given to reach it, from this process or another. */
  readonly url: string
  /** One more connection to it, as another process would have, with the time that the runtime tells. */
  connect(runtime: Runtime): Engine
  remove(): void | Promise<void>
}

interface EngineUnderTest {
  readonly name: string
  readonly place: () => Place | Promise<Place>
  /** What opens a place by its url, in another process. */
  readonly connect: (url: string) => (runtime: Runtime) => Engine
}

/** Every engine the contract and the scenarios run on: another one adds a line. */
export const engines: readonly EngineUnderTest[] = [{ name: 'sqlite', place: sqlitePlace, connect: sqliteFromUrl }]

export function connectTo(name: string, url: string): (runtime: Runtime) => Engine {
  const engine = engines.find((each) => each.name === name)
  if (!engine) throw new Error(`No engine under test is called ${name}.`)
  return engine.connect(url)
}

function sqlitePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-'))
  const path = join(folder, 'store.db')
  return {
    url: `sqlite:${path}?mode=fast`,
    connect: (runtime) => sqlite({ path, mode: 'fast' })(runtime),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
