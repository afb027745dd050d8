import type { Runtime } from './runtime.ts'

/** So many jobs are gone through at once: some milliseconds of work. */
export const jobsPerTurn = 500

type Soon = Pick<Runtime, 'soon'>

/** Who waits for a turn of its own, by runtime: the process has one. */
const lines = new WeakMap<Soon, (() => void)[]>()

/**
 * Resolves in a later turn of the event loop, in which nobody else goes on who waits here. So whatever is large in a process does
 * one page in a turn, however much of it is under way, and small requests have theirs in between.
 */
export function nextTurn(runtime: Soon): Promise<void> {
  return new Promise((resolve) => {
    const line = lines.get(runtime)
    if (line) return void line.push(resolve)
    const waiting = [resolve]
    lines.set(runtime, waiting)
    const call = (): void => {
      waiting.shift()?.()
      if (waiting.length > 0) runtime.soon(call)
      else lines.delete(runtime)
    }
    runtime.soon(call)
  })
}

/** The pages of a list, each after the first in a turn of the event loop of its own. */
export async function* byPages<Item>(
  runtime: Soon,
  items: readonly Item[],
  size = jobsPerTurn,
): AsyncGenerator<readonly Item[]> {
  for (let from = 0; from < items.length; from += size) {
    if (from > 0) await nextTurn(runtime)
    yield items.length <= size ? items : items.slice(from, from + size)
  }
}

/** What a list is mapped to. A short one takes no turn. */
export async function mapByPages<Item, Made>(
  runtime: Soon,
  items: readonly Item[],
  make: (item: Item) => Made,
): Promise<Made[]> {
  if (items.length <= jobsPerTurn) return items.map((item) => make(item))
  const made: Made[] = []
  for await (const page of byPages(runtime, items)) for (const item of page) made.push(make(item))
  return made
}
