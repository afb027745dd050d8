import type { Graph } from '../../core/graph.ts'
import type { Outcome } from '../../core/outcome.ts'
import type { ClaimRequest, SettleAnswer, Settlement } from '../../engine/work.ts'
import { endEntryOf, leave, oneMore, placeIn, runningOf, runOf } from './change.ts'
import { claimColumns, type Claimed, claimedIn, type ClaimRow, claimValues, type Ref } from './claim.ts'
import { reasonCode } from '../../engine/codes.ts'
import type { Requests, Value } from './database.ts'
import { briefly, patiently } from './held.ts'
import { graphRows } from './insert.ts'
import { sizeOf } from './submit.ts'
import { asUploadGone, isLarge, uploadGone } from './upload.ts'

/** What mostly follows from one settlement: its row, a barrier, the job behind it. */
const rowsPerSettlement = 3

/** Outcomes as the function knows them. A success is null. */
const outcomeCode = { failed: 1, retried: 2, snoozed: 3, released: 4, continued: 5, cancelled: 6 } as const
const answers: readonly SettleAnswer[] = ['accepted', 'superseded', 'cancelled']

export interface Settled {
  readonly answers: SettleAnswer[]
  readonly bits: number
}

/** The lists that \`celeriac.settle\` is given, one entry for each settlement in the order of the jobs' numbers. */
interface Lists {
  readonly seqs: number[]
  readonly tokens: number[]
  readonly codes: (number | null)[]
  readonly texts: (string | null)[]
  readonly delays: (number | null)[]
  readonly flags: (boolean | null)[]
  readonly collections: Set<number>
  isPlain: boolean
}

export async function settle(
  requests: Requests,
  now: number | null,
  settlements: readonly Settlement[],
  name: 'settle' | 'settle_briefly' = 'settle',
): Promise<Settled> {
  const { values, place } = asked(settlements)
  const [row] = await requests
    .call<readonly [bits: number, answers: readonly number[] | null]>(name, now, ...values)
    .catch(asUploadGone)
  const [bits, codes] = row as NonNullable<typeof row>
  return { answers: answersOf(place, codes), bits }
}

/** As `settle` and then `claim`, in one transaction. */
export async function settleAndClaim(
  requests: Requests,
  now: number | null,
  settlements: readonly Settlement[],
  request: ClaimRequest,
  from: string | null,
): Promise<Claimed & Omit<Settled, 'bits'>> {
  const { values, place } = asked(settlements)
  const [first, ...rows] = await requests
    .call<ClaimRow>('settle_and_claim', now, ...values, ...claimValues(request, from))
    .catch(asUploadGone)
  const [, bits, , , , , , , , , , codes] = first as ClaimRow
  const answers = answersOf(place, codes === null ? null : codes.split(',').map(Number))
  const claimed = claimedIn(rows, request)
  return { ...claimed, answers, bits: bits | claimed.bits }
}

const answersOf = (place: readonly number[], codes: readonly number[] | null): SettleAnswer[] =>
  place.map((at) => answers[codes?.[at] ?? 0] as SettleAnswer)

interface Asked {
  /** All that \`celeriac.settle\` is given but the instant. */
  readonly values: Value[]
  /** Where each settlement stands among them. */
  readonly place: readonly number[]
}

function asked(settlements: readonly Settlement[]): Asked {
  // Locks are taken in the order of the numbers; what is said twice in a batch is sent once.
  const order = settlements
    .map((settlement, at) => ({ ...settlement, at, job: settlement.ref as Ref }))
    .sort((one, other) => one.job.seq - other.job.seq || one.job.collection - other.job.collection)
  const lists = newLists()
  const place: number[] = []
  for (const [index, { job, token, outcome, at }] of order.entries()) {
    const before = order[index - 1]
    if (before?.job.seq !== job.seq || before.token !== token) add(lists, job, token, outcome)
    place[at] = lists.seqs.length - 1
  }
  const { claims, counts, sessions } = claimsOf(order)
  const values = [
    lists.seqs,
    lists.tokens,
    lists.texts,
    lists.collections.size === 0 ? null : [...lists.collections].sort((one, other) => one - other),
    sessions,
    claims,
    counts,
    lists.isPlain ? null : lists.codes,
    lists.isPlain ? null : lists.delays,
    lists.isPlain ? null : lists.flags,
  ]
  return { values, place }
}

