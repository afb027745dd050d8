import type { Celeriac } from '../app/celeriac.ts'
import type { SettledState } from '../core/collection.ts'
import { NotFound } from '../core/errors.ts'
import type { CollectionEvent, CollectionHandle } from '../core/handle.ts'
import type { Timer } from '../core/runtime.ts'
import type { Context } from './context.ts'
import { Followed } from '../core/followed.ts'
import { toSnake } from '../core/snake.ts'
import { PlainLog } from './plain-log.ts'
import { exitCodes } from './report.ts'
import { Screen } from './screen.ts'
import { renderTree, type TreeOptions } from './tree.ts'

export interface FollowingOptions extends TreeOptions {
  readonly json?: boolean | undefined
}

/** Jobs that failed are looked up for their failure, so many before each drawing. */
const lookedUpAtOnce = 20

/**
 * Follows a collection until it has settled, in the way that suits the output: a tree drawn over and over, a line for
 * each change, or events as JSON lines. Answers with the exit code. Ctrl-C stops following, and nothing else.
 */
export async function followCollection(
  context: Context,
  app: Celeriac,
  handle: CollectionHandle<unknown>,
  options: FollowingOptions,
): Promise<number> {
  const interruption = new AbortController()
  const forget = context.onInterrupt(() => interruption.abort())
  const events = warnOfNobody(context, app, handle.events({ signal: interruption.signal }))
  const tell = options.json ? tellAsJson : context.terminal.isLive ? tellAsTree : tellAsLines
  let code: number = exitCodes.interrupted
  try {
    await tell(
      context,
      app,
      noteEnd(events, (state) => (code = exitCodes[state])),
      options,
    )
  } finally {
    forget()
  }
  if (interruption.signal.aborted) context.terminal.note('Stopped following; the work goes on.')
  return code
}

type Events = AsyncIterable<CollectionEvent>

async function* noteEnd(events: Events, note: (state: SettledState) => void): AsyncGenerator<CollectionEvent> {
  for await (const event of events) {
    if (event.type === 'settled') note(event.state)
    yield event
  }
}

/** Where nobody works, whoever waits for something to happen waits for ever. */
async function* warnOfNobody({ terminal }: Context, app: Celeriac, events: Events): AsyncGenerator<CollectionEvent> {
  let isFirst = true
  for await (const event of events) {
    if (isFirst && event.type === 'snapshot' && event.collection.state === 'running') {
      const workers = await app.workers.list()
      if (!workers.some(({ state }) => state === 'running'))
        terminal.note('No worker is running. Start one: celeriac worker <module>')
    }
    isFirst = false
    yield event
  }
}

async function tellAsJson({ terminal }: Context, _app: Celeriac, events: Events): Promise<void> {
  for await (const event of events) terminal.print(JSON.stringify(toSnake(event)))
}

async function tellAsLines({ terminal }: Context, app: Celeriac, events: Events): Promise<void> {
  let log: PlainLog | undefined
  let followed: Followed | undefined
  for await (const event of events) {
    if (event.type === 'snapshot') followed ??= new Followed(event.collection)
    if (!followed) continue
    log ??= new PlainLog(followed)
    followed.hear(event)
    await lookUp(app, followed)
    terminal.print(...log.tell(event))
  }
}

async function tellAsTree(context: Context, app: Celeriac, events: Events, options: TreeOptions): Promise<void> {
  let tree: LiveTree | undefined
  try {
    for await (const event of events) {
      if (event.type === 'snapshot') tree ??= new LiveTree(context, app, new Followed(event.collection), options)
      tree?.hear(event)
    }
  } finally {
    await tree?.end()
  }
}

/** A tree that is drawn anew soon after something changed, and once a second for the times in it. */
class LiveTree {
  readonly #context: Context
  readonly #app: Celeriac
  readonly #followed: Followed
  readonly #options: TreeOptions
  readonly #screen: Screen
  #timer: Timer | undefined
  #drawing: Promise<void> | undefined
  #isStale = false
  #hasEnded = false
  #trouble: { readonly error: unknown } | undefined
  /** Between drawings, in milliseconds: longer where drawing itself takes long. */
  #pause = 50

  constructor(context: Context, app: Celeriac, followed: Followed, options: TreeOptions) {
    this.#context = context
    this.#app = app
    this.#followed = followed
    this.#options = options
    this.#screen = new Screen(context.terminal)
    this.#redraw()
  }

  hear(event: CollectionEvent): void {
    this.#followed.hear(event)
    if (!this.#drawing && !this.#isStale) this.#drawIn(this.#pause)
    this.#isStale = true
  }

  /** Leaves the tree as it is at the end, whole. */
  async end(): Promise<void> {
    this.#hasEnded = true
    this.#timer?.cancel()
    await this.#drawing
    if (this.#trouble) this.#screen.close()
    if (this.#trouble) throw this.#trouble.error
    await lookUp(this.#app, this.#followed)
    this.#screen.close(renderTree(this.#followed.snapshot, this.#context.terminal.view, this.#options))
  }

  #drawIn(ms: number): void {
    this.#timer?.cancel()
    this.#timer = this.#context.runtime.after(ms, () => this.#redraw())
  }

  #redraw(): void {
    this.#isStale = false
    this.#drawing = this.#draw()
      .catch((error: unknown) => void (this.#trouble ??= { error }))
      .finally(() => {
        this.#drawing = undefined
        if (!this.#hasEnded) this.#drawIn(this.#isStale ? this.#pause : 1_000)
      })
  }

  async #draw(): Promise<void> {
    const { runtime, terminal } = this.#context
    await lookUp(this.#app, this.#followed)
    if (this.#hasEnded) return
    const before = runtime.elapsed()
    // One line stays free for the cursor.
    this.#screen.draw(renderTree(this.#followed.snapshot, terminal.view, { ...this.#options, rows: terminal.rows - 1 }))
    this.#pause = Math.max(50, (runtime.elapsed() - before) * 5)
  }
}

/** Fills in what events do not tell. */
async function lookUp(app: Celeriac, followed: Followed): Promise<void> {
  for (const id of [...followed.lacking].slice(0, lookedUpAtOnce)) {
    try {
      followed.complete(await (await app.job(id)).snapshot())
    } catch (error) {
      // A retry of everything takes away the jobs that a handler brought.
      if (!(error instanceof NotFound)) throw error
      followed.giveUp(id)
    }
  }
}
