import { onTestFinished } from 'vitest'
import type { EngineUnderTest } from '../engines.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { hire, type Hired } from '../servers/hire.ts'
import { underFire } from './under-fire.ts'

/** Data that is kept while the server is stopped, whichever way. */
const keeping = { postgres: {}, redis: { appendonly: 'yes', appendfsync: 'always' } }

/**
 * A server is stopped and started again, each time after `lasting`, while the same workers go on. They reach it by a
 * proxy, which counts how often they look for it. Says how often it was stopped.
 */
export async function outages(
  { name, place: makePlace }: EngineUnderTest,
  lasting: (proxy: Proxy) => Promise<void>,
  about: { readonly canvases: number; readonly pause: number },
): Promise<number> {
  const server = await hireFor(name as 'postgres' | 'redis', keeping[name as 'postgres' | 'redis'])
  const proxy = await Proxy.before(server.url)
  onTestFinished(async () => proxy.close())
  const place = await makePlace(server.url)
  return underFire({
    ...about,
    place,
    url: proxy.url(place.url),
    async strike(count) {
      await server.stop(count % 2 === 0 ? 'properly' : 'at once')
      await lasting(proxy)
      await server.start()
    },
  })
}

/** A server that is gone when the test is over. */
export async function hireFor(...of: Parameters<typeof hire>): Promise<Hired> {
  const server = await hire(...of)
  onTestFinished(async () => server.remove())
  return server
}
