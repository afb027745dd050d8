import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Asked, Said } from './keeper.ts'
import { type Settings, Unavailable } from './server.ts'

export type Kind = 'postgres' | 'redis' | 'pgbouncer' | 'nginx'

/** A server of one's own that a keeper looks after: it is gone when this process is, whatever happens to it. */
export interface Hired {
  readonly url: string
  start(): Promise<void>
  stop(how?: 'properly' | 'at once'): Promise<void>
  /** Ends it and removes its data. */
  remove(): Promise<void>
}

/**
 * Starts a server and resolves once it answers.
 *
 * @throws Unavailable where this machine has none
 */
export async function hire(kind: Kind, settings: Settings = {}): Promise<Hired> {
  const keeper = fork(join(import.meta.dirname, 'keeper.ts'), [kind, JSON.stringify(settings)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const asked = new Map<number, (error: string | null) => void>()
  const ready = Promise.withResolvers<string>()
  keeper.on('message', (said: Said) => {
    if (said.type === 'ready') ready.resolve(said.url)
    else if (said.type === 'done') asked.get(said.id)?.(said.error)
    else ready.reject(new (said.type === 'unavailable' ? Unavailable : Error)(said.reason))
  })
  keeper.once('exit', (code, signal) => {
    const reason = `The keeper of ${kind} has ended (${code ?? signal}).`
    const tellAll = (): void => {
      ready.reject(new Error(reason))
      for (const tell of asked.values()) tell(reason)
    }
    // What it said before may be read only after its end.
    if (keeper.connected) keeper.once('disconnect', tellAll)
    else tellAll()
  })
  let count = 0
  const ask = (act: Asked['act']): Promise<void> =>
    new Promise((resolve, reject) => {
      const id = ++count
      keeper.channel?.ref()
      asked.set(id, (error) => {
        asked.delete(id)
        if (asked.size === 0) keeper.channel?.unref()
        if (error === null) resolve()
        else reject(new Error(error))
      })
      keeper.send({ id, act } satisfies Asked)
    })
  const url = await ready.promise
  // It must not hold up the process that it waits for.
  keeper.unref()
  keeper.channel?.unref()
  return {
    url,
    start: () => ask('start'),
    stop: (how = 'properly') => ask(how === 'properly' ? 'stop properly' : 'stop at once'),
    remove: () => ask('remove'),
  }
}
