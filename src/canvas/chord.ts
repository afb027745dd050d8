import { CeleriacError } from '../core/errors.ts'
import { readable } from '../core/option.ts'
import { canvasOf, nodeOf, type Canvas, type Group } from './canvas.ts'
import {
  words,
  type Checked,
  type InOf,
  type IsCanvas,
  type Link,
  type OutOf,
  type Stranger,
  type Words,
} from './fit.ts'
import type { GroupIn, Members, Outs } from './group.ts'
import { chainNode, groupNode, type CanvasNode } from './node.ts'

/**
 * `chain(group(...header), body)`: the body is given the list of the header's results. The header is a list, or a group
 * already made: `chord(group(…).failFast(), body)`.
 *
 * @throws CeleriacError NOT_A_CANVAS
 * @example
 * chord([add.s(2, 2), add.s(4, 4)], sum.s()) // gives 12
 */
export function chord<const H, B>(
  header: Checked<H, Header<H>>,
  body: Checked<B, Link<HeaderOut<H>, B>>,
): Canvas<OutOf<B>, HeaderIn<H>> {
  const first = readable('the header of chord', () => headerNode(header), 'NOT_A_CANVAS')
  return canvasOf(chainNode([first, nodeOf(body, 'the body of chord')])) as never
}

function headerNode(header: unknown): CanvasNode {
  if (Array.isArray(header)) return groupNode(header.map((one, n) => nodeOf(one, `header[${n}] of chord`)))
  const node = nodeOf(header, 'the header of chord')
  if (node.type === 'group') return node
  throw new CeleriacError('NOT_A_CANVAS', `chord: ${words.notAHeader}`)
}

type Header<H> = H extends readonly unknown[]
  ? Members<H, H[number]>
  : H extends Group<any, any>
    ? H
    : H extends IsCanvas
      ? Words['notAHeader']
      : Stranger<H>
type HeaderOut<H> = H extends readonly unknown[] ? Outs<H> : OutOf<H>
type HeaderIn<H> = H extends readonly unknown[] ? GroupIn<H[number]> : InOf<H>
