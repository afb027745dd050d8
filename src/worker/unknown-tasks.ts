import type { Runtime } from '../core/runtime.ts'
import type { Reporter } from './report.ts'

const shortest = 1_000
const longest = 60_000
/** A name comes from the store, so there could be any number of them. */
const mostNames = 1_000

/**
 * How long a job is put off whose task this worker does not know: about as long as the name has been missing, from 1 s up
 * to 60 s. In a rolling deployment a newer worker takes it meanwhile; where none does, asking grows rare.
 */
export function createUnknownTasks(runtime: Runtime, reporter: Reporter): (name: string) => number {
  const missingSince = new Map<string, number>()
  return (name) => {
    const now = runtime.elapsed()
    const since = missingSince.get(name)
    if (since === undefined) {
      if (missingSince.size >= mostNames) missingSince.clear()
      missingSince.set(name, now)
      reporter.warn(`unknown task ${name}`, messageAbout(name))
      return shortest
    }
    return Math.min(longest, Math.max(shortest, now - since))
  }
}

function messageAbout(name: string): string {
  const shown = JSON.stringify(name.slice(0, 100))
  return `This worker has no task called ${shown}. Its jobs are put off until a worker comes that has it.`
}
