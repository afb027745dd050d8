import { hot } from './change.ts'
import type { Requests } from './database.ts'

/** Does more of a large change that is not done. Gives the bits that `readSignals` reads: `isLeft` when there is still more. */
export async function goOn(requests: Requests, now: number | null): Promise<number> {
  const [row] = await requests.call<readonly [bits: number]>('go_on', now)
  return (row as NonNullable<typeof row>)[0]
}

/** So many collections in which something is held are passed over in one call. */
const mostWaits = 8

/**
 * What is left of large changes is done in order for each collection, by whoever holds the collection. A call goes on with
 * its own items at once, unless others of the same collection are kept before them.
 *
 * Kind 6 calls `celeriac.remove_some(inout c celeriac.change, a_collection bigint, out done boolean)`.
 */
export const workFunctions = `
-- Does what this call has left to do, until nothing is or it has done enough; what then remains is kept.
create or replace function celeriac.settle_work(inout c celeriac.change, out is_left boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_items celeriac.item[];
  v_item celeriac.item;
  v_after bigint;
  v_done boolean;
  r record;
begin
  is_left := false;
  c := celeriac.settle_barriers(c);
  while cardinality(c.items) > 0 loop
    -- What they add comes behind them. Taking the first of a list copies the rest, so they are gone through.
    v_items := c.items;
    c.items := '{}';
    foreach v_item in array v_items loop
      v_after := 0;
      v_done := false;
      if c.rows_left > 0 and not exists (select 1 from celeriac.work where collection = v_item.collection) then
        select s.* into r from celeriac.work_step(c, v_item, 0) s;
        c := r.c;
        v_after := r.after;
        v_done := r.done;
        c := celeriac.settle_barriers(c);
      end if;
      if not v_done then
        is_left := true;
        insert into celeriac.work (collection, kind, subject, detail, after)
        values (v_item.collection, v_item.kind, v_item.subject, v_item.detail, v_after);
      end if;
    end loop;
  end loop;
end $$;

create or replace function celeriac.work_step(inout c celeriac.change, a_item celeriac.item, inout after bigint, out done boolean)
language plpgsql as $$
declare
  r record;
begin
  case a_item.kind
    when 0 then select s.* into r from celeriac.release_some(c, celeriac.standing_decisions(array[a_item.subject])) s; c := r.c; done := r.done;
    when 1 then select s.* into r from celeriac.cancel_members(c, a_item.subject, null, after) s; c := r.c; after := r.after; done := r.done;
    when 2 then select s.* into r from celeriac.cancel_members(c, a_item.detail, a_item.subject, after) s; c := r.c; after := r.after; done := r.done;
    when 3 then select s.* into r from celeriac.cancel_inside(c, a_item.subject, after) s; c := r.c; after := r.after; done := r.done;
    when 4 then select s.* into r from celeriac.reset_members(c, a_item.subject, a_item.detail, after) s; c := r.c; after := r.after; done := r.done;
    when 5 then select s.* into r from celeriac.restart_members(c, a_item.subject, a_item.detail, after) s; c := r.c; after := r.after; done := r.done;
    when 6 then select s.* into r from celeriac.remove_some(c, a_item.subject) s; c := r.c; done := r.done;
    when 7 then select s.* into r from celeriac.settle_by_search(c, a_item.subject, a_item.detail, after) s; c := r.c; after := r.after; done := r.done;
    when 8 then select s.* into r from celeriac.reopen_all(c, a_item.subject, after) s; c := r.c; after := r.after; done := r.done;
    when 9 then select s.* into r from celeriac.decide_empty(c, a_item.subject, after) s; c := r.c; after := r.after; done := r.done;
    when 10 then select s.* into r from celeriac.decide_by_search(c, a_item.subject, a_item.detail, after) s; c := r.c; after := r.after; done := r.done;
  end case;
end $$;

-- Goes on with the collection that has waited longest; where somebody holds what that needs, with the next. With one only: those who
-- hold several take them in order.
create or replace function celeriac.go_on(a_now bigint) returns integer language plpgsql set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
  v_bits integer;
  v_collection bigint;
  v_held bigint[] := '{}';
begin
  loop
    v_collection := (select collection from celeriac.work where collection <> all(v_held) order by number limit 1);
    exit when v_collection is null;
    begin
      v_bits := celeriac.go_on_with(a_now, v_collection);
      exit;
    exception when lock_not_available then
      v_held := v_held || v_collection;
      -- Nothing to be done at once: whoever sweeps comes again.
      if cardinality(v_held) = ${mostWaits} then return 0; end if;
      perform set_config('lock_timeout', '100ms', true);
    end;
  end loop;
  if v_bits is null then return 0; end if;
  return v_bits | case when exists (select 1 from celeriac.work) then 8 else 0 end;
end $$;

create or replace function celeriac.go_on_with(a_now bigint, a_collection bigint) returns integer language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_work celeriac.work;
  v_after bigint;
  v_done boolean := true;
  r record;
begin
  perform celeriac.hold_collections(array[a_collection]);
  while v_done and c.rows_left > 0 loop
    select * into v_work from celeriac.work where collection = a_collection order by number limit 1;
    exit when v_work.number is null;
    select s.* into r from celeriac.work_step(c, row(v_work.collection, v_work.kind, v_work.subject, v_work.detail)::celeriac.item, v_work.after) s;
    c := r.c;
    v_after := r.after;
    v_done := r.done;
    c := celeriac.settle_barriers(c);
    if v_done then
      delete from celeriac.work where number = v_work.number;
    else
      update celeriac.work set after = v_after where number = v_work.number;
    end if;
    insert into celeriac.work (collection, kind, subject, detail)
    select i.collection, i.kind, i.subject, i.detail from unnest(c.items) with ordinality i (collection, kind, subject, detail, place) order by place;
    c.items := '{}';
  end loop;
  return celeriac.finish(c);
end $$;
`
