import { currentJob } from '../app/current-job.ts'
import type { CallbackParts } from '../callbacks/deliver.ts'
import { CallbackFailed } from '../callbacks/failed.ts'
import { callbackTask } from '../canvas/compile.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Unusable } from './unusable.ts'

/** The built-in task that calls back. A receiver that wants no more of it is not asked again. */
export const createCallbackTask = (parts: CallbackParts): RunnableTask => ({
  name: callbackTask,
  schema: null,
  terms: { job: {} },
  async handler() {
    // Loaded when it is needed: with what Node has for HTTP it is a tenth of what a worker takes to start.
    const { callBack } = await import('../callbacks/deliver.ts')
    try {
      return await callBack(parts, currentJob())
    } catch (error) {
      throw error instanceof CallbackFailed && error.isFinal ? new Unusable(error) : error
    }
  },
})
