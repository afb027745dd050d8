import { Backoff } from '../core/backoff.ts'
import type { Timer } from '../core/runtime.ts'
import type { Inbox } from './inbox.ts'
import { ApiProblem, isLasting, Patience } from './problem.ts'
import { isMessage, isTicket, type Message, parsed } from './received.ts'
import type { Requests } from './requests.ts'
import { streamInto } from './stream.ts'
import { onWake } from './wake.ts'

/** How one go of the line came to its end. */
interface Ended {
  readonly wasOpen: boolean
  readonly wasHeard: boolean
  readonly code: number
}

/** The server was not read fast enough, and is there. */
const slowReader = 4008
const noWord = 1006
/** By this side, where nobody follows any more. */
const hungUp = 1000
const shortestPause = 300
const longestPause = 15_000
/** How long a handshake may take, in milliseconds. */
const patience = 10_000
/** The server says something every 10 s. */
const beat = 10_000
const silence = 25_000
const lookEvery = 5_000
/** After so many handshakes in a row that failed though the server was there, something between lets none through. */
const mostHandshakes = 2
const blockedFor = 60_000
/** A line that nobody needs is kept so long: who followed one thing often follows the next. */
const keptFor = 1_000

/** One WebSocket for all that is followed; where none can be opened, a stream of server-sent events for each. */
export class Line {
  readonly #requests: Requests
  readonly #inboxes = new Set<Inbox>()
  readonly #asked = new Map<string, Inbox>()
  readonly #streams = new Map<Inbox, AbortController>()
  #names = 0
  #socket: WebSocket | undefined
  #hangUp: (() => void) | undefined
  /** Begins anew at once, if that is worth it. */
  #wake: ((why: 'online' | 'visible') => void) | undefined
  #isRunning = false
  #nobody = new AbortController()
  readonly #patience = new Patience()
  #backoff: Backoff
  #kept: Timer | undefined
  #failedHandshakes = 0
  #blockedUntil = 0

  constructor(requests: Requests) {
    this.#requests = requests
    this.#backoff = this.#newBackoff()
  }

