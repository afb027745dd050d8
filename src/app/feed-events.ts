import type { Change } from '../core/event.ts'
import type { FeedEvent } from '../core/handle.ts'
import { type Connection, eventStream, type FollowTerms, type Holding, type View } from './events.ts'
import { formatPosition, type Position, positionAt } from './position.ts'

/** Who asked for these collections: null for nobody; without those that are not there any more. */
export type FindOwners = (collectionIds: readonly string[]) => Promise<ReadonlyMap<string, string | null>>
interface Visible {
  readonly actor: string
  readonly owners: FindOwners
}

/**
 * All changes that there are, or those of what one actor asked for: every change once, in order for each job. Never ends
 * by itself.
 */
export function feedEvents(
  connect: () => Promise<Connection>,
  visible: Visible | null,
  options?: FollowTerms,
): AsyncIterable<FeedEvent> {
  return eventStream(connect, null, (...given) => new FeedView(visible, ...given), options)
}

class FeedView implements View<{ readonly cursor: string }, FeedEvent> {
  readonly isOver = false
  readonly #visible: Visible | null
  readonly #connection: Connection
  readonly #holding: Holding
  #owners: ReadonlyMap<string, string | null> = new Map()
  readonly #recent = new Recent()

  constructor(visible: Visible | null, connection: Connection, holding: Holding) {
    this.#visible = visible
    this.#connection = connection
    this.#holding = holding
  }

  async look(): Promise<{ readonly cursor: string }> {
    this.#holding.weigh(weight)
    return { cursor: await this.#connection.engine.cursor() }
  }

  concerns(): boolean {
    return true
  }

  isEnd(): boolean {
    return false
  }

  async *show({ cursor }: { readonly cursor: string }): AsyncGenerator<FeedEvent> {
    yield { type: 'start', cursor: formatPosition(positionAt(cursor), 0) }
  }

  resume(): void {}

  caughtUp(): void {}

  async prepare(changes: readonly Change[]): Promise<void> {
    if (this.#visible) this.#owners = await this.#visible.owners(changes.map(({ collectionId }) => collectionId))
  }

  async *tell(change: Change, position: Position): AsyncGenerator<FeedEvent> {
    if (!this.#recent.isNews(change)) return
    if (this.#visible !== null && this.#owners.get(change.collectionId) !== this.#visible.actor) return
    let event = shared.get(position)
    if (!event) shared.set(position, (event = eventOf(change, position)))
    yield event
  }
}

/** Those who follow everything share the positions, and so the events. */
const shared = new WeakMap<Position, FeedEvent>()

function eventOf(change: Change, position: Position): FeedEvent {
  const { collectionId } = change
  const at = { cursor: formatPosition(position, 0), at: new Date(change.at), collectionId }
  switch (change.type) {
    case 'job':
      return { type: 'job', ...at, jobId: change.jobId, state: change.state, attempt: change.attempt }
    case 'progress':
      return { type: 'progress', ...at, jobId: change.jobId, ...change.progress }
    case 'collection':
      return { type: 'collection', ...at, state: change.state, round: change.round }
  }
}

/**
 * The changes told last. One who resumes is told what happened meanwhile by two ways, which overlap by no more than a
 * follower's inbox holds; of all that ever happened nobody could keep a list.
 */
class Recent {
  #now = new Set<string>()
  #before = new Set<string>()

  isNews(change: Change): boolean {
    const name = nameOf(change)
    if (this.#now.has(name) || this.#before.has(name)) return false
    if (this.#now.size >= mostRemembered) {
      this.#before = this.#now
      this.#now = new Set()
    }
    this.#now.add(name)
    return true
  }
}

/** More than an inbox holds. */
const mostRemembered = 12_000

/** As many jobs of a collection take as much memory as the changes remembered. */
const weight = 5_000

function nameOf(change: Change): string {
  if (change.type === 'job') return `${change.jobId}${change.version}`
  if (change.type === 'collection') return `${change.collectionId}/${change.state}${change.round}/${change.at}`
  return `${change.jobId}/${change.at}/${change.progress.done}/${change.progress.total}/${change.progress.message}`
}
