import type { Registry } from '../app/registry.ts'
import { type CanvasNode, isEmpty } from '../canvas/node.ts'
import type { SubmitTerms, TaskTerms } from '../core/call-options.ts'
import type { StoredOptions } from '../core/job.ts'
import type { AcceptedOption } from '../core/options.ts'
import { inherit } from '../core/stored-options.ts'
import { RequestError } from './problem.ts'

/** When it starts is the caller's own affair. */
const free: readonly (keyof StoredOptions)[] = ['startIn', 'startAt']
/** A caller may shorten these. */
const narrowing = ['timeout', 'expires'] as const

/**
 * Refuses options that override what the owners of the tasks decided: a caller may shorten a time-out and an expiry, and add tags
 * where a task has none. All else is for tasks that say `accepts`.
 *
 * @throws RequestError FORBIDDEN
 */
export function checkOverrides(registry: Registry, node: CanvasNode, { job, unique }: SubmitTerms): void {
  const given = unique === undefined ? job : { ...job, unique }
  // A canvas of no calls is kept too, and no task speaks for it.
  if (isEmpty(node)) checkOptions(inherit(node.options, given), {}, 'no task')
  checkNode(registry, node, given)
}

type Given = StoredOptions & { readonly unique?: unknown }

function checkNode(registry: Registry, node: CanvasNode, outer: Given): void {
  const given: Given = inherit(node.options, outer)
  switch (node.type) {
    case 'signature':
      checkOptions(given, registry.get(node.task).terms, `the task ${node.task}`)
      break
    case 'chain':
      for (const link of node.links) checkNode(registry, link, given)
      break
    case 'group':
      for (const member of node.members) checkNode(registry, member, given)
      break
    case 'each':
      checkNode(registry, node.of, given)
  }
  // These take over where they run, how soon and how long they are kept, and nothing else.
  const { expires: _expires, retry: _retry, timeout: _timeout, startIn: _in, startAt: _at, ...branch } = given
  for (const one of node.branches) checkNode(registry, one.node, branch)
}

/** @param whose what to call the task in errors */
function checkOptions(given: Given, { job: own, accepts = [] }: Partial<TaskTerms>, whose: string): void {
  for (const name of Object.keys(given) as AcceptedOption[]) {
    if (free.includes(name as keyof StoredOptions) || accepts.includes(name)) continue
    if (name === 'tags' && own && own.tags === undefined) continue
    if (narrowing.some((one) => one === name && given[one]! <= (own?.[one] ?? Infinity))) continue
    refuse(name, whose)
  }
}

function refuse(name: AcceptedOption, whose: string): never {
  const narrows = narrowing.some((one) => one === name) ? ' to be longer than its own' : ''
  throw new RequestError(
    'FORBIDDEN',
    `options.${name}: ${whose} does not accept it from callers${narrows}. Leave it out, have the task say accepts: ['${name}'], or send it with the scope admin.`,
  )
}
