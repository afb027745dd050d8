import { expect } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { EngineUnderTest } from '../engines.ts'
import { manualRuntime } from '../fixtures/clock.ts'
import { freshId } from '../fixtures/graphs.ts'
import { copyBetween, exportAll, readAll, transferOf } from '../fixtures/pairs.ts'
import { arbitrarySteps, play, type Step } from './random-operations.ts'
import { checkAlways, reached } from './random-test.ts'
import { changesOf, listened, renamer } from './same-history.ts'

/**
 * So many random sequences of operations, each played twice: once in a store that stays, and once in one that is copied
 * to another half-way and goes on there. What is answered from then on, and what is kept, must be the same.
 */
export async function checkMoved(from: EngineUnderTest, to: EngineUnderTest, count: number): Promise<void> {
  await checkAlways(arbitrarySteps, count, async (steps) => {
    const [stayed, moved] = [await told(from, null, steps), await told(from, to, steps)]
    expect(moved.answers).toEqual(stayed.answers)
    expect(moved.changes).toEqual(stayed.changes)
    expect(moved.all).toEqual(stayed.all)
  })
}

async function told(from: EngineUnderTest, to: EngineUnderTest | null, steps: readonly Step[]) {
  const places = [await from.place(), ...(to === null ? [] : [await to.place()])] as const
  const clock = manualRuntime()
  const known = renamer()
  const answers: unknown[] = []
  const tell = (method: string, answer: unknown): void => void answers.push([method, known(answer)])
  const engines = places.map((place) => place.connect(clock))
  const [source, target = source] = engines as [Engine, Engine?]
  try {
    const move = async (): Promise<Engine> => {
      reached('the copy')
      if (target === source) await giveBack(source)
      else {
        expect(await copyBetween({ source, target })).toMatchObject({ type: 'copied' })
        expect(await exportAll(target)).toEqual(await exportAll(source))
      }
      return listened(target, tell)
    }
    const history = await play(listened(source, tell), clock, steps, move)
    return { answers, changes: changesOf(known, history), all: known(await readAll(target)) }
  } finally {
    for (const engine of engines) await engine.close()
    for (const place of places) await place.remove()
  }
}

/** What copying does to a store before it begins. */
async function giveBack(engine: Engine): Promise<void> {
  await transferOf(engine).leave({ id: freshId(), from: 'here', to: 'nowhere' }, false)
  await transferOf(engine).stay()
}
