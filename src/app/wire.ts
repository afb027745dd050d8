import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { ArgumentProblem, Handler } from '../canvas/handler.ts'
import type { Task } from '../canvas/task.ts'

/**
 * The types of a task with a schema: what callers send (the wire types, which must be JSON) and what the handler is given
 * after parsing.
 */
export type Schemas = Schema | readonly Schema[]
type Schema = StandardSchemaV1<any, any>

/** What the handler is given. `never` without a schema, so that a parameter without a type is refused. */
export type Parsed<S> = S extends Schema
  ? [input: StandardSchemaV1.InferOutput<S>]
  : S extends readonly Schema[]
    ? { -readonly [K in keyof S]: S[K] extends Schema ? StandardSchemaV1.InferOutput<S[K]> : never }
    : never

/** What a caller sends. */
type Wire<S> = S extends Schema
  ? [input: StandardSchemaV1.InferInput<S>]
  : S extends readonly Schema[]
    ? { -readonly [K in keyof S]: S[K] extends Schema ? StandardSchemaV1.InferInput<S[K]> : never }
    : never

export type TaskOf<F extends Handler, S> = [S] extends [undefined]
  ? Task<F>
  : Wire<S> extends infer W extends readonly unknown[]
    ? Task<F, Labelled<W, Parameters<F>>>
    : never

/** Keeps the handler's parameter names, so that editors show `delay(input: …)` and not `delay(args_0: …)`. */
type Labelled<W extends readonly unknown[], P extends readonly unknown[]> = W['length'] extends P['length']
  ? { [K in keyof P]: K extends keyof W ? W[K] : never }
  : W

/**
 * What a schema is compared with: itself, or the sentence that says what JSON cannot carry. To be written out as
 * `Checked<S, CheckedWire<S>>` where S is inferred: behind one more alias the handler's parameter became `never`.
 */
export type CheckedWire<S> = [WireProblem<S>] extends [never] ? S : WireProblem<S>
type WireProblem<S> = Wire<S> extends infer W extends readonly unknown[] ? ArgumentProblem<W> : never
