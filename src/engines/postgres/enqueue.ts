import { argumentLimits } from '../../core/json.ts'
import { limits, retryDefaults } from '../../core/limits.ts'
import { channelOf } from './announce.ts'
import { settingsOfFunction } from './pins.ts'

/** What a value has to be, as `celeriac.check_form` reads it. Lengths are those of JavaScript. */
type Form =
  | { readonly text: number; readonly plain?: true }
  | { readonly from: number; readonly to: number; readonly unit?: 'milliseconds'; readonly parts?: true }
  | { readonly truth: true }
  | { readonly words: readonly string[]; readonly or?: Form }
  | { readonly each: Form; readonly most: number }
  | { readonly names: string; readonly fields: Readonly<Record<string, Form>>; readonly needed?: string }

/** JSON of the server keeps no order, so an error has the names from here. */
const object = (fields: Readonly<Record<string, Form>>, needed?: string): Form => ({
  names: Object.keys(fields).join(', '),
  fields,
  ...(needed !== undefined && { needed }),
})
const duration = (from: number): Form => ({ from, to: limits.duration, unit: 'milliseconds' })
const key: Form = { text: limits.key }

/** Options in the form that they are stored in (see core/stored-options.ts): durations and instants are numbers of milliseconds. */
const form: Form = object({
  queue: { text: limits.queue },
  priority: { from: -limits.priority, to: limits.priority },
  startIn: duration(0),
  startAt: { from: -limits.instant, to: limits.instant, unit: 'milliseconds' },
  expires: duration(1),
  retry: object(
    {
      limit: { from: 0, to: limits.retries },
      base: duration(0),
      factor: { from: 1, to: limits.factor, parts: true },
      max: duration(0),
      jitter: { truth: true },
    },
    'limit',
  ),
  timeout: duration(1),
  retention: duration(0),
  tags: { each: { text: limits.tag }, most: limits.tags },
  idempotencyKey: key,
  unique: object(
    {
      key,
      until: { words: ['started', 'settled'], or: duration(1) },
      onConflict: { words: ['existing', 'replace', 'reject'] },
    },
    'key',
  ),
  description: { text: limits.description, plain: true },
  actor: object({ id: key }, 'id'),
})
const quoted = (value: unknown): string => `'${JSON.stringify(value).replaceAll("'", "''")}'`
/** Standing in front of a text, E says what a backslash means whatever the settings are. */
const control = "E'[\\u0001-\\u001f\\u007f-\\u009f]'"

/** Half a step above the greatest number: from here on JavaScript reads infinity. */
const infinity = '179769313486231580793728971405301e276'

/**
 * For triggers and other languages: `select celeriac.enqueue('mail.send', '["a@b.c"]', '{"queue": "mail"}')` sends one call of
 * a task and gives the id of its job. It is part of the transaction that it is called in.
 *
 * It runs with the rights of the owner of the store, so that whoever may use the schema may enqueue and nothing more; what it
 * calls is looked up in the catalog and the store alone.
 */
