import type { WebSocket } from 'ws'
import { collectionEvents } from '../../app/collection-events.ts'
import { jobEvents } from '../../app/job-events.ts'
import type { CollectionEvent, FeedEvent, FollowOptions, JobEvent } from '../../core/handle.ts'
import { type Runtime, type Timer } from '../../core/runtime.ts'
import { eventText } from '../answers.ts'
import type { Identity } from '../identity.ts'
import { RequestError } from '../problem.ts'
import type { Service } from '../route.ts'
import { seeCollection, seeJob } from '../visible.ts'
import { followFeed } from './feed.ts'
import { type Address, type Order, readOrder, type Subject } from './messages.ts'

/** More than so many bytes unsent, and nothing more is taken from what is followed until they are. */
const mostUnsent = 262_144
/** Who reads nothing for so long is let go, in milliseconds; so is one who answers no ping. */
const patience = 15_000
const pingEvery = 30_000
/** How long one may take to say goodbye when the server goes away. */
const grace = 1_000
const mostFollowed = 1_000
/** The reader was too slow: what it missed, it resumes from by the cursor of the last event that it has. */
export const slowReader = 4008
export const goingAway = 1001
/** It has to show again who it is: its token has ended, or it was long ago. */
export const trustEnded = 4001

/** One browser's line: follows and unfollows as it is told, and never holds more than a bound for who does not read. */
export class LiveSocket {
  readonly #socket: WebSocket
  readonly #hold: () => void
  readonly #identity: Identity
  readonly #service: Service
  readonly #runtime: Runtime
  readonly #followed = new Map<string, AbortController>()
  #room: Promise<void> | null = null
  #ping: Timer | undefined
  readonly #trust: Timer
  #isAlive = true

  /** @param hold what is written until the end of this turn of the event loop goes out together */
  constructor(socket: WebSocket, hold: () => void, identity: Identity, service: Service) {
    this.#socket = socket
    this.#hold = hold
    this.#identity = identity
    this.#service = service
    this.#runtime = service.parts.runtime
    socket.on('message', (data, isBinary) => this.#hear(isBinary ? '' : String(data)))
    socket.on('pong', () => (this.#isAlive = true))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => this.#end())
    this.#startPing()
    this.#trust = service.trust.hold(identity, () => this.#leave(trustEnded, 'Show again who you are, and resume.'))
  }

  close(): void {
    this.#leave(goingAway, 'The server is going away: come back and resume.')
  }

  #leave(code: number, why: string): void {
    this.#end()
    this.#socket.close(code, why)
    this.#runtime.after(grace, () => this.#socket.terminate(), { unref: true })
  }

  #end(): void {
    this.#ping?.cancel()
    this.#trust.cancel()
    for (const abort of this.#followed.values()) abort.abort()
    this.#followed.clear()
  }

  #startPing(): void {
    this.#ping = this.#runtime.after(
      pingEvery,
      () => {
        if (!this.#isAlive) return this.#socket.terminate()
        this.#isAlive = false
        this.#socket.ping()
        // Pages are told of no pings: by this they know that the line is not dead.
        this.#say({ type: 'beat' })
        this.#startPing()
      },
      { unref: true },
    )
  }

  #hear(text: string): void {
    try {
      const order = readOrder(text)
      const name = JSON.stringify(order.address)
      this.#followed.get(name)?.abort()
      this.#followed.delete(name)
      if (order.type === 'follow') void this.#follow(order, name)
    } catch (error) {
      this.#sayProblem(error)
    }
  }

  async #follow({ address, after, live }: Order, name: string): Promise<void> {
    const abort = new AbortController()
    const { signal } = abort
    try {
      if (this.#followed.size >= mostFollowed) {
        throw new RequestError('BAD_REQUEST', `One line follows at most ${mostFollowed} things: unfollow some.`)
      }
      this.#followed.set(name, abort)
      const opening = `${JSON.stringify({ type: 'event', ...address }).slice(0, -1)},"event":`
      const events = await this.#open(address, { live, signal, ...(after !== undefined && { after }) })
      for await (const event of events) {
        if (signal.aborted) return
        this.#sayText(`${opening}${eventText(this.#identity, event)}}`)
        if (this.#socket.bufferedAmount > mostUnsent) await this.#untilRoom()
      }
      if (!signal.aborted) this.#say({ type: 'end', ...address })
    } catch (error) {
      if (!signal.aborted) this.#sayProblem(error, address)
    } finally {
      if (this.#followed.get(name) === abort) this.#followed.delete(name)
    }
  }

  async #open(
    subject: Subject,
    options: FollowOptions,
  ): Promise<AsyncIterable<CollectionEvent | JobEvent | FeedEvent>> {
    const connection = await this.#service.connect()
    const connect = () => this.#service.connect()
    if ('collection' in subject) {
      await seeCollection(connection, this.#identity, subject.collection, false)
      return collectionEvents(connect, subject.collection, options)
    }
    if ('job' in subject) {
      const { collectionId } = await seeJob(connection, this.#identity, subject.job, false)
      return jobEvents(connect, { id: subject.job, collectionId }, options)
    }
    return followFeed(this.#service, this.#identity, options)
  }

  #sayProblem(error: unknown, address?: Address): void {
    const problem = this.#service.explain(error, { method: 'GET', path: '/api/live' })
    this.#say({ type: 'problem', ...address, problem })
  }

  #say(message: unknown): void {
    this.#sayText(JSON.stringify(message))
  }

  #sayText(message: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#hold()
    this.#socket.send(message)
  }

  /** Waits until what was sent has gone out, for all who are followed here; lets go of a reader that takes nothing. */
  #untilRoom(): Promise<void> {
    this.#room ??= new Promise<void>((resolve) => {
      const clock = this.#runtime.after(patience, () => {
        this.#socket.close(slowReader, 'Too slow: resume from the last cursor.')
        this.#end()
      })
      const done = (): void => {
        clock.cancel()
        this.#room = null
        resolve()
      }
      // Behind all that is unsent.
      this.#socket.ping(undefined, undefined, done)
    })
    return this.#room
  }
}
