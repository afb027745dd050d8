import { idempotencyMemory } from '../../engine/retention.ts'

export const keyFunctions = `
-- Remembers an idempotency key, or answers by what it was taken for. Keys are scoped by actor: what one user chose must not
-- meet what another did.
create or replace function celeriac.recall(s json, a_now bigint) returns json language plpgsql as $$
declare
  v_fingerprint text;
  v_id text;
begin
  for n in 1 .. 3 loop
    insert into celeriac.idempotency (scope, key, fingerprint, collection_id, expires_at)
    values (coalesce(s ->> 'actor', ''), s ->> 'key', s ->> 'fingerprint', s ->> 'id', a_now + ${idempotencyMemory}) on conflict do nothing;
    if found then return null; end if;
    select fingerprint, collection_id into v_fingerprint, v_id from celeriac.idempotency
    where scope = coalesce(s ->> 'actor', '') and key = s ->> 'key';
    if found then
      if v_fingerprint = s ->> 'fingerprint' then return json_build_object('type', 'existing', 'collectionId', v_id); end if;
      return json_build_object('type', 'conflict', 'reason', 'idempotency', 'collectionId', v_id);
    end if;
  end loop;
  raise exception using errcode = '40001', message = 'The idempotency key comes and goes.';
end $$;

-- Takes a unique key, or answers by who holds it.
create or replace function celeriac.take_unique(inout c celeriac.change, s json, a_number bigint, out answer json) language plpgsql as $$
declare
  v_holder bigint;
  v_id text;
  r record;
begin
  for n in 1 .. 5 loop
    insert into celeriac.unique_keys (key, collection, collection_id, until, expires_at)
    values (s ->> 'unique', a_number, s ->> 'id', s ->> 'until', c.now + (s ->> 'holds')::bigint) on conflict do nothing;
    if found then return; end if;
    select h.holder, h.id into v_holder, v_id from celeriac.holder_of(s ->> 'unique', c.now) h;
    continue when v_holder is null;
    if v_id = s ->> 'id' or (s ->> 'on_conflict' = 'existing' and celeriac.calls_back(v_holder, s)) then
      answer := json_build_object('type', 'existing', 'collectionId', v_id);
      return;
    elsif s ->> 'on_conflict' = 'existing' then
      answer := json_build_object('type', 'conflict', 'reason', 'callback', 'collectionId', v_id);
      return;
    elsif s ->> 'on_conflict' = 'reject' then
      answer := json_build_object('type', 'conflict', 'reason', 'unique', 'collectionId', v_id);
      return;
    end if;
    perform celeriac.hold_collections(array[v_holder]), celeriac.hold_startable(v_holder);
    -- It may have started or settled before it was held: then the key is free, and the holder is left alone.
    perform 1 from celeriac.unique_keys where key = s ->> 'unique' and collection = v_holder for update;
    continue when not found;
    select t.* into r from celeriac.cancel_collection(c, v_holder) t;
    c := r.c;
    delete from celeriac.unique_keys where key = s ->> 'unique' and collection = v_holder;
  end loop;
  raise exception using errcode = '40001', message = 'The unique key goes from hand to hand.';
end $$;

-- Whether a collection calls back as a submission asks, where it asks for that.
create or replace function celeriac.calls_back(a_collection bigint, s json) returns boolean language plpgsql as $$
begin
  return s ->> 'callback' is null or exists (select 1 from celeriac.collections where number = a_collection
    and callback_url = s ->> 'callback' and callback_results = s ->> 'callback_results');
end $$;

-- Keeps a collection that is held from starting, where it holds a key until then. A claim that is starting it is waited for.
create or replace function celeriac.hold_startable(a_number bigint) returns void language plpgsql as $$
declare
  v_seqs bigint[];
begin
  if not exists (select 1 from celeriac.unique_keys where collection = a_number and until = 'started') then return; end if;
  v_seqs := array(
    select seq from celeriac.jobs where collection = a_number and collection <> seq and state in (1, 2)
    union all select seq from celeriac.jobs where seq = a_number and state in (1, 2));
  perform celeriac.hold_line(v_seqs);
  perform 1 from celeriac.jobs where seq = any(v_seqs) order by seq for update;
end $$;

-- The collection that holds a unique key now. One that holds it until a time may have been removed: its id stands with the key.
create or replace function celeriac.holder_of(a_key text, a_now bigint, out holder bigint, out id text) language plpgsql as $$
begin
  delete from celeriac.unique_keys where key = a_key and expires_at <= a_now;
  select collection, collection_id into holder, id from celeriac.unique_keys where key = a_key;
end $$;
`
