import { canvasOf, nodeOf, type Group } from './canvas.ts'
import type { Checked, InOf, IsCanvas, OutOf, Stranger, Words } from './fit.ts'
import { groupNode } from './node.ts'

/**
 * Runs its members side by side; the result is the list of their results, in the order written.
 *
 * @throws CeleriacError NOT_A_CANVAS
 * @example
 * chain(add.s(1, 1), group(add.s(1), add.s(2))) // gives [3, 4]
 */
export function group<T extends readonly unknown[]>(
  ...members: Checked<T, Members<T, T[number]>>
): Group<Outs<T>, GroupIn<T[number]>> {
  const nodes = (members as readonly unknown[]).map((member, n) => nodeOf(member, `argument ${n + 1} of group`))
  return canvasOf(groupNode(nodes)) as never
}

export type Outs<T extends readonly unknown[]> = { -readonly [K in keyof T]: OutOf<T[K]> }

/** What one member adds to what the group can be given: `unknown` for si, nothing for a fully bound one. */
export type ElementOf<I> = I extends readonly []
  ? never
  : I extends readonly [infer A]
    ? A
    : I extends readonly unknown[]
      ? I[number]
      : never
type Needing<M> = M extends unknown ? ([] extends InOf<M> ? never : M) : never
type Bound<M> = M extends unknown ? (InOf<M> extends readonly [] ? M : never) : never
type Taking<M> = M extends unknown
  ? InOf<M> extends readonly []
    ? never
    : unknown[] extends InOf<M>
      ? never
      : M
  : never
type Common<M> = (M extends unknown ? (x: ElementOf<InOf<M>>) => void : never) extends (x: infer X) => void ? X : never

export type GroupIn<M> = [Taking<M>] extends [never]
  ? [Bound<M>] extends [never]
    ? unknown[]
    : []
  : [Bound<M>] extends [never]
    ? [Needing<M>] extends [never]
      ? [] | [Common<M>]
      : [Common<M>]
    : [Needing<M>] extends [never]
      ? []
      : unknown[] // refused at the member: say it once

export type Members<T extends readonly unknown[], All> = { [K in keyof T]: Member<T[K], All> }
type Member<H, All> = H extends IsCanvas
  ? InOf<H> extends readonly []
    ? [Needing<All>] extends [never]
      ? H
      : Words['otherMemberNeedsInput']
    : H
  : Stranger<H>
