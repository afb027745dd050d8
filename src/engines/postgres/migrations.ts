/**
 * Numbered, never edited once published, safe while workers of the version before run. Names stand in the schema
 * `celeriac`, which `inSchema` replaces by the one that is asked for. Instants are milliseconds, codes small numbers,
 * JSON text: what is stored comes back as it was.
 *
 * **No index of `jobs` mentions what a claim or a settlement changes**, nor does the condition of one. So both update the
 * row in its page (HOT) and no index at all: with a partial index over queued and one over running jobs each cost twice
 * as much. What is queued stands in `ready` (in `suspects` where its worker died), what runs is found by `claims`. A row in
 * `ready` or `suspects` is locked before its job, and a collection before either.
 */
export const migrations: readonly string[] = [
  `
create table celeriac.meta (key text collate "C" primary key, value text);

-- Jobs, barriers and collections take their numbers from here, a range for each call, and never give them back.
create sequence celeriac.numbers;

create table celeriac.jobs (
  seq bigint primary key,
  -- The number of its collection. A job alone is its own: collection = seq.
  collection bigint not null,
  created_at bigint not null,
  state smallint not null check (state between 0 and 7),
  priority smallint not null,
  role smallint not null default 0,
  fit smallint not null default 0,
  version integer not null default 1,
  attempt integer not null default 0,
  round integer not null default 1,
  failures integer not null default 0,
  -- How strongly it is suspected of ending its workers.
  crashes integer not null default 0,
  depth integer not null default 0,
  id text collate "C" not null,
  task text not null,
  queue text collate "C" not null,
  args text not null,
  options text,
  -- What it stands behind, what it feeds, and what is put before its arguments.
  input text,
  behind bigint,
  feeds bigint,
  scope bigint,
  -- The job that continued as the canvas this one belongs to; the barrier at the end of the canvas this one continued as,
  -- and how the results there nest.
  parent bigint,
  continuation bigint,
  shape text,
  -- Moved to history by a retry of everything.
  archived integer,
  -- When it is to be let go once its barrier has decided.
  start_in bigint,
  start_at bigint,
  -- Set while it is scheduled.
  due_at bigint,
  expires_at bigint,
  -- The same, set while it is scheduled or queued.
  lapses_at bigint,
  timeout bigint,
  session bigint,
  token bigint,
  started_at bigint,
  deadline_at bigint,
  marked_at bigint,
  finished_at bigint,
  reason smallint,
  -- The job whose failure this one has: itself, or the one that caused it to be skipped or to fail.
  cause bigint,
  progress text,
  failure text,
  result text,
  actor text collate "C",
  description text,
  tags text,
  retention bigint,
  unique_claim text
) with (fillfactor = 35, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create unique index jobs_id on celeriac.jobs (id);
create index jobs_behind on celeriac.jobs (behind) where behind is not null;
create index jobs_together on celeriac.jobs (collection, seq) where collection <> seq;
create index jobs_feeding on celeriac.jobs (feeds, seq) where feeds is not null;
create index jobs_inside on celeriac.jobs (parent, seq) where parent is not null;
-- Side branches and callbacks: while one of them is not over, its collection is not removed.
create index jobs_aside on celeriac.jobs (collection) where role <> 0;
create index jobs_due on celeriac.jobs (due_at) where due_at is not null;
create index jobs_lapsing on celeriac.jobs (lapses_at) where lapses_at is not null;
create index jobs_deadline on celeriac.jobs (deadline_at) where deadline_at is not null;

-- A row for each queued job, in the order in which they are to run; rank is the priority with its sign turned.
create table celeriac.ready (
  queue text collate "C" not null,
  rank smallint not null,
  collection bigint not null,
  seq bigint not null,
  primary key (queue, rank, collection, seq)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- The same for those whose worker died: they are taken few at a time.
create table celeriac.suspects (
  queue text collate "C" not null,
  rank smallint not null,
  collection bigint not null,
  seq bigint not null,
  primary key (queue, rank, collection, seq)
);
create index suspects_in_order on celeriac.suspects (rank, collection, seq);

-- One row for each claim while jobs of it run. They run if their row says so, under this session and token.
create table celeriac.claims (
  session bigint not null,
  token bigint not null,
  claimed_at bigint not null,
  -- How many may still run: never too low, and at nothing the row goes.
  running integer not null,
  -- When the first of them was told to stop.
  marked_at bigint,
  seqs bigint[] not null,
  primary key (session, token)
);

create table celeriac.collections (
  number bigint primary key,
  id text collate "C" not null,
  state smallint not null check (state between 0 and 3),
  round integer not null default 1,
  exit bigint not null,
  shape text not null,
  created_at bigint not null,
  settled_at bigint,
  cancelled_at bigint,
  -- Out of sight: its rows are being removed. A job alone that continued gives its place to such a row.
  removed_at bigint,
  description text,
  actor text collate "C",
  tags text,
  callback_url text,
  callback_results text,
  retention bigint,
  unique_claim text
) with (fillfactor = 70);
create unique index collections_id on celeriac.collections (id);

create table celeriac.barriers (
  number bigint primary key,
  collection bigint not null,
  inputs integer not null,
  pending integer not null check (pending >= 0),
  failed integer not null default 0,
  decided smallint not null default 0,
  cause bigint,
  feeds bigint,
  gate bigint,
  -- At the end: of the canvas that this job continued as, or (1) of the collection.
  continues bigint,
  settles smallint not null default 0
) with (fillfactor = 70);
create index barriers_together on celeriac.barriers (collection, number);
create index barriers_feeding on celeriac.barriers (feeds, number) where feeds is not null;

-- Attempts that ended; the one that a job is in, or that it ended with, stands on the job itself.
create table celeriac.attempts (
  job bigint not null,
  attempt integer not null,
  round integer not null,
  session bigint,
  started_at bigint not null,
  finished_at bigint not null,
  outcome smallint not null,
  failure text,
  primary key (job, attempt)
);

create table celeriac.log (
  number bigint generated always as identity primary key,
  job bigint not null,
  attempt integer not null,
  at bigint not null,
  level text not null,
  message text not null,
  data text
);
create index log_job on celeriac.log (job);

-- What a job keeps by name for its later attempts, as JSON text.
create table celeriac.notes (
  job bigint not null,
  name text not null,
  value text not null,
  primary key (job, name)
);

-- The first job in a line of jobs with one queue and priority, in the order of (collection, seq).
create type celeriac.head as (queue text, rank smallint, collection bigint, seq bigint);

-- Where lines begin that have something in them, as of a snapshot; when the next scheduled job is due, and the next one expires.
-- bound: of many lines, where the first begins that is not listed. Everything of those comes at or behind it.
create type celeriac.place as (
  snapshot pg_snapshot, heads celeriac.head[], due_at bigint, lapses_at bigint, bound celeriac.head
);

-- One row for each call that changed something. Numbers are taken late in the call, so those of one job are in order.
create sequence celeriac.event_numbers;
create table celeriac.events (
  number bigint primary key,
  at bigint not null,
  changes text not null,
  payloads text,
  -- For a claim, what this call put in line: where, and what of it is due and expires first.
  xid xid8 not null default pg_current_xact_id(),
  heads celeriac.head[],
  due_at bigint,
  lapses_at bigint
);
create index events_arriving on celeriac.events (xid)
  where heads is not null or due_at is not null or lapses_at is not null;

create table celeriac.sessions (
  number bigint generated always as identity primary key,
  id text collate "C" not null unique,
  name text not null,
  host text not null,
  pid integer not null,
  queues text,
  concurrency integer not null,
  started_at bigint not null,
  seen_at bigint not null,
  expires_at bigint not null,
  ended_at bigint,
  lost smallint not null default 0,
  -- While its jobs are given back: who is to blame for its death.
  losing smallint
) with (fillfactor = 50);
create index sessions_ended on celeriac.sessions (ended_at);
create index sessions_losing on celeriac.sessions (losing) where losing is not null;

-- Settings of queues. One that has none has no row: a queue is there while a job names it.
create table celeriac.queues (name text collate "C" primary key, paused smallint not null);

-- A key held until a time outlives its collection: the id stands here, too.
create table celeriac.unique_keys (
  key text collate "C" primary key,
  collection bigint not null,
  collection_id text collate "C" not null,
  until text not null,
  expires_at bigint
);
create index unique_keys_collection on celeriac.unique_keys (collection);
create index unique_keys_expiring on celeriac.unique_keys (expires_at) where expires_at is not null;

create table celeriac.idempotency (
  scope text collate "C" not null,
  key text collate "C" not null,
  fingerprint text not null,
  collection_id text collate "C" not null,
  expires_at bigint not null,
  primary key (scope, key)
);
create index idempotency_expiring on celeriac.idempotency (expires_at);

-- Collections and jobs alone that settled, by when their retention ends: their numbers as runs (12-40,55), a row for each call
-- and retention. A row may be out of date, so what it names is looked at again before anything is removed.
create table celeriac.leaving (
  due_at bigint not null,
  runs text not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
-- Runs may be too long to be indexed.
create unique index leaving_due on celeriac.leaving (due_at, md5(runs));

-- Graphs that are being uploaded: their rows are there, between two numbers, and not to be seen yet.
create table celeriac.uploads (
  id text collate "C" primary key,
  collection bigint not null,
  first bigint not null,
  last bigint not null,
  created_at bigint not null,
  touched_at bigint not null
);

-- What is left to do of large changes: in order for each collection.
create table celeriac.work (
  number bigint generated always as identity primary key,
  collection bigint not null,
  kind smallint not null,
  subject bigint not null,
  detail bigint not null default 0,
  after bigint not null default 0
);
create index work_together on celeriac.work (collection, number);

-- An input of a barrier that became final; null for success where the barrier is only to be looked at.
create type celeriac.arrival as (barrier bigint, succeeded boolean, cause bigint);
create type celeriac.item as (collection bigint, kind smallint, subject bigint, detail bigint);

-- What a call knows while it runs, and what it still has to see to before it ends.
create type celeriac.change as (
  now bigint,
  -- How many more rows this call may touch.
  rows_left integer,
  changes text,
  payloads text,
  heads celeriac.head[],
  due_at bigint,
  lapses_at bigint,
  queued boolean,
  cancel boolean,
  arrivals celeriac.arrival[],
  items celeriac.item[]
);

-- How a job ends: was is the state it was found in, settled that its worker said so and may say it again.
create type celeriac.ending as (
  seq bigint, was smallint, state smallint, reason smallint, cause bigint, failure text, settled boolean
);
-- How a job goes back in line; a failure is that of a policy retry. Null for crashes keeps them.
create type celeriac.putting as (
  seq bigint, delay bigint, failure text, unstarted boolean, no_token boolean, no_session boolean, crashes integer
);
-- What a barrier came to, as those behind it see it. began: only then do side branches run on failure.
create type celeriac.decision as (
  barrier bigint, collection bigint, succeeded boolean, began boolean, cause bigint, cancelled boolean,
  feeds bigint, continues bigint, settles smallint
);
-- Where a graph goes: the numbers its rows get and what its jobs share. start holds back the entries of a large one.
create type celeriac.placement as (
  collection bigint, first_job bigint, first_barrier bigint, start bigint, round integer, parent bigint, depth integer, scope bigint
);
-- What a collection settles as; null where that is not known yet.
create type celeriac.closing as (number bigint, state smallint);
-- What becomes of a job that nothing holds up: queued, or an end.
create type celeriac.release as (seq bigint, state smallint, reason smallint, cause bigint);

-- So that what comes first is not taken for what was left of more.
insert into celeriac.events (number, at, changes) values (0, 0, '[]');
insert into celeriac.meta (key, value) values
  ('epoch', substr(replace(gen_random_uuid()::text, '-', ''), 1, 12)), ('swept_at', '0'), ('calm_until', '0');
`,
  `
-- Small texts that processes share; expires_at: no longer given from then on, and removed by a sweep.
create table celeriac.values (
  kind text collate "C" not null,
  id text collate "C" not null,
  text text not null,
  expires_at bigint,
  primary key (kind, id)
);
create index values_expiring on celeriac.values (expires_at) where expires_at is not null;

-- What attempts came to, for each minute, task and session.
create table celeriac.tallies (
  minute bigint not null,
  task text collate "C" not null,
  session bigint not null,
  succeeded bigint not null,
  failed bigint not null,
  retried bigint not null,
  cancelled bigint not null,
  ran bigint not null,
  longest bigint not null,
  primary key (minute, task, session)
) with (fillfactor = 50);
`,
]
