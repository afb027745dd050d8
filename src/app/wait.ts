import type { Change } from '../core/event.ts'
import { CeleriacError } from '../core/errors.ts'
import type { WaitOptions } from '../core/handle.ts'
import { readable } from '../core/option.ts'
import type { Runtime } from '../core/runtime.ts'
import { formatDuration, milliseconds } from '../core/time.ts'
import type { Connection } from './events.ts'
import { Inbox } from './inbox.ts'
import { watchForNoWorker } from './no-worker.ts'
import { whileFollowed } from './while-followed.ts'

export interface Watched<Found> {
  /** For the message of a time-out: `job 0198…`. */
  readonly what: string
  readonly collectionId: string
  look(): Promise<Found>
  isOver(found: Found): boolean
  /** May this change have ended it? */
  endsWith(change: Change): boolean
}

/** Looks until it is over: first at once, then whenever the feed says so. Ends with `options.timeout` or `.signal`. */
export async function waitUntilOver<Found extends { readonly cursor: string }>(
  connection: Connection,
  awaited: Watched<Found>,
  options: WaitOptions,
): Promise<Found> {
  const { timeout, signal } = readable('result', () => ({ timeout: options.timeout, signal: options.signal }))
  signal?.throwIfAborted()
  const { feed, runtime } = connection
  const inbox = new Inbox(awaited.collectionId, (change) => awaited.endsWith(change))
  const abort = (): void => inbox.failed(signal?.reason)
  const stopClock =
    timeout === undefined ? undefined : startClock(runtime, milliseconds(timeout, 'timeout'), inbox, awaited.what)
  const forgetWorkers = watchForNoWorker(connection, awaited.what)
  signal?.addEventListener('abort', abort)
  try {
    let found = await feed.follow(
      inbox,
      () => awaited.look(),
      (first) => !awaited.isOver(first),
    )
    while (!awaited.isOver(found)) {
      await inbox.take()
      found = await whileFollowed(runtime, inbox, () => awaited.look())
    }
    return found
  } catch (error) {
    // What ended the wait says more than that the store was away just then.
    if (inbox.isStopped) await inbox.take()
    throw error
  } finally {
    stopClock?.()
    forgetWorkers()
    signal?.removeEventListener('abort', abort)
    feed.leave(inbox)
  }
}

function startClock(runtime: Runtime, timeout: number, inbox: Inbox, what: string): () => void {
  const end = runtime.elapsed() + timeout
  const check = (): void => {
    const left = end - runtime.elapsed()
    // A timer may end early, and one of more than 24 days does.
    if (left > 0) timer = runtime.after(Math.ceil(left), check)
    else inbox.failed(timedOut(what, timeout))
  }
  let timer = runtime.after(timeout, check)
  return () => timer.cancel()
}

const timedOut = (what: string, timeout: number): CeleriacError =>
  new CeleriacError(
    'TIMED_OUT',
    `Waited ${formatDuration(timeout)} for ${what}, which is not over yet: it goes on by itself.`,
  )
