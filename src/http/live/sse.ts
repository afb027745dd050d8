import { z, type ZodType } from 'zod'
import type { FollowTerms } from '../../app/events.ts'
import type { CollectionEvent, FeedEvent, JobEvent } from '../../core/handle.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'
import { eventText } from '../answers.ts'
import type { Given } from '../route.ts'
import * as schemas from '../schemas.ts'
import { described } from '../described.ts'

// Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html

/** So often something is said, that what stands between does not take the stream for dead. In milliseconds. */
const beatEvery = 15_000
/** A snapshot may be megabytes: it goes out in pieces, in bytes, so that what is not taken yet is seen. */
const piece = 65_536
/** Who reads nothing for so long is let go: what it missed, it resumes from. */
const patience = 45_000

const whereToBegin = {
  after: z
    .string()
    .max(4096)
    .optional()
    .register(described, { description: 'A cursor from an event seen before, as the header `last-event-id` has it.' }),
  ticket: z
    .string()
    .max(200)
    .optional()
    .register(described, { description: 'From `POST /api/tickets`, where no header can be sent.' }),
}

export const feedQuery = z.strictObject(whereToBegin)
export const eventsQuery = z.strictObject({
  live: z.enum(['true', 'false']).optional().register(described, {
    description: 'Go on after it has settled: side branches still run, somebody may retry it.',
  }),
  ...whereToBegin,
})

const streamOf = (event: string, schema: ZodType, ends: string) => ({
  description: `Server-sent events: \`data\` is a ${event}, \`id\` its cursor, \`event\` its type. ${ends}`,
  type: 'text/event-stream',
  schema,
})

export const feedAnswers = { 200: streamOf('FeedEvent', schemas.feedEvent, 'Never ends by itself.') }
export const eventsAnswers = (event: 'CollectionEvent' | 'JobEvent') => ({
  200: streamOf(event, event === 'JobEvent' ? schemas.jobEvent : schemas.collectionEvent, 'Ends once it has settled.'),
  204: {
    description: 'It had settled by the event named, and nothing happened since: there is nothing to come back for.',
  },
  ...schemas.notFound,
})

type Event = CollectionEvent | JobEvent | FeedEvent

type Asked = Pick<
  Given<unknown, { readonly live?: 'true' | 'false' | undefined; readonly after?: string | undefined }, unknown>,
  'service' | 'identity' | 'query' | 'request'
>

/** Nothing is read ahead of the reader: what it has not taken yet stays, bounded, where all followers of the feed wait. */
export async function streamEvents(
  asked: Asked,
  follow: (options: FollowTerms) => AsyncIterable<Event>,
): Promise<Response> {
  const { service, identity, query, request } = asked
  const after = request.headers.get('last-event-id') ?? query.after
  const events = follow({
    ...(after !== undefined && after !== '' && { after }),
    live: query.live === 'true',
    turn: () => service.openings.take(identity, request),
    hold: () => service.held.following(identity, 'stream'),
  })[Symbol.asyncIterator]()
  // Read before the answer begins, so that what goes wrong is answered as a problem.
  const first = events.next()
  if (after !== undefined && (await isOverAlready(first, service.parts.runtime)))
    return new Response(null, { status: 204 })
  if (after === undefined) await first
  const headers = {
    'content-type': 'text/event-stream',
    // Whatever packs answers would wait for more to pack.
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  }
  if (request.method === 'HEAD') {
    // Nobody will read it: it would keep its turn, and a snapshot, until that is seen.
    await events.return?.()
    return new Response(null, { headers })
  }
  return new Response(new EventBody(events, first, asked).stream, { headers })
}

/** One who resumes may have nothing to hear for long: it is not waited for. */
async function isOverAlready(first: Promise<IteratorResult<Event, unknown>>, runtime: Runtime): Promise<boolean> {
  let timer: Timer | undefined
  const unknown = new Promise<'unknown'>((resolve) => (timer = runtime.after(250, () => resolve('unknown'))))
  try {
    const found = await Promise.race([first, unknown])
    return found !== 'unknown' && found.done === true
  } finally {
    timer?.cancel()
  }
}

class EventBody {
  readonly stream: ReadableStream<Uint8Array>
  readonly #events: AsyncIterator<Event, unknown>
  #next: Promise<IteratorResult<Event, unknown>> | null
  /** What is left of the last event: the next is taken when the reader has this. */
  #rest = new Uint8Array()
  readonly #asked: Asked
  readonly #runtime: Runtime
  readonly #encoder = new TextEncoder()
  #beat: Timer | undefined
  #trust: Timer | undefined
  #readAt: number
  /** For how much there was room at the last beat. */
  #room = 1

  constructor(events: AsyncIterator<Event, unknown>, first: Promise<IteratorResult<Event, unknown>>, asked: Asked) {
    this.#events = events
    this.#next = first
    this.#asked = asked
    this.#runtime = asked.service.parts.runtime
    this.#readAt = this.#runtime.elapsed()
    this.stream = new ReadableStream(
      {
        start: (controller) => {
          this.#startBeat(controller)
          // Broken off, not ended: that would say that there is nothing more to come.
          const end = (): void => this.#breakOff(controller, 'has to show again who it is')
          this.#trust = asked.service.trust.hold(asked.identity, end)
        },
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#stop(),
      },
      { highWaterMark: 1 },
    )
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#readAt = this.#runtime.elapsed()
    try {
      if (this.#rest.length > 0) return this.#enqueuePiece(controller)
      const next = await (this.#next ?? this.#events.next())
      this.#next = null
      if (this.#beat === undefined) return
      if (!next.done) {
        const text = await this.#textOf(next.value)
        if (this.#beat === undefined) return
        this.#rest = this.#encoder.encode(text)
        return this.#enqueuePiece(controller)
      }
      await this.#stop()
      controller.close()
    } catch (error) {
      const { service, request } = this.#asked
      // Told to nobody but those who run the service: who reads comes back, and is told then.
      service.explain(error, { method: request.method, path: new URL(request.url).pathname })
      await this.#stop()
      controller.error(error)
    }
  }

  #enqueuePiece(controller: ReadableStreamDefaultController<Uint8Array>): void {
    controller.enqueue(this.#rest.subarray(0, piece))
    this.#rest = this.#rest.subarray(piece)
  }

  async #textOf(event: Event): Promise<string> {
    const text = await eventText(this.#runtime, this.#asked.identity, event)
    return `id: ${event.cursor}\nevent: ${event.type}\ndata: ${text}\n\n`
  }

  #startBeat(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#beat = this.#runtime.after(beatEvery, () => {
      const room = controller.desiredSize ?? 0
      // Nothing is pulled while the next event is waited for, however much is read meanwhile.
      if (room > 0 || room > this.#room) this.#readAt = this.#runtime.elapsed()
      if (this.#runtime.elapsed() - this.#readAt > patience) {
        return this.#breakOff(controller, 'reads nothing')
      }
      if (room > 0 && this.#rest.length === 0) controller.enqueue(this.#encoder.encode(': \n\n'))
      this.#room = controller.desiredSize ?? 0
      this.#startBeat(controller)
    })
  }

  #breakOff(controller: ReadableStreamDefaultController<Uint8Array>, why: string): void {
    void this.#stop()
    controller.error(new Error(`The reader of a stream of events ${why}.`))
  }

  async #stop(): Promise<void> {
    this.#trust?.cancel()
    this.#beat?.cancel()
    this.#beat = undefined
    await this.#events.return?.()
  }
}
