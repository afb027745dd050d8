/**
 * Does one canvas fit behind another? Decided by the compiler, and told in words: where something does not fit, the
 * parameter has one of the types below, and TypeScript prints it in the first line of its error, at that argument.
 */

/** Infers T from the argument, then compares the argument with `Against`: the error lands on that very argument. */
export type Checked<T, Against> = [T] extends [never] ? T : Against

export type OutOf<C> = C extends { readonly ' result': infer O } ? O : never
export type InOf<C> = C extends {
  readonly ' previous result does not fit this task': (previous: infer I extends readonly unknown[]) => void
}
  ? I
  : never

export interface IsCanvas {
  readonly ' result': unknown
}

/** What a link after another step is compared with. */
export interface CanvasTaking<Previous> {
  readonly ' previous result does not fit this task': (previous: [Previous]) => void
}

/** What a canvas is compared with where it must be able to start. */
export interface ReadyCanvas<out Out> {
  readonly ' result': Out
  readonly ' this canvas still needs its first argument': (nothing: []) => void
}

/** Plain sentences, told by the compiler and, to those who do not use it, at run time. */
export const words = {
  takesNoResult: 'every argument is bound, so it takes no result: use si(…) to ignore the previous result',
  otherMemberNeedsInput: 'every argument is bound, but another member of this group needs an input: use si(…) here',
  taskNotCalled: 'this is a task, not a call of it: write task.s(…)',
  plainFunction: 'this is a plain function: make it a task with app.task(name, function) and write task.s(…)',
  notSpread: 'this is a list: spread it, as in group(...list)',
  alreadySent: 'this was already sent or run: describe the call with task.s(…)',
  notACanvas: 'this is not a canvas: write task.s(…), chain(…), group(…), chord(…) or each(…)',
  notAHeader: 'the header of a chord is a list of canvases, or a group(…)',
  bindTheOthers: 'this task needs more than one argument: bind the others, each(task.s(…))',
  takesNoElement: 'every argument is bound, so it cannot take an element: leave the first argument out',
  emptyChain: 'an empty chain does nothing',
} as const

export type Words = typeof words

/** What a link is compared with: it must take `Previous`. */
export type Link<Previous, H> = H extends IsCanvas
  ? InOf<H> extends readonly []
    ? Words['takesNoResult']
    : CanvasTaking<Previous>
  : Stranger<H>

/** What a canvas that is sent is compared with: it must be able to start. */
export type Ready<H> = H extends IsCanvas ? ReadyCanvas<OutOf<H>> : Stranger<H>

/** The first link of a chain may be any canvas. */
export type Entry<H> = H extends IsCanvas ? H : Stranger<H>

/** What is said of something that is no canvas at all. */
export type Stranger<H> = H extends { readonly ' task': unknown }
  ? Words['taskNotCalled']
  : H extends (...args: never) => unknown
    ? Words['plainFunction']
    : H extends readonly unknown[]
      ? Words['notSpread']
      : H extends PromiseLike<unknown>
        ? Words['alreadySent']
        : Words['notACanvas']