const newLists = (): Lists => ({
  seqs: [],
  tokens: [],
  codes: [],
  texts: [],
  delays: [],
  flags: [],
  collections: new Set(),
  isPlain: true,
})

function add(lists: Lists, job: Ref, token: number, outcome: Outcome): void {
  lists.seqs.push(job.seq)
  lists.tokens.push(token)
  const [code, text, delay, flag] = stored(outcome)
  lists.codes.push(code)
  lists.texts.push(text)
  lists.delays.push(delay)
  lists.flags.push(flag)
  if (code !== null) lists.isPlain = false
  // What follows from it may reach other rows of its collection: whoever is there first has it to itself.
  if (job.collection !== job.seq || outcome.type === 'continued') lists.collections.add(job.collection)
}

type Stored = readonly [code: number | null, text: string | null, delay: number | null, flag: boolean | null]

function stored(outcome: Outcome): Stored {
  switch (outcome.type) {
    case 'succeeded':
      return [null, outcome.result, null, null]
    case 'failed':
      return [outcomeCode.failed, JSON.stringify(outcome.failure), reasonCode(outcome.reason), null]
    case 'retried':
      return [outcomeCode.retried, JSON.stringify(outcome.failure), Math.ceil(outcome.delay), null]
    case 'snoozed':
      return [outcomeCode.snoozed, null, Math.ceil(outcome.delay), null]
    case 'released':
      return [outcomeCode.released, null, Math.ceil(outcome.delay), outcome.started]
    case 'continued':
      return [outcomeCode.continued, graphText(outcome.graph), null, null]
    case 'cancelled':
      return [outcomeCode.cancelled, null, null, null]
  }
}

function graphText(graph: Graph): string {
  return JSON.stringify({
    about: { id: graph.id, ...sizeOf(graph) },
    ...(!isLarge(graph) && { graph: graphRows(graph) }),
  })
}

/** How many of each claim are settled here, if none of them was before. */
function claimsOf(settlements: readonly { readonly job: Ref; readonly token: number }[]): {
  readonly sessions: number[]
  readonly claims: number[]
  readonly counts: number[]
} {
  const found = new Map<number, { session: number; count: number }>()
  for (const { job, token } of settlements) {
    const known = found.get(token)
    if (known === undefined) found.set(token, { session: job.session, count: 1 })
    else known.count++
  }
  const list = [...found].sort(([one], [other]) => one - other)
  return {
    sessions: list.map(([, { session }]) => session),
    claims: list.map(([token]) => token),
    counts: list.map(([, { count }]) => count),
  }
}

const settling = (name: string, waits: string): string => `
-- Lists in the order of the jobs' numbers. Without codes all succeeded, and texts are their results. The answers are null
-- where all were accepted.
create or replace function celeriac.${name}(
  a_now bigint, a_seqs bigint[], a_tokens bigint[], a_texts text[], a_collections bigint[], a_sessions bigint[], a_claims bigint[],
  a_counts integer[], a_codes integer[], a_delays bigint[], a_flags boolean[]
) returns table (bits integer, answers integer[]) language plpgsql ${waits} as $$
#variable_conflict use_column
declare
  c celeriac.change;
  v_cancelled bigint[] := '{}';
  v_done bigint[];
  v_answers integer[];
  r record;
begin
  if a_collections is null and a_codes is null then
    select s.bits, s.done into bits, v_done from celeriac.settle_alone(celeriac.instant(a_now), a_seqs, a_tokens, a_texts) s;
    if cardinality(v_done) = cardinality(a_seqs) then
      perform celeriac.count_claims(a_sessions, a_claims, a_counts);
      return next;
      return;
    end if;
    -- The others were cancelled, or are not theirs any more.
  end if;
  c := celeriac.begin_change(a_now);
  c.rows_left := c.rows_left + ${rowsPerSettlement} * cardinality(a_seqs);
  if a_collections is not null then
    v_cancelled := celeriac.hold_collections(a_collections);
  end if;
  if v_done is null then
    select s.* into r from celeriac.settle_successes(c, a_seqs, a_tokens, a_texts, a_codes, v_cancelled) s;
    c := r.c;
    v_done := r.done;
  end if;
  if cardinality(v_done) = cardinality(a_seqs) then
    perform celeriac.count_claims(a_sessions, a_claims, a_counts);
  else
    select s.* into r from celeriac.settle_others(c, a_seqs, a_tokens, a_texts, a_codes, a_delays, a_flags, v_cancelled, v_done) s;
    c := r.c;
    v_answers := r.answers;
    perform celeriac.recount_claims(a_sessions, a_claims);
  end if;
  return query select coalesce(bits, 0) | celeriac.finish(c), v_answers;
end $$;
`

