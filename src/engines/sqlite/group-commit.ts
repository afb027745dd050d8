import { type Database, storeError } from './database.ts'

interface Queued {
  readonly body: () => unknown
  readonly resolve: (answer: never) => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes that are asked for in the same turn share one transaction, in the order in which they were asked for: what a
 * worker settles and what it then claims lie on the same pages, and a commit costs by the page. Each stands or falls alone.
 */
export class GroupCommit {
  readonly #db: Database
  #queue: Queued[] = []

  constructor(db: Database) {
    this.#db = db
  }

  add<T>(body: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ body, resolve, reject })
      if (this.#queue.length === 1) queueMicrotask(() => void this.#commit())
    })
  }

  async #commit(): Promise<void> {
    const group = this.#queue
    this.#queue = []
    try {
      const answers = await this.#db.write(() =>
        group.length === 1 ? [this.#alone(group[0] as Queued)] : group.map((each) => this.#apart(each)),
      )
      group.forEach(({ resolve, reject }, at) => {
        const answer = answers[at] as Answer
        if ('error' in answer) reject(answer.error)
        else resolve(answer.value as never)
      })
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }

  /** Where it fails, so does the transaction. */
  #alone({ body }: Queued): Answer {
    return { value: body() }
  }

  #apart({ body }: Queued): Answer {
    this.#db.run('savepoint apart')
    try {
      const value = body()
      this.#db.run('release apart')
      return { value }
    } catch (error) {
      // An error that has ended the whole transaction (a full disk) ends the others of the group too.
      if (!this.#db.isInTransaction) throw error
      this.#db.run('rollback to apart')
      this.#db.run('release apart')
      return { error: storeError(error) }
    }
  }
}

type Answer = { readonly value: unknown } | { readonly error: unknown }
