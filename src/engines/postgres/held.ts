import { CeleriacError } from '../../core/errors.ts'
import type { SettleAnswer, Settlement } from '../../engine/work.ts'
import { hot } from './change.ts'
import type { Requests } from './database.ts'

/**
 * What follows where somebody else holds a row for long: a console with an open transaction, a report that locks what it reads.
 * Nobody needs to wait for that but who needs the row. The calls that workers live by wait for a lock for a while only; where one
 * gave up, the same is asked in the careful way, which passes over what is held.
 */
export const patiently = `${hot} set lock_timeout = '2s'`
export const briefly = `${hot} set lock_timeout = '100ms'`

/** The server gave the request up, having waited for a lock in vain or worked for too long: nothing was stored. */
export function isHeld(error: unknown): boolean {
  return error instanceof CeleriacError && error.code === 'STORE_BUSY' && codes.includes(codeOf(error.cause))
}
const codes = ['55P03', '57014']
const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

interface Settled {
  readonly answers: readonly SettleAnswer[]
  readonly bits: number
}

/** So many waits in vain are enough for one call. */
const mostWaits = 16

/**
 * Settles what can be settled: halves what somebody holds up until it stands alone. That is answered `busy`. Where too much is
 * held, the rest is too: whoever asks again begins somewhere else.
 *
 * @param isFree nobody holds the job of this settlement itself
 * @param from where to begin, from 0 to 1
 */
export async function settleApart(
  settlements: readonly Settlement[],
  isFree: (settlement: Settlement) => boolean,
  from: number,
  settle: (settlements: readonly Settlement[]) => Promise<Settled>,
): Promise<{ answers: SettleAnswer[]; bits: number }> {
  const answers = settlements.map((): SettleAnswer => 'busy')
  const places = settlements.flatMap((settlement, at) => (isFree(settlement) ? [at] : []))
  let bits = 0
  let waits = 0
  const some = async (chosen: readonly number[]): Promise<void> => {
    if (chosen.length === 0 || waits >= mostWaits) return
    try {
      const settled = await settle(chosen.map((at) => settlements[at] as Settlement))
      bits |= settled.bits
      for (const [nth, at] of chosen.entries()) answers[at] = settled.answers[nth] as SettleAnswer
    } catch (error) {
      if (!isHeld(error)) throw error
      waits++
      if (chosen.length === 1) return
      const middle = chosen.length >> 1
      await some(chosen.slice(0, middle))
      await some(chosen.slice(middle))
    }
  }
  const first = Math.floor(from * places.length)
  await some([...places.slice(first), ...places.slice(0, first)])
  return { answers, bits }
}

/** Those of these jobs, by their numbers, whose rows nobody holds at this moment. */
export async function freeJobs(requests: Requests, seqs: readonly number[]): Promise<ReadonlySet<number>> {
  return new Set((await requests.call<readonly [seq: number]>('free_jobs', seqs)).map(([seq]) => seq))
}

export const heldFunctions = `
create or replace function celeriac.free_jobs(a_seqs bigint[]) returns table (seq bigint) language plpgsql ${briefly} as $$
#variable_conflict use_column
begin
  return query select j.seq from celeriac.jobs j where j.seq = any(a_seqs) for update skip locked;
end $$;
`
