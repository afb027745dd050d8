import { CeleriacError, type ErrorCode } from './errors.ts'
import { didYouMean } from './misspelling.ts'
import { shown } from './text.ts'

/** Checks the value of one option and gives it as it is stored. `what` names it in errors. */
export type OptionReader<Stored> = (value: unknown, what: string) => Stored

/** The readers of the options that may be given in one place, by name. */
export type OptionReaders<Stored> = { readonly [K in keyof Stored]-?: OptionReader<Exclude<Stored[K], undefined>> }

/**
 * Reads options: each by its reader, those that are undefined left out.
 *
 * @throws CeleriacError BAD_OPTION where one is not known or not valid, with the known name it resembles
 */
export function readOptions<Stored extends object>(
  options: unknown,
  readers: OptionReaders<Stored>,
  what: string,
): Stored {
  return readable(what, () => readEach(options, readers, what))
}

/**
 * Reads an object of the user's: what its getters and traps throw becomes an error of this package.
 *
 * @throws CeleriacError with this code
 */
export function readable<Read>(what: string, read: () => Read, code: ErrorCode = 'BAD_OPTION'): Read {
  try {
    return read()
  } catch (thrown) {
    if (isOurs(thrown)) throw thrown
    throw new CeleriacError(code, `${what}: it cannot be read, because reading it threw: give a plain object`, {
      cause: thrown,
    })
  }
}

/** What was thrown may itself be an object that throws when it is looked at. */
function isOurs(thrown: unknown): boolean {
  try {
    return thrown instanceof CeleriacError
  } catch {
    return false
  }
}

function readEach<Stored extends object>(options: unknown, readers: OptionReaders<Stored>, what: string): Stored {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw badOption(what, `options are given as an object, this is ${shown(options)}`)
  }
  const stored: Record<string, unknown> = {}
  for (const name of Object.keys(options)) {
    const value = (options as Record<string, unknown>)[name]
    if (value === undefined) continue
    if (!Object.hasOwn(readers, name)) throw unknownOption(name, readers, what)
    stored[name] = (readers as Record<string, OptionReader<unknown>>)[name]!(value, `${what}: ${name}`)
  }
  return stored as Stored
}

/** A reader of what is checked where it is used. */
export const anything: OptionReader<any> = (value) => value

/** A reader of functions. */
export const functionOption: OptionReader<any> = (value, what) => {
  if (typeof value === 'function') return value
  throw badOption(what, `a function is needed, not ${shown(value)}`)
}

export function badOption(what: string, problem: string): CeleriacError {
  return new CeleriacError('BAD_OPTION', `${what}: ${problem}`)
}

/** A reader of whole numbers within bounds, both included. */
export function wholeNumber(least: number, most: number): OptionReader<number> {
  return (value, what) => {
    // `|| 0` because −0 is none of the numbers that stores know.
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
      return (value as number) || 0
    throw badOption(what, `a whole number from ${least} to ${most} is needed, not ${shown(value)}`)
  }
}

/** A reader of names and keys: not empty, no control characters, at most so many characters. */
export function shortText(most: number): OptionReader<string> {
  return (value, what) => {
    const text = plainText(most)(value, what)
    if (text === '') throw badOption(what, 'it is empty')
    if (/\p{Cc}/u.test(text)) throw badOption(what, `${shown(text)} has a control character in it`)
    return text
  }
}

/** A reader of text for people: at most so many characters, of a kind that every store takes. */
export function plainText(most: number): OptionReader<string> {
  return (value, what) => {
    if (typeof value !== 'string') throw badOption(what, `a text is needed, not ${shown(value)}`)
    if (value.length > most) throw badOption(what, `it has ${value.length} characters, the most are ${most}`)
    if (value.includes('\0') || !value.isWellFormed()) {
      throw badOption(what, 'it has a NUL character or half of a surrogate pair in it, which not every store takes')
    }
    return value
  }
}

/** A reader that takes one of a few words. */
export function oneOf<Word extends string>(...words: readonly Word[]): OptionReader<Word> {
  return (value, what) => {
    if (words.includes(value as Word)) return value as Word
    throw badOption(what, `one of ${words.map((word) => `'${word}'`).join(', ')} is needed, not ${shown(value)}`)
  }
}

/** A reader of true and false. */
export const isTrue: OptionReader<boolean> = (value, what) => {
  if (typeof value === 'boolean') return value
  throw badOption(what, `true or false is needed, not ${shown(value)}`)
}

/** A reader for an option that has no place here; `why` says where it has. */
export function refused(why: string): OptionReader<never> {
  const refuse: OptionReader<never> = (_value, what) => {
    throw badOption(what, why)
  }
  refusals.add(refuse)
  return refuse
}

/** The readers of options that nobody is to be told of as ones that there are. */
const refusals = new WeakSet<OptionReader<unknown>>()

/** A reader for what is to come. */
export const reserved = refused('this is reserved and not built yet: leave it out')

function unknownOption(name: string, readers: OptionReaders<object>, what: string): CeleriacError {
  const known = Object.entries(readers) as (readonly [string, OptionReader<unknown>])[]
  const taken = known.filter(([, reader]) => !refusals.has(reader)).map(([one]) => one)
  // One that is refused is a good guess too: it says where it belongs.
  const guess = didYouMean(name, Object.keys(readers))
  return badOption(what, `there is no option "${name.slice(0, 60)}"${guess || `: the options are ${taken.join(', ')}`}`)
}
