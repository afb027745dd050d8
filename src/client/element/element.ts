import { Followed } from '../../core/followed.ts'
import type { CollectionEvent } from '../../core/handle.ts'
import { outlineOf } from '../../core/outline.ts'
import { systemRuntime, type Timer } from '../../core/runtime.ts'
import { formatDuration } from '../../core/time.ts'
import { type Client, type Connection, createClient } from '../client.ts'
import { Announcer } from './announcer.ts'
import { FilterView } from './filter-view.ts'
import { LineView, part } from './line-view.ts'
import { describeCounts, mostOpen, progressOfJobs, rowsOf } from './rows.ts'
import { sheet } from './sheet.ts'
import { eventOf, jobOf } from './told.ts'
import { TreeView } from './tree-view.ts'

declare global {
  interface HTMLElementTagNameMap {
    'celeriac-progress': CeleriacProgress
  }
}

/** Between drawings, in milliseconds: longer where drawing itself takes long. */
const shortestPause = 50
/** Events do not tell why something failed: it is looked up, at most so often. */
const lookUpPause = 300
/** Of more than so many, all is read at once. */
const mostLookedUp = 8
/** So long nothing is said of a connection that is gone, in milliseconds: most are there again. */
const patience = 3_000
const notUnderstood = 'What the server tells is not understood here: it may be of another version.'

const runtime = systemRuntime
/** Elements with the same token share a client, and so its one WebSocket. */
const clients = new Map<string, { readonly client: Client; users: number }>()

// Where pages are made on a server there are no elements, and importing this must do no harm.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement)

/**
 * Shows a collection while it runs: its jobs as a tree, how far they are, what failed.
 *
 * ```html
 * <celeriac-progress collection="019a…" token="…" url="https://jobs.example.com"></celeriac-progress>
 * ```
 *
 * Dispatches `settled` with `{ state, round }`, and `failed` before it where it has failed.
 */