  /** Tells it everything from where it stands, through whatever happens to connections. */
  add(inbox: Inbox): void {
    if (this.#isBlocked()) return void this.#stream(inbox)
    this.#kept?.cancel()
    this.#inboxes.add(inbox)
    if (this.#socket) {
      this.#ask(inbox)
      inbox.connected(true)
    }
    if (!this.#isRunning) void this.#run()
  }

  remove(inbox: Inbox): void {
    this.#streams.get(inbox)?.abort()
    if (!this.#inboxes.delete(inbox)) return
    this.#forget(inbox)
    if (this.#inboxes.size === 0) this.#leave()
  }

  /** It has been read: one that was full is told more. */
  goOn(inbox: Inbox): void {
    if (!this.#inboxes.has(inbox) && !this.#streams.has(inbox)) this.add(inbox)
  }

  // ── the socket ─────────────────────────────────────────────────────────────────────────────────────────────────

  async #run(): Promise<void> {
    this.#isRunning = true
    const stop = onWake((why) => {
      this.#wake?.(why)
      this.#backoff.reset()
      this.#backoff.skip()
    })
    while (this.#inboxes.size > 0) {
      if (this.#isBlocked()) this.#streamAll()
      else await this.#connect()
    }
    stop()
    this.#isRunning = false
  }

  async #connect(): Promise<void> {
    let ended: Ended | null = null
    const asking = new AbortController()
    // Of another network, or from before the machine slept: no answer comes to it.
    this.#wake = () => asking.abort()
    try {
      const signal = AbortSignal.any([this.#nobody.signal, asking.signal])
      const { ticket } = await this.#requests.json<{ ticket: string }>('POST', '/api/tickets', isTicket, { signal })
      this.#patience.reset()
      ended = await this.#hold(ticket)
      if (ended.wasOpen) this.#failedHandshakes = 0
      else if (ended.code !== hungUp) this.#failedHandshakes++
    } catch (error) {
      if (this.#patience.isOver(error, this.#requests.runtime.elapsed())) this.#endAll(error)
    }
    this.#wake = undefined
    if (this.#failedHandshakes >= mostHandshakes) {
      this.#failedHandshakes = 0
      this.#blockedUntil = this.#requests.runtime.elapsed() + blockedFor
    } else if (this.#inboxes.size > 0 && !(ended?.wasHeard && ended.code === slowReader)) await this.#backoff.wait()
  }

  /** Resolves when it is over. */
  #hold(ticket: string): Promise<Ended> {
    const { runtime } = this.#requests
    const { promise, resolve } = Promise.withResolvers<Ended>()
    const socket = socketTo(this.#requests.socketUrl(ticket))
    if (!socket) return Promise.resolve({ wasOpen: false, wasHeard: false, code: noWord })
    let wasOpen = false
    let wasHeard = false
    let heardAt = runtime.elapsed()
    let clock: Timer | undefined
    const over = (code: number): void => {
      clock?.cancel()
      this.#socket = this.#hangUp = undefined
      for (const inbox of this.#asked.values()) inbox.name = undefined
      this.#asked.clear()
      for (const inbox of this.#inboxes) inbox.connected(false, runtime.elapsed() - heardAt)
      // The other side may never answer: what comes of it is of no interest any more.
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close()
      resolve({ wasOpen, wasHeard, code })
    }
    const look = (): void => {
      clock = runtime.after(wasOpen ? lookEvery : patience, () => {
        if (!wasOpen || runtime.elapsed() - heardAt > silence) over(noWord)
        else look()
      })
    }
    this.#hangUp = () => over(hungUp)
    this.#wake = (why) => {
      if (why === 'online' || runtime.elapsed() - heardAt > 1.5 * beat) over(noWord)
    }
    socket.onopen = () => {
      wasOpen = true
      this.#socket = socket
      for (const inbox of this.#inboxes) {
        this.#ask(inbox)
        inbox.connected(true)
      }
    }
    socket.onmessage = ({ data }) => {
      const message = parsed(data)
      if (!isMessage(message)) {
        // Something else speaks here: a line that says this was not opened, and after two of them streams are tried.
        wasOpen = false
        return over(noWord)
      }
      heardAt = runtime.elapsed()
      if (!wasHeard) this.#backoff.reset()
      wasHeard = true
      this.#hear(message)
    }
    socket.onclose = ({ code }) => over(code)
    look()
    return promise
  }

  #ask(inbox: Inbox): void {
    inbox.name = String(++this.#names)
    this.#asked.set(inbox.name, inbox)
    const { name: as, subject, after, live } = inbox
    this.#socket?.send(JSON.stringify({ type: 'follow', ...subject, as, after, live }))
  }

  #forget(inbox: Inbox): void {
    const { name: as, subject } = inbox
    if (as === undefined) return
    this.#asked.delete(as)
    inbox.name = undefined
    this.#socket?.send(JSON.stringify({ type: 'unfollow', ...subject, as }))
  }

  #hear(message: Message): void {
    // Where the store was away, nothing may have happened since.
    if (message.type === 'beat') for (const inbox of this.#asked.values()) inbox.connected(true)
    // What was on its way when nobody followed it any more.
    const inbox = this.#asked.get(message.as ?? '')
    if (!inbox) return
    if (message.type === 'event') {
      inbox.connected(true)
      inbox.hear(message.event)
    }
    if (message.type === 'end') inbox.end()
    else if (message.type === 'problem') this.#hearProblem(inbox, new ApiProblem(message.problem))
    if (message.type === 'end' || inbox.isFull) this.remove(inbox)
  }

  /** The store may be away for a while. */
  #hearProblem(inbox: Inbox, error: ApiProblem): void {
    if (isLasting(error)) {
      this.remove(inbox)
      return inbox.end({ error })
    }
    const { runtime } = this.#requests
    this.#forget(inbox)
    inbox.connected(false)
    runtime.after(1_000 + 1_000 * runtime.random(), () => {
      if (this.#socket && this.#inboxes.has(inbox) && inbox.name === undefined) this.#ask(inbox)
    })
  }

  #leave(): void {
    // Nobody waits for a line that is not there yet.
    if (!this.#socket) return this.#letGo()
    this.#kept?.cancel()
    this.#kept = this.#requests.runtime.after(keptFor, () => {
      if (this.#inboxes.size === 0) this.#letGo()
    })
  }

  #letGo(): void {
    this.#nobody.abort()
    this.#nobody = new AbortController()
    this.#backoff.cancel()
    this.#backoff = this.#newBackoff()
    this.#hangUp?.()
  }

  #endAll(error: ApiProblem): void {
    for (const inbox of this.#inboxes) inbox.end({ error })
    this.#inboxes.clear()
  }

  #newBackoff(): Backoff {
    return new Backoff(this.#requests.runtime, longestPause, shortestPause)
  }

  // ── where none can be opened ───────────────────────────────────────────────────────────────────────────────────

  #isBlocked(): boolean {
    return typeof WebSocket === 'undefined' || this.#requests.runtime.elapsed() < this.#blockedUntil
  }

  #streamAll(): void {
    for (const inbox of this.#inboxes) void this.#stream(inbox)
    this.#inboxes.clear()
  }

  async #stream(inbox: Inbox): Promise<void> {
    const abort = new AbortController()
    this.#streams.set(inbox, abort)
    await streamInto(inbox, this.#requests, { signal: abort.signal, isEnough: () => !this.#isBlocked() })
    this.#streams.delete(inbox)
    // Sockets are tried again now and then.
    if (!abort.signal.aborted && !inbox.hasEnded && !inbox.isFull) this.add(inbox)
  }
}

/** null where the policy of the page forbids it. */
function socketTo(url: string): WebSocket | null {
  try {
    return new WebSocket(url)
  } catch {
    return null
  }
}
