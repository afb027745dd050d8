import { library } from './scripts.ts'

/**
 * Every key that this engine keeps, and what it holds. All begin with the same hash tag, `{namespace}:`, so that a cluster
 * keeps them together; scripts are given it as KEYS[1] and call it P. `<n>` is a number: jobs, barriers and collections take
 * theirs from one counter and never give them back.
 *
 * Rows are texts, read and written by the hundred in one MGET or MSET: a call costs a microsecond, one more key in it a fifth of that,
 * and a hash for each job took twice the time and the memory. What never changes is apart from what does, and packed by
 * the client; what has not changed yet is not there at all. Payloads come last and nothing here looks into them.
 *
 * ```
 * numbers           the last number taken
 * ids               hash: id of a job or collection → its number
 *
 * j:<n>             a job as it was submitted. Lines: head · queue (empty: default) · id · task · options · label · arguments
 *                     head     createdAt                                       a plain job alone: its own collection, nothing else to say
 *                              createdAt,base,collection,parent,depth,scope0,round,role,behind,fit,feeds,scope,startIn,startAt,expires,
 *                              timeout,priority,input
 *                              base is the number of the first job of its graph; behind, feeds and scope are offsets from it, as
 *                              those who packed the graph did not know it. scope0 (a number) is that of the job it continues.
 *                              input: empty | f | r<shape> | o<offset of the one job whose result it is>:<shape> | s<runs of the jobs that count>
 *                     label    of a job alone: retention;JSON of actor, description, tags. Of another: > and the offset of the job that its
 *                              success lets go, where the barrier between them has nothing more to it; with a t where that one has a time-out. Empty
 *                              where there is none.
 *                     arguments  where they are long: one CR, and they stand in
 * g:<n>             long arguments
 * s:<n>             how it stands. Not there: as submitted, that is waiting if behind anything, else queued; version 1, attempt 0.
 *                     state,version,attempt,token,session,startedAt,finishedAt
 *                     [;round,failures,crashes,dueAt,expiresAt,markedAt,reason,cause,continuation,archived,again]
 *                     [LF result | CR length of the result, where it is long]
 *                     Without the second list: the round of its head (1), zeros and nothing; it expires as submitted. The token stays
 *                     until the next claim, or until somebody else decides about the job. again: startIn and startAt hold it no
 *                     more. A job that ended while it was scheduled and had not begun keeps dueAt: a retry holds it until then.
 * r:<n>             a long result
 * f:<n>             its last failure
 * p:<n>             progress: attempt LF text; of an earlier attempt it is none
 * h:<n>             how the results nest of the canvas that it continued as
 * a:<n>             hash: attempt that did not end the job → round,session,startedAt,finishedAt,outcome[LF failure]
 * log:<n>           list of its log lines, packed by the client
 * notes:<n>         hash: name → JSON of what it keeps by that name for its later attempts
 *
 * b:<n>             a barrier as it was submitted. Lines: head · runs of the jobs behind it · of the jobs that feed it · of the barriers
 *                     that feed it
 *                     head     base,collection,parent,jobs,barriers,inputs,feeds,gate,isExit
 *                              jobs and barriers of its graph are numbered base … base + jobs + barriers − 1
 *                     runs     offsets from base: 3 | 0-9 | 0-90/10 (every tenth), separated by commas
 *                     where they are long: one CR for all three lines, which then stand in
 * l:<n>             long runs
 * n:<n>             its countdown: pending,failed,decided,cause. Not there: as many pending as inputs, undecided.
 *
 * c:<n>             a collection that is no job alone. Lines: createdAt,base,jobs,barriers,exit (an offset) · retention · id · shape · JSON of
 *                     actor, description, tags, callback
 * k:<n>             how it stands: state,round,settledAt,cancelledAt,removedAt. Not there: running in its first round.
 * m:<n>             sorted set of the graphs added to it by jobs that continued: base → base,jobs,barriers
 * u:<n>             the unique key it was submitted under: until LF key
 * scope:<n>         sorted set of the jobs that a fail-fast scope failed by: when → place (see below)
 * cancelling        set of the collections and jobs alone that were cancelled and have not settled
 *
 * queues            hash: paused queue → 1. A queue that is not paused stands nowhere but in what its jobs are in
 * lines             sorted set: a score that none of its jobs comes before → queue that has jobs in line; not those of a paused queue once
 *                     a claim has met it
 * queue:<name>      sorted set of queued jobs: −priority · 2⁴⁰ + number of the collection → place
 * runs:<name>       sorted set of more queued jobs, many in one: first number → last number. They were submitted in bulk, each is plain and
 *                     alone, and none has been touched since: there is no s:<n>
 * suspects:<name>   the same as queue:<name>, of the queued jobs whose worker died
 * suspects          hash: queue → how many of them there are, where there are any
 * due, expiring     sorted sets: dueAt → scheduled job; expiresAt → job that is scheduled or queued
 * deadlines, marked sorted sets: deadlineAt → running job; markedAt → running job
 * waiting, scheduled  hashes: queue → how many of its jobs are; where there is none, there is no field
 *
 * sessions          hash: id of a session → its number
 * session:<n>       hash: id, name, host, pid, queues, concurrency, startedAt, seenAt, expiresAt, endedAt, lost
 * alive             sorted set: expiresAt → session that has not ended
 * leases            sorted set: length of its lease → session that has not ended
 * ended             sorted set: endedAt → session that has ended
 * losing            hash: session that was lost and whose jobs are being given back → who is to blame for it (engine/recovery.ts)
 * run:<n>           set of the jobs that it runs
 * trying:<n>        those of them whose worker died before
 * tokens:<n>        list of the tokens it claimed with, newest first
 *
 * leaving           sorted set of what settled: when its retention ends → that instant:runs of the numbers of collections and jobs alone
 *                     (12-40,55), a member for each call and retention. It may be out of date: rows are looked at again before they go
 * more              sorted set: number → number of each job and collection that may have p:, log:, notes: or u:
 * look:<n>          there while a large settled collection is looked over before it is removed, and nobody retries anything of it. Expires
 *
 * unique            hash: key → collection,until,expiresAt,id of the collection (until: started, settled or time)
 * unique-until      sorted set: expiresAt → key
 * holds             hash: collection → the key it holds until it started or settled
 * idempotency       hash: actor NUL key → expiresAt LF fingerprint LF id of the collection
 * idempotency-until sorted set: expiresAt → actor NUL key
 * values            hash: kind NUL id → expiresAt LF text (no expiresAt: until it is taken)
 * values-ids        sorted set, all scores 0, so that those of a kind are in the order of their ids: kind NUL id
 * values-until      sorted set: expiresAt → kind NUL id
 * tallies:<hour>    hash: minute,session,task → succeeded,failed,retried,cancelled,ran,longest; the hour counted from 1970. Expires
 * uploads           hash: id of a graph whose rows are not to be seen yet → collection,base,jobs,barriers,createdAt,touchedAt; the barrier that
 *                     holds back its entries is base − 1
 * work              sorted set: number → number,kind,subject,detail,after: what is left to do of large changes
 * work-later        sorted set: when it is tried again → the same, of what failed
 *
 * events            stream, one entry for each call that changed something: t (when), c (flat list of numbers, see journal.ts), p (JSON list of
 *                     payloads). An entry's id says how many characters of events came before it, so what is kept is bounded by size,
 *                     and who reads on at the end of one entry knows that none between is missing.
 * events-end        the characters of all events so far: the next entry gets the id after it
 * faults            hash: what failed of a sweep → when LF message
 * meta              hash: version, epoch, run (the server's run id), processes (how many opened it), lost, lostAt, sweptAt (the last turn of a
 *                     sweep), sweepAt (the next, as foreseen), calmAt, calmUntil (the last gap in time), choresAt, steppedAt, steppedBy,
 *                     oldest (no lower number is taken any more), work (the last number in `work`), retries (how many
 *                     there were of anything that was over)
 * signal            channel: who says it, and what changed, to look: 1 queued + 2 changed + 4 cancel
 * ```
 *
 * A place is a job's number behind a letter that says how many digits it has: places sort as numbers do.
 */
export const modelVersion = 1

/** Before every score of a job. */
export const frontOfLine = '-9007199254740992'

/** Longer arguments and results stand in a key of their own, so that a job's row is quickly read. */
export const longArgs = 2_048
export const longResult = 1_024
/** And so do longer runs. */
export const longRuns = 256

export const keys = library(`
function S.place(number)
  local digits = S.digits[number]
  return string.char(96 + #digits) .. digits
end
function S.score(priority, collection)
  return string.format('%.0f', collection - priority * 1099511627776)
end
`)
