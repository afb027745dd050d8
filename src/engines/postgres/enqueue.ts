import { channelOf } from './announce.ts'

/** Of arguments as JSON text: as many as the package itself carries. */
const mostBytes = 256 * 1024
const mostDepth = 64

/**
 * For triggers and other languages: `select celeriac.enqueue('mail.send', '["a@b.c"]', '{"queue": "mail"}')` sends one call of
 * a task and gives the id of its job. It is part of the transaction that it is called in.
 *
 * It runs with the rights of the owner of the store, so that whoever may use the schema may enqueue and nothing more; what it
 * calls is looked up in the catalog and the store alone.
 */
export const enqueueFunctions = `
create or replace function celeriac.enqueue(a_task text, a_args text default '[]', a_options text default '{}') returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_id text := celeriac.new_id();
  v_given jsonb := celeriac.checked_options(a_options);
  v_options jsonb := '{}';
  v_job jsonb;
  v_row jsonb;
  v_unique jsonb := v_given -> 'unique';
  v_answer jsonb;
begin
  perform celeriac.check_task(a_task);
  perform celeriac.check_args(a_args);
  v_options := celeriac.stored_options(v_given);
  v_job := jsonb_strip_nulls(jsonb_build_object('at', 0, 'id', v_id, 'task', a_task, 'args', a_args, 'queue', v_options -> 'queue',
    'priority', v_options -> 'priority', 'options', nullif(v_options, '{}')::text, 'start_in', v_options -> 'startIn',
    'start_at', v_options -> 'startAt', 'expires', v_options -> 'expires', 'timeout', v_options -> 'timeout'));
  v_row := jsonb_build_object('number', 0, 'id', v_id, 'actor', v_given #> '{actor,id}', 'description', v_given -> 'description',
    'tags', nullif(v_options -> 'tags', '[]')::text, 'retention', v_options -> 'retention', 'key', v_given -> 'idempotencyKey',
    'fingerprint', case when v_given ? 'idempotencyKey' then celeriac.fingerprint(a_task, a_args, v_options) end);
  if v_unique is not null then
    v_row := v_row || celeriac.unique_row(v_unique);
  end if;
  select s.answers::jsonb -> 0 into v_answer from celeriac.accept(null, 1,
    json_build_array(json_build_array(jsonb_build_object('about', jsonb_strip_nulls(v_row),
      'graph', jsonb_build_object('jobs', jsonb_build_array(v_job), 'barriers', '[]'::jsonb)))),
    ${Array.from({ length: 16 }, () => 'null').join(', ')}) s;
  if v_answer ->> 'type' = 'conflict' then
    perform celeriac.refuse(case v_answer ->> 'reason'
      when 'unique' then format('the unique key "%s" is held by collection %s: wait until that is over, cancel it, or choose onConflict "existing" or "replace"',
        v_unique ->> 'key', v_answer ->> 'collectionId')
      else format('the idempotency key "%s" was used for another call, collection %s: give new work a new key',
        v_given ->> 'idempotencyKey', v_answer ->> 'collectionId') end);
  end if;
  -- Behind the name of the schema, between its quotation marks.
  perform pg_notify(concat('${channelOf('')}', split_part('celeriac.', '"', 2)), 'qcx');
  return coalesce(v_answer ->> 'collectionId', v_id);
end $$;

-- Whatever JSON is at hand.
create or replace function celeriac.enqueue(a_task text, a_args json, a_options json default '{}') returns text
language sql as $$ select celeriac.enqueue(a_task, a_args::text, a_options::text) $$;

create or replace function celeriac.enqueue(a_task text, a_args jsonb, a_options jsonb default '{}') returns text
language sql as $$ select celeriac.enqueue(a_task, a_args::text, a_options::text) $$;

-- UUIDv7: milliseconds since 1970, then chance.
create or replace function celeriac.new_id() returns text language sql volatile as $$
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send(celeriac.instant(null)) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid::text
$$;

create or replace function celeriac.refuse(a_problem text) returns void language plpgsql as $$
begin
  raise exception using errcode = '22023', message = concat('enqueue: ', a_problem);
end $$;

create or replace function celeriac.check_task(a_task text) returns void language plpgsql as $$
begin
  if coalesce(a_task, '') = '' then perform celeriac.refuse('the name of a task is needed'); end if;
  if length(a_task) > 200 then perform celeriac.refuse('the name of a task has at most 200 characters'); end if;
  if a_task ~ '[[:cntrl:]]' then perform celeriac.refuse('the name of a task has no control characters in it'); end if;
  if starts_with(a_task, concat('celeriac', '.')) then perform celeriac.refuse('names that begin with celeriac are the package''s own'); end if;
end $$;

create or replace function celeriac.check_args(a_args text) returns void language plpgsql as $$
declare
  v_brackets text;
  v_depth integer := 0;
begin
  if a_args is null or json_typeof(a_args::json) <> 'array' then
    perform celeriac.refuse(format('the arguments are a JSON list, such as ["a@b.c", 5], not %s', coalesce(left(a_args, 60), 'null')));
  end if;
  if octet_length(a_args) > ${mostBytes} then
    perform celeriac.refuse('more than ${mostBytes / 1024} KiB of arguments are not carried: store the data elsewhere and send where it is');
  end if;
  -- What is left without texts, numbers and commas.
  v_brackets := regexp_replace(regexp_replace(a_args, '"(\\\\.|[^"\\\\])*"', '', 'g'), '[^][{}]', '', 'g');
  if length(v_brackets) <= 2 * ${mostDepth + 1} then return; end if;
  for n in 1 .. length(v_brackets) loop
    v_depth := v_depth + case when substr(v_brackets, n, 1) in ('[', '{') then 1 else -1 end;
    -- The list around them is not counted.
    if v_depth > ${mostDepth + 1} then perform celeriac.refuse('the arguments are nested more than ${mostDepth} deep'); end if;
  end loop;
end $$;

create or replace function celeriac.checked_options(a_options text) returns jsonb language plpgsql as $$
declare
  v_options jsonb := coalesce(a_options, '{}')::jsonb;
  v_name text;
begin
  if jsonb_typeof(v_options) <> 'object' then perform celeriac.refuse('options are a JSON object, such as {"queue": "mail"}'); end if;
  v_options := jsonb_strip_nulls(v_options);
  select name into v_name from jsonb_object_keys(v_options) name
  where name not in ('queue', 'priority', 'startIn', 'startAt', 'expires', 'retry', 'timeout', 'retention', 'tags', 'idempotencyKey',
    'unique', 'description', 'actor') limit 1;
  if v_name is not null then
    perform celeriac.refuse(format('there is no option "%s": the options are queue, priority, startIn, startAt, expires, retry, timeout, '
      'retention, tags, idempotencyKey, unique, description, actor', v_name));
  end if;
  if v_options ? 'startIn' and v_options ? 'startAt' then perform celeriac.refuse('give startIn or startAt, not both'); end if;
  perform celeriac.short_text(v_options -> 'idempotencyKey', 'idempotencyKey', 256);
  perform celeriac.short_text(v_options -> 'description', 'description', 1000);
  if v_options ? 'actor' then
    if jsonb_typeof(v_options -> 'actor') <> 'object' or not v_options -> 'actor' ? 'id' then
      perform celeriac.refuse('actor: write {"id": "…"}');
    end if;
    perform celeriac.short_text(v_options #> '{actor,id}', 'actor.id', 256);
  end if;
  return v_options;
end $$;

-- In the form that they are stored in: durations in milliseconds.
create or replace function celeriac.stored_options(o jsonb) returns jsonb language plpgsql as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
    'queue', celeriac.short_text(o -> 'queue', 'queue', 128),
    'priority', celeriac.whole_number(o -> 'priority', 'priority', -1000, 1000),
    'startIn', celeriac.duration(o -> 'startIn', 'startIn', 0),
    'startAt', celeriac.instant_of(o -> 'startAt'),
    'expires', celeriac.duration(o -> 'expires', 'expires', 1),
    'timeout', celeriac.duration(o -> 'timeout', 'timeout', 1),
    'retry', celeriac.retry_policy(o -> 'retry'),
    'retention', celeriac.duration(o -> 'retention', 'retention', 0),
    'tags', celeriac.tags(o -> 'tags')));
end $$;

create or replace function celeriac.short_text(a_value jsonb, a_what text, a_most integer) returns text language plpgsql as $$
declare
  v_text text := a_value #>> '{}';
begin
  if a_value is null then return null; end if;
  if jsonb_typeof(a_value) <> 'string' then perform celeriac.refuse(format('%s: a text is needed, not %s', a_what, left(a_value::text, 60))); end if;
  if v_text = '' and a_what <> 'description' then perform celeriac.refuse(format('%s: it is empty', a_what)); end if;
  if length(v_text) > a_most then
    perform celeriac.refuse(format('%s: it has %s characters, the most are %s', a_what, length(v_text), a_most));
  end if;
  if v_text ~ '[[:cntrl:]]' and a_what <> 'description' then
    perform celeriac.refuse(format('%s: it has a control character in it', a_what));
  end if;
  return v_text;
end $$;

create or replace function celeriac.whole_number(a_value jsonb, a_what text, a_least numeric, a_most numeric) returns bigint language plpgsql as $$
declare
  v_number numeric;
begin
  if a_value is null then return null; end if;
  if jsonb_typeof(a_value) = 'number' then v_number := a_value #>> '{}'; end if;
  if v_number is null or v_number <> trunc(v_number) or v_number < a_least or v_number > a_most then
    perform celeriac.refuse(format('%s: a whole number from %s to %s is needed, not %s', a_what, a_least, a_most, left(a_value::text, 60)));
  end if;
  return v_number;
end $$;

create or replace function celeriac.duration(a_value jsonb, a_what text, a_least integer) returns bigint language plpgsql as $$
declare
  v_text text := a_value #>> '{}';
  v_parts text[];
  v_ms numeric;
begin
  if a_value is null then return null; end if;
  v_parts := regexp_match(v_text, '^(\\d+(?:\\.\\d+)?|\\.\\d+)(ms|s|m|h|d|w)$');
  if jsonb_typeof(a_value) = 'number' then
    v_ms := ceil(v_text::numeric);
  elsif jsonb_typeof(a_value) = 'string' and v_parts is not null then
    v_ms := ceil(v_parts[1]::numeric * case v_parts[2] when 'ms' then 1 when 's' then 1000 when 'm' then 60000 when 'h' then 3600000
      when 'd' then 86400000 else 604800000 end);
  else
    perform celeriac.refuse(format('%s: %s is not a duration; give milliseconds, or a number with one of ms, s, m, h, d, w, such as "5m"',
      a_what, left(a_value::text, 60)));
  end if;
  if v_ms < 0 then perform celeriac.refuse(format('%s: %s is negative', a_what, left(a_value::text, 60))); end if;
  if v_ms < a_least then perform celeriac.refuse(format('%s: more than 0 is needed: leave it out for no limit', a_what)); end if;
  if v_ms > 3155760000000 then perform celeriac.refuse(format('%s: %s is more than 100 years', a_what, left(a_value::text, 60))); end if;
  return v_ms;
end $$;

create or replace function celeriac.instant_of(a_value jsonb) returns bigint language plpgsql as $$
declare
  v_text text := a_value #>> '{}';
begin
  if a_value is null then return null; end if;
  if jsonb_typeof(a_value) = 'number' then return celeriac.whole_number(a_value, 'startAt', -8640000000000000, 8640000000000000); end if;
  if v_text ~ '^\\d{4}-\\d\\d-\\d\\d$' then v_text := concat(v_text, 'T00:00Z'); end if;
  if v_text !~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d+)?)?(Z|[+-]\\d\\d:\\d\\d)$' then
    perform celeriac.refuse(format('startAt: %s is not an instant; give milliseconds since 1970, or a text such as "2026-03-01T09:00:00Z"',
      left(a_value::text, 60)));
  end if;
  return ceil(extract(epoch from v_text::timestamptz) * 1000);
end $$;

create or replace function celeriac.retry_policy(a_value jsonb) returns jsonb language plpgsql as $$
declare
  b jsonb := coalesce(a_value -> 'backoff', '{}');
  v_base bigint;
  v_max bigint;
begin
  if a_value is null then return null; end if;
  if jsonb_typeof(a_value) <> 'object' or jsonb_typeof(b) <> 'object' then perform celeriac.refuse('retry: write {"limit": …}'); end if;
  if not a_value ? 'limit' then perform celeriac.refuse('retry: the limit is missing: how many times is it tried again?'); end if;
  if exists (select 1 from jsonb_object_keys(a_value) k where k not in ('limit', 'backoff'))
    or exists (select 1 from jsonb_object_keys(b) k where k not in ('base', 'factor', 'max', 'jitter')) then
    perform celeriac.refuse('retry: there is only {"limit": …, "backoff": {"base", "factor", "max", "jitter"}}');
  end if;
  v_base := coalesce(celeriac.duration(b -> 'base', 'retry: backoff.base', 0), 1000);
  v_max := coalesce(celeriac.duration(b -> 'max', 'retry: backoff.max', 0), greatest(3600000, v_base));
  if v_max < v_base then perform celeriac.refuse('retry: backoff.max is less than backoff.base'); end if;
  if jsonb_typeof(coalesce(b -> 'factor', '2')) <> 'number' or (coalesce(b ->> 'factor', '2'))::numeric not between 1 and 1000 then
    perform celeriac.refuse('retry: backoff.factor: a number from 1 to 1000 is needed');
  end if;
  if jsonb_typeof(coalesce(b -> 'jitter', 'true')) <> 'boolean' then perform celeriac.refuse('retry: backoff.jitter: true or false is needed'); end if;
  return jsonb_build_object('limit', celeriac.whole_number(a_value -> 'limit', 'retry: limit', 0, 1000000), 'base', v_base,
    'factor', coalesce(b -> 'factor', '2'), 'max', v_max, 'jitter', coalesce(b -> 'jitter', 'true'));
end $$;

create or replace function celeriac.tags(a_value jsonb) returns jsonb language plpgsql as $$
begin
  if a_value is null then return null; end if;
  if jsonb_typeof(a_value) <> 'array' then perform celeriac.refuse('tags: a list of texts is needed'); end if;
  if jsonb_array_length(a_value) > 32 then perform celeriac.refuse('tags: the most are 32'); end if;
  perform celeriac.short_text(tag, 'tags', 128) from jsonb_array_elements(a_value) tag;
  return (select coalesce(jsonb_agg(tag order by place), '[]') from (
    select tag, min(place) as place from jsonb_array_elements(a_value) with ordinality t (tag, place) group by tag) each);
end $$;

create or replace function celeriac.unique_row(a_value jsonb) returns jsonb language plpgsql as $$
declare
  v_until jsonb := coalesce(a_value -> 'until', '"settled"');
  v_conflict text := coalesce(a_value ->> 'onConflict', 'existing');
  v_holds bigint;
begin
  if jsonb_typeof(a_value) <> 'object' or not a_value ? 'key' then perform celeriac.refuse('unique: write {"key": "…"}'); end if;
  if exists (select 1 from jsonb_object_keys(a_value) k where k not in ('key', 'until', 'onConflict')) then
    perform celeriac.refuse('unique: there is only {"key", "until", "onConflict"}');
  end if;
  perform celeriac.short_text(a_value -> 'key', 'unique: key', 256);
  if v_until not in ('"started"', '"settled"') then v_holds := celeriac.duration(v_until, 'unique: until', 1); end if;
  if v_conflict not in ('existing', 'replace', 'reject') then
    perform celeriac.refuse('unique: onConflict: one of existing, replace, reject is needed');
  end if;
  return jsonb_build_object('unique', a_value -> 'key', 'until', case when v_holds is null then v_until else '"time"' end,
    'holds', v_holds, 'on_conflict', v_conflict,
    'claim', jsonb_build_object('key', a_value -> 'key', 'until', coalesce(to_jsonb(v_holds), v_until), 'onConflict', v_conflict)::text);
end $$;

create or replace function celeriac.fingerprint(a_task text, a_args text, a_options jsonb) returns text language sql as $$
  select encode(sha256(convert_to(jsonb_build_array(a_task, a_args::jsonb, a_options)::text, 'UTF8')), 'base64')
$$;
`
