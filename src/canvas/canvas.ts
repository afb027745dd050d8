import { CeleriacError } from '../core/errors.ts'
import type { When } from '../core/graph.ts'
import { kind, type Marked } from '../core/kind.ts'
import { readable } from '../core/option.ts'
import type { FailureReport, JobOptions, SettledSummary } from '../core/options.ts'
import { inherit, storedOptions } from '../core/stored-options.ts'
import { words, type Checked, type Link } from './fit.ts'
import type { CanvasNode, GroupNode, SignatureNode } from './node.ts'
import { readNode } from './read-node.ts'
import { nodeText } from './node-text.ts'

/**
 * A description of work: it gives `Out`, and `In` is the argument list it accepts from what comes before.
 *
 * | In              | means                                                     | made by                     |
 * | `[]`            | takes nothing; may start                                   | `add.s(1, 2)`               |
 * | `[A]`           | needs a result that fits A; cannot start alone             | `add.s(2)`                  |
 * | `[] | [A]`      | may start, and takes an A when something comes before      | a first argument is optional |
 * | `unknown[]`     | takes anything and ignores it; may start                   | `add.si(1, 2)`              |
 *
 * It never changes: every method gives another one. `JSON.stringify` writes it, and what `JSON.parse` reads may be sent.
 *
 * The properties that begin with a space do not exist at run time. TypeScript prints a property's name when it
 * compares types, so their names are the words of the error; the space keeps them out of autocompletion.
 */
export interface Canvas<out Out, in In extends readonly unknown[] = []> {
  readonly ' result': Out
  readonly ' previous result does not fit this task': (previous: In) => void
  readonly ' this canvas still needs its first argument': (nothing: In) => void

  /**
   * Options for every job of this canvas that has none nearer to it. `startIn` and `startAt` hold back the entry jobs
   * only. Side branches take over queue, priority, retention and tags.
   *
   * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
   * @example
   * chain(buy.s('ikea'), clean.s()).with({ queue: 'shop', startIn: '5m' })
   */
  with(options: JobOptions): this
  /** Runs once, with the result, if this canvas succeeds. */
  onSuccess<B>(branch: Checked<B, Link<Out, B>>): this
  /** Runs once, with a report of the first failure, if this canvas does not succeed. */
  onError<B>(branch: Checked<B, Link<FailureReport, B>>): this
  /** Runs once, with the summary, when everything in this canvas is final. */
  finally<B>(branch: Checked<B, Link<SettledSummary, B>>): this
}

/** One call of a task, described and not yet sent. */
export interface Signature<out Out, in In extends readonly unknown[] = []> extends Canvas<Out, In> {
  readonly task: string
}

export interface Group<out Out, in In extends readonly unknown[] = []> extends Canvas<Out, In> {
  /** Cancels the members still to come as soon as one of them fails. */
  failFast(): this
}

export type AnyCanvas = Canvas<any, any>

/** The canvas that a node describes. */
export function canvasOf(node: CanvasNode): CanvasValue {
  if (node.type === 'signature') return new SignatureValue(node)
  return node.type === 'group' ? new GroupValue(node) : new CanvasValue(node)
}

/**
 * The node of a canvas, or of the plain data that a canvas was written as. `place` tells in the error where it was given.
 *
 * @throws CeleriacError NOT_A_CANVAS, in the words of the compiler
 */
export function nodeOf(value: unknown, place: string): CanvasNode {
  return readable(place, () => readCanvas(value, place), 'NOT_A_CANVAS')
}

function readCanvas(value: unknown, place: string): CanvasNode {
  if (value instanceof CanvasValue) return value.node
  const isData = typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
  if (isData) return readNode(value, place)
  // One that another copy of this package made.
  if (isMarked(value) && value[kind] === 'canvas') return readNode((value as unknown as CanvasValue).toJSON(), place)
  throw new CeleriacError('NOT_A_CANVAS', `${place}: ${stranger(value)}`)
}

/** Is this a canvas, made by this copy of the package or another? Plain data that describes one is not. */
export function isCanvas(value: unknown): value is AnyCanvas {
  return isMarked(value) && value[kind] === 'canvas'
}

/** Is this a task, or what `task.with(…)` gave? */
export function isTask(value: unknown): value is Marked {
  return isMarked(value) && value[kind] === 'task'
}

function isMarked(value: unknown): value is Marked {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') && kind in value
}

function stranger(value: unknown): string {
  if (isTask(value)) return words.taskNotCalled
  if (typeof value === 'function') return words.plainFunction
  if (Array.isArray(value)) return words.notSpread
  const isPromise = typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
  return isPromise || (isMarked(value) && value[kind] === 'handle') ? words.alreadySent : words.notACanvas
}

/** What a canvas is at run time. The types above are all that users see of it. */
export class CanvasValue<N extends CanvasNode = CanvasNode> implements Marked {
  readonly node: N

  constructor(node: N) {
    this.node = node
  }

  get [kind](): 'canvas' {
    return 'canvas'
  }

  with(options: JobOptions): CanvasValue {
    const outer = storedOptions(options, 'with')
    return canvasOf({ ...this.node, options: inherit(this.node.options, outer) })
  }

  onSuccess(branch: unknown): CanvasValue {
    return branched(this.node, 'success', nodeOf(branch, 'onSuccess'))
  }

  onError(branch: unknown): CanvasValue {
    return branched(this.node, 'failure', nodeOf(branch, 'onError'))
  }

  finally(branch: unknown): CanvasValue {
    return branched(this.node, 'always', nodeOf(branch, 'finally'))
  }

  toJSON(): unknown {
    return JSON.parse(nodeText(this.node))
  }
}

class SignatureValue extends CanvasValue<SignatureNode> {
  get task(): string {
    return this.node.task
  }
}

class GroupValue extends CanvasValue<GroupNode> {
  failFast(): CanvasValue {
    return canvasOf({ ...this.node, failFast: true })
  }
}

function branched(node: CanvasNode, when: When, branch: CanvasNode): CanvasValue {
  return canvasOf({ ...node, branches: [...node.branches, { when, node: branch }] })
}
