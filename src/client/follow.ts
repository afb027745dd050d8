import { type FollowOptions, Inbox, type Subject } from './inbox.ts'
import type { Line } from './line.ts'
import type { AnyEvent } from './received.ts'

/** The events of a subject, typed by whoever knows it. Nothing is held before the first `next` or after the end. */
export function follow<Event extends AnyEvent>(
  line: Line,
  subject: Subject,
  options: FollowOptions = {},
): AsyncIterable<Event> {
  return {
    [Symbol.asyncIterator]() {
      const inbox = new Inbox(subject, options)
      const events = read(line, inbox, options.signal) as AsyncGenerator<Event, undefined>
      return {
        next: () => events.next(),
        // A generator would answer only after the `next` that waits for an event, which may never come.
        return(): Promise<IteratorResult<Event, undefined>> {
          inbox.stop()
          return events.return(undefined)
        },
      }
    },
  }
}

async function* read(line: Line, inbox: Inbox, signal: AbortSignal | undefined): AsyncGenerator<AnyEvent, undefined> {
  if (signal?.aborted) return
  const stop = (): void => inbox.stop()
  signal?.addEventListener('abort', stop)
  line.add(inbox)
  try {
    for (let events = await inbox.take(); events; events = await inbox.take()) {
      for (const event of events) {
        yield event
        if (inbox.isStopped) return
      }
      if (!inbox.hasEnded) line.goOn(inbox)
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    line.remove(inbox)
  }
}
