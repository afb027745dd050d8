import type { Runtime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import { closedError, instrument } from '../engine/instrument.ts'
import type { Connection } from './events.ts'
import { FeedReader } from './follow.ts'
import { Looks } from './looks.ts'

/** The one connection of an app: made when it is first needed, and again if that failed. */
export interface Connector {
  connect(): Promise<Connection>
  close(): Promise<void>
}

export function createConnector(openEngine: () => Promise<Engine>, runtime: Runtime): Connector {
  let opening: Promise<Connection> | undefined
  let closing: Promise<void> | undefined

  async function open(): Promise<Connection> {
    const opened = instrument(await openEngine(), { runtime })
    const looks = new Looks(runtime)
    // Within what asks again while the store is away: who does so must not keep the others from being told that it is.
    const engine: Engine = {
      ...opened,
      collection: (id, options) =>
        options?.jobs === false
          ? opened.collection(id, options)
          : looks.read(id, (jobs) => opened.collection(id, jobs ? options : { jobs: false })),
    }
    return { engine, feed: new FeedReader(engine, runtime), looks, runtime }
  }

  async function closeOpened(): Promise<void> {
    const opened = await opening?.catch(() => undefined)
    opened?.feed.close(closedError())
    await opened?.engine.close()
  }

  return {
    connect() {
      if (closing && !opening) return Promise.reject(closedError())
      opening ??= open().catch((error: unknown) => {
        opening = undefined
        throw error
      })
      return opening
    },
    close: () => (closing ??= closeOpened()),
  }
}
