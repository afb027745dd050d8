import type { Change } from '../core/event.ts'

/**
 * Where a reader of one collection's changes stands: behind so many of them since a cursor of the feed. The feed gives
 * cursors for pages only, and a reader may stop in the middle of one. `hash` tells whether those changes, read again,
 * are the ones seen: if a late transaction has slipped in between, they are told again rather than missed.
 */
export interface Position {
  readonly cursor: string
  readonly count: number
  readonly hash: number
}

export const positionAt = (cursor: string): Position => ({ cursor, count: 0, hash: 0 })

export const advance = ({ cursor, count, hash }: Position, change: Change): Position => ({
  cursor,
  count: count + 1,
  hash: mix(hash, identityOf(change)),
})

/** As one opaque text, for `events({ after })`. The round tells later whether a collection runs in another one. */
export const formatPosition = ({ cursor, count, hash }: Position, round: number): string =>
  `${cursor}+${count}.${hash.toString(36)}.${round}`

/** A text of another form is taken for a cursor of the feed, which judges it. */
export function parsePosition(text: string): { readonly position: Position; readonly round: number } {
  const parts = /^(.*)\+(\d+)\.([0-9a-z]+)\.(\d+)$/s.exec(text)
  if (!parts) return { position: positionAt(text), round: 1 }
  const [, cursor = '', count, hash = '', round] = parts
  return { position: { cursor, count: Number(count), hash: Number.parseInt(hash, 36) }, round: Number(round) }
}

function identityOf(change: Change): string {
  if (change.type === 'job') return `${change.jobId}${change.version}`
  if (change.type === 'progress') return `${change.jobId}${change.at}/${change.progress.done}`
  return `${change.state}${change.round}/${change.at}`
}

/** FNV-1a, 32 bits. */
function mix(hash: number, text: string): number {
  let mixed = hash ^ 0x811c9dc5
  for (let index = 0; index < text.length; index++) mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x01000193)
  return mixed >>> 0
}
