import { type StoredValue, type Values, valuesAtOnce } from '../../engine/values.ts'
import type { Database } from './database.ts'

type NewValue = Parameters<Values['putValue']>[0]

/** PostgreSQL keeps no NUL, so nothing is stored under an id with one; asking for it would be an error. */
const isStorable = (id: string): boolean => !id.includes('\0')

const isThere = (now: string): string => `(expires_at is null or expires_at > celeriac.instant(${now}))`

export async function value(db: Database, kind: string, id: string): Promise<string | null> {
  if (!isStorable(id)) return null
  const row = await db.get<{ text: string }>(
    `select text from celeriac.values where kind = $1 and id = $2 and ${isThere('$3')}`,
    kind,
    id,
    db.now(),
  )
  return row?.text ?? null
}

export function values(db: Database, kind: string, after: string | null): Promise<StoredValue[]> {
  return db.all<StoredValue>(
    `select id, text, expires_at as "expiresAt" from celeriac.values where kind = $1 and id ${after === null ? '>=' : '>'} $3 and ${isThere('$2')}
     order by id limit ${valuesAtOnce}`,
    kind,
    db.now(),
    after ?? '',
  )
}

export async function putValue(db: Database, { kind, id, text, lifetime }: NewValue, isKept: boolean): Promise<string> {
  const [row] = await db.call<[text: string]>('put_value', db.now(), kind, id, text, lifetime, isKept)
  return (row as NonNullable<typeof row>)[0]
}

export async function takeValue(db: Database, kind: string, id: string): Promise<string | null> {
  if (!isStorable(id)) return null
  const [row] = await db.call<[text: string | null]>('take_value', db.now(), kind, id)
  return row?.[0] ?? null
}

export const valueFunctions = `
-- One statement also where what is there is to be kept: it writes that again, unless its time is over. Of several at the same
-- instant the later ones wait, and find what the first has stored.
create or replace function celeriac.put_value(
  a_now bigint, a_kind text, a_id text, a_text text, a_lifetime bigint, a_keep boolean
) returns text language plpgsql as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_text text;
begin
  insert into celeriac.values as v (kind, id, text, expires_at) values (a_kind, a_id, a_text, v_now + a_lifetime)
  on conflict (kind, id) do update set
    text = case when a_keep and coalesce(v.expires_at > v_now, true) then v.text else excluded.text end,
    expires_at = case when a_keep and coalesce(v.expires_at > v_now, true) then v.expires_at else excluded.expires_at end
  returning text into v_text;
  return v_text;
end $$;

create or replace function celeriac.take_value(a_now bigint, a_kind text, a_id text) returns text language plpgsql as $$
#variable_conflict use_column
declare
  v_text text;
begin
  delete from celeriac.values where kind = a_kind and id = a_id and coalesce(expires_at > celeriac.instant(a_now), true)
  returning text into v_text;
  return v_text;
end $$;
`
