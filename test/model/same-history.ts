import { expect } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { type EngineMethod, instrument } from '../../src/engine/instrument.ts'
import type { Place } from '../engines.ts'
import type { ManualRuntime } from '../fixtures/clock.ts'
import type { History } from './history.ts'
import { arbitrarySteps, play, type Step } from './random-operations.ts'
import { checkAlways } from './random-test.ts'
import { reusedStore } from './reused-store.ts'

type MakePlace = () => Place | Promise<Place>

/** So many random sequences of operations, each played on both: the one must give every answer that the other gives. */
export async function checkSameHistory(one: MakePlace, other: MakePlace, count: number): Promise<void> {
  const [first, second] = [reusedStore(one), reusedStore(other)]
  await checkAlways(arbitrarySteps, count, (steps) =>
    first.use(async (...expected) =>
      second.use(async (...found) => {
        expect(await told(steps, ...found)).toEqual(await told(steps, ...expected))
      }),
    ),
  )
  await first.close()
  await second.close()
}

interface Told {
  readonly answers: readonly unknown[]
  readonly changes: Readonly<Record<string, readonly unknown[]>>
}

/** How pages of the feed are cut is left to the engine; what is in them is compared as a history. */
const notCompared: ReadonlySet<EngineMethod> = new Set<EngineMethod>([
  'events',
  'cursor',
  'migrate',
  'transfer',
  'close',
])

async function told(steps: readonly Step[], engine: Engine, clock: ManualRuntime): Promise<Told> {
  const known = renamer()
  const answers: unknown[] = []
  const heard = listened(engine, (method, answer) => answers.push([method, known(answer)]))
  const history = await play(heard, clock, steps)
  return { answers, changes: changesOf(known, history) }
}

export function listened(engine: Engine, tell: (method: EngineMethod, answer: unknown) => void): Engine {
  return instrument(engine, {
    runtime: { elapsed: () => 0 },
    async intercept(method, call) {
      const answer = await call()
      if (!notCompared.has(method)) tell(method, answer)
      return answer
    },
  })
}

/** Order is promised for each job, so the changes of each are compared by themselves. */
export function changesOf(known: (value: unknown) => unknown, { changes }: History): Told['changes'] {
  const named = changes.map((change) => known(change) as { jobId?: string; collectionId: string })
  return Object.groupBy(named, ({ jobId, collectionId }) => jobId ?? collectionId) as Told['changes']
}

/** What an engine may choose for itself. */
const ownWords = new Set(['ref', 'barrier', 'cursor'])
const id = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g

/** The same value with ids and tokens, which differ from one play to the next, told by the order in which they came up. */
export function renamer(): (value: unknown) => unknown {
  const names = new Map<string, string>()
  const nameOf = (text: string): string => {
    const name = names.get(text) ?? `id-${names.size}`
    names.set(text, name)
    return name
  }
  return (value) => {
    const text = JSON.stringify(value, (key, inner: unknown) => {
      if (ownWords.has(key)) return undefined
      return key === 'token' ? nameOf(String(inner)) : inner
    })
    return text === undefined ? null : (JSON.parse(text.replace(id, nameOf)) as unknown)
  }
}
