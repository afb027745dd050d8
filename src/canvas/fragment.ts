import { CeleriacError } from '../core/errors.ts'
import type { Input, When } from '../core/graph.ts'
import { argumentLimits } from '../core/json.ts'
import { concat, emptyInPlaceOf, list, one } from '../core/shape.ts'
import { inherit, noOptions } from '../core/stored-options.ts'
import { nothingBefore, type Draft, type Place, type Setting } from './draft.ts'
import { forBranches, forEachJob, withoutStart } from './job-options.ts'
import { checkDepth } from './node.ts'
import type { CanvasNode, ChainNode, EachNode, GroupNode, SignatureNode } from './node.ts'
import { nodeText } from './node-text.ts'

/** What a canvas gives, in terms of the results at its own ends: how many there are, and how they nest. */
export interface Fragment {
  readonly shape: string
  readonly resultCount: number
}

/** Puts a canvas into the graph, its entries at `place`. Its ends stay open; its side branches wait in the draft. */
export function placeNode(draft: Draft, node: CanvasNode, place: Place, around: Setting): Fragment {
  checkDepth(around.depth)
  const firstJob = draft.jobCount
  const firstEnd = draft.endCount
  const options = inherit(node.options, around.options)
  const fragment = placeParts(draft, node, place, options === around.options ? around : { ...around, options })
  if (node.branches.length > 0) hangBranches(draft, node, place, around, { ...fragment, firstJob, firstEnd })
  return fragment
}

/**
 * Puts the jobs of the side branches that wait into the graph, each followed by those of its own side branches. Nothing
 * waits for them, so their ends stay open.
 */
export function placeBranches(draft: Draft): void {
  const { branches } = draft
  for (const { node, place, setting } of branches) {
    draft.branches = []
    placeNode(draft, node, place, setting)
    placeBranches(draft)
  }
}

function placeParts(draft: Draft, node: CanvasNode, place: Place, setting: Setting): Fragment {
  switch (node.type) {
    case 'signature':
      return placeSignature(draft, node, place, setting)
    case 'chain':
      return placeChain(draft, node, place, setting)
    case 'group':
      return placeGroup(draft, node, place, setting)
    case 'each':
      return placeEach(draft, node, place, setting)
  }
}

const oneResult: Fragment = Object.freeze({ shape: one, resultCount: 1 })

function placeSignature(draft: Draft, node: SignatureNode, place: Place, setting: Setting): Fragment {
  const input = node.ignoresResult ? nothingBefore : place.input
  const options = setting.optionsOf(node.task, setting.options)
  draft.addJob({ task: node.task, args: node.args, input, options }, place, setting)
  return oneResult
}

function placeGroup(draft: Draft, node: GroupNode, place: Place, setting: Setting): Fragment {
  const scope = setting.scope ?? (node.failFast ? draft.addScope() : null)
  const inside = { ...setting, scope, depth: setting.depth + 1 }
  const fragments = node.members.map((member) => placeNode(draft, member, place, inside))
  const shapes = fragments.map(({ shape }) => shape)
  return {
    shape: node.joinsLists ? concat(shapes) : list(shapes),
    resultCount: fragments.reduce((count, fragment) => count + fragment.resultCount, 0),
  }
}

/**
 * One barrier between two links, over the ends of the left one. A link that comes to no job keeps the ends before it, and
 * the next link stands where it would have stood.
 */
function placeChain(draft: Draft, node: ChainNode, place: Place, setting: Setting): Fragment {
  const firstEnd = draft.endCount
  const first: Setting = { ...setting, depth: setting.depth + 1 }
  const later: Setting = { ...first, options: withoutStart(first.options) }
  let fragment: Fragment = { shape: '', resultCount: 0 }
  let next = place
  for (const link of node.links) {
    const before = draft.endCount === firstEnd ? null : draft.close(firstEnd, undefined)
    if (before !== null) next = behind(before, fragment)
    const placed = placeNode(draft, link, next, before === null ? first : later)
    const isEmpty = draft.endCount === firstEnd
    if (isEmpty && before !== null) draft.reopen(before)
    fragment = isEmpty ? { ...fragment, shape: emptyShape(link, fragment.resultCount) } : placed
    if (isEmpty) next = { ...next, input: { from: 'results', shape: emptyShape(link, next.resultCount) } }
  }
  return fragment
}

function behind(barrier: number, { shape, resultCount }: Fragment): Place {
  return { behind: barrier, when: 'success', gate: barrier, input: { from: 'results', shape }, resultCount }
}

