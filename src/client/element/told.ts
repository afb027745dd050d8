import type { CollectionEvent, CollectionSnapshot, JobSummary } from '../../core/handle.ts'
import { type Snake, toCamel } from '../../core/snake.ts'

// What the API tells, as the library has it: so that a page shows it by the same rules as the terminal.

const instants = ['at', 'createdAt', 'dueAt', 'startedAt', 'finishedAt', 'settledAt']

export function eventOf(told: Snake<CollectionEvent>): CollectionEvent {
  if (told.type === 'snapshot') return { ...told, collection: collectionOf(told.collection) }
  if (told.type === 'jobs') return { ...told, jobs: told.jobs.map(jobOf) }
  return withDates(told)
}

export const jobOf = (told: Snake<JobSummary>): JobSummary => withDates(told)

function collectionOf({ jobs, ...told }: Snake<CollectionSnapshot>): CollectionSnapshot {
  return { ...withDates<Omit<CollectionSnapshot, 'jobs'>>(told), jobs: jobs.map(jobOf) } as CollectionSnapshot
}

function withDates<T>(told: object): T {
  const known = toCamel(told) as Record<string, unknown>
  for (const name of instants) if (typeof known[name] === 'string') known[name] = new Date(known[name])
  return known as T
}
