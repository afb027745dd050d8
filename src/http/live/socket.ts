import type { WebSocket } from 'ws'
import { collectionEvents } from '../../app/collection-events.ts'
import type { FollowTerms } from '../../app/events.ts'
import { jobEvents } from '../../app/job-events.ts'
import type { CollectionEvent, FeedEvent, JobEvent } from '../../core/handle.ts'
import { type Runtime, type Timer } from '../../core/runtime.ts'
import { eventText } from '../answers.ts'
import type { Identity } from '../identity.ts'
import { RequestError } from '../problem.ts'
import type { Service } from '../route.ts'
import { seeCollection, seeJob } from '../visible.ts'
import { followFeed } from './feed.ts'
import { type Address, nameOf, type Order, readOrder, type Subject } from './messages.ts'
import { Orders } from './orders.ts'

/** If more bytes than this are unsent, nothing more is written, read from what is followed, or heard. */
const mostUnsent = 262_144
/** Who reads nothing for so long is let go, in milliseconds; so is one who answers no ping. */
const patience = 15_000
const pingEvery = 30_000
/** Pages hear of no pings: by this they know that the line is not dead. */
const beatEvery = 10_000
/** How long one may take to say goodbye when the server goes away. */
const grace = 1_000
const mostFollowed = 1_000
/** How many times one thing may be followed at once, each under a name of its own. */
const mostAlike = 20
/** Messages that cannot be read, of one connection: it is none of ours. */
const mostBad = 100
/** The reader was too slow: what it missed, it resumes from by the cursor of the last event that it has. */
export const slowReader = 4008
export const goingAway = 1001
/** It has to show again who it is: its token has ended, or it was long ago. */
export const trustEnded = 4001
const badMessages = 1008

type Event = CollectionEvent | JobEvent | FeedEvent

interface Following {
  /** What is followed, by whatever name. */
  readonly subject: string
  readonly abort: AbortController
}

/** One browser's line: follows and unfollows as it is told, and never holds more than a bound for who does not read. */
export class LiveSocket {
  readonly #socket: WebSocket
  readonly #hold: () => void
  readonly #identity: Identity
  readonly #service: Service
  readonly #runtime: Runtime
  readonly #orders: Orders
  readonly #followed = new Map<string, Following>()
  readonly #closed = Promise.withResolvers<void>()
  #room: Promise<void> | null = null
  #ping: Timer | undefined
  #beat: Timer | undefined
  readonly #trust: Timer
  #isAlive = true
  #bad = 0

