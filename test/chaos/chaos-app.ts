import type { EngineFactory } from '../../src/app/connect.ts'
import type { Runtime } from '../../src/core/runtime.ts'
import { type Canvas, Celeriac, chain, chord, currentJob } from '../../src/index.ts'

export type ChaosApp = ReturnType<typeof createChaosApp>

/** An app whose jobs take a moment each, some of which fail at first and some of which become a canvas. */
export function createChaosApp(options: {
  readonly url?: string
  readonly engine?: EngineFactory
  readonly runtime?: Runtime
}) {
  // Under a clock that runs faster, or on a machine that is busy, the store answers later than others would wait for.
  const app = new Celeriac({ ...options, sendTimeout: '10m' })
  const again = { limit: 3, backoff: { base: 1, jitter: false } }
  const step = app.task('chaos.step', async (x: number) => {
    await moment()
    return x + 1
  })
  const shaky = app.task('chaos.shaky', { retry: again }, async (x: number) => {
    await moment()
    if (currentJob().attempt === 1) throw new Error('The first attempt fails.')
    return x + 1
  })
  const grow = app.task('chaos.grow', async (x: number) => {
    await moment()
    return chain(step.s(x - 1), step.s())
  })
  const total = app.task('chaos.total', async (xs: number[]) => {
    await moment()
    return xs.reduce((a, b) => a + b, 0)
  })
  /** Tells the parent process that it runs, and waits to be told to go on. */
  const hold = app.task('chaos.hold', async (x: number) => {
    process.send?.({ type: 'holding', attempt: currentJob().attempt })
    await new Promise<void>((resolve) => process.once('message', () => resolve()))
    return x
  })
  /** Twelve jobs in a row, and two more that one of them becomes; gives 12. */
  const chainOfTwelve = (): Canvas<number> => {
    const [one, two] = [step.s(), step.s()]
    return chain(step.s(0), one, shaky.s(), two, one, grow.s(), two, one, shaky.s(), two, one, two)
  }
  /** Seventeen jobs; gives 16. */
  const chordOfSixteen = (): Canvas<number> =>
    chord(
      Array.from({ length: 16 }, (_, index) => (index % 4 === 0 ? shaky.s(0) : step.s(0))),
      total.s(),
    )
  return { app, hold, step, shaky, grow, total, chainOfTwelve, chordOfSixteen }
}

/** As long as a short request takes: long enough to be killed in. */
const moment = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2 + Math.random() * 6))
