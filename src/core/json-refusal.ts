import { CeleriacError } from './errors.ts'
import { kind, type Kind } from './kind.ts'
import { pathText } from './path.ts'

/** Why a value cannot cross. It gathers the way to that value while the writer unwinds. */
export class Refusal extends Error {
  readonly code: 'NOT_JSON' | 'TOO_LARGE' | 'TOO_DEEP'
  /** The sentence around the path. */
  readonly say: (path: string) => string
  /** A function was found: it may tell what the object is that it belongs to. */
  readonly isFunction: boolean
  /** Names and positions, and the objects and lists they are of; the innermost first. */
  readonly steps: (string | number)[] = []
  readonly containers: object[] = []

  constructor(code: Refusal['code'], say: (path: string) => string, isFunction = false) {
    super()
    this.code = code
    this.say = say
    this.isFunction = isFunction
  }
}

/** Refuses a value for what it is: `JSON cannot carry args[0].when: it is a Date, send its toISOString()`. */
export function refuse(what: string): Refusal {
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry ${path}: it is ${what}`, what === aFunction)
}

/** Refuses undefined, or nothing at all, in a list: it would come back as null. */
export function refuseUndefined(): Refusal {
  const listOf = (path: string): string => path.replace(/\[\d+\]$/, '')
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry undefined in the list ${listOf(path)}: use null`)
}

/** Refuses an argument that is undefined, where others come after it. */
export function refuseGap(): Refusal {
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry ${path}: it is undefined and not the last, use null`)
}

/** Refuses a name that would set what an object inherits where a careless program copies it. */
export function refuseName(): Refusal {
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry ${path}: use another name for this property`)
}

export function refuseDepth(limit: number): Refusal {
  return new Refusal('TOO_DEEP', (path) => `${path} is nested deeper than the ${limit} levels that are carried`)
}

export function refuseSize(root: string, limit: number): Refusal {
  const most = limit % 1024 === 0 ? `${limit / 1024} KiB` : `${limit} bytes`
  const advice = 'store the data elsewhere and send where it is'
  return new Refusal('TOO_LARGE', () => `${root}: more than ${most} as JSON is not carried, ${advice}`)
}

/** Adds a step of the way to the value that is refused. Whatever a getter or a proxy threw becomes a refusal too. */
export function within(thrown: unknown, step: string | number | undefined, container: object): Refusal {
  let refusal = thrown instanceof Refusal ? thrown : refuse(`unreadable, ${wordsOf(thrown)}`)
  const owner = refusal.isFunction && refusal.steps.length === 0 ? nameOfOwner(container, step) : undefined
  if (owner !== undefined) refusal = refuse(owner)
  else if (step !== undefined) refusal.steps.push(step)
  refusal.containers.push(container)
  return refusal
}

/** The error to throw, once the writer has unwound to `root`. */
export function told(refusal: Refusal, root: string): CeleriacError {
  const steps = refusal.steps.toReversed()
  const circle = refusal.code === 'TOO_DEEP' ? findCircle(refusal.containers.toReversed()) : undefined
  if (circle === undefined) return new CeleriacError(refusal.code, refusal.say(pathText(root, steps)))
  const [first, again] = circle.map((length) => pathText(root, steps.slice(0, length))) as [string, string]
  return new CeleriacError('NOT_JSON', refuse(`${first} again, a circle`).say(again))
}

/** What to call a value that is refused for its type. */
export function nameOf(value: unknown): string {
  if (typeof value === 'bigint') return 'a bigint'
  if (typeof value === 'symbol') return 'a symbol'
  if (typeof value === 'function') return nameOfFunction(value)
  if (typeof value === 'number') return `${value}, use null`
  return 'undefined, use null'
}

/** What to call an object that is refused for its class; undefined where its own properties are carried. */
export function nameOfInstance(value: object): string | undefined {
  const mark = markOf(value)
  if (mark) return markNames[mark]
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  const known = knownNames.get(tag) ?? nameOfFamily(value)
  if (known !== undefined) return known
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return `${withArticle(classOf(value) ?? tag)}, send what its toJSON() gives`
  return tag === 'Object' || tag === 'Array' ? undefined : withArticle(tag)
}

const aFunction = 'a function'
const aPromise = 'a promise, await it first'
const anError = 'an Error, send its message'
const binary = 'binary data'

/** In the words of the type level (json.ts), wherever it knows the thing. */
const markNames: Readonly<Record<Kind, string>> = {
  task: 'a task, return task.s(…) to continue as it',
  canvas: 'a canvas, and a handler may return only one: use group(…) for a list of them',
  handle: 'a handle, return task.s(…) to continue as that job',
}

/** By what the language calls them, also for those from another realm. */
const knownNames: ReadonlyMap<string, string> = new Map([
  ['Date', 'a Date, send its toISOString()'],
  ['Map', 'a Map'],
  ['Set', 'a Set'],
  ['Error', anError],
  ['RegExp', 'a RegExp'],
  ['Promise', aPromise],
  ['ArrayBuffer', binary],
  ['SharedArrayBuffer', binary],
  ['Number', 'a Number object, send the number'],
  ['String', 'a String object, send the string'],
  ['Boolean', 'a Boolean object, send true or false'],
  ['URL', 'a URL, send its href'],
])

function nameOfFamily(value: object): string | undefined {
  if (value instanceof Error) return anError
  if (ArrayBuffer.isView(value)) return binary
  return typeof (value as { then?: unknown }).then === 'function' ? aPromise : undefined
}

function nameOfFunction(value: object): string {
  if (markOf(value) === 'task') return markNames.task
  return /^class\b/.test(Function.prototype.toString.call(value)) ? 'a class' : aFunction
}

function nameOfOwner(container: object, step: string | number | undefined): string | undefined {
  const mark = markOf(container)
  if (mark) return markNames[mark]
  return step === 'then' ? aPromise : undefined
}

function markOf(value: object): Kind | undefined {
  const mark = (value as { [kind]?: unknown })[kind]
  return typeof mark === 'string' && Object.hasOwn(markNames, mark) ? (mark as Kind) : undefined
}

function classOf(value: object): string | undefined {
  const name = (value.constructor as { name?: unknown } | undefined)?.name
  return typeof name === 'string' && name !== '' ? name : undefined
}

const withArticle = (name: string): string => `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name.slice(0, 60)}`

/** How many steps lead to a container that stands around itself, and how many to where it comes again. */
function findCircle(outermostFirst: readonly object[]): [number, number] | undefined {
  const depths = new Map<object, number>()
  for (const [depth, container] of outermostFirst.entries()) {
    const first = depths.get(container)
    if (first !== undefined) return [first, depth]
    depths.set(container, depth)
  }
  return undefined
}

function wordsOf(thrown: unknown): string {
  try {
    return `reading it threw ${String(thrown).slice(0, 200)}`
  } catch {
    return 'reading it threw something'
  }
}
