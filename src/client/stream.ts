import { Backoff } from '../core/backoff.ts'
import type { JobState } from '../core/job.ts'
import type { Timer } from '../core/runtime.ts'
import { isFinal } from '../core/transitions.ts'
import type { Inbox, Subject } from './inbox.ts'
import { isOfType, notUnderstood, tooLarge } from './problem.ts'
import { type AnyEvent, isEvent, parsed, piecesOf } from './received.ts'
import type { Requests } from './requests.ts'
import { onWake } from './wake.ts'

// Server-sent events, read by `fetch`: an EventSource sends no headers, and comes back with the ticket that it has used.

/** Two beats of the server's, and some: then the stream is taken for dead. In milliseconds. */
const silence = 35_000
const shortestPause = 300
const longestPause = 15_000

/** Tells an inbox all that happens, until that is over, or `signal` is aborted, or the inbox is full, or `isEnough` says so. */
export async function streamInto(
  inbox: Inbox,
  requests: Requests,
  { signal, isEnough }: { readonly signal: AbortSignal; readonly isEnough: () => boolean },
): Promise<void> {
  const backoff = new Backoff(requests.runtime, longestPause, shortestPause)
  signal.addEventListener('abort', () => backoff.cancel())
  let quiet = new AbortController()
  const stop = onWake((why) => {
    if (why === 'online') quiet.abort()
    backoff.reset()
    backoff.skip()
  })
  try {
    while (!signal.aborted && !inbox.isFull) {
      try {
        quiet = new AbortController()
        if ((await streamOnce(inbox, requests, { signal, quiet, backoff })) === 'over') return inbox.end()
        inbox.patience.reset()
      } catch (error) {
        if (signal.aborted) return
        if (inbox.patience.isOver(error, requests.runtime.elapsed())) return inbox.end({ error })
      }
      inbox.connected(false)
      await backoff.wait()
      if (isEnough()) return
    }
  } finally {
    stop()
  }
}

async function streamOnce(
  inbox: Inbox,
  requests: Requests,
  {
    signal,
    quiet,
    backoff,
  }: { readonly signal: AbortSignal; readonly quiet: AbortController; readonly backoff: Backoff },
): Promise<'over' | 'closed'> {
  const both = AbortSignal.any([signal, quiet.signal])
  const { after, live, subject } = inbox
  let clock: Timer | undefined
  // From the request on: one that is never answered is as dead as a stream that says nothing.
  const listen = (): void => {
    clock?.cancel()
    clock = requests.runtime.after(silence, () => quiet.abort(new Error('The stream of events is dead.')))
  }
  listen()
  try {
    const response = await requests.open('GET', pathOf(subject), {
      ...('all' in subject ? {} : { query: { live } }),
      ...(after !== undefined && { headers: { 'last-event-id': after } }),
      signal: both,
    })
    // There was nothing more to come already.
    if (response.status === 204) return 'over'
    if (!isOfType(response, 'text/event-stream')) throw notUnderstood(response)
    inbox.connected(true)
    listen()
    for await (const event of eventsOf(response, requests.most, listen)) {
      if (!isEvent(event)) throw notUnderstood(response)
      backoff.reset()
      inbox.hear(event)
      if (!live && isLast(subject, event)) return 'over'
      if (inbox.isFull) break
    }
    return 'closed'
  } finally {
    clock?.cancel()
    quiet.abort()
  }
}

/** Of a body nobody can see whether it ended or was cut off. */
function isLast(subject: Subject, event: AnyEvent & Partial<JobEvent>): boolean {
  if (!('job' in subject)) return event.type === 'settled'
  const { state } = event.job ?? event
  return state !== undefined && isFinal(state)
}

/** What is told of one job. */
interface JobEvent {
  readonly state: JobState
  readonly job: { readonly state: JobState }
}

const pathOf = (subject: Subject): string =>
  'all' in subject
    ? '/api/events'
    : 'job' in subject
      ? `/api/jobs/${encodeURIComponent(subject.job)}/events`
      : `/api/collections/${encodeURIComponent(subject.collection)}/events`

async function* eventsOf(response: Response, most: number, heard: () => void): AsyncGenerator<unknown> {
  let begun = ''
  for await (const piece of piecesOf(response, heard)) {
    // Only what is new is looked through: an event of megabytes comes in many pieces.
    const [first, ...lines] = piece.split('\n')
    begun += first
    if (begun.length > most) throw tooLarge(most)
    for (const line of lines) {
      if (begun.startsWith('data: ')) yield parsed(begun.slice(6))
      begun = line
    }
  }
}