  /** @param hold what is written until the end of this turn of the event loop goes out together */
  constructor(socket: WebSocket, hold: () => void, identity: Identity, service: Service) {
    this.#socket = socket
    this.#hold = hold
    this.#identity = identity
    this.#service = service
    this.#runtime = service.parts.runtime
    this.#orders = new Orders(socket, this.#runtime, (text) => this.#hear(text))
    socket.on('message', (data, isBinary) => this.#orders.add(isBinary ? '' : String(data)))
    socket.on('pong', () => (this.#isAlive = true))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => this.#end())
    this.#startPing()
    this.#startBeat()
    this.#trust = service.trust.hold(identity, () => this.#leave(trustEnded, 'Show again who you are, and resume.'))
  }

  close(): void {
    this.#leave(goingAway, 'The server is going away: come back and resume.')
  }

  #leave(code: number, why: string, wait = grace): void {
    this.#end()
    // An answer to the goodbye cannot be heard while nothing is read.
    this.#socket.resume()
    this.#socket.close(code, why)
    this.#runtime.after(wait, () => this.#socket.terminate(), { unref: true })
  }

  #end(): void {
    this.#ping?.cancel()
    this.#beat?.cancel()
    this.#trust.cancel()
    this.#orders.end()
    for (const { abort } of this.#followed.values()) abort.abort()
    this.#followed.clear()
    this.#closed.resolve()
  }

  #startPing(): void {
    this.#ping = this.#runtime.after(
      pingEvery,
      () => {
        if (!this.#isAlive) return this.#socket.terminate()
        this.#isAlive = false
        this.#socket.ping()
        this.#startPing()
      },
      { unref: true },
    )
  }

  #startBeat(): void {
    this.#beat = this.#runtime.after(
      beatEvery,
      () => {
        this.#say({ type: 'beat' })
        this.#startBeat()
      },
      { unref: true },
    )
  }

  /** Carries out one order; resolves when the next may follow. */
  async #hear(text: string): Promise<void> {
    await this.#untilRoom()
    try {
      const order = readOrder(text)
      const name = nameOf(order.address)
      this.#followed.get(name)?.abort.abort()
      this.#followed.delete(name)
      if (order.type === 'follow') await this.#begin(order, name)
    } catch (error) {
      this.#sayProblem(error)
      if (++this.#bad >= mostBad) this.#leave(badMessages, 'These are no messages of this API.')
    }
  }

  /** Resolves when what is to be sent first has been taken, or there is nothing to send yet. */
  #begin(order: Order, name: string): Promise<void> {
    const opened = Promise.withResolvers<void>()
    void this.#follow(order, name, opened.resolve).finally(opened.resolve)
    return opened.promise
  }

  async #follow({ address, after, live }: Order, name: string, opened: () => void): Promise<void> {
    const following = { subject: nameOf({ ...address, as: undefined }), abort: new AbortController() }
    const { signal } = following.abort
    let told: AsyncIterator<Event, unknown> | undefined
    try {
      this.#checkCount(following.subject)
      this.#followed.set(name, following)
      const opening = `${JSON.stringify({ type: 'event', ...address }).slice(0, -1)},"event":`
      const turn = async () => {
        const endTurn = await this.#service.openings.take(this.#identity)
        return () => {
          endTurn()
          opened()
        }
      }
      const hold = () => this.#service.held.following(this.#identity, 'line')
      const events = await this.#open(address, { live, signal, turn, hold, ...(after !== undefined && { after }) })
      told = events[Symbol.asyncIterator]()
      while (await this.#tellNext(told, opening, signal));
      if (!signal.aborted) this.#say({ type: 'end', ...address })
    } catch (error) {
      if (!signal.aborted) this.#sayProblem(error, address)
    } finally {
      if (this.#followed.get(name) === following) this.#followed.delete(name)
      await told?.return?.()
    }
  }

  /**
   * Sends the next event; false if there is none. A function of its own, so that nothing holds the last event, which may be a large
   * snapshot, while the next is awaited.
   */
  async #tellNext(events: AsyncIterator<Event, unknown>, opening: string, signal: AbortSignal): Promise<boolean> {
    const next = await events.next()
    if (next.done) return false
    await this.#untilRoom()
    if (signal.aborted) return false
    const text = await eventText(this.#runtime, this.#identity, next.value)
    if (signal.aborted) return false
    this.#sayText(`${opening}${text}}`)
    await this.#untilRoom()
    return true
  }

  #checkCount(subject: string): void {
    if (this.#followed.size >= mostFollowed) {
      throw new RequestError('BAD_REQUEST', `One line follows at most ${mostFollowed} things: unfollow some.`)
    }
    let alike = 0
    for (const one of this.#followed.values()) if (one.subject === subject) alike++
    if (alike >= mostAlike) {
      throw new RequestError('BAD_REQUEST', `One line follows one thing at most ${mostAlike} times: unfollow some.`)
    }
  }

  async #open(subject: Subject, options: FollowTerms): Promise<AsyncIterable<Event>> {
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
  async #untilRoom(): Promise<void> {
    while (this.#socket.bufferedAmount > mostUnsent && this.#socket.readyState === this.#socket.OPEN)
      await (this.#room ??= this.#drained())
  }

  async #drained(): Promise<void> {
    const clock = this.#runtime.after(patience, () =>
      this.#leave(slowReader, 'Too slow: resume from the last cursor.', patience),
    )
    // Behind all that is unsent.
    const sent = new Promise<void>((resolve) => this.#socket.ping(undefined, undefined, () => resolve()))
    await Promise.race([sent, this.#closed.promise])
    clock.cancel()
    this.#room = null
  }
}
