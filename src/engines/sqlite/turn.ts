import {
  choreInterval,
  faultKept,
  faultShown,
  type KeptFault,
  type KnownFault,
  longestCalm,
  turnLength,
} from '../../engine/recovery.ts'
import type { Change } from './change.ts'
import type { Database } from './database.ts'

/** Instants of celeriac_meta by which the processes on a store share its upkeep. */
type Instant = 'swept_at' | 'sweep_at' | 'calm_at' | 'calm_until' | 'chores_at' | 'stepped_at' | 'stepped_by'

export function noted(db: Database, key: Instant): number {
  return db.get<{ value: number }>('select value from celeriac_meta where key = ?', key)?.value ?? 0
}

export function note(db: Database, key: Instant, value: number): void {
  put(db, key, value)
}

function put(db: Database, key: string, value: number | string): void {
  db.run(
    'insert into celeriac_meta (key, value) values (?, ?) on conflict do update set value = excluded.value',
    key,
    value,
  )
}

interface Leases {
  readonly shortest: number | null
  readonly longest: number | null
  /** When the first of them is over. */
  readonly first: number | null
}
const leasesOf = (db: Database): Leases =>
  db.get<Leases>(
    `select min(expires_at - seen_at) as shortest, max(expires_at - seen_at) as longest,
       min(expires_at) as first
     from celeriac_sessions where ended_at is null`,
  ) as Leases

/**
 * Takes the turn of recovery and upkeep, unless another process had one a moment ago and nothing was foreseen since. After a gap longer than the shortest lease
 * (the machine slept, no process was there, the clock was set) every session looks dead and every deadline past. So each session
 * gets its own lease from now, and each running job its time-out, before anything is decided by the clock.
 */
export function takeTurn({ db, now }: Change): boolean {
  const sweptAt = noted(db, 'swept_at')
  const foreseenAt = noted(db, 'sweep_at') || Infinity
  if (sweptAt <= now && now < Math.min(sweptAt + turnLength, foreseenAt)) return false
  if (now < sweptAt) stepBack(db, now, sweptAt - now)
  const leases = leasesOf(db)
  if (isGap(leases, sweptAt, now)) {
    note(db, 'calm_at', now)
    note(db, 'calm_until', now + Math.min(leases.longest ?? 0, longestCalm))
  }
  note(db, 'swept_at', now)
  return true
}

/** In a store that was never swept, it is one where a session is over by now. */
const isGap = ({ shortest, first }: Leases, sweptAt: number, now: number): boolean =>
  sweptAt === 0 ? first !== null && first <= now : shortest !== null && sweptAt + shortest < now

/** The clock went back: no session lives longer for it than its own lease from now. */
function stepBack(db: Database, now: number, by: number): void {
  db.run(
    'update celeriac_sessions set expires_at = ? + (expires_at - seen_at), seen_at = ? where ended_at is null and seen_at > ?',
    now,
    now,
    now,
  )
  for (const key of ['calm_at', 'calm_until', 'chores_at'] as const) if (noted(db, key) > now) note(db, key, now)
  note(db, 'stepped_at', now)
  note(db, 'stepped_by', by)
}

/** After a gap, also one that no sweep has met yet, nothing is ended because its time is over. */
export function isCalm({ db, now }: Change): boolean {
  if (noted(db, 'calm_until') > now) return true
  return isGap(leasesOf(db), noted(db, 'swept_at'), now)
}

/** Takes the round of chores that nobody waits for, where it is due. */
export function takeChores({ db, now }: Change): boolean {
  if (now < noted(db, 'chores_at')) return false
  note(db, 'chores_at', now + choreInterval)
  return true
}

/** The minimum time until somebody must look again, so that a gap is one: half of the shortest lease. */
export function longestPause(db: Database): number {
  const { shortest } = leasesOf(db)
  return shortest === null ? Infinity : shortest / 2
}

// ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

const prefix = 'fault '
const ofFaults = `key >= '${prefix}' and key < 'fault!'`

/** Keeps what failed, for whoever asks after it. */
export function noteFaults({ db, now }: Change, faults: readonly KeptFault[]): void {
  db.run(`delete from celeriac_meta where ${ofFaults} and json_extract(value, '$.at') < ?`, now - faultKept)
  for (const { item, message } of faults) put(db, `${prefix}${item}`, JSON.stringify({ at: now, message }))
}

export function faults(db: Database, now: number): KnownFault[] {
  const rows = db.all<{ key: string; value: string }>(
    `select key, value from celeriac_meta where ${ofFaults} order by key`,
  )
  return rows
    .map(({ key, value }) => ({ item: key.slice(prefix.length), ...(JSON.parse(value) as Omit<KnownFault, 'item'>) }))
    .filter(({ at }) => at > now - faultShown)
}
