import type { Database } from './database.ts'

interface Queued {
  readonly body: () => unknown
  readonly resolve: (answer: never) => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes that are asked for in the same turn share one transaction, in the order in which they were asked for: what a
 * worker settles and what it then claims lie on the same pages, and a commit costs by the page. Should one of them fail,
 * none is kept and each is done again on its own. (Tried: a savepoint for each. SQLite then copies every page that is
 * changed into a journal of its own, which cost three times what sharing the commit saved.)
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
      if (this.#queue.length === 1) queueMicrotask(() => void this.#commit(this.#queue.splice(0)))
    })
  }

  async #commit(group: readonly Queued[]): Promise<void> {
    try {
      const answers = await this.#db.write(() => group.map(({ body }) => body()))
      group.forEach(({ resolve }, at) => resolve(answers[at] as never))
    } catch (error) {
      if (group.length === 1) group[0]?.reject(error)
      else for (const each of group) await this.#commit([each])
    }
  }
}