export const settleFunctions = `
${settling('settle', patiently)}${settling('settle_briefly', briefly)}
-- The first row is about the settlements (bits; their answers, where not all were accepted), the others are those of a claim.
create or replace function celeriac.settle_and_claim(
  a_now bigint, a_seqs bigint[], a_tokens bigint[], a_texts text[], a_collections bigint[], a_sessions bigint[], a_claims bigint[],
  a_counts integer[], a_codes integer[], a_delays bigint[], a_flags boolean[],
  a_session text, a_token bigint, a_limit integer, a_open text[], a_place text, a_is_again boolean
) returns table (${claimColumns}) language plpgsql as $$
#variable_conflict use_column
begin
  select s.bits, array_to_string(s.answers, ',') into collection, args from celeriac.settle(
    a_now, a_seqs, a_tokens, a_texts, a_collections, a_sessions, a_claims, a_counts, a_codes, a_delays, a_flags) s;
  return next;
  return query select * from celeriac.claim(a_now, a_session, a_token, a_limit, a_open, a_place, a_is_again);
end $$;

-- The common case, in one statement: jobs alone that still run under their token, and nobody wants cancelled.
create or replace function celeriac.settle_alone(
  a_now bigint, a_seqs bigint[], a_tokens bigint[], a_texts text[], out bits integer, out done bigint[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_unique bigint[];
begin
  with settled as (
    update celeriac.jobs j set state = 4, result = a_texts[${placeIn('j.seq', 'a_seqs')}], finished_at = a_now, version = ${oneMore('j.version')},
      deadline_at = null
    where j.seq = any(a_seqs) and j.state = 3 and j.token = a_tokens[${placeIn('j.seq', 'a_seqs')}] and j.marked_at is null
    returning j.seq, j.collection, j.state, j.attempt, j.version, j.round, j.unique_claim, j.retention
  ),
  left_at as (${leave('settled', 'seq', 'a_now')})
  select ${runOf('settled', `string_agg(${endEntryOf}, ',')`)}, array_agg(seq), array_agg(seq) filter (where unique_claim is not null)
  into v_changes, done, v_unique from settled;
  bits := 0;
  done := coalesce(done, '{}');
  if v_changes is null then return; end if;
  bits := 2;
  if v_unique is not null then perform celeriac.release_unique(v_unique); end if;
  insert into celeriac.events (number, at, changes) values (nextval('celeriac.event_numbers'), a_now, concat('[', v_changes, ']'));
end $$;

-- Successes of jobs that have others behind them.
create or replace function celeriac.settle_successes(
  inout c celeriac.change, a_seqs bigint[], a_tokens bigint[], a_texts text[], a_codes integer[], a_cancelled bigint[], out done bigint[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_arrivals celeriac.arrival[];
  v_unique bigint[];
  v_aside bigint[];
begin
  with settled as (
    update celeriac.jobs j set state = 4, result = a_texts[${placeIn('j.seq', 'a_seqs')}], finished_at = c.now, version = ${oneMore('j.version')},
      deadline_at = null
    where j.seq = any(a_seqs) and j.state = 3 and j.token = a_tokens[${placeIn('j.seq', 'a_seqs')}] and j.marked_at is null
      and a_codes[${placeIn('j.seq', 'a_seqs')}] is null
      and (j.role <> 0 or j.collection = j.seq or j.collection <> all(a_cancelled))
    returning j.seq, j.collection, j.state, j.attempt, j.version, j.round, j.unique_claim, j.feeds, j.retention, j.role
  ),
  left_at as (${leave('(select seq, retention from settled where collection = seq) alone', 'seq', 'c.now')})
  select string_agg(${endEntryOf}, ',' order by seq), array_agg(seq order by seq),
    array_agg(row(feeds, true, null)::celeriac.arrival) filter (where feeds is not null),
    array_agg(seq) filter (where unique_claim is not null and collection = seq),
    array_agg(distinct collection) filter (where role <> 0)
  into v_changes, done, v_arrivals, v_unique, v_aside from settled;
  done := coalesce(done, '{}');
  c.changes := concat(c.changes, ',' || v_changes);
  c.arrivals := c.arrivals || v_arrivals;
  c.rows_left := c.rows_left - cardinality(done);
  perform celeriac.release_unique(v_unique), celeriac.leave_again(c.now, v_aside);
end $$;

-- Everything else, and what comes too late. Answers 0 accepted, 1 superseded, 2 cancelled.
create or replace function celeriac.settle_others(
  inout c celeriac.change, a_seqs bigint[], a_tokens bigint[], a_texts text[], a_codes integer[], a_delays bigint[], a_flags boolean[],
  a_cancelled bigint[], a_done bigint[], out answers integer[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_ends celeriac.ending[] := '{}';
  v_puts celeriac.putting[] := '{}';
  v_continued integer[] := '{}';
  v_snoozed bigint[] := '{}';
  v_released bigint[] := '{}';
  v_retried bigint[] := '{}';
  v_failures text[] := '{}';
  v_late record;
  r record;
begin
  answers := array_fill(0, array[cardinality(a_seqs)]);
  perform 1 from celeriac.jobs where seq = any(a_seqs) and seq <> all(a_done) order by seq for update;
  for r in
    select s.*, j.seq as job, j.state, j.token as held, j.reason,
      j.marked_at is not null or (j.role = 0 and j.collection <> j.seq and j.collection = any(a_cancelled)) as is_cancelled
    from unnest(a_seqs, a_tokens, a_texts, a_codes, a_delays, a_flags) with ordinality s (seq, token, text, code, delay, flag, at)
      left join celeriac.jobs j on j.seq = s.seq order by s.at
  loop
    if r.job is null or r.held is distinct from r.token then
      answers[r.at] := 1;
    elsif r.state <> 3 then
      -- The token stays until the next claim, or until somebody else decides about the job: so this one was sent before.
      if r.state = 6 then answers[r.at] := 2; end if;
    elsif r.is_cancelled then
      answers[r.at] := 2;
      v_ends := v_ends || row(r.seq, 3, 6, coalesce(r.reason, 3), r.seq, null, true)::celeriac.ending;
    elsif r.code is null then
      -- Two of a batch name it, under different tokens.
      select s.* into v_late from celeriac.settle_successes(c, array[r.seq], array[r.token], array[r.text], null, a_cancelled) s;
      c := v_late.c;
    elsif r.code = ${outcomeCode.failed} then
      v_ends := v_ends || row(r.seq, 3, 5, r.delay, r.seq, r.text, true)::celeriac.ending;
    elsif r.code = ${outcomeCode.cancelled} then
      v_ends := v_ends || row(r.seq, 3, 6, 3, r.seq, null, true)::celeriac.ending;
    elsif r.code = ${outcomeCode.retried} then
      v_retried := v_retried || r.seq;
      v_failures := v_failures || r.text;
      v_puts := v_puts || row(r.seq, r.delay, r.text, false, false, false, 0)::celeriac.putting;
    elsif r.code = ${outcomeCode.snoozed} then
      v_snoozed := v_snoozed || r.seq;
      v_puts := v_puts || row(r.seq, r.delay, null, false, false, false, 0)::celeriac.putting;
    elsif r.code = ${outcomeCode.released} then
      if r.flag then v_released := v_released || r.seq; end if;
      v_puts := v_puts || row(r.seq, r.delay, null, not r.flag, false, false, null)::celeriac.putting;
    elsif r.code = ${outcomeCode.continued} then
      v_continued := v_continued || r.at::integer;
    end if;
  end loop;
  c := celeriac.record_attempts(c, v_retried, 3, v_failures);
  c := celeriac.record_attempts(c, v_snoozed, 4, null);
  c := celeriac.record_attempts(c, v_released, 5, null);
  c := celeriac.end_jobs(c, v_ends);
  c := celeriac.put_back(c, v_puts);
  for i in 1 .. cardinality(v_continued) loop
    c := celeriac.continue_as(c, a_seqs[v_continued[i]], a_texts[v_continued[i]]::json);
  end loop;
end $$;

-- The job waits for the canvas that its handler returned, holding no slot; the graph is inserted, or sealed if it was uploaded.
create or replace function celeriac.continue_as(inout c celeriac.change, a_seq bigint, a_text json) language plpgsql as $$
declare
  v_graph json := a_text -> 'graph';
  v_about json := a_text -> 'about';
  v_jobs bigint := v_about ->> 'job_count';
  v_barriers bigint := v_about ->> 'barrier_count';
  v_is_large boolean := v_graph is null;
  v_first bigint;
  p celeriac.placement;
  j celeriac.jobs;
begin
  c := celeriac.record_attempts(c, array[a_seq], 8, null);
  select * into j from celeriac.jobs where seq = a_seq;
  if v_is_large then
    p := celeriac.place_upload(v_about ->> 'id', v_jobs, a_seq);
    if p is null then
      raise exception using errcode = '${uploadGone}', message = 'The upload of this continuation is gone: send it again.';
    end if;
    delete from celeriac.uploads where id = v_about ->> 'id';
  else
    v_first := celeriac.take_numbers(v_jobs + v_barriers);
    p := row(j.collection, v_first, v_first + v_jobs, null, celeriac.round_of(j.collection), a_seq, j.depth + 1, j.scope);
  end if;
  update celeriac.jobs set state = 0, continuation = p.first_barrier + (v_about ->> 'exit')::bigint, shape = v_about ->> 'shape',
    deadline_at = null, crashes = 0, version = ${oneMore('version')} where seq = a_seq;
  c.rows_left := c.rows_left - 1;
  -- Before anything that happens to them, and before the end, should there be no jobs at all.
  c.changes := concat(c.changes, ',', concat_ws(',', 0, case when j.collection = a_seq then 0 else j.collection end, a_seq, j.attempt, ${oneMore('j.version')}),
    ',', concat_ws(',', 10, j.collection, p.round));
  if not v_is_large then c := celeriac.insert_graph(c, v_graph, p); end if;
  c := celeriac.decide_empty(c, p.first_barrier, p.first_barrier + v_barriers - 1, p.start);
end $$;

-- ── what runs of each claim ─────────────────────────────────────────────────────────────────────────────────────────

create or replace function celeriac.count_claims(a_sessions bigint[], a_tokens bigint[], a_counts integer[]) returns void language plpgsql as $$
begin
  delete from celeriac.claims k using unnest(a_sessions, a_tokens, a_counts) s (session, token, count)
  where k.session = s.session and k.token = s.token and k.running <= s.count;
  if cardinality(a_tokens) = 1 and found then return; end if;
  update celeriac.claims k set running = k.running - s.count from unnest(a_sessions, a_tokens, a_counts) s (session, token, count)
  where k.session = s.session and k.token = s.token;
end $$;

-- Where not all of a batch was new.
create or replace function celeriac.recount_claims(a_sessions bigint[], a_tokens bigint[]) returns void language plpgsql as $$
begin
  update celeriac.claims k set running = (
    select count(*) from ${runningOf})
  from unnest(a_sessions, a_tokens) s (session, token) where k.session = s.session and k.token = s.token;
  delete from celeriac.claims k using unnest(a_sessions, a_tokens) s (session, token)
  where k.session = s.session and k.token = s.token and k.running = 0;
end $$;
`
