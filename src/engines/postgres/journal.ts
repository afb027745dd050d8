/**
 * What one call changed: written as one row of events, and told to those who listen.
 *
 * `changes` is a flat list of numbers, some for each change; the first says which kind and so how many. Numbers of jobs
 * and collections rather than ids: a batch of 200 is a few kilobytes, and ids are looked up only for those who follow.
 *
 * - 0–7: state, collection (0: the job is alone), job, attempt, version
 * - 10–13: 10 + state, collection, round
 * - 20: collection (0: alone), job, attempt; its progress is the next payload
 * - 30–37: 30 + state, first job, last job, attempt, version: the same of all jobs between, each alone and in its first round
 *
 * While a call runs, they stand in its `celeriac.change` as text, each with a comma before it.
 */
export const journalFunctions = `
-- The last of every call: what is left to see to, then the events of it all. Gives the bits that \`readSignals\` reads.
create or replace function celeriac.finish(c celeriac.change) returns integer language plpgsql as $$
declare
  v_left boolean := false;
  r record;
begin
  if cardinality(c.arrivals) > 0 or cardinality(c.items) > 0 then
    select s.* into r from celeriac.settle_work(c) s;
    c := r.c;
    v_left := r.is_left;
  end if;
  perform celeriac.write_event(c.now, c.changes, c.payloads, c.heads, c.due_at, c.lapses_at);
  return (c.queued or cardinality(c.heads) > 0)::integer + (c.changes <> '')::integer * 2 + c.cancel::integer * 4 + v_left::integer * 8;
end $$;

create or replace function celeriac.write_event(
  a_now bigint, a_changes text, a_payloads text, a_heads celeriac.head[], a_due_at bigint, a_lapses_at bigint
) returns void language plpgsql as $$
begin
  if a_changes = '' then return; end if;
  insert into celeriac.events (number, at, changes, payloads, heads, due_at, lapses_at) values (
    nextval('celeriac.event_numbers'), a_now, concat('[', substr(a_changes, 2), ']'), '[' || substr(a_payloads, 2) || ']',
    nullif(a_heads, '{}'), a_due_at, a_lapses_at);
end $$;
`
