/**
 * Settings that a role, a database or a url may change, and that requests rely on: how arrays among the arguments are read, what
 * the bodies of functions mean, what is an error in them. Settings for writing instants, numbers and texts do not matter:
 * these travel as whole numbers and JSON.
 */
const needed = { array_nulls: 'on', standard_conforming_strings: 'on', 'plpgsql.extra_errors': 'none' } as const
const isolation = 'read committed'

type Found = Readonly<Partial<Record<keyof typeof needed, string>>>

/** SQL for the settings that differ from what is needed, with their values: a JSON object as text. */
export const otherSettings = `(select coalesce(json_object_agg(name, current_setting(name)), '{}')::text
  from (values ${Object.entries(needed)
    .map(([name, value]) => `('${name}', '${value}')`)
    .join(', ')}) n (name, value)
  -- Unknown until PL/pgSQL is loaded, and then as it should be.
  where current_setting(name, true) <> value)`

/** SQL for whether transactions that do not say otherwise have another isolation. */
export const otherIsolation = `(current_setting('default_transaction_isolation') <> '${isolation}')`

/** What begins a transaction in which functions find the isolation that they are written for, whatever the default is. */
export const pinnedBegin = `begin isolation level ${isolation}`

/**
 * Sets what differs, until the transaction ends: a pooler may give the next one another connection, and the pool may be the
 * user's own. Empty where nothing differs.
 *
 * @param found the answer to `otherSettings`
 */
export const pinning = (found: string): string =>
  (Object.keys(JSON.parse(found) as Found) as (keyof typeof needed)[])
    .map((name) => `set local ${name} = ${needed[name]};`)
    .join(' ')

/** The same for one function that users call themselves: clauses of its definition. */
export const settingsOfFunction = Object.entries(needed)
  .map(([name, value]) => `set ${name} = '${value}'`)
  .join(' ')

/** Puts back what the user's own transaction had set. */
export const unpinning = (found: string): string =>
  `select ${Object.entries(JSON.parse(found) as Found)
    .map(([name, value]) => `set_config('${name}', '${value.replaceAll("'", "''")}', true)`)
    .join(', ')}`

/** For what must finish: limits of a role or database are meant for other requests. Those that this server does not know are left out. */
export const withoutLimits = `select set_config(name, '0', true) from pg_settings where name in (
  'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`
