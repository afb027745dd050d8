import { expect, onTestFinished, test } from 'vitest'
import { jobsPerTurn } from '../../src/core/by-pages.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import { describeEngines } from '../fixtures/store.ts'
import { openApi } from './api.ts'

const pages = 24
const count = pages * jobsPerTurn
/** Between two large collections a process leaves the loop to others as well. */
const between = 10

describeEngines(({ place }) => {
  test('requests for large collections leave the event loop to others between pages', async () => {
    const there = await place()
    onTestFinished(() => there.remove())
    let turns = 0
    const soon = (call: () => void): void => {
      turns++
      systemRuntime.soon(call)
    }
    const { app, ask, handler } = await openApi({ url: there.url, runtime: { ...systemRuntime, soon } })
    const during = async <T>(act: () => Promise<T>): Promise<readonly [T, number]> => {
      const before = turns
      return [await act(), turns - before]
    }
    const member = { type: 'signature', task: 'math.add', args: [1, 2] }
    const canvas = { type: 'group', members: Array<object>(count).fill(member) }
    const [sent, sending] = await during(() => ask('POST', '/api/collections', { canvas, options: { start_in: '1h' } }))
    expect([sent.status, sent.body.jobs?.length]).toEqual([202, count])
    const path = `/api/collections/${sent.body.id as string}`
    // Its arguments are looked at, it is told as it was stored, and that is written.
    expect(sending).toBeGreaterThanOrEqual(3 * (pages - 1))
    const [read, reading] = await during(() => ask('GET', path))
    expect(reading).toBeGreaterThanOrEqual(pages - 1 + between)
    const ids = (body: { jobs: { id: string }[] }) => body.jobs.map(({ id }) => id)
    expect(ids(read.body)).toEqual(ids(sent.body))
    for (const action of ['cancel', 'retry']) {
      // It can be retried once it has settled.
      if (action === 'retry') await (await app.collection(sent.body.id as string)).result().catch(() => undefined)
      const [{ status, body }, acting] = await during(() => ask('POST', `${path}/${action}`))
      expect([status, body.jobs?.length]).toEqual([200, count])
      expect(acting).toBeGreaterThanOrEqual(pages - 1 + between)
    }
    const [stream, following] = await during(async () => {
      const { body } = await handler(new Request(`http://localhost${path}/events`))
      const reader = body!.getReader()
      const { value } = await reader.read()
      await reader.cancel()
      return new TextDecoder().decode(value)
    })
    expect(stream).toMatch(/^id: .*\nevent: snapshot\n/)
    // Told, and written.
    expect(following).toBeGreaterThanOrEqual(2 * (pages - 1) + between)
  })
})
