import { rowsPerCall } from '../../engine/limits.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import { keysPerCall, lookAgainAfter, talliesKept, valuesPerCall } from '../../engine/retention.ts'
import { runningOf, unhurried } from './change.ts'

/** A claim is looked at again after so long, in case no job of it runs any more; so many in one call. */
const claimAge = 60_000
const claimsPerCall = 100

/** What is removed once its time is over: functions, each in a transaction of its own. They answer whether there may be more. */
export const chores: readonly (readonly [name: string, chore: string])[] = [
  ['abandoned uploads', 'abandon_uploads'],
  ['claims', 'forget_claims'],
  ['idempotency keys', 'trim_idempotency'],
  ['unique keys', 'trim_unique'],
  ['ended workers', 'trim_sessions'],
  ['values', 'trim_values'],
  ['statistics', 'trim_tallies'],
]

/** Removes some rows `k` that are due. Passes over what others hold, and looks again at what they changed: that is left to the next round. */
const trim = (name: string, table: string, due: string, most: number): string => `
create or replace function celeriac.${name}(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_count integer;
begin
  delete from celeriac.${table} where ctid = any(array(
    select k.ctid from celeriac.${table} k where ${due} limit ${most} for update skip locked));
  get diagnostics v_count = row_count;
  return v_count = ${most};
end $$;
`

/** Of a claim nothing runs any more. */
const isOver = `not exists (
      select 1 from ${runningOf})`

export const choreFunctions = `
${trim('forget_claims', 'claims', `k.claimed_at <= v_now - ${claimAge} and ${isOver}`, claimsPerCall)}
${trim('trim_unique', 'unique_keys', 'expires_at < v_now order by expires_at', keysPerCall)}
${trim('trim_sessions', 'sessions', `ended_at < v_now - ${sessionRetention} and losing is null order by ended_at`, rowsPerCall)}
${trim('trim_values', 'values', 'expires_at <= v_now order by expires_at', valuesPerCall)}
${trim('trim_tallies', 'tallies', `minute < v_now - ${talliesKept} order by minute`, valuesPerCall)}
-- A key is kept as long as its collection, and looked at again where that is still there.
create or replace function celeriac.trim_idempotency(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_count integer;
begin
  with due as (
    select scope, key, exists (select 1 from celeriac.collections where id = collection_id)
      or exists (select 1 from celeriac.jobs where id = collection_id) as is_there
    from celeriac.idempotency where expires_at < v_now order by expires_at limit ${keysPerCall}
  ), kept as (
    update celeriac.idempotency k set expires_at = v_now + ${lookAgainAfter} from due d
    where d.is_there and k.scope = d.scope and k.key = d.key
  ), gone as (
    delete from celeriac.idempotency k using due d where not d.is_there and k.scope = d.scope and k.key = d.key
  )
  select count(*) into v_count from due;
  return v_count = ${keysPerCall};
end $$;
`
