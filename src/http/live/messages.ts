import { z } from 'zod'
import { RequestError } from '../problem.ts'

/** What is followed: one collection, one job, or everything one may see. */
export type Subject = { readonly collection: string } | { readonly job: string } | { readonly all: true }

const ofCollection = z.strictObject({
  type: z.enum(['follow', 'unfollow']),
  collection: z.string(),
  after: z.string().optional(),
})
const ofJob = z.strictObject({ type: z.enum(['follow', 'unfollow']), job: z.string(), after: z.string().optional() })
const ofAll = z.strictObject({
  type: z.enum(['follow', 'unfollow']),
  all: z.literal(true),
  after: z.string().optional(),
})
const message = z.union([ofCollection, ofJob, ofAll])

export interface Order {
  readonly type: 'follow' | 'unfollow'
  readonly subject: Subject
  readonly after: string | undefined
}

/** @throws RequestError BAD_REQUEST */
export function readOrder(text: string): Order {
  const read = message.safeParse(parsed(text))
  if (!read.success) {
    throw new RequestError(
      'BAD_REQUEST',
      'Write {"type":"follow","collection":id}, with "job":id or "all":true in its place, "after":cursor to resume, and "unfollow" to end it.',
    )
  }
  const { type, after, ...subject } = read.data
  return { type, after, subject }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
