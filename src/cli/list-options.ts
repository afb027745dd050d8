import { type Command, InvalidArgumentError } from 'commander'
import { didYouMean } from '../core/misspelling.ts'
import { type Duration, relativeInstant } from '../core/time.ts'
import type { Terminal } from './terminal.ts'

/** What the lists of jobs and of collections have in common. */
export interface ListOptions {
  readonly actor?: string
  readonly tag?: string
  readonly after?: Duration
  readonly before?: Duration
  readonly limit?: number
  readonly cursor?: string
}

export const addListOptions = (command: Command): Command =>
  command
    .option('--actor <id>', 'asked for by this one')
    .option('--tag <tag>', 'with this tag')
    .option('--after <when>', 'sent at or after: 1h ago is 1h, or 2026-03-01, or 2026-03-01T09:00Z', readWhen)
    .option('--before <when>', 'sent before', readWhen)
    .option('--limit <count>', 'how many, at most 200', readCount, 20)
    .option('--cursor <cursor>', 'go on where the last page ended')

/** The part of a query that both lists read. */
export const listQuery = ({ actor, tag, after, before, limit, cursor }: ListOptions) => ({
  actor,
  tag,
  after,
  before,
  limit,
  cursor,
})

/** Says how to get the next page: the command as it was given, with the cursor. */
export function noteMore(terminal: Terminal, command: string, next: string | undefined): void {
  if (next !== undefined) terminal.note(`More: celeriac ${command} --cursor ${next}, with the same filters.`)
}

export function readCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a whole number.')
}

/** A distance means the past: nothing was sent in the future. */
function readWhen(text: string): Duration {
  const when = /^[\d.]+[a-z]+$/.test(text) ? `-${text}` : text
  try {
    relativeInstant(when, '', 0)
    return when as Duration
  } catch {
    throw new InvalidArgumentError('It is a time ago such as 1h, a day such as 2026-03-01, or 2026-03-01T09:00Z.')
  }
}

/** A reader of names of states, separated by commas. */
export const readStates =
  <State extends string>(states: readonly State[]) =>
  (text: string): State[] =>
    text.split(',').map((name) => {
      const state = states.find((one) => one === name.trim())
      if (state !== undefined) return state
      throw new InvalidArgumentError(`It is one of ${states.join(', ')}${didYouMean(name, states)}.`)
    })

export function readInteger(text: string): number {
  if (/^-?\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a whole number.')
}
