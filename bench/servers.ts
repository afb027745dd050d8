import { hire, type Hired } from '../test/servers/hire.ts'
import type { Urls } from './case.ts'

type Kind = keyof Urls

/** As a server is that nobody tuned: every commit waits for the disk. */
const settings = {
  postgres: { fsync: 'on', full_page_writes: 'on', max_connections: '100', max_wal_size: '1GB' },
  redis: {},
}

/** Servers of the bench's own, started when the first case needs them; they end with this process. */
export class Servers {
  readonly #hired = new Map<Kind, Hired>()

  async urlsFor(needs: readonly Kind[]): Promise<Urls> {
    for (const kind of needs) {
      if (!this.#hired.has(kind)) this.#hired.set(kind, await hire(kind, settings[kind]))
    }
    return Object.fromEntries([...this.#hired].map(([kind, { url }]) => [kind, url])) as unknown as Urls
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#hired.values()].map((server) => server.remove()))
  }
}
