import { jobsOf, type Outline, stateOf } from '../core/outline.ts'
import { isFinal } from '../core/transitions.ts'

/** One part to be drawn, or several that are told in one line. */
export type Folded = { readonly part: Outline } | { readonly folded: readonly Outline[] }

/**
 * At most about `most` parts: of many that are alike nobody reads all, so those stay that need attention. What is left
 * out of a chain is told in its place, since it reads downward; what is left out of a group is told at its end.
 */
export function foldParts(kind: 'chain' | 'group', parts: readonly Outline[], most: number): Folded[] {
  // A chain keeps its ends and what is under way between them.
  const limit = kind === 'chain' ? Math.max(4, most) : most
  if (parts.length <= limit + 1) return parts.map((part) => ({ part }))
  const kept = new Set(kind === 'group' ? mostUrgent(parts, limit) : mostUrgentWithEnds(parts, limit))
  if (kind === 'chain') return foldInPlace(parts, kept)
  const folded = parts.filter((part) => !kept.has(part))
  return [...parts.filter((part) => kept.has(part)).map((part) => ({ part })), { folded }]
}

function mostUrgent(parts: readonly Outline[], limit: number): readonly Outline[] {
  const ranked = parts.map((part) => ({ part, rank: rankOf(part) }))
  return ranked
    .sort((one, other) => one.rank - other.rank)
    .slice(0, limit)
    .map(({ part }) => part)
}

/** The first, the last, what needs attention, and what stands beside that. */
function mostUrgentWithEnds(parts: readonly Outline[], limit: number): readonly Outline[] {
  const urgent = mostUrgent(parts, limit)
    .filter((part) => rankOf(part) < leastUrgent)
    .map((part) => parts.indexOf(part))
  const distance = (position: number): number =>
    urgent.includes(position) ? 0 : Math.min(position, ...urgent.map((other) => Math.abs(position - other)))
  const places = [...parts.keys()].slice(1, -1).sort((one, other) => distance(one) - distance(other))
  return [0, ...places.slice(0, limit - 2), parts.length - 1].map((position) => parts[position]!)
}

const leastUrgent = 4

function rankOf(part: Outline): number {
  const jobs = jobsOf(part)
  if (stateOf(part) === 'failed' || jobs.some(({ state }) => state === 'failed')) return 0
  if (jobs.some(({ state, failures }) => failures > 0 && !isFinal(state))) return 1
  if (stateOf(part) === 'running') return 2
  return jobs.some(({ state }) => state === 'cancelled') ? 3 : leastUrgent
}

function foldInPlace(parts: readonly Outline[], kept: ReadonlySet<Outline>): Folded[] {
  const told: Folded[] = []
  let folded: Outline[] = []
  for (const part of parts) {
    if (!kept.has(part)) folded.push(part)
    else {
      if (folded.length > 0) told.push({ folded })
      told.push({ part })
      folded = []
    }
  }
  return told
}
