/**
 * Small texts that all processes on one store share: API keys, tickets, secrets. Never payloads. They travel with
 * `celeriac copy`.
 */
export interface Values {
  /** null where there is none, or its time is over. */
  value(kind: ValueKind, id: string): Promise<string | null>
  /**
   * A page of those of a kind whose time is not over, in the order of their ids: at most `valuesAtOnce`; fewer only on the last page.
   *
   * @param after the id behind which the page begins; null or left out: the first page
   */
  values(kind: ValueKind, after?: string | null): Promise<readonly StoredValue[]>
  /**
   * Stores a text under its kind and id, and gives the text that stands there afterwards. `keep`: what is there already
   * stays, so that of several processes that each make a secret all get the same one.
   *
   * @param lifetime in milliseconds; null: until it is taken
   */
  putValue(
    value: { readonly kind: ValueKind; readonly id: string; readonly text: string; readonly lifetime: number | null },
    conflict: 'replace' | 'keep',
  ): Promise<string>
  /**
   * Removes it and gives what it was. Of all who ask, one gets it; where that one's reply is lost, nobody does. null
   * where there is none, or its time is over.
   */
  takeValue(kind: ValueKind, id: string): Promise<string | null>
}

export type ValueKind = 'key' | 'ticket' | 'secret'

export interface StoredValue {
  readonly id: string
  readonly text: string
  /** An instant in milliseconds. */
  readonly expiresAt: number | null
}

export const valuesAtOnce = 1_000

/** All of a kind, page by page. A value that is stored or removed meanwhile may be in it or not; every other one is, once. */
export async function allValues(store: Pick<Values, 'values'>, kind: ValueKind): Promise<readonly StoredValue[]> {
  const all: StoredValue[] = []
  for (let after: string | null = null; ;) {
    const page = await store.values(kind, after)
    for (const each of page) all.push(each)
    if (page.length < valuesAtOnce) return all
    after = page.at(-1)?.id ?? null
  }
}
