import type { RetryAnswer, RetryRequest } from '../../engine/control.ts'
import { selected } from './control.ts'
import { retrying, taking } from './rounds.ts'
import type { Runs } from './scripts.ts'
import { writing } from './work.ts'

const script = writing('retry', `return S.retry(arg(), arg() == '1', number(), number())`, retrying)

export function retry(runs: Runs, { selection, expectedRound, mode }: RetryRequest): Promise<RetryAnswer> {
  return runs.write(script, [...selected(selection), expectedRound, mode === 'all' ? taking.all : taking.failed])
}
