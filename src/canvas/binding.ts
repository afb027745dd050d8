import type { Signature } from './canvas.ts'

/**
 * The types of `task.s(…)`: a set of plain overloads, so that editors show them and errors name one argument.
 *
 * The rule, and all the run time does: with a result before it, `[result, ...given]` is called; without, `given`. So a
 * call fits one position, the other, or (with optional arguments) both.
 */
export type Binding<P extends readonly unknown[], R> = Before<P, R> & { <_ = never>(...all: P): Signature<R> } & After<
    P,
    R
  >

type Rest<P extends readonly unknown[]> = P extends readonly []
  ? []
  : P extends readonly [unknown?, ...infer R]
    ? R
    : never
type First<P extends readonly unknown[]> = P[0]

/**
 * Only the overload with every argument stands outside a conditional type, so that a helper generic over a task's
 * arguments can call `task.s(...args)`. Its type parameter `_` means nothing: without one, TypeScript merges the
 * overloads of an unfinished call and editors offer no properties inside `task.s({ | })`; with one it takes the first
 * overload that is long enough. That is also why the order differs: rest first, unless the first argument is an object.
 */
type Before<P extends readonly unknown[], R> = P extends readonly []
  ? unknown
  : Either<P, R> & (P[0] extends object ? unknown : After<P, R>)
type After<P extends readonly unknown[], R> = P extends readonly []
  ? unknown
  : { (...rest: Rest<P>): Signature<R, [First<P>]> }
type Either<P extends readonly unknown[], R> = [Both<P, Rest<P>>] extends [never]
  ? unknown
  : { (...either: Both<P, Rest<P>>): Signature<R, [] | [First<P>]> }

/** Argument lists that fit P and also P without its first: they exist only if arguments are optional or rest. */
type Both<P extends readonly unknown[], T extends readonly unknown[]> = number extends P['length']
  ? P extends readonly [infer A, ...infer PR]
    ? T extends readonly [infer B, ...infer TR]
      ? Cons<Meet<A, B>, Both<PR, TR>>
      : Cons<Meet<A, T[number]>, T>
    : T
  : P extends readonly []
    ? []
    : T extends readonly []
      ? [] extends P
        ? []
        : never
      : P extends readonly [infer A, ...infer PR]
        ? T extends readonly [(infer B)?, ...infer TR]
          ? Cons<Meet<A, B>, Both<PR, TR>>
          : never
        : P extends readonly [(infer A)?, ...infer PR]
          ? T extends readonly [(infer B)?, ...infer TR]
            ? Maybe<Meet<A, B>, Both<PR, TR>>
            : never
          : never
type Meet<A, B> = [Exclude<A, undefined>] extends [Exclude<B, undefined>]
  ? Exclude<A, undefined>
  : [Exclude<B, undefined>] extends [Exclude<A, undefined>]
    ? Exclude<B, undefined>
    : never
type Cons<H, T extends readonly unknown[]> = [T] extends [never]
  ? never
  : [H] extends [never]
    ? never
    : [argument: H, ...rest: T]
type Maybe<H, T extends readonly unknown[]> = [H] extends [never]
  ? []
  : [T] extends [never]
    ? []
    : [argument?: H, ...rest: T]

/** `task.s()` for each(task): never when more than one argument is required. */
export type Alone<P extends readonly unknown[], R> = P extends readonly []
  ? Signature<R>
  : [] extends Rest<P>
    ? Signature<R, [First<P>]>
    : never
