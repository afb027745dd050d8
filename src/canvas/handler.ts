import type { IsAny, JsonProblem } from '../core/json.ts'
import type { AnyCanvas } from './canvas.ts'
import type { InOf } from './fit.ts'

/** A user's function. */
export type Handler = (...args: never) => unknown

/** What a job comes to: promises awaited, a returned canvas replaced by its own result, nothing as undefined. */
export type ResultOf<R> = Unwrap<Awaited<R>>
type Unwrap<T> =
  IsAny<T> extends true ? any : T extends { readonly ' result': infer O } ? O : T extends void ? undefined : T

/**
 * The bound of a handler: `unknown` when it is fine, else a sentence that its result cannot fit. As a bound it is the
 * only form that still infers default parameters.
 */
export type Carried<F> = [Problem<F>] extends [never] ? unknown : Problem<F>
export type CarriedResult<F> = [ResultProblem<F>] extends [never] ? unknown : ResultProblem<F>

type Problem<F> = F extends (...args: infer P) => infer R ? ArgumentProblem<P> | PlainProblem<Awaited<R>> : never
type ResultProblem<F> = F extends (...args: never) => infer R ? PlainProblem<Awaited<R>> : never

type PlainProblem<T> =
  IsAny<T> extends true ? never : JsonProblem<Exclude<T, AnyCanvas>, 'result'> | Unready<Extract<T, AnyCanvas>>
type Unready<C> = C extends AnyCanvas
  ? [] extends InOf<C>
    ? never
    : 'the handler returns a canvas that still needs its first argument: bind it with s(…)'
  : never

/** One sentence for each argument that JSON cannot carry. */
export type ArgumentProblem<P extends readonly unknown[], Seen extends readonly unknown[] = []> =
  IsAny<P> extends true
    ? never
    : P extends readonly []
      ? never
      : P extends readonly [infer A, ...infer R]
        ? OneArgument<A, R, Nth<Seen>> | ArgumentProblem<R, [...Seen, 0]>
        : P extends readonly [(infer A)?, ...infer R]
          ? number extends P['length']
            ? OneArgument<P[number], [], Nth<Seen>>
            : OneArgument<Exclude<A, undefined>, [], Nth<Seen>> | ArgumentProblem<R, [...Seen, 0]>
          : never
/** The same words as the path given at run time. */
type Nth<Seen extends readonly unknown[]> = `args[${Seen['length'] & number}]`
type OneArgument<A, After extends readonly unknown[], Path extends string> =
  IsAny<A> extends true
    ? never
    : [A] extends [never]
      ? `${Path} has no type: write one`
      : unknown extends A
        ? never
        : undefined extends A
          ? [] extends After
            ? JsonProblem<A, Path>
            : `JSON cannot carry ${Path}: it may be undefined although another argument follows, use null`
          : JsonProblem<A, Path>
