import { expect, test } from 'vitest'
import { inlineLimit } from '../../src/engine/limits.ts'
import { alone, groupOf, submission } from '../fixtures/graphs.ts'
import { continued, hand, succeeded } from '../fixtures/hand.ts'
import { measureAnswers } from '../fixtures/requests.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `t${at}`)
const text = 'r'.repeat(400_000)

onEveryEngine((open) => {
  test('a result of 16 MB is read in answers of 2 MiB at most, nested ones too', async () => {
    const { engine } = await open()
    const [graph, outer] = [groupOf(...names(20)), groupOf('plain', 'outer', 'small')]
    await engine.submit([submission(graph), submission(outer)])
    const worker = await hand(engine)
    const inner = groupOf(...names(20))
    const small = groupOf('little', 'less')
    for (let left = 2; left-- > 0;)
      await worker.drain(({ task }) =>
        task === 'outer'
          ? continued(inner)
          : task === 'small'
            ? continued(small)
            : succeeded(task.startsWith('t') ? text : task),
      )
    const measured = measureAnswers()
    const found = (await engine.collection(graph.id, { jobs: false }))!.result!
    const nested = (await engine.collection(outer.id, { jobs: false }))!.result!
    const whole = Array.from({ length: 20 }, () => ({ json: JSON.stringify(text) }))
    expect(await engine.resolve(found)).toMatchObject({ results: whole })
    expect(await engine.resolve(nested)).toMatchObject({
      results: [{ json: '"plain"' }, { results: whole }, { results: [{ json: '"little"' }, { json: '"less"' }] }],
    })
    expect(measured()).toBeLessThanOrEqual(2 * inlineLimit)
    expect(measured()).toBeGreaterThan(text.length)
  })

  test('many small nested results are whole', async () => {
    const { engine } = await open()
    const graph = groupOf('big', ...names(50))
    await engine.submit([submission(graph), submission(alone('aside'))])
    const worker = await hand(engine)
    await worker.drain(({ task }) =>
      task === 'big'
        ? succeeded('b'.repeat(inlineLimit))
        : task.startsWith('t')
          ? continued(groupOf('x', 'y'))
          : succeeded(task),
    )
    const found = (await engine.collection(graph.id, { jobs: false }))!.result!
    expect(found).toMatchObject({ results: null })
    const pair = { results: [{ json: '"x"' }, { json: '"y"' }] }
    expect(await engine.resolve(found)).toMatchObject({
      results: [{ json: JSON.stringify('b'.repeat(inlineLimit)) }, ...names(50).map(() => pair)],
    })
  })
})
