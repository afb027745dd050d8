import { afterEach, expect, test } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Place } from '../engines.ts'
import { chordOf, submission } from '../fixtures/graphs.ts'
import { freshToken, hand, statesOf, succeeded } from '../fixtures/hand.ts'
import { Proxy, type Way } from '../fixtures/proxy.ts'
import { describeEngines } from '../fixtures/store.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { underFire } from './under-fire.ts'
import { untilStored } from './until-stored.ts'

type Fault = (proxy: Proxy, count: number, random: () => number) => Promise<void> | void

interface Furnished {
  readonly place: Place
  readonly proxy: Proxy
  /** By way of the proxy. */
  readonly url: string
  readonly engine: Engine
  /** Past it. */
  readonly observer: Engine
}

describeEngines(
  ({ place: makePlace, open }) => {
    const closing: (() => unknown)[] = []
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
    })

    async function furnish(): Promise<Furnished> {
      const place = await makePlace()
      closing.push(() => place.remove())
      const proxy = await Proxy.before(place.url)
      closing.push(async () => proxy.close())
      const url = proxy.url(place.url)
      const [engine, observer] = [open(url)(systemRuntime), place.open(systemRuntime)]
      closing.push(async () => Promise.all([engine.close(), observer.close()]))
      await engine.migrate()
      return { place, proxy, url, engine, observer }
    }

    test('what is done and whose reply is lost is done once, and answered when it is asked again', async () => {
      const { proxy, engine, observer } = await furnish()
      const cursor = await observer.cursor()
      const graph = chordOf(['a', 'b', 'c'])
      const losing = async <T>(call: () => Promise<T>): Promise<T> => {
        const lost = proxy.loseReply()
        const answer = await untilStored(call)
        await lost
        return answer
      }
      expect((await losing(() => engine.submit([submission(graph)])))[0]).toMatchObject({
        type: expect.stringMatching(/created|existing/) as string,
      })
      const worker = await hand(engine)
      const token = freshToken()
      const jobs = await losing(() => worker.claim(3, token))
      expect(jobs.map(({ task, attempt }) => [task, attempt])).toEqual([
        ['a', 1],
        ['b', 1],
        ['c', 1],
      ])
      const settlements = jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(job.task) }))
      expect(await losing(() => engine.settle(settlements))).toEqual(['accepted', 'accepted', 'accepted'])
      expect(await statesOf(observer, graph)).toEqual({
        a: 'succeeded',
        b: 'succeeded',
        c: 'succeeded',
        body: 'queued',
      })
      await losing(() => worker.beat({ ended: true }))
      await losing(() => engine.cancel({ collectionId: graph.id }))
      expect(await statesOf(observer, graph)).toMatchObject({ body: 'cancelled' })
      await losing(() => engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' }))
      expect(await observer.collection(graph.id)).toMatchObject({ state: 'running', round: 2 })
      const next = await hand(engine)
      await losing(() => next.drain())
      expect(brokenRules(await readHistory(observer, [graph.id], cursor))).toEqual([])
      expect(await losing(() => engine.remove(graph.id))).toMatch(/removed|not-found/)
      expect(await observer.collection(graph.id)).toBeNull()
    })

    test('a connection that has gone silent is noticed, and what was asked is answered', async () => {
      const { proxy, engine } = await furnish()
      const queues = await engine.queues()
      proxy.freeze()
      const asked = engine.queues().then(
        () => 'answered',
        (error: unknown) => (error as { code?: string }).code,
      )
      // Those who ask anew reach the server again: the old connections stay frozen for ever.
      expect(await asked).toBe('STORE_UNREACHABLE')
      proxy.thaw()
      expect(await untilStored(() => engine.queues())).toEqual(queues)
    })

    const faults: Readonly<Record<string, Fault>> = {
      'connections are cut': (proxy) => proxy.cut(),
      'connections are reset': (proxy) => proxy.reset(),
      'replies are lost': (proxy) => void proxy.loseReply(),
      async 'nobody is let in for a while'(proxy) {
        const { refused } = proxy.counts
        proxy.refuse()
        proxy.reset()
        await proxy.until((counts) => counts.refused > refused + 1)
        proxy.refuse(false)
      },
      'everything comes late, and in pieces'(proxy, count, random) {
        proxy.delay(count % 2 === 0 ? 1 + random() * 20 : 0)
        proxy.split(1 + Math.floor(random() * 100))
      },
      async 'one way is frozen, then the other, and then all'(proxy, count) {
        const ways: Way[][] = [['to server'], ['to client'], ['to server', 'to client']]
        const [way = 'to server', ...more] = ways[count % 3] ?? []
        const { chunks } = proxy.counts[way]
        proxy.freeze(way, ...more)
        await proxy.until((counts) => counts[way].chunks > chunks)
        proxy.thaw()
      },
    }

    test.each(Object.entries(faults))('%s while workers run chains and chords', async (_, fault) => {
      const { place, proxy, url } = await furnish()
      expect(await underFire({ place, url, strike: (count, random) => fault(proxy, count, random) })).toBeGreaterThan(3)
    })
  },
  ['postgres', 'redis'],
)
