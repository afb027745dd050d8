import { createHash } from 'node:crypto'
import type { Runtime } from '../core/runtime.ts'
import type { Values } from '../engine/values.ts'
import type { Identity } from './identity.ts'

export const ticketPrefix = 'tkt_'
const lifetime = 30_000

type Access = { readonly runtime: Runtime; readonly engine: Values }

/**
 * A word that opens one stream of events once, within 30 seconds, as whoever asked for it: browsers cannot send a header
 * there, and what stands in an address is written into logs.
 */
export async function issueTicket(
  { runtime, engine }: Access,
  identity: Identity,
): Promise<{ readonly ticket: string; readonly expiresAt: Date }> {
  const drawn = new Uint8Array(32)
  runtime.randomBytes(drawn)
  const ticket = ticketPrefix + Buffer.from(drawn).toString('base64url')
  const expiresAt = new Date(Math.min(runtime.now() + lifetime, identity.until ?? Infinity))
  await engine.putValue({ kind: 'ticket', id: idOf(ticket), text: JSON.stringify(identity), lifetime }, 'replace')
  return { ticket, expiresAt }
}

/** Who asked for it; null where it was used, is too old, or never was, and where what it was asked for with has ended. */
export async function redeemTicket({ runtime, engine }: Access, ticket: string): Promise<Identity | null> {
  if (!/^tkt_[A-Za-z0-9_-]{43}$/.test(ticket)) return null
  const text = await engine.takeValue('ticket', idOf(ticket))
  const identity = text === null ? null : (JSON.parse(text) as Identity)
  return identity?.until !== undefined && identity.until <= runtime.now() ? null : identity
}

/** What is stored opens nothing. */
const idOf = (ticket: string): string => createHash('sha256').update(ticket).digest('base64url')
