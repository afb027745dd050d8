import { readable } from '../core/option.ts'
import { canvasOf, isTask, nodeOf, type Canvas } from './canvas.ts'
import type { Alone } from './binding.ts'
import { checkChunk } from './each-node.ts'
import type { Checked, InOf, IsCanvas, OutOf, Stranger, Words } from './fit.ts'
import type { ElementOf } from './group.ts'
import { eachNode } from './node.ts'

/**
 * Takes a list and gives the list of results, in order: one job for each element, decided at run time. It takes a task
 * of one argument, or any canvas that needs one input. `chunk` puts that many elements in one job, which calls the
 * handler once for each; the types do not change. A chunked task may not return a canvas.
 *
 * @throws CeleriacError NOT_A_CANVAS, BAD_OPTION
 * @example
 * chain(list.s(), each(resize, { chunk: 100 }), sum.s())
 */
export function each<C>(
  of: Checked<C, EachOf<C>>,
  options?: { readonly chunk?: number | undefined },
): Canvas<OutOf<AsCanvas<C>>[], [readonly ElementOf<InOf<AsCanvas<C>>>[]]> {
  const call = readable('each', () => (isTask(of) ? (of as unknown as { s(): unknown }).s() : of), 'NOT_A_CANVAS')
  const node = eachNode(
    nodeOf(call, 'each'),
    readable('each: options', () => options?.chunk ?? null),
  )
  checkChunk(node, 'each')
  return canvasOf(node) as never
}

/** A task is read as `task.s()`. */
type AsCanvas<C> = C extends {
  readonly ' task': { readonly takes: (args: infer P extends readonly unknown[]) => void; readonly gives: infer R }
}
  ? Alone<P, R>
  : C
type EachOf<C> = C extends { readonly ' task': unknown }
  ? [AsCanvas<C>] extends [never]
    ? Words['bindTheOthers']
    : InOf<AsCanvas<C>> extends readonly []
      ? Words['takesNoElement']
      : C
  : C extends IsCanvas
    ? InOf<C> extends readonly []
      ? Words['takesNoElement']
      : C
    : Stranger<C>
