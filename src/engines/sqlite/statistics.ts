import { talliesKept } from '../../engine/retention.ts'
import type { Tally } from '../../engine/work.ts'
import type { Change } from './change.ts'
import type { Database } from './database.ts'

/** Totals only grow, so the greater ones are the newer: a beat may arrive behind the one that was sent after it. */
export function storeTallies({ db }: Change, session: number, tallies: readonly Tally[]): void {
  for (const { minute, task, succeeded, failed, retried, cancelled, ran, longest } of tallies) {
    db.run(
      `insert into celeriac_tallies as t (minute, task, session, succeeded, failed, retried, cancelled, ran, longest)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)
       on conflict do update set succeeded = max(t.succeeded, excluded.succeeded), failed = max(t.failed, excluded.failed),
         retried = max(t.retried, excluded.retried), cancelled = max(t.cancelled, excluded.cancelled),
         ran = max(t.ran, excluded.ran), longest = max(t.longest, excluded.longest)`,
      minute,
      task,
      session,
      succeeded,
      failed,
      retried,
      cancelled,
      ran,
      longest,
    )
  }
}

interface StatisticsQuery {
  readonly from: number
  readonly to: number
  readonly task?: string
}

export function statistics(db: Database, now: number, { from, to, task }: StatisticsQuery): Tally[] {
  return db.all<Tally>(
    `select task, minute, sum(succeeded) as succeeded, sum(failed) as failed, sum(retried) as retried,
       sum(cancelled) as cancelled, sum(ran) as ran, max(longest) as longest
     from celeriac_tallies where minute >= ? and minute < ? and (?3 is null or task = ?3) group by minute, task order by minute, task`,
    Math.max(from, now - talliesKept),
    to,
    task ?? null,
  )
}