/** The shape of a canvas without jobs, which takes the results before it and gives none of them. */
function emptyShape(node: CanvasNode, resultCount: number): string {
  if (node.type === 'chain') return emptyShape(node.links.at(-1)!, resultCount)
  const members = node.type === 'group' ? node.members : []
  if (members.length === 0) return emptyInPlaceOf(resultCount)
  return list(members.map((member, n) => emptyShape(member, n === 0 ? resultCount : 0)))
}

/** The name of the built-in task that an `each` becomes: it continues as a group with a member for each element. */
export const eachTask = 'celeriac.each'

function placeEach(draft: Draft, node: EachNode, place: Place, setting: Setting): Fragment {
  if (node.list === null && place.input.from === 'nothing') throw needsList()
  checkTasks(node.of, setting, setting.depth + 1)
  const elements = { ...node.of, options: inherit(node.of.options, withoutStart(setting.options)) }
  const of = nodeText(elements, setting.depth + 1)
  if (of.length > argumentLimits.bytes) throw tooLarge(argumentLimits.bytes)
  const args = `[${node.list === null ? '' : `${node.list},`}${of},${node.chunk}]`
  const input = node.list === null ? place.input : nothingBefore
  const options = setting.optionsOf(null, forEachJob(setting.options))
  draft.addJob({ task: eachTask, args, input, options }, place, setting)
  return oneResult
}

/** The jobs of an `each` are made later; that their tasks exist is asked now, before anything is stored. */
function checkTasks(node: CanvasNode, setting: Setting, depth: number): void {
  checkDepth(depth)
  if (node.type === 'signature') setting.optionsOf(node.task, noOptions)
  const inside = node.type === 'chain' ? node.links : node.type === 'group' ? node.members : []
  for (const child of node.type === 'each' ? [node.of] : inside) checkTasks(child, setting, depth + 1)
  for (const branch of node.branches) checkTasks(branch.node, setting, depth + 1)
}

interface Placed extends Fragment {
  readonly firstJob: number
  readonly firstEnd: number
}

function hangBranches(draft: Draft, node: CanvasNode, place: Place, around: Setting, placed: Placed): void {
  const options = forBranches(inherit(node.options, around.options))
  const role = around.role === 'main' ? 'side' : around.role
  const setting: Setting = { ...around, role, options, scope: null, depth: around.depth + 1 }
  const hook = hookOf(draft, node, place, placed)
  const last = draft.jobCount - 1
  for (const branch of node.branches) {
    const input = inputOf(branch.when, hook.shape, placed.firstJob, last)
    draft.branches.push({ node: branch.node, place: { ...hook.placeFor(branch.when), gate: null, input }, setting })
  }
}

function inputOf(when: When, shape: string, first: number, last: number): Input {
  if (when === 'failure') return { from: 'failure' }
  return when === 'success' ? { from: 'results', shape } : { from: 'summary', first, last }
}

interface Hook {
  readonly shape: string
  placeFor(when: When): Omit<Place, 'gate' | 'input'>
}

/** What the side branches of a canvas stand behind: the barrier over its ends. */
function hookOf(draft: Draft, node: CanvasNode, place: Place, placed: Placed): Hook {
  if (draft.endCount === placed.firstEnd) return hookOfNothing(draft, node, place)
  const barrier = draft.close(placed.firstEnd, place.gate)
  draft.reopen(barrier)
  const { shape, resultCount } = placed
  return { shape, placeFor: (when) => ({ behind: barrier, when, resultCount }) }
}

/**
 * A canvas without jobs has succeeded as soon as it begins, so its side branches stand where its entries would. What
 * waits for its failure waits for what never fails.
 */
function hookOfNothing(draft: Draft, node: CanvasNode, place: Place): Hook {
  const { behind, when, resultCount } = place
  return {
    shape: emptyShape(node, resultCount),
    placeFor: (wanted) =>
      wanted === 'failure'
        ? { behind: draft.emptyBarrier(), when: 'failure', resultCount: 0 }
        : { behind, when, resultCount },
  }
}

function needsList(): CeleriacError {
  const advice = 'put it behind a step that gives one, as in chain(list.s(), each(…))'
  return new CeleriacError('NEEDS_ARGUMENT', `each(…) takes a list and nothing comes before it: ${advice}`)
}

function tooLarge(limit: number): CeleriacError {
  const advice = 'put it into a task that returns it, and give that task to each(…)'
  return new CeleriacError('TOO_LARGE', `the canvas in each(…) would take more than ${limit / 1024} KiB: ${advice}`)
}