export const enqueueFunctions = `
create or replace function celeriac.enqueue(a_task text, a_args text default '[]', a_options text default '{}') returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set extra_float_digits = 1 ${settingsOfFunction} as $$
#variable_conflict use_column
declare
  v_id text := celeriac.new_id();
  v_given jsonb := celeriac.checked_options(a_options);
  v_options jsonb := v_given - '{idempotencyKey, unique, description, actor}'::text[];
  v_unique jsonb := v_given -> 'unique';
  v_args jsonb;
  v_job jsonb;
  v_row jsonb;
  v_answer jsonb;
begin
  perform celeriac.check_task(a_task);
  v_args := celeriac.checked_args(a_args);
  v_job := jsonb_strip_nulls(jsonb_build_object('at', 0, 'id', v_id, 'task', a_task, 'args', a_args, 'queue', v_options -> 'queue',
    'priority', v_options -> 'priority', 'options', nullif(celeriac.canonical(v_options), '{}'), 'start_in', v_options -> 'startIn',
    'start_at', v_options -> 'startAt', 'expires', v_options -> 'expires', 'timeout', v_options -> 'timeout'));
  v_row := jsonb_build_object('number', 0, 'id', v_id, 'actor', v_given #> '{actor,id}', 'description', v_given -> 'description',
    'tags', nullif(v_options -> 'tags', '[]')::text, 'retention', v_options -> 'retention', 'key', v_given -> 'idempotencyKey',
    'fingerprint', case when v_given ? 'idempotencyKey' then celeriac.fingerprint(a_task, v_args, v_options) end);
  if v_unique is not null then
    v_row := v_row || jsonb_build_object('unique', v_unique -> 'key',
      'until', case jsonb_typeof(v_unique -> 'until') when 'number' then '"time"' else v_unique -> 'until' end,
      'holds', case jsonb_typeof(v_unique -> 'until') when 'number' then v_unique -> 'until' end,
      'on_conflict', v_unique -> 'onConflict', 'claim', celeriac.canonical(v_unique));
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
  if celeriac.length_in_code(a_task) > 200 then perform celeriac.refuse('the name of a task has at most 200 characters'); end if;
  if a_task ~ ${control} then perform celeriac.refuse('the name of a task has no control characters in it'); end if;
  if starts_with(a_task, concat('celeriac', '.')) then perform celeriac.refuse('names that begin with celeriac are the package''s own'); end if;
end $$;

create or replace function celeriac.checked_args(a_args text) returns jsonb language plpgsql as $$
declare
  v_args jsonb;
  v_brackets text;
  v_bracket text;
  v_depth integer := 0;
begin
  if octet_length(a_args) > ${argumentLimits.bytes} then
    perform celeriac.refuse('more than ${argumentLimits.bytes / 1024} KiB of arguments are not carried: store the data elsewhere and send where it is');
  end if;
  v_args := celeriac.read_json(a_args, 'the arguments');
  if v_args is null or jsonb_typeof(v_args) <> 'array' then
    perform celeriac.refuse(format('the arguments are a JSON list, such as ["a@b.c", 5], not %s', coalesce(left(a_args, 60), 'null')));
  end if;
  perform celeriac.check_number((value #>> '{}')::numeric)
  from jsonb_path_query(v_args, 'strict $.** ? (@.type() == "number")') value;
  -- What is left without texts, numbers and commas.
  v_brackets := regexp_replace(regexp_replace(a_args, E'"(\\\\\\\\.|[^"\\\\\\\\])*"', '', 'g'), '[^][{}]', '', 'g');
  if length(v_brackets) <= 2 * ${argumentLimits.depth + 1} then return v_args; end if;
  -- Not one by one by their places: to come to each the text is copied up to there.
  foreach v_bracket in array string_to_array(v_brackets, null) loop
    v_depth := v_depth + case when v_bracket in ('[', '{') then 1 else -1 end;
    -- The list around them is not counted.
    if v_depth > ${argumentLimits.depth + 1} then perform celeriac.refuse('the arguments are nested more than ${argumentLimits.depth} deep'); end if;
  end loop;
  return v_args;
end $$;

-- Workers read JSON with JavaScript. What it does not hold, or would change in silence, is refused.
create or replace function celeriac.read_json(a_text text, a_what text) returns jsonb language plpgsql as $$
begin
  return a_text::jsonb;
exception
  when untranslatable_character then
    perform celeriac.refuse(format('%s: there is a NUL character in a text, which not every store takes', a_what));
  when numeric_value_out_of_range then
    perform celeriac.refuse(format('%s: there is a number that JavaScript cannot hold: send it as a text', a_what));
  when invalid_text_representation then
    perform celeriac.refuse(format('%s: this is no JSON, or there is half of a surrogate pair in a text: %s', a_what, left(a_text, 60)));
end $$;

create or replace function celeriac.check_number(a_number numeric) returns void language plpgsql as $$
begin
  -- Beyond 2^53 whole numbers are rounded.
  if abs(a_number) < ${infinity}
    and (abs(a_number) <= 9007199254740991 or a_number <> trunc(a_number) or celeriac.number_in_code(a_number)::numeric = a_number) then return; end if;
  perform celeriac.refuse(format('the arguments: the number %s cannot be held by JavaScript: send it as a text', left(a_number::text, 60)));
end $$;

create or replace function celeriac.checked_options(a_options text) returns jsonb language plpgsql as $$
declare
  o jsonb := coalesce(celeriac.read_json(a_options, 'options'), '{}');
begin
  if jsonb_typeof(o) <> 'object' then perform celeriac.refuse('options are a JSON object, such as {"queue": "mail"}'); end if;
  o := jsonb_strip_nulls(o);
  perform celeriac.check_form(o, ${quoted(form)}, '');
  if o ? 'startIn' and o ? 'startAt' then perform celeriac.refuse('give startIn or startAt, not both'); end if;
  if o ? 'tags' then
    o := o || jsonb_build_object('tags', (select coalesce(jsonb_agg(tag order by place), '[]') from (
      select tag, min(place) as place from jsonb_array_elements(o -> 'tags') with ordinality t (tag, place) group by tag) each));
  end if;
  if o ? 'retry' then
    o := jsonb_set(o, '{retry}', ${quoted(retryDefaults)} || jsonb_build_object('max',
      greatest(${retryDefaults.max}, (o #> '{retry,base}')::numeric)) || (o -> 'retry'));
    if (o #> '{retry,max}')::numeric < (o #> '{retry,base}')::numeric then perform celeriac.refuse('retry: max is less than base'); end if;
  end if;
  if o ? 'unique' then o := jsonb_set(o, '{unique}', '{"until": "settled", "onConflict": "existing"}' || (o -> 'unique')); end if;
  return o;
end $$;

-- Checks a value by a form (see enqueue.ts).
create or replace function celeriac.check_form(a_value jsonb, a_form jsonb, a_what text) returns void language plpgsql as $$
declare
  v_type text := jsonb_typeof(a_value);
  v_text text := a_value #>> '{}';
  v_problem text;
  v_name text;
  v_inner jsonb;
begin
  if a_form ? 'fields' then
    select format('there is no option "%s": the options are %s', left(name, 60), a_form ->> 'names')
    into v_problem from jsonb_object_keys(case v_type when 'object' then a_value else '{}' end) name where not a_form -> 'fields' ? name limit 1;
    if v_type <> 'object' then v_problem := 'an object is needed'; end if;
    if v_problem is null and not a_value ? (a_form ->> 'needed') then v_problem := format('"%s" is missing', a_form ->> 'needed'); end if;
    if v_problem is null then
      for v_name, v_inner in select e.key, e.value from jsonb_each(a_value) e loop
        perform celeriac.check_form(v_inner, a_form -> 'fields' -> v_name, concat(a_what, v_name, ': '));
      end loop;
    end if;
  elsif a_form ? 'text' then
    v_problem := case
      when v_type <> 'string' then format('a text is needed, not %s', left(a_value::text, 60))
      when celeriac.length_in_code(v_text) > (a_form -> 'text')::integer
        then format('it has %s characters, the most are %s', celeriac.length_in_code(v_text), a_form -> 'text')
      when a_form ? 'plain' then null
      when v_text = '' then 'it is empty'
      when v_text ~ ${control} then 'it has a control character in it' end;
  elsif a_form ? 'from' then
    if v_type <> 'number' or (v_text::numeric <> trunc(v_text::numeric) and not a_form ? 'parts')
      or v_text::numeric not between (a_form -> 'from')::numeric and (a_form -> 'to')::numeric then
      v_problem := format('a %snumber%s from %s to %s is needed, not %s', case when not a_form ? 'parts' then 'whole ' end,
        ' of ' || (a_form ->> 'unit'), a_form -> 'from', a_form -> 'to', left(a_value::text, 60));
    end if;
  elsif a_form ? 'truth' then
    if v_type <> 'boolean' then v_problem := 'true or false is needed'; end if;
  elsif a_form ? 'words' then
    if not a_form -> 'words' @> a_value or v_type <> 'string' then
      if v_type = 'number' and a_form ? 'or' then
        perform celeriac.check_form(a_value, a_form -> 'or', a_what);
      else
        v_problem := format('one of %s is needed', (select string_agg(word, ', ') from jsonb_array_elements_text(a_form -> 'words') word));
      end if;
    end if;
  elsif v_type <> 'array' then v_problem := 'a list is needed';
  elsif jsonb_array_length(a_value) > (a_form -> 'most')::integer then v_problem := format('the most are %s', a_form -> 'most');
  else perform celeriac.check_form(value, a_form -> 'each', a_what) from jsonb_array_elements(a_value);
  end if;
  if v_problem is not null then perform celeriac.refuse(concat(a_what, v_problem)); end if;
end $$;

-- As JavaScript counts: two for what stands beyond the first 65,536.
create or replace function celeriac.length_in_code(a_text text) returns integer language plpgsql immutable as $$
begin
  return length(a_text) + length(regexp_replace(a_text, E'[^\\U00010000-\\U0010ffff]', '', 'g'));
end $$;

-- The text that fingerprints are made of, as app/fingerprint.ts writes it.
create or replace function celeriac.canonical(a_value jsonb) returns text language plpgsql immutable as $$
begin
  case jsonb_typeof(a_value)
  when 'object' then
    return concat('{', (select string_agg(concat(to_json(e.key), ':', celeriac.canonical(e.value)), ',' order by e.key collate "C")
      from jsonb_each(a_value) e), '}');
  when 'array' then
    return concat('[', (select string_agg(celeriac.canonical(e.value), ',' order by e.place)
      from jsonb_array_elements(a_value) with ordinality e (value, place)), ']');
  when 'number' then return celeriac.number_in_code((a_value #>> '{}')::numeric);
  else return a_value::text;
  end case;
end $$;

-- A number as JavaScript writes it: https://tc39.es/ecma262/#sec-numeric-types-number-tostring
create or replace function celeriac.number_in_code(a_number numeric) returns text language plpgsql immutable as $$
declare
  v_sign text := case when a_number < 0 then '-' else '' end;
  v_parts text[];
  v_digits text;
  v_point integer;
  v_count integer;
  v_shorter numeric;
begin
  -- Less than half the least number is read as 0.
  if abs(a_number) < 2.5e-324 then return '0'; end if;
  -- The shortest digits that are read as this number, and where the point stands in them.
  v_parts := regexp_match(abs(a_number::float8)::text, '^([0-9]+)[.]?([0-9]*)(?:e([+-][0-9]+))?$');
  v_digits := ltrim(concat(v_parts[1], v_parts[2]), '0');
  v_point := length(v_parts[1]) + coalesce(v_parts[3]::integer, 0) - (length(v_parts[1]) + length(v_parts[2]) - length(v_digits));
  v_digits := rtrim(v_digits, '0');
  -- The server is content with one digit more where the shortest text stands exactly half-way between two numbers.
  for n in 1 .. length(v_digits) - 1 loop
    v_count := length(v_digits) - 1;
    select c.digits into v_shorter from unnest(array[left(v_digits, v_count)::numeric, left(v_digits, v_count)::numeric + 1]) c (digits)
    where concat(c.digits, 'e', v_point - v_count)::numeric < ${infinity}
      and concat(c.digits, 'e', v_point - v_count)::numeric::float8 = abs(a_number)::float8 limit 1;
    exit when v_shorter is null;
    v_point := v_point + length(v_shorter::text) - v_count;
    v_digits := rtrim(v_shorter::text, '0');
  end loop;
  v_count := length(v_digits);
  if v_point between v_count and 21 then return concat(v_sign, v_digits, repeat('0', v_point - v_count)); end if;
  if v_point between 1 and 21 then return concat(v_sign, left(v_digits, v_point), '.', substr(v_digits, v_point + 1)); end if;
  if v_point between -5 and 0 then return concat(v_sign, '0.', repeat('0', -v_point), v_digits); end if;
  return concat(v_sign, left(v_digits, 1), case when v_count > 1 then '.' end, substr(v_digits, 2), 'e', case when v_point > 0 then '+' end,
    v_point - 1);
end $$;

create or replace function celeriac.fingerprint(a_task text, a_args jsonb, a_options jsonb) returns text language plpgsql as $$
begin
  return rtrim(translate(encode(sha256(convert_to(celeriac.canonical(jsonb_build_array(
    jsonb_build_object('type', 'signature', 'task', a_task, 'args', a_args), a_options)), 'UTF8')), 'base64'), '+/', '-_'), '=');
end $$;
`