export class CeleriacProgress extends Base {
  static readonly observedAttributes = ['collection', 'token', 'url']
  readonly #head = new LineView('head')
  readonly #tree = new TreeView(() => this.#draw())
  readonly #filter = new FilterView((only) => {
    this.#tree.only = only
    this.#draw()
  })
  readonly #connection = part('div', 'connection')
  readonly #problem = part('div', 'problem')
  readonly #said = part('div', 'unseen')
  readonly #announcer = new Announcer(runtime, (text) => (this.#said.textContent = text))
  #client: Client | undefined
  #abort: AbortController | undefined
  #isDue = false
  #followed: Followed | undefined
  /** The collection that is shown. */
  #id = ''
  /** Something else asks than what is shown was shown to: an answer says whether it may see it. */
  #isUnproven = false
  #isLive = false
  /** Nothing more comes: why stands in the problem. */
  #hasEnded = false
  /** Since when nothing has come (of the clock that only goes on), and how late it was then. */
  #goneSince = 0
  #goneAt = 0
  readonly #lacking = new Set<string>()
  /** The last round whose end was told. */
  #toldRound = 0
  #drawing: Timer | undefined
  #pause = shortestPause
  #ticking: Timer | undefined
  #lookingUp: Timer | undefined

  constructor() {
    super()
    const root = this.attachShadow({ mode: 'open' })
    const styles = new CSSStyleSheet()
    styles.replaceSync(sheet)
    root.adoptedStyleSheets = [styles]
    this.#problem.role = 'alert'
    this.#said.role = 'status'
    root.append(
      this.#head.element,
      this.#connection,
      this.#filter.element,
      this.#problem,
      this.#tree.element,
      this.#said,
    )
    this.#clear()
  }

  /** A client of the page's own in place of `url` and `token`, as where the token is renewed. */
  get client(): Client | undefined {
    return this.#client
  }

  set client(client: Client | undefined) {
    this.#client = client
    this.#restart()
  }

  connectedCallback(): void {
    this.#restart()
  }

  disconnectedCallback(): void {
    this.#restart()
  }

  attributeChangedCallback(_name: string, before: string | null, now: string | null): void {
    if (before !== now) this.#restart()
  }

  // ── following ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Once for all that changes together. */
  #restart(): void {
    if (this.#isDue) return
    this.#isDue = true
    queueMicrotask(() => {
      this.#isDue = false
      this.#abort?.abort()
      const id = (this.isConnected && this.getAttribute('collection')) || ''
      // A token that was renewed takes nothing away.
      if (id !== this.#id || !this.#followed) this.#clear()
      this.#id = id
      if (id === '') return
      this.#isUnproven = true
      this.#hasEnded = false
      this.#problem.hidden = true
      this.#connect({ isLive: false, silentFor: 0 })
      this.#abort = new AbortController()
      void this.#follow(id, this.#abort.signal)
    })
  }

  async #follow(id: string, signal: AbortSignal): Promise<void> {
    const shared = this.#client ? null : share(this.getAttribute('url') ?? '/', this.getAttribute('token'))
    try {
      const client = this.#client ?? shared!.client
      const onConnection = (connection: Connection): void => {
        if (!signal.aborted) this.#connect(connection)
      }
      for await (const event of client.collection(id).follow({ live: true, signal, onConnection })) {
        this.#isUnproven = false
        try {
          this.#hear(eventOf(event), client, signal)
        } catch (cause) {
          throw new Error(notUnderstood, { cause })
        }
      }
    } catch (error) {
      if (signal.aborted) return
      if (this.#isUnproven) this.#clear()
      this.#stop(error instanceof Error ? error.message : String(error))
    } finally {
      shared?.release()
    }
  }

  /** Nothing more is shown than what is there, and why. */
  #stop(why: string): void {
    this.#connect({ isLive: false, silentFor: 0 })
    this.#hasEnded = true
    this.#problem.hidden = false
    this.#problem.textContent = this.#followed ? `Not followed any more: ${why}` : why
    this.#drawSoon()
  }

  #connect({ isLive, silentFor }: Connection): void {
    if (this.#isLive || this.#goneAt === 0) {
      this.#goneSince = runtime.elapsed() - silentFor
      this.#goneAt = runtime.now() - silentFor
    }
    this.#isLive = isLive
    this.#drawSoon()
  }

  #hear(event: CollectionEvent, client: Client, signal: AbortSignal): void {
    if (event.type === 'snapshot') this.#followed ??= new Followed(event.collection)
    const followed = this.#followed
    if (!followed) return
    followed.hear(event)
    this.#announcer.hear(event)
    if (event.type === 'settled') this.#tell(event)
    // It was over before anybody looked.
    if (event.type === 'snapshot' && event.collection.state !== 'running') this.#tell(event.collection)
    for (const id of followed.lacking) {
      this.#lacking.add(id)
      // Noted here: what fails again while it is looked up, is looked up again.
      followed.giveUp(id)
    }
    if (this.#lacking.size > 0) this.#lookUpSoon(client, signal)
    this.#drawSoon()
  }

  #tell({ state, round }: { readonly state: string; readonly round: number }): void {
    if (round === this.#toldRound) return
    this.#toldRound = round
    const about = { detail: { state, round }, bubbles: true, composed: true }
    if (state === 'failed') this.dispatchEvent(new CustomEvent('failed', about))
    this.dispatchEvent(new CustomEvent('settled', about))
  }

  #lookUpSoon(client: Client, signal: AbortSignal): void {
    this.#lookingUp ??= runtime.after(lookUpPause, () => void this.#lookUp(client, signal))
  }

  async #lookUp(client: Client, signal: AbortSignal): Promise<void> {
    const lacking = new Set(this.#lacking)
    this.#lacking.clear()
    const id = this.getAttribute('collection') ?? ''
    try {
      const found =
        lacking.size > mostLookedUp
          ? (await client.collection(id).read({ signal })).jobs.filter((job) => lacking.has(job.id))
          : await Promise.all([...lacking].map((one) => client.job(one).read({ signal })))
      for (const job of found) this.#followed?.complete(jobOf(job))
      this.#drawSoon()
    } catch {
      // It is shown without: a retry of everything takes jobs away, and what fails next is looked up again.
    }
    if (signal.aborted) return
    this.#lookingUp = undefined
    if (this.#lacking.size > 0) this.#lookUpSoon(client, signal)
  }

  #clear(): void {
    for (const timer of [this.#drawing, this.#ticking, this.#lookingUp]) timer?.cancel()
    this.#drawing = this.#ticking = this.#lookingUp = this.#followed = undefined
    this.#lacking.clear()
    this.#toldRound = this.#goneAt = 0
    this.#isLive = this.#hasEnded = false
    this.#tree.only = null
    this.#tree.whole.clear()
    this.#announcer.stop()
    this.#tree.open.clear()
    this.#tree.shown.clear()
    this.#tree.show([])
    this.#head.element.hidden = this.#tree.element.hidden = this.#problem.hidden = true
    this.#filter.element.hidden = this.#connection.hidden = true
  }

  // ── drawing ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Soon, and not while nobody looks. */
  #drawSoon(): void {
    this.#drawing ??= runtime.after(this.#pause, () => requestAnimationFrame(() => this.#draw()))
  }

  #draw(): void {
    this.#drawing?.cancel()
    this.#drawing = undefined
    this.#drawConnection()
    if (!this.#followed) return
    try {
      this.#drawAll(this.#followed)
    } catch {
      // What it was told has parts missing or of other types. Drawn again, it would be the same.
      this.#abort?.abort()
      this.#stop(notUnderstood)
      this.#followed = undefined
    }
  }

  #drawAll(followed: Followed): void {
    const before = runtime.elapsed()
    const snapshot = followed.snapshot
    const { jobs, state, counts, description, createdAt, settledAt } = snapshot
    // Then the filter says how many there are of each state.
    const isMany = jobs.length > mostOpen
    // Nothing is known of what has happened since.
    const now = this.#isLive ? runtime.now() : this.#goneAt
    this.#head.show({
      name: description ?? 'Progress',
      state,
      about: state === 'running' || isMany ? '' : describeCounts(counts),
      progress: state === 'running' ? progressOfJobs(jobs.filter(({ role }) => role === 'main')) : null,
      failure: '',
      duration: formatDuration(Math.max(0, (settledAt?.getTime() ?? now) - createdAt.getTime())),
    })
    this.#tree.element.ariaLabel = description ?? 'Jobs'
    this.#tree.show(rowsOf(outlineOf(jobs), this.#tree, now))
    for (const { element } of [this.#head, this.#tree]) element.classList.toggle('stale', !this.#isLive)
    this.#filter.element.hidden = !isMany
    if (isMany) this.#filter.show(counts, this.#tree.only)
    this.#head.element.hidden = this.#tree.element.hidden = false
    this.#announcer.show(snapshot)
    this.#pause = Math.max(shortestPause, 5 * (runtime.elapsed() - before))
    // For the times that pass, and what is still to be said.
    if (state === 'running' || this.#announcer.hasNews) this.#tick()
  }

  #tick(): void {
    this.#ticking?.cancel()
    this.#ticking = runtime.after(1_000, () => this.#drawSoon())
  }

  /** How well what is shown is known. Of what is over nothing more is waited for. */
  #drawConnection(): void {
    const state = this.#followed?.snapshot.state ?? 'running'
    const gone = runtime.elapsed() - this.#goneSince
    const asOf = new Date(this.#goneAt).toLocaleTimeString()
    const text = this.#isLive
      ? 'live'
      : gone < patience
        ? 'connecting …'
        : `no answer for ${gone < 60_000 ? `${Math.floor(gone / 1_000)} s` : formatDuration(gone)}`
    this.#connection.textContent =
      gone >= patience && !this.#isLive && this.#followed ? `${text}: shown as of ${asOf}` : text
    this.#connection.className = `connection ${this.#isLive ? 'is-live' : gone < patience ? 'is-connecting' : 'is-silent'}`
    this.#connection.hidden = this.#id === '' || this.#hasEnded || state !== 'running'
    if (!this.#isLive && !this.#connection.hidden) this.#tick()
  }
}

function share(url: string, token: string | null): { readonly client: Client; release(): void } {
  const name = JSON.stringify([url, token])
  const known = clients.get(name) ?? { client: createClient({ url, token: token ?? undefined }), users: 0 }
  clients.set(name, known)
  known.users++
  return {
    client: known.client,
    release() {
      known.users--
      if (known.users === 0) clients.delete(name)
    },
  }
}

if (globalThis.customElements && !customElements.get('celeriac-progress')) {
  customElements.define('celeriac-progress', CeleriacProgress)
}
