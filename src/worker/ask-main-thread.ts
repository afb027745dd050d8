import { Session } from 'node:inspector'
import type { Runtime } from '../core/runtime.ts'
import { type BlockedAnswer, expressionFor, type LoopState } from './blocked-answer.ts'

/** How long the blocked loop may take to begin an answer, in milliseconds. */
const patience = 200

/**
 * Asks the main thread in the middle of what it runs, by the inspector that is built into Node: V8 interrupts running
 * JavaScript for it. The connection stays open only while the question does.
 *
 * @returns null if the loop does not answer, because it is blocked outside JavaScript; 'nothing' if there is nothing to do
 */
export async function askMainThread(
  session: string,
  state: LoopState,
  runtime: Runtime,
): Promise<BlockedAnswer | 'nothing' | null> {
  const inspector = new Session()
  const question = state.ask()
  try {
    inspector.connectToMainThread()
    const { promise, resolve } = Promise.withResolvers<string | null>()
    const timer = runtime.after(patience, () => {
      if (state.withdraw(question)) resolve(null)
    })
    inspector.post('Runtime.evaluate', { expression: expressionFor(session, question) }, (error, answer) =>
      resolve(error === null ? (answer.result.value as string) : null),
    )
    const text = await promise
    timer.cancel()
    return text === null ? null : ((JSON.parse(text) as BlockedAnswer | null) ?? 'nothing')
  } catch {
    // Such as a Node without an inspector.
    return null
  } finally {
    inspector.disconnect()
  }
}
