import type { CanvasNode } from '../canvas/node.ts'
import type { TaskDefinition } from '../canvas/definition.ts'
import type { Registry } from '../app/registry.ts'
import { CeleriacError, NotFound } from '../core/errors.ts'

/** A task that may be sent over HTTP. One that may not is answered like one that is not there. @throws NotFound */
export function exposedTask(registry: Registry, name: string): TaskDefinition {
  const definition = registry.find(name)
  if (definition?.terms.expose) return definition
  throw new NotFound(notExposed(name))
}

function notExposed(name: string): string {
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name
  return `There is no task "${shown}" here: tasks are sent over HTTP where they say expose: true.`
}

/** @throws CeleriacError UNKNOWN_TASK where any task of a canvas may not be sent over HTTP */
export function checkExposed(registry: Registry, node: CanvasNode): void {
  switch (node.type) {
    case 'signature':
      if (!registry.find(node.task)?.terms.expose) throw new CeleriacError('UNKNOWN_TASK', notExposed(node.task))
      break
    case 'chain':
      node.links.forEach((link) => checkExposed(registry, link))
      break
    case 'group':
      node.members.forEach((member) => checkExposed(registry, member))
      break
    case 'each':
      checkExposed(registry, node.of)
  }
  for (const branch of node.branches) checkExposed(registry, branch.node)
}
