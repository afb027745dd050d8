import { CeleriacError } from '../core/errors.ts'
import { canvasOf, nodeOf, type Canvas } from './canvas.ts'
import { words, type Checked, type Entry, type InOf, type Link, type OutOf } from './fit.ts'
import { chainNode } from './node.ts'

/**
 * Runs its members in order; each is given the result of the one before. It gives the last one's result.
 *
 * @throws CeleriacError EMPTY_CHAIN, NOT_A_CANVAS
 * @example
 * chain(add.s(4, 4), add.s(8), add.s(16)) // gives 32
 */
export function chain<T extends readonly unknown[]>(...links: Checked<T, Links<T>>): Canvas<ChainOut<T>, InOf<T[0]>> {
  const nodes = (links as readonly unknown[]).map((link, n) => nodeOf(link, `argument ${n + 1} of chain`))
  if (nodes.length === 0) throw new CeleriacError('EMPTY_CHAIN', `chain: ${words.emptyChain}, so it needs a member`)
  return canvasOf(chainNode(nodes)) as never
}

/** Tail-recursive, so a chain may have hundreds of links. A spread list of unknown length is checked as a whole. */
export type Links<
  T extends readonly unknown[],
  Previous = never,
  Seen extends readonly unknown[] = [],
> = T extends readonly [infer H, ...infer Rest]
  ? Links<Rest, OutOf<H>, [...Seen, Seen extends readonly [] ? Entry<H> : Link<Previous, H>]>
  : T extends readonly []
    ? Seen extends readonly []
      ? [atLeastOneLink: 'an empty chain does nothing']
      : Seen
    : T extends readonly [...infer Init, infer L]
      ? Links<Init, Previous, Seen> extends infer Done extends readonly unknown[]
        ? [...Done, Link<Before<Init, Previous>, L>]
        : never
      : Seen extends readonly []
        ? { [K in keyof T]: Link<OutOf<T[number]>, T[number]> }
        : [...Seen, ...Link<Previous | OutOf<T[number]>, T[number]>[]]

/** What comes before a link written after a spread list: the link written before it, else the list's, else, if that is empty, what came before the list. */
type Before<Init extends readonly unknown[], Previous> = Init extends readonly [...unknown[], infer X]
  ? OutOf<X>
  : Previous | OutOf<Init[number]>

/** With a spread tail the last link may be the tail's, or the one before it when the tail is empty. */
type ChainOut<T extends readonly unknown[]> = T extends readonly [...unknown[], infer L] ? OutOf<L> : OutOf<Closing<T>>
type Closing<T extends readonly unknown[]> = T extends readonly [infer H, ...infer R]
  ? R extends readonly [unknown, ...unknown[]]
    ? Closing<R>
    : H | R[number]
  : T[number]
