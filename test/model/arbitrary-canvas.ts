import fc from 'fast-check'
import type { CanvasValue } from '../../src/canvas/canvas.ts'
import type { CanvasNode } from '../../src/canvas/node.ts'
import { chain, chord, each, group, named } from '../fixtures/drawing.ts'

export interface ArbitraryOptions {
  /** The most calls written in a canvas; each and continuations make more jobs of them. */
  readonly maxCalls?: number
  /** Leaves out what fails, so that everything succeeds. */
  readonly failing?: boolean
}

/** Random canvases over the model's tasks, able to start: everything that composes, in everything else. */
export function arbitraryCanvas({ maxCalls = 60, failing = true }: ArbitraryOptions = {}): fc.Arbitrary<CanvasValue> {
  const { canvas, composed } = fc.letrec<{ canvas: any; composed: any }>((tie) => ({
    canvas: fc.oneof(
      { maxDepth: 3, depthSize: 'max', withCrossShrink: true },
      { weight: 2, arbitrary: arbitraryCall(failing) },
      { weight: 3, arbitrary: tie('composed') },
    ),
    composed: fc.oneof(
      { weight: 4, arbitrary: withExtras(arbitraryChain(tie('canvas')), failing) },
      { weight: 4, arbitrary: withExtras(arbitraryGroup(tie('canvas')), failing) },
      { weight: 1, arbitrary: withExtras(arbitraryEach(tie('canvas'), failing), failing) },
      {
        weight: 1,
        arbitrary: fc.tuple(arbitraryGroup(tie('canvas')), tie('canvas')).map(([one, two]) => chord(one, two)),
      },
    ),
  }))
  const whole = fc.oneof(
    { withCrossShrink: true },
    { weight: 1, arbitrary: canvas },
    { weight: 9, arbitrary: composed },
  )
  return whole.filter((one: CanvasValue) => callCount(one.node) <= maxCalls).map(startable)
}

/** How many calls are written in a canvas, side branches included. */
export function callCount(node: CanvasNode): number {
  const own = node.type === 'signature' ? 1 : childrenOf(node).reduce((count, child) => count + callCount(child), 0)
  return node.branches.reduce((count, branch) => count + callCount(branch.node), own)
}

const childrenOf = (node: CanvasNode): readonly CanvasNode[] => {
  if (node.type === 'chain') return node.links
  if (node.type === 'group') return node.members
  return node.type === 'each' ? [node.of] : []
}

const succeeding = ['id', 'id', 'note', 'add', 'add', 'sum', 'failOnce', 'become', 'descend', 'fan']
const value = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }))

function callOf(tasks: readonly string[]): fc.Arbitrary<any> {
  return fc
    .record({
      task: fc.constantFrom(...tasks),
      value,
      ignores: fc.boolean(),
      limit: fc.integer({ min: 0, max: 2 }),
      mode: fc.nat(9),
    })
    .map(({ task, value: given, ignores, limit, mode }) => {
      // No backoff: a retry is due at once.
      const retry = { limit: task === 'failOnce' ? Math.max(1, limit) : limit, backoff: { base: 0, jitter: false } }
      const made = mode === 0 || task === 'failOnce' ? named(task, { retry }) : named(task)
      return ignores && mode < 4 ? made.si(given) : made.s(given)
    })
}

function arbitraryCall(failing: boolean): fc.Arbitrary<any> {
  const calls = callOf(failing ? [...succeeding, 'fail', 'fanFail'] : succeeding)
  return withExtras(calls, failing)
}

function arbitraryChain(link: fc.Arbitrary<any>): fc.Arbitrary<any> {
  return fc.array(link, { minLength: 1, maxLength: 5 }).map((links) => chain(...links))
}

function arbitraryGroup(member: fc.Arbitrary<any>): fc.Arbitrary<any> {
  return fc
    .tuple(fc.array(member, { maxLength: 5 }), fc.nat(5))
    .map(([members, mode]) => (mode === 0 ? group(...members).failFast() : group(...members)))
}

/** Over one call, in chunks or not, or over a canvas. A chunked task may not continue as a canvas. */
function arbitraryEach(of: fc.Arbitrary<any>, failing: boolean): fc.Arbitrary<any> {
  const chunkable = fc.tuple(
    callOf(['id', 'add', 'sum', 'failOnce', ...(failing ? ['fail'] : [])]),
    fc.integer({ min: 1, max: 3 }),
  )
  const whole = fc.oneof(arbitraryCall(failing), of).filter((one) => callCount(one.node) <= 4)
  return fc.oneof(
    whole.map((one) => each(one)),
    chunkable.filter(([one]) => !one.node.ignoresResult).map(([one, chunk]) => each(one, { chunk })),
  )
}

/** Side branches now and then: they take anything, and may fail, continue on their own and have side branches. */
function withExtras(canvas: fc.Arbitrary<any>, failing: boolean): fc.Arbitrary<any> {
  const calls = callOf(failing ? ['id', 'note', 'note', 'failOnce', 'fail'] : ['id', 'note', 'failOnce'])
  const branch = fc.oneof(
    { weight: 4, arbitrary: calls },
    { weight: 1, arbitrary: fc.array(calls, { minLength: 1, maxLength: 3 }).map((links) => chain(...links)) },
    { weight: 1, arbitrary: fc.array(calls, { maxLength: 3 }).map((members) => group(...members)) },
    { weight: 1, arbitrary: fc.tuple(calls, calls).map(([one, inner]) => one.onError(inner).finally(inner)) },
  )
  const hung = fc.array(fc.tuple(fc.constantFrom('onSuccess', 'onError', 'finally'), branch), { maxLength: 3 })
  return fc.oneof(
    { weight: 4, arbitrary: canvas },
    {
      weight: 1,
      arbitrary: fc
        .tuple(canvas, hung)
        .map(([one, all]) => all.reduce((on: any, [method, what]) => on[method](what), one)),
    },
  )
}

/** An `each` needs a list before it, so a canvas that begins with one is put behind one. */
function startable(canvas: CanvasValue): CanvasValue {
  return beginsWithEach(canvas.node) ? chain(named('id').s([1, 2, 3]), canvas) : canvas
}

function beginsWithEach(node: CanvasNode): boolean {
  if (node.type === 'chain') return beginsWithEach(node.links[0]!)
  return node.type === 'each' || (node.type === 'group' && node.members.some(beginsWithEach))
}
