import { CeleriacError, type ErrorCode } from './errors.ts'
import { kind, type Kind } from './kind.ts'

/** Why a value cannot cross. Gathers the way to it while the writer unwinds, innermost step first. */
export class Refusal extends Error {
  readonly code: ErrorCode
  /** The sentence around the path. */
  readonly say: (path: string) => string
  /** What was being written when it was not the value's own fault: lets a function be told as the promise it belongs to. */
  readonly isFunction: boolean
  readonly steps: (string | number)[] = []
  readonly around: object[] = []

  constructor(code: ErrorCode, say: (path: string) => string, isFunction = false) {
    super()
    this.code = code
    this.say = say
    this.isFunction = isFunction
  }
}

/** Refuses a value for what it is: `JSON cannot carry args[0].when: it is a Date, send its toISOString()`. */
export function refuse(what: string): Refusal {
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry ${path}: it is ${what}`, what === 'a function')
}

/** Refuses undefined, or nothing at all, in a list: it would come back as null. */
export function refuseUndefined(): Refusal {
  return new Refusal('NOT_JSON', (path) => `JSON cannot carry undefined in the list ${listOf(path)}: use null`)
}

export function refuseDepth(limit: number): Refusal {
  return new Refusal(
    'TOO_DEEP',
    (path) => `${path} is nested deeper than the ${limit} levels that are carried: flatten it`,
  )
}

export function refuseSize(root: string, limit: number): Refusal {
  const limitText = `${limit / 1024} KiB`
  return new Refusal(
    'TOO_LARGE',
    () => `${root} would take more than ${limitText} as JSON: store the data elsewhere and send where it is`,
  )
}

/** Adds a step of the way to the value that is refused. Whatever a getter or a proxy threw becomes a refusal too. */
export function within(thrown: unknown, step: string | number | undefined, container: object): Refusal {
  const refusal = thrown instanceof Refusal ? thrown : refuse(`unreadable, ${spoken(thrown)}`)
  if (refusal.isFunction && refusal.steps.length === 0) {
    const name = nameOfOwner(container, step)
    if (name !== undefined) return withContainer(refuse(name), container)
  }
  if (step !== undefined) refusal.steps.push(step)
  return withContainer(refusal, container)
}

/** The error to throw, once the writer has unwound. */
export function told(refusal: Refusal, root: string): CeleriacError {
  const circle = refusal.code === 'TOO_DEEP' ? findCircle(refusal) : undefined
  if (circle !== undefined) {
    const say = refuse('part of itself, a circle').say
    return new CeleriacError('NOT_JSON', say(pathOf(root, refusal.steps.toReversed().slice(0, circle))))
  }
  return new CeleriacError(refusal.code, refusal.say(pathOf(root, refusal.steps.toReversed())))
}

/** What to call a value that is refused for its type. */
export function nameOf(value: unknown): string {
  if (typeof value === 'bigint') return 'a bigint'
  if (typeof value === 'symbol') return 'a symbol'
  if (typeof value === 'function') return nameOfFunction(value)
  if (typeof value === 'number') return `${value}, use null`
  return 'undefined, use null'
}

/** Why an object that is not a plain one is refused; undefined where its own properties are carried. */
export function nameOfInstance(value: object): string | undefined {
  const mark = markOf(value)
  if (mark) return markNames[mark]
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  const known = knownNames[tag]
  if (known !== undefined) return known
  if (value instanceof Error) return knownNames['Error']
  if (ArrayBuffer.isView(value)) return 'binary data'
  if (typeof (value as { then?: unknown }).then === 'function') return knownNames['Promise']
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') {
    return `${article(classOf(value, tag))}, send what its toJSON() gives`
  }
  return tag === 'Object' || tag === 'Array' ? undefined : article(tag)
}

const markNames: Readonly<Record<Kind, string>> = {
  task: 'a task, return task.s(…) to continue as it',
  canvas: 'a canvas, and a handler may return only one: use group(…) for a list of them',
  handle: 'a handle, return task.s(…) to continue as that job',
}

const knownNames: Readonly<Record<string, string>> = {
  // Looked up by a name that comes from outside, so nothing may be inherited.
  ...(Object.create(null) as object),
  Date: 'a Date, send its toISOString()',
  Map: 'a Map',
  Set: 'a Set',
  Error: 'an Error, send its message',
  RegExp: 'a RegExp',
  Promise: 'a promise, await it first',
  ArrayBuffer: 'binary data',
  SharedArrayBuffer: 'binary data',
  DataView: 'binary data',
}

function nameOfFunction(value: object): string {
  if (markOf(value) === 'task') return markNames.task
  return /^class\b/.test(Function.prototype.toString.call(value)) ? 'a class' : 'a function'
}

/** A function found in an object often tells what the object is. */
function nameOfOwner(container: object, step: string | number | undefined): string | undefined {
  const mark = markOf(container)
  if (mark) return markNames[mark]
  return step === 'then' ? knownNames['Promise'] : undefined
}

function markOf(value: object): Kind | undefined {
  const mark = (value as { [kind]?: unknown })[kind]
  return typeof mark === 'string' && Object.hasOwn(markNames, mark) ? (mark as Kind) : undefined
}

function classOf(value: object, tag: string): string {
  const name = (value.constructor as { name?: unknown } | undefined)?.name
  return typeof name === 'string' && name !== '' ? name : tag
}

const article = (name: string): string => `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name.slice(0, 60)}`

function withContainer(refusal: Refusal, container: object): Refusal {
  refusal.around.push(container)
  return refusal
}

/** How many steps lead to the first container that was already around itself. */
function findCircle(refusal: Refusal): number | undefined {
  const seen = new Set<object>()
  const outermostFirst = refusal.around.toReversed()
  for (const [depth, container] of outermostFirst.entries()) {
    if (seen.has(container)) return depth
    seen.add(container)
  }
  return undefined
}

/** `args[0].rows[3]["first name"]`, with the middle of a very long way left out. */
function pathOf(root: string, steps: readonly (string | number)[]): string {
  const all = steps.map((step) => (typeof step === 'number' ? `[${step}]` : keyText(step)))
  const shown = all.length > 12 ? [...all.slice(0, 6), '…', ...all.slice(-5)] : all
  return root + shown.join('')
}

const listOf = (path: string): string => path.replace(/\[\d+\]$/, '')

function keyText(key: string): string {
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) && key.length <= 60) return `.${key}`
  return `[${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)}]`
}

function spoken(thrown: unknown): string {
  try {
    return `reading it threw ${String(thrown).slice(0, 200)}`
  } catch {
    return 'reading it threw something'
  }
}
