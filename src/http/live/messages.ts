import { z } from 'zod'
import { RequestError } from '../problem.ts'

/** What is followed: one collection, one job, or everything one may see. */
export type Subject = { readonly collection: string } | { readonly job: string } | { readonly all: true }

/**
 * The subject, and a name of the reader's own for this following of it: two parts of a page may follow the same thing from
 * different places, and what was on its way when one ended must not be taken for what the next one is told.
 */
export type Address = Subject & { readonly as?: string | undefined }

/** What tells one following from another on a line, whatever order its message was written in. */
export function nameOf(address: Address): string {
  const { as, ...subject } = address
  return JSON.stringify([subject, as])
}

const terms = {
  type: z.enum(['follow', 'unfollow']),
  as: z.string().max(64).optional(),
  after: z.string().optional(),
  live: z.boolean().optional(),
}
const message = z.union([
  z.strictObject({ collection: z.string(), ...terms }),
  z.strictObject({ job: z.string(), ...terms }),
  z.strictObject({ all: z.literal(true), ...terms }),
])

export interface Order {
  readonly type: 'follow' | 'unfollow'
  readonly address: Address
  readonly after: string | undefined
  /** Go on after it settled. */
  readonly live: boolean
}

/** @throws RequestError BAD_REQUEST */
export function readOrder(text: string): Order {
  const read = message.safeParse(parsed(text))
  if (!read.success) {
    throw new RequestError(
      'BAD_REQUEST',
      'Write {"type":"follow","collection":id}, with "job":id or "all":true in its place, "after":cursor to resume, "live":false to end with it, "as":name to tell two of them apart, and "unfollow" to end it.',
    )
  }
  const { type, after, live = true, ...address } = read.data
  return { type, address, after, live }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
