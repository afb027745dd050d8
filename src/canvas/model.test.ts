import fc from 'fast-check'
import { expect, test } from 'vitest'
import { arbitraryCanvas } from '../../test/model/arbitrary-canvas.ts'
import { evaluate, listJobs, type Expected } from '../../test/model/evaluate.ts'
import { modelTasks } from '../../test/model/model-tasks.ts'
import { runGraph, type FinishedGraph } from '../../test/model/run-graph.ts'
import { counter } from '../../test/fixtures/drawing.ts'
import { storedOptions } from '../core/stored-options.ts'
import { compile, type CompileContext } from './compile.ts'
import { readNode } from './read-node.ts'

const context: CompileContext = {
  newId: counter(),
  defaultsOf: (task) => storedOptions({ retry: { limit: modelTasks.get(task)!.retryLimit ?? 0 } }, task),
}

test('random canvases come to what the rules say, in whatever order their jobs run', () => {
  fc.assert(
    fc.property(
      arbitraryCanvas(),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      (canvas, order) => {
        const shop = { tasks: modelTasks, context, random: () => order.next().value as number }
        compare(runGraph(compile(canvas.node, context), shop), evaluate(canvas.node, modelTasks))
      },
    ),
    { numRuns: 500 },
  )
})

test('random canvases survive the way through JSON', () => {
  fc.assert(
    fc.property(arbitraryCanvas(), (canvas) => {
      const back = readNode(JSON.parse(JSON.stringify(canvas)), 'canvas')
      expect(compile(back, { ...context, newId: counter() })).toEqual(
        compile(canvas.node, { ...context, newId: counter() }),
      )
    }),
    { numRuns: 100 },
  )
})

function compare(actual: FinishedGraph, expected: Expected): void {
  const jobs = listJobs(expected)
  expect(actual.jobs.map(({ job }) => job.task)).toEqual(jobs.map(({ task }) => task))
  actual.jobs.forEach(({ state, args, continuation }, n) => {
    const job = jobs[n]!
    expect(job.states).toContain(state)
    if (args && job.args && job.task !== 'celeriac.each') expect(args).toEqual(job.args)
    if (continuation && job.continuation) compare(continuation, job.continuation)
  })
  const { outcome } = expected
  if (outcome.type === 'skipped') return
  expect(actual.outcome.type).toBe(outcome.type)
  if (actual.outcome.type === 'succeeded') expect({ result: resultOf(actual), type: 'succeeded' }).toEqual(outcome)
  else if (outcome.type === 'failed') expect(outcome.causes).toContainEqual(actual.outcome.cause)
}

const resultOf = ({ outcome }: FinishedGraph): unknown =>
  outcome.type === 'succeeded' && 'json' in outcome.result ? JSON.parse(outcome.result.json ?? 'null') : undefined
