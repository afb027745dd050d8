import { type StoredValue, type Values, valuesAtOnce } from '../../engine/values.ts'
import type { Change } from './change.ts'
import type { Database } from './database.ts'

type NewValue = Parameters<Values['putValue']>[0]

const isThere = '(expires_at is null or expires_at > ?)'

export function value(db: Database, now: number, kind: string, id: string): string | null {
  const row = db.get<{ text: string }>(
    `select text from celeriac_values where kind = ? and id = ? and ${isThere}`,
    kind,
    id,
    now,
  )
  return row?.text ?? null
}

export function values(db: Database, now: number, kind: string, after: string | null): StoredValue[] {
  return db.all<StoredValue & { expiresAt: number | null }>(
    `select id, text, expires_at as expiresAt from celeriac_values where kind = ? and id ${after === null ? '>=' : '>'} ? and ${isThere} order by id limit ? + 0`,
    kind,
    after ?? '',
    now,
    valuesAtOnce,
  )
}

/** One statement also where what is there is to be kept: it writes that again, unless its time is over. */
export function putValue({ db, now }: Change, { kind, id, text, lifetime }: NewValue, isKept: boolean): string {
  const row = db.get<{ text: string }>(
    `insert into celeriac_values as v (kind, id, text, expires_at) values (?1, ?2, ?3, ?4)
     on conflict (kind, id) do update set
       text = iif(?5 and (v.expires_at is null or v.expires_at > ?6), v.text, excluded.text),
       expires_at = iif(?5 and (v.expires_at is null or v.expires_at > ?6), v.expires_at, excluded.expires_at)
     returning text`,
    kind,
    id,
    text,
    lifetime === null ? null : now + lifetime,
    isKept ? 1 : 0,
    now,
  )
  return (row as { text: string }).text
}

export function takeValue({ db, now }: Change, kind: string, id: string): string | null {
  const row = db.get<{ text: string }>(
    `delete from celeriac_values where kind = ? and id = ? and ${isThere} returning text`,
    kind,
    id,
    now,
  )
  return row?.text ?? null
}
