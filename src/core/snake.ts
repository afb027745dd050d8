/**
 * A value of the library as it stands in JSON outside of it: names in snake_case, dates as ISO 8601 text, what is
 * undefined left out. What people gave and got (arguments, results, the data of log lines) passes unchanged.
 */
export type Snake<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Snake<Item>[]
    : T extends object
      ? { readonly [K in keyof T as K extends string ? SnakeName<K> : never]: K extends Payload ? T[K] : Snake<T[K]> }
      : T

type SnakeName<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeName<Rest>}`
  : Name

const payloads = ['args', 'result', 'data'] as const
type Payload = (typeof payloads)[number]

/**
 * @example
 * toSnake({ createdAt: new Date(0), args: [{ unitPrice: 2 }] }) // { created_at: '1970-01-01T00:00:00.000Z', args: [{ unitPrice: 2 }] }
 */
export function toSnake<const T>(value: T): Snake<T> {
  return convert(value, snakeName) as Snake<T>
}

/** The way back, for options: names in camelCase. */
export function toCamel(value: unknown): unknown {
  return convert(value, camelName)
}

function convert(value: unknown, rename: Rename): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => convert(item, rename))
  if (value instanceof Date) return value.toISOString()
  const converted: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[name]
    if (inner === undefined) continue
    const to = rename(name)
    converted[to.name] = to.isPayload || typeof inner !== 'object' ? inner : convert(inner, rename)
  }
  return converted
}

type Rename = (name: string) => { readonly name: string; readonly isPayload: boolean }

const remembered = (rename: (name: string) => string): Rename => {
  const known = new Map<string, ReturnType<Rename>>()
  return (name) => {
    let renamed = known.get(name)
    if (renamed === undefined) {
      renamed = { name: rename(name), isPayload: (payloads as readonly string[]).includes(name) }
      // Names are those of properties in code, so few; a stranger's must not fill the memory.
      if (known.size < 1000) known.set(name, renamed)
    }
    return renamed
  }
}

const snakeName = remembered((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
const camelName = remembered((name) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
